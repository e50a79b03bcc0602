"""A trained net as a SavedModel that a stock TensorFlow Serving runs.

The graph holds stock operations only: the LRN is TensorFlow's, and preprocessing is
inside. A stock server loads no op library and runs no Python.
"""

import pathlib
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from alexnet_tf.models import architecture as architectures
from alexnet_tf.models import background as backgrounds
from alexnet_tf.models import resize_rule
from alexnet_tf.serving import signatures, tflite_onnx, warmup_requests

LABELS = tflite_onnx.LABELS


def save_model(
    net: keras.Model,
    path: pathlib.Path,
    *,
    architecture: architectures.Architecture,
    mean: np.ndarray,
    classes: Sequence[str],
    top: int,
    crops: int,
    background: backgrounds.Color = backgrounds.WHITE,
    resize: resize_rule.Rule = resize_rule.DEFAULT,
) -> None:
    """Writes a SavedModel with every signature of `signatures`, and warm-up requests.

    Args:
        net: takes finished images, gives probabilities, and has stock operations only.
        path: a folder that does not exist.
        architecture: the net's.
        classes: their names.
        mean, top, crops, background, resize: see `signatures.Signatures`.
    """
    served = signatures.Signatures(
        net,
        architecture,
        mean=mean,
        classes=classes,
        top=top,
        crops=crops,
        background=background,
        resize=resize,
    ).all()
    # Saving a function that has not been traced yet would trace it twice.
    traced = {
        name: tf.function(
            function, input_signature=[spec], autograph=False
        ).get_concrete_function()
        for name, (function, spec) in served.items()
    }
    # TensorFlow saves the variables that a root object has.
    root = tf.Module()
    read = [each for function in traced.values() for each in function.variables]
    root.variables_read = list({id(each): each for each in read}.values())
    tf.saved_model.save(root, str(path), signatures=traced)
    _name_method(path / "saved_model.pb", signatures.CLASSIFY)
    (path / "assets").mkdir(exist_ok=True)
    (path / "assets" / LABELS).write_text("\n".join(classes) + "\n")
    warmup_requests.write_warmup_requests(
        path, {name: s.input for name, s in served.items()}, signatures.CLASSIFY
    )


def _name_method(file: pathlib.Path, signature: str) -> None:
    """Marks a signature as one of the Classify API, which Keras cannot express."""
    saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    for graph in saved.meta_graphs:
        method = tf.saved_model.CLASSIFY_METHOD_NAME
        graph.signature_def[signature].method_name = method
    file.write_bytes(saved.SerializeToString(deterministic=True))
    # It holds hashes of the file as it was, and may be absent.
    file.with_name("fingerprint.pb").unlink()
