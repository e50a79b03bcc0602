"""AlexNet (Krizhevsky, Sutskever, Hinton, 2012) as a TensorFlow/Keras package.

The modules, in order. A module imports only modules above it:

    files           written whole or not at all
    config          every flag, its validator, and the frozen Config that mains hand on
    architecture    the paper's net and each variant, as data
    ops             the custom op library and its gradient
    layers          normalisations, unshared convolution, dropout, the input's last steps
    towers          which device a tower lives on, and the proof of it
    distributed     replicas of the whole net, on the devices of one machine or many
    model           Architecture -> Keras model; AlexNet, preprocess_input, decode_predictions
    lock            one process at a time in a folder
    progress        the bar of long work
    processes       the same work on one core or many
    storage         files of records, each read by its number
    records         a prepared folder: its records and the statistics beside them
    augment         pure tensor functions: the resize rule, crops, views, PCA colour
    archives        what only its user can download: is it there, and whole
    datasets        TFDS builders, one folder each
    sources         a folder a class, or a TFDS dataset, as examples read on demand
    shards          one shard of a preparation, written whole or not at all
    prepare         any source -> square records with their statistics
    data            prepared records -> batches
    schedule        when the learning rate changes
    optimizer       the update rules, `paper` and `code`
    diagnosis       weights beside their updates, and a loss that does not fall
    checkpoint      what is saved, and in which order it is restored
    evaluate        centre-crop and ten-crop evaluation
    train           the loop
    decoding        encoded pictures to pixels in a graph, safe for strangers' bytes
    signatures      the functions of an export: pictures in, classes or features out
    warmup          the requests that an export carries
    portable        TFLite and ONNX files
    versions        numbered folders, each written whole or not at all
    check           whether a stock server can run an export
    export          checkpoint -> SavedModel that a stock server runs, and other formats
    client          talks to a server over REST or gRPC; imports without TensorFlow
    predict         images in, classes out

The public names below load on first use, so that importing the package costs nothing.
"""

import importlib

__version__ = "0.1.0"

_PUBLIC = {
    "AlexNet": "model",
    "preprocess_input": "model",
    "decode_predictions": "model",
    "LocalResponseNormalization": "layers",
}
__all__ = sorted(_PUBLIC)


def __getattr__(name: str):
    if name not in _PUBLIC:
        raise AttributeError(f"module 'alexnet_tf' has no attribute {name!r}")
    return getattr(importlib.import_module(f"alexnet_tf.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
