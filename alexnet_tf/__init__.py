"""AlexNet (Krizhevsky, Sutskever, Hinton, 2012) as a TensorFlow/Keras package.

Commands (`python -m alexnet_tf` lists them) parse options, call the library and print.
The library is in folders; each imports only from the folders above it:

    runtime      options, files, locks, progress, worker processes; no TensorFlow
    ops          the custom C++/CUDA ops and their gradients
    models       the nets as data, their layers, their towers, a trained net on disk
    data         archives and image folders to prepared records, records to batches
    evaluation   errors on a split, features of many images
    training     the step, the update, the schedule, checkpoints, replicas
    drawing      figures of a net, of its training and of its answers
    studies      many trainings that are compared, and the paper's tables
    serving      exports for servers, TFLite and ONNX, their checks, and the client

The public names below load on first use, so that importing the package costs nothing.
"""

import contextlib
import importlib

from alexnet_tf.runtime import import_hook, keras_backend

__version__ = "0.1.0"

_PUBLIC = {
    "AlexNet": "models.applications",
    "load": "models.loaded_net",
    "layer_names": "models.layer_outputs",
    "layer_output": "models.layer_outputs",
    "preprocess_input": "models.applications",
    "decode_predictions": "models.applications",
    "LocalResponseNormalization": "models.layers",
}
_PUBLIC_MODULES = ("metrics",)
__all__ = sorted([*_PUBLIC, *_PUBLIC_MODULES])


def __getattr__(name: str):
    if name not in __all__:
        raise AttributeError(f"module 'alexnet_tf' has no attribute {name!r}")
    keras_backend.require_tensorflow()  # before Keras is imported
    if name in _PUBLIC_MODULES:
        return importlib.import_module(f"alexnet_tf.{name}")
    return getattr(importlib.import_module(f"alexnet_tf.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _register_layers() -> None:
    """Makes the layers known to `keras.saving.load_model`."""
    # If Keras has another backend, `import alexnet_tf.models.layers` says what is wrong.
    with contextlib.suppress(ImportError):
        importlib.import_module("alexnet_tf.models.layers")


# When Keras is imported, so that importing this package costs nothing.
import_hook.after_import("keras", _register_layers)
