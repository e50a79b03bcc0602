"""Reads `.caffemodel` and `.binaryproto` files, without Caffe.

They are protocol buffers of Caffe's `caffe.proto`. The messages below are the part of
it that is read, under the names and numbers that it has there; the protobuf library
does the rest.
"""

import functools
import math
import os
from typing import Any

import numpy as np
from google.protobuf import message

from alexnet_tf.importing.source import Kind, SourceLayer, WeightsError
from alexnet_tf.runtime import protobuf

# See `protobuf.message_classes`.
_MESSAGES: dict[str, list[tuple[Any, ...]]] = {
    "BlobShape": [("**dim", 1, protobuf.INT64)],
    "BlobProto": [
        ("shape", 7, "BlobShape"),
        ("**data", 5, protobuf.FLOAT),
        ("**double_data", 8, protobuf.DOUBLE),
        ("num", 1, protobuf.INT64),
        ("channels", 2, protobuf.INT64),
        ("height", 3, protobuf.INT64),
        ("width", 4, protobuf.INT64),
    ],
    "ConvolutionParameter": [
        ("*pad", 3, protobuf.UINT32),
        ("group", 5, protobuf.UINT32, "1"),
        ("*stride", 6, protobuf.UINT32),
    ],
    "InnerProductParameter": [("transpose", 6, protobuf.BOOL)],
    "LRNParameter": [
        ("local_size", 1, protobuf.UINT32, "5"),
        ("alpha", 2, protobuf.FLOAT, "1"),
        ("beta", 3, protobuf.FLOAT, "0.75"),
        ("norm_region", 4, protobuf.UINT32, "0"),
        ("k", 5, protobuf.FLOAT, "1"),
    ],
    "PoolingParameter": [
        ("pool", 1, protobuf.UINT32, "0"),
        ("kernel_size", 2, protobuf.UINT32),
        ("stride", 3, protobuf.UINT32, "1"),
    ],
    "LayerParameter": [
        ("name", 1, protobuf.STRING),
        ("type", 2, protobuf.STRING),
        ("*blobs", 7, "BlobProto"),
        ("convolution_param", 106, "ConvolutionParameter"),
        ("inner_product_param", 117, "InnerProductParameter"),
        ("lrn_param", 118, "LRNParameter"),
        ("pooling_param", 121, "PoolingParameter"),
    ],
    "V1LayerParameter": [
        ("name", 4, protobuf.STRING),
        ("type", 5, protobuf.UINT32),
        ("*blobs", 6, "BlobProto"),
        ("convolution_param", 10, "ConvolutionParameter"),
        ("inner_product_param", 17, "InnerProductParameter"),
        ("lrn_param", 18, "LRNParameter"),
        ("pooling_param", 19, "PoolingParameter"),
    ],
    "NetParameter": [
        ("name", 1, protobuf.STRING),
        ("*layers", 2, "V1LayerParameter"),
        ("*layer", 100, "LayerParameter"),
    ],
}

# The types of layers, as the older form numbers them and as the newer one names them.
_KINDS: dict[Any, Kind] = {
    "Convolution": "convolution",
    "ReLU": "relu",
    "LRN": "normalization",
    "Pooling": "pooling",
    "InnerProduct": "dense",
    4: "convolution",
    18: "relu",
    15: "normalization",
    17: "pooling",
    14: "dense",
}
# Layers that change nothing when a net is used: data, losses, dropout, softmax.
_IGNORED = (
    *("Data", "ImageData", "WindowData", "HDF5Data", "MemoryData", "DummyData"),
    *("Input", "Split", "Silence", "Accuracy", "Dropout"),
    *("Softmax", "SoftmaxWithLoss", "MultinomialLogisticLoss"),
    *(5, 12, 24, 9, 29, 32, 22, 36, 1, 6, 20, 21, 16),
)


@functools.cache
def _messages() -> dict[str, Any]:
    """The classes of the messages, by name."""
    return protobuf.message_classes("alexnet_tf.caffe", _MESSAGES)


def _parsed(path: str, kind: str) -> Any:
    """The message of a file, of which every byte was read."""
    found = _messages()[kind]()
    with open(path, "rb") as file:
        data = file.read()
    try:
        found.ParseFromString(data)
    except message.DecodeError as error:
        raise WeightsError(
            f"{path} is cut off or damaged, or is not a file of Caffe: it has "
            f"{os.path.getsize(path):,} bytes and is not a whole {kind}. Copy or "
            "download it again"
        ) from error
    return found


def read(path: str) -> tuple[dict[str, np.ndarray], tuple[SourceLayer, ...]]:
    """Returns the tensors by name, and the layers in the order of the file.

    A tensor is called after its layer and its number in it, "conv1[0]".

    Raises:
        WeightsError: the file is damaged, holds no weights, or has a layer of an unknown
            type.
    """
    net = _parsed(path, "NetParameter")
    tensors: dict[str, np.ndarray] = {}
    layers = []
    for found in [*net.layers, *net.layer]:
        if not found.blobs and found.type in _IGNORED:
            continue
        names = [f"{found.name}[{number}]" for number in range(len(found.blobs))]
        for name, blob in zip(names, found.blobs, strict=True):
            if name in tensors:
                raise WeightsError(f"{path}: two layers are called {found.name!r}")
            tensors[name] = _array(blob, f"{path}: {name}")
        kind = _KINDS.get(found.type)
        if kind is None and names and not found.type:
            kind = "convolution" if _is_map(tensors[names[0]]) else "dense"
        if (
            kind is None
            or len(names) > 2
            or bool(names) != (kind in ("convolution", "dense"))
        ):
            raise WeightsError(
                f"{path} is of another net: its layer {found.name!r} has the type "
                f"{found.type} and {len(names)} blobs, which no net of the AlexNet "
                "family has"
            )
        axes = ""
        if kind == "convolution":
            axes = "OIHW"
        elif kind == "dense":
            axes = "IO" if found.inner_product_param.transpose else "OI"
            kernel = tensors[names[0]]
            if kernel.shape[:-2] == (1,) * (kernel.ndim - 2):  # as in older files
                tensors[names[0]] = kernel.reshape(kernel.shape[-2:])
        for name in names[1:]:
            tensors[name] = tensors[name].reshape(-1)
        kernel_name, bias_name = [*names, None, None][:2]
        constants = _constants(found, path)
        layers.append(
            SourceLayer(kind, found.name, kernel_name, bias_name, axes, constants)
        )
    if not tensors:
        raise WeightsError(
            f"{path} holds no weights: it is damaged, or it is not a .caffemodel (the "
            "description of a net, a .prototxt, has none)"
        )
    return tensors, tuple(layers)


def read_mean(path: str) -> np.ndarray:
    """Returns the mean image in a `.binaryproto`: float32 [3, H, W], in Caffe's BGR.

    Raises:
        WeightsError: the file is damaged, or holds something else.
    """
    found = _array(_parsed(path, "BlobProto"), path)
    while found.ndim > 3 and found.shape[0] == 1:
        found = found[0]
    return found


def _array(blob: Any, where: str) -> np.ndarray:
    """A blob as an array. Its shape is a field, or four of them in older files."""
    data = blob.data or blob.double_data
    if blob.HasField("shape"):
        shape = tuple(blob.shape.dim)
    else:
        shape = (blob.num, blob.channels, blob.height, blob.width)
    if min(shape, default=1) < 1 or math.prod(shape) != len(data):
        raise WeightsError(
            f"{where} is damaged or missing: it has {len(data)} numbers for the shape "
            f"{list(shape)}"
        )
    kind: Any = np.float32 if blob.data else np.float64
    return np.fromiter(data, kind, len(data)).reshape(shape)


def _is_map(kernel: np.ndarray) -> bool:
    """Whether a kernel without a type is that of a convolution."""
    return kernel.ndim == 4 and kernel.shape[:2] != (1, 1)


def _constants(layer: Any, path: str) -> dict[str, Any]:
    """The constants of a layer, if the file holds them."""
    if layer.HasField("convolution_param"):
        chosen = layer.convolution_param
        pad = chosen.pad[0] if chosen.pad else 0
        return {
            "groups": chosen.group,
            "stride": chosen.stride[0] if chosen.stride else 1,
            "padding": (pad,) * 4,
        }
    if layer.HasField("lrn_param"):
        chosen = layer.lrn_param
        if chosen.norm_region:
            raise WeightsError(
                f"{path} is of another net: {layer.name} normalizes within one map"
            )
        return {
            "size": chosen.local_size,
            "k": chosen.k,
            "alpha": chosen.alpha / chosen.local_size,
            "beta": chosen.beta,
        }
    if layer.HasField("pooling_param"):
        chosen = layer.pooling_param
        if chosen.pool:
            raise WeightsError(
                f"{path} is of another net: {layer.name} is not a max pooling"
            )
        return {"size": chosen.kernel_size, "stride": chosen.stride}
    return {}
