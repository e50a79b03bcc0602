"""Makes sure that Keras computes with TensorFlow, without importing either."""

import os
import sys

_VARIABLE = "KERAS_BACKEND"
# The module in which Keras keeps its choice. It stays loaded if the import of Keras
# fails afterwards, as it does if the backend is not installed.
_CHOICE = "keras.src.backend.config"


def require_tensorflow() -> None:
    """Makes TensorFlow the backend of Keras, if nothing else has been chosen yet.

    Keras takes its backend from KERAS_BACKEND, or else from `backend` in keras.json,
    when it is first imported, and keeps it. `import tensorflow` imports Keras too.

    Raises:
        ImportError: Keras has, or KERAS_BACKEND asks for, another backend.
    """
    if _CHOICE in sys.modules:
        _refuse_other(sys.modules[_CHOICE].backend(), "Keras was imported with")
    else:
        chosen = os.environ.setdefault(_VARIABLE, "tensorflow")
        _refuse_other(chosen, f"{_VARIABLE} is")


def _refuse_other(backend: str, what: str) -> None:
    if backend != "tensorflow":
        raise ImportError(
            f"alexnet_tf computes with TensorFlow, and {what} {backend!r}: set "
            "KERAS_BACKEND=tensorflow in the environment, which also overrides "
            "~/.keras/keras.json, before anything imports Keras"
        )
