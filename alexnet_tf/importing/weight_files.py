"""Opens a file of weights of another framework, whatever its format."""

import os
from collections.abc import Callable

from alexnet_tf.importing import (
    caffe_model,
    numpy_dict,
    onnx_graph,
    state_dict,
    torch_file,
)
from alexnet_tf.importing.source import Source, WeightsError
from alexnet_tf.runtime import suggestions


def _read_caffe(path: str) -> Source:
    tensors, layers = caffe_model.read(path)
    return Source(path, "Caffe model", tensors, layers)


def _read_torch(path: str) -> Source:
    tensors = torch_file.read(path)
    return Source(path, "torch", tensors, state_dict.layers_of(tensors, path))


def _read_safetensors(path: str) -> Source:
    try:
        import safetensors.numpy
    except ImportError as error:
        raise WeightsError(
            f"reading {path} needs the package safetensors: pip install safetensors"
        ) from error
    try:
        tensors = safetensors.numpy.load_file(path)
    except (safetensors.SafetensorError, KeyError, TypeError) as error:
        raise WeightsError(
            f"{path} is cut off or damaged, or is not a .safetensors file ({error}). "
            "Copy or download it again"
        ) from error
    return Source(path, "safetensors", tensors, state_dict.layers_of(tensors, path))


def _read_numpy(path: str) -> Source:
    tensors, layers = numpy_dict.read(path)
    return Source(path, "caffe-tensorflow", tensors, layers, flattened="HWC")


READERS: dict[str, Callable[[str], Source]] = {
    ".caffemodel": _read_caffe,
    ".onnx": onnx_graph.read,
    ".pth": _read_torch,
    ".pth.tar": _read_torch,
    ".pt": _read_torch,
    ".safetensors": _read_safetensors,
    ".npy": _read_numpy,
}
# The files of this package itself, which `own_files` reads.
OWN = (".keras", ".weights.h5")


def suffix_of(path: str) -> str:
    """Returns the known suffix of a file.

    Raises:
        WeightsError: there is no such file, or it is of another kind.
    """
    known = (*READERS, *OWN)
    if os.path.isdir(path):
        raise WeightsError(
            f"{path} is a folder, and --from names one file: {', '.join(known)}"
        )
    for suffix in known:
        if path.lower().endswith(suffix):
            break
    else:
        raise WeightsError(f"{path} must be one of {', '.join(known)}")
    if not os.path.exists(path):
        raise WeightsError(
            f"there is no file {path}. No weights come with this package; "
            "docs/weights.md says where the published ones are"
            f"{suggestions.did_you_mean_path(path)}"
        )
    if not os.path.isfile(path) or not os.path.getsize(path):
        raise WeightsError(f"{path} is empty, or not a regular file")
    return suffix


def read(path: str) -> Source:
    """Returns what a file of another framework holds.

    Raises:
        WeightsError: the file is missing, damaged, of another kind or of another net.
    """
    source = READERS[suffix_of(path)](path)
    for layer in source.weighted:
        shape = source.tensors[layer.kernel or ""].shape
        if len(shape) != len(layer.axes):
            raise WeightsError(
                f"{path} is of another net: the weights of its {layer.name} have the "
                f"shape {list(shape)}, expected {len(layer.axes)} axes"
            )
    return source
