"""Compares an imported net with the framework that its file belongs to.

Both compute the logits of the same random images. The other framework reads the file by
itself, so that a fault of the readers or of the mapping shows as a difference.
"""

import importlib.util
import os
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from alexnet_tf.importing import onnx_graph, recognition, torch_logits
from alexnet_tf.importing.imported_run import ImportedNet
from alexnet_tf.importing.source import Source, SourceLayer, WeightsError
from alexnet_tf.models import architecture as architectures
from alexnet_tf.models import layers, trained

# The largest difference that rounding explains, in standard deviations of the logits.
LIMIT = 1e-4
_IMAGES = 4

# What the file's own net computes: images [N, 3, H, W], less the mean, in its own order
# of colors, to logits [N, classes].
_Logits = Callable[[np.ndarray], np.ndarray]


def require_runtime(path: str) -> None:
    """Raises WeightsError if the framework of a file is not installed."""
    _runtime(path)


def _runtime(path: str) -> Callable[[ImportedNet], _Logits]:
    """What makes the logits of a file's own framework."""
    for suffix, (module, install, make) in _RUNTIMES.items():
        if path.lower().endswith(suffix):
            if importlib.util.find_spec(module) is None:
                raise WeightsError(
                    f"--check compares {path} with {module}, which is not installed: pip "
                    f"install '{install}'"
                )
            return make
    raise WeightsError(
        f"--check compares with another framework, and {path} is of this package: leave "
        "it out"
    )


def compare(folder: str | os.PathLike[str], net: ImportedNet) -> float:
    """Returns the largest difference of the logits, in their standard deviations.

    Args:
        folder: the run folder that was written.
        net: the net in it, with its source.

    Raises:
        WeightsError: the framework is not installed, the difference is above `LIMIT`,
            or the logits are all the same.
    """
    assert net.source is not None
    make = _runtime(net.source.path)
    side = net.trained.architecture.input_size
    images: Any = np.random.default_rng(0).integers(
        0, 256, (_IMAGES, side, side, 3), dtype=np.uint8
    )
    inputs = layers.plain_inputs(tf.constant(images))
    ours = trained.restore(folder).model(inputs).numpy()
    theirs = make(net)(_own_inputs(images, net))
    if ours.shape != theirs.shape:
        raise WeightsError(
            f"--check: {net.source.path} gives {list(theirs.shape)} logits in its own "
            f"framework, and {list(ours.shape)} here"
        )
    deviation = float(theirs.std())
    if not deviation:
        raise WeightsError(
            f"--check: all logits of {net.source.path} are the same, so a comparison "
            "shows nothing"
        )
    difference = float(np.abs(ours - theirs).max()) / deviation
    if not difference <= LIMIT:
        raise WeightsError(
            f"--check failed: the logits differ by {difference:.2g} of their standard "
            f"deviation from those of the file's own framework, and at most {LIMIT:g} is "
            "rounding. Nothing was written"
        )
    return difference


def _own_inputs(images: np.ndarray, net: ImportedNet) -> np.ndarray:
    """RGB images as the file's own net reads them, float32 [N, 3, H, W]."""
    values: Any = images.astype(np.float32)
    assert net.source is not None
    if net.source.mean is None:
        values = values - net.trained.mean
    if net.deviation is not None:
        values = values / np.asarray(net.deviation, np.float32)
    if net.channels == "BGR":
        values = values[..., ::-1]
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2))


def _onnxruntime(net: ImportedNet) -> _Logits:
    """The file's graph, at our input size and without its softmax."""
    import onnx
    import onnxruntime

    assert net.source is not None
    model = onnx_graph.load(net.source.path)
    graph = model.graph
    stored = {tensor.name for tensor in graph.initializer}
    (image,) = (each for each in graph.input if each.name not in stored)
    side = net.trained.architecture.input_size
    dims = image.type.tensor_type.shape.dim
    for dim, size in zip(dims, (1, 3, side, side), strict=True):
        dim.dim_value = size
    last = next(n for n in reversed(graph.node) if n.op_type in ("Gemm", "Add"))
    for known in (graph.output, graph.value_info):
        del known[:]
    float_type = onnx.TensorProto.FLOAT
    graph.output.append(
        onnx.helper.make_tensor_value_info(last.output[0], float_type, None)
    )
    quiet = onnxruntime.SessionOptions()
    quiet.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), quiet, providers=["CPUExecutionProvider"]
    )

    def logits(images: np.ndarray) -> np.ndarray:
        parts = [
            session.run(None, {image.name: images[n : n + 1]})[0]
            for n in range(len(images))
        ]
        return np.concatenate(parts)

    return logits


def _opencv(net: ImportedNet) -> _Logits:
    """OpenCV's reader of Caffe, with the net described as Caffe's own prototxt does."""
    import cv2

    assert net.source is not None
    if not hasattr(cv2.dnn, "readNetFromCaffe"):
        raise WeightsError(
            "--check needs OpenCV 4, which reads Caffe's files, and OpenCV "
            f"{cv2.__version__} is installed: pip install 'opencv-python-headless<5'"
        )
    with tempfile.TemporaryDirectory() as folder:
        description = pathlib.Path(folder) / "deploy.prototxt"
        description.write_text(prototxt(net.trained.architecture, net.source))
        read = cv2.dnn.readNetFromCaffe(str(description), net.source.path)

    def logits(images: np.ndarray) -> np.ndarray:
        read.setInput(images)
        return read.forward()

    return logits


def prototxt(net: architectures.Architecture, source: Source) -> str:
    """Describes a net for Caffe, with the file's own names of its layers with weights."""
    side = net.input_size
    lines = [
        'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 '
        f"dim: 3 dim: {side} dim: {side} }} }} }}"
    ]
    weighted = iter(zip(source.weighted, recognition.groups_of(net), strict=True))
    bottom = "data"
    for number, layer in enumerate(net.layers):
        name = f"layer{number}"
        if isinstance(layer, architectures.Convolution):
            named, groups = next(weighted)
            name, kind = named.name, "Convolution"
            rest = (
                f"convolution_param {{ num_output: {layer.filters} kernel_size: "
                f"{layer.kernel_size} stride: {layer.stride} pad: {layer.padding[0]} "
                f"group: {groups} }}"
            )
        elif isinstance(layer, architectures.Dense):
            name, kind = next(weighted)[0].name, "InnerProduct"
            rest = f"inner_product_param {{ num_output: {layer.units} }}"
        elif isinstance(layer, architectures.Relu):
            kind, rest = "ReLU", ""
        elif isinstance(layer, architectures.ResponseNormalization):
            kind = "LRN"
            rest = (
                f"lrn_param {{ local_size: {layer.size} alpha: "
                f"{layer.alpha * layer.size!r} beta: {layer.beta} k: {layer.k} }}"
            )
        elif isinstance(layer, architectures.MaxPool):
            kind = "Pooling"
            rest = (
                f"pooling_param {{ pool: MAX kernel_size: {layer.size} stride: "
                f"{layer.stride} }}"
            )
        else:
            continue  # dropout changes nothing in use
        lines.append(
            f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{name}" '
            f"{rest} }}"
        )
        bottom = name
    return "\n".join(lines) + "\n"


def _torchvision(net: ImportedNet) -> _Logits:
    """torchvision's own model, with the tensors as torch or safetensors reads them."""
    source = net.source
    assert source is not None
    if net.trained.architecture.name != "torchvision":
        raise WeightsError(
            f"--check can compare the net torchvision in {source.path} and not "
            f"{net.trained.architecture.name}, which torchvision does not have"
        )
    names = [n for layer in source.weighted for n in (layer.kernel, layer.bias) if n]
    return lambda images: torch_logits.compute(source.path, images, names)


def _tensorflow(net: ImportedNet) -> _Logits:
    """TensorFlow's own operations on the file's arrays, as caffe-tensorflow has them."""
    assert net.source is not None
    source = net.source

    def logits(images: np.ndarray) -> np.ndarray:
        values = tf.constant(images.transpose(0, 2, 3, 1))
        weighted = iter(source.weighted)
        for layer in net.trained.architecture.layers:
            if isinstance(layer, architectures.Convolution):
                values = _convolved(values, layer, *_pair(source, next(weighted)))
            elif isinstance(layer, architectures.Dense):
                kernel, bias = _pair(source, next(weighted))
                values = tf.reshape(values, [len(images), -1]) @ kernel + bias
            elif isinstance(layer, architectures.Relu):
                values = tf.nn.relu(values)
            elif isinstance(layer, architectures.MaxPool):
                values = tf.nn.max_pool2d(values, layer.size, layer.stride, "VALID")
            elif isinstance(layer, architectures.ResponseNormalization):
                values = tf.nn.local_response_normalization(
                    values, layer.size // 2, layer.k, layer.alpha, layer.beta
                )
        return values.numpy()

    return logits


def _pair(source: Source, layer: SourceLayer) -> tuple[np.ndarray, np.ndarray]:
    assert layer.kernel is not None
    assert layer.bias is not None
    return (
        source.tensors[layer.kernel].astype(np.float32),
        source.tensors[layer.bias].astype(np.float32),
    )


def _convolved(
    values: Any, layer: architectures.Convolution, kernel: np.ndarray, bias: np.ndarray
) -> Any:
    """A convolution in groups, whose number follows from the kernel's shape."""
    edges = [list(layer.padding)] * 2
    values = tf.pad(values, [[0, 0], *edges, [0, 0]])
    groups = values.shape[-1] // kernel.shape[2]
    parts = [
        tf.nn.conv2d(part, own, layer.stride, "VALID")
        for part, own in zip(
            tf.split(values, groups, axis=-1),
            np.split(kernel, groups, axis=-1),
            strict=True,
        )
    ]
    return tf.concat(parts, axis=-1) + bias


_RUNTIMES: dict[str, tuple[str, str, Callable[[ImportedNet], _Logits]]] = {
    ".onnx": ("onnxruntime", "onnxruntime", _onnxruntime),
    ".caffemodel": ("cv2", "opencv-python-headless<5", _opencv),
    ".pth": ("torchvision", "torchvision", _torchvision),
    ".pth.tar": ("torchvision", "torchvision", _torchvision),
    ".pt": ("torchvision", "torchvision", _torchvision),
    ".safetensors": ("torchvision", "torchvision", _torchvision),
    ".npy": ("tensorflow", "tensorflow", _tensorflow),
}
