"""Reads the pickled dicts of arrays that caffe-tensorflow writes as `.npy`.

NumPy pickles an array by naming functions that build it. Here three short stand-ins
note what such an array is made of, so that nothing in the file runs.
"""

import math
from typing import Any

import numpy as np

from alexnet_tf.importing import restricted_pickle, source
from alexnet_tf.importing.source import SourceLayer, WeightsError

# The types of numbers that are read, as NumPy's pickles name them.
_TYPES = ("f2", "f4", "f8")


class _Type:
    """Stands for `numpy.dtype`; what follows the name is the order of the bytes."""

    def __init__(self, name: Any, *_: Any):
        self.name = str(name)
        self.order = "<"

    def __setstate__(self, state: Any) -> None:
        self.order = str(state[1])


class _Array:
    """Stands for a `numpy.ndarray`: its shape, and its bytes or its objects."""

    shape: tuple[int, ...] = ()
    type: Any = None
    by_column: Any = False
    content: Any = None

    def __setstate__(self, state: Any) -> None:
        _, self.shape, self.type, self.by_column, self.content = state

    def array(self) -> np.ndarray:
        content = self.content
        if isinstance(content, str):  # the bytes of Python 2
            content = content.encode("latin1")
        known = isinstance(self.type, _Type) and self.type.name in _TYPES
        if not known or not isinstance(content, bytes):
            raise restricted_pickle.PickleError(
                "it holds an array that is not of floats"
            )
        kind = (">" if self.type.order == ">" else "<") + self.type.name
        shape = [int(size) for size in self.shape]
        bytes_ = math.prod(shape) * np.dtype(kind).itemsize
        if min(shape, default=0) < 0 or len(content) != bytes_:
            raise restricted_pickle.PickleError("it is damaged (an array is cut off)")
        order: Any = "F" if self.by_column else "C"
        return np.frombuffer(content, kind).reshape(shape, order=order)


def _reconstructed(*_: Any) -> _Array:
    """Stands for `numpy.core.multiarray._reconstruct`."""
    return _Array()


def _encoded(text: str, encoding: str) -> bytes:
    """Stands for `codecs.encode`, by which Python 3 writes bytes for Python 2."""
    return text.encode("latin1")


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): None,  # an argument of `_reconstruct`
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _encoded,
    ("numpy.core.multiarray", "_reconstruct"): _reconstructed,
    ("numpy._core.multiarray", "_reconstruct"): _reconstructed,
}


def read(path: str) -> tuple[dict[str, np.ndarray], tuple[SourceLayer, ...]]:
    """Returns the tensors by name, and the layers that they belong to in order.

    The file holds {layer: [kernel, bias]} or {layer: {"weights": ..., "biases": ...}}.

    Raises:
        WeightsError: the file is damaged, or holds something else.
    """
    try:
        content = _content(path)
    except (restricted_pickle.PickleError, TypeError) as error:
        raise WeightsError(
            f"{path} cannot be read: {error}. It must be a dict of layers with their "
            "arrays, as caffe-tensorflow writes it"
        ) from error
    tensors: dict[str, np.ndarray] = {}
    layers = []
    for name in sorted(content, key=source.natural_order):
        kernel = content[name][0]
        if kernel.ndim not in (2, 4):
            raise WeightsError(
                f"{path}: the weights of {name} have {kernel.ndim} axes, expected 2 or 4"
            )
        names = f"{name}/weights", f"{name}/biases"
        tensors.update(zip(names, content[name], strict=True))
        layers.append(
            SourceLayer("convolution", name, *names, "HWIO")
            if kernel.ndim == 4
            else SourceLayer("dense", name, *names, "IO")
        )
    # Convolutions come first, whatever the layers are called.
    return tensors, tuple(sorted(layers, key=lambda layer: layer.kind == "dense"))


def _content(path: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """{layer: (kernel, bias)}."""
    with open(path, "rb") as file:
        try:
            version = np.lib.format.read_magic(file)
            read_header: Any = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            shape, _, dtype = read_header(file)
        except (ValueError, KeyError) as error:
            raise restricted_pickle.PickleError(
                f"it is not an .npy file ({error})"
            ) from error
        if dtype.kind != "O" or shape != ():
            raise restricted_pickle.PickleError(
                f"it holds an array of {dtype} {list(shape)}"
            )
        found = restricted_pickle.load(file, _ALLOWED)
    while isinstance(found, _Array) and isinstance(found.content, list):
        if len(found.content) != 1:
            break
        (found,) = found.content
    if not isinstance(found, dict) or not found:
        raise restricted_pickle.PickleError("it does not hold a dict")
    return {str(name): _pair(name, value) for name, value in found.items()}


def _pair(name: Any, value: Any) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(value, _Array) and isinstance(value.content, list):
        value = value.content
    if isinstance(value, dict) and set(value) == {"weights", "biases"}:
        value = [value["weights"], value["biases"]]
    if (
        not isinstance(value, list | tuple)
        or len(value) != 2
        or not all(isinstance(part, _Array) for part in value)
    ):
        raise restricted_pickle.PickleError(
            f"its entry {name!r} is not a pair of weights and biases"
        )
    kernel, bias = value
    return kernel.array(), bias.array()
