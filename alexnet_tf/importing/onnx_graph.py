"""Reads the tensors and the layers of an ONNX graph, without running it."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from alexnet_tf.importing.source import (
    Channels,
    Source,
    SourceLayer,
    WeightsError,
)

# Operations that change no number when a net is used, or only reshape.
_IGNORED = ("Dropout", "Flatten", "Identity", "LogSoftmax", "Reshape", "Softmax")
_CONSTANTS = ("Constant", "ConstantOfShape")


def load(path: str) -> Any:
    """Returns the ONNX model of a file.

    Raises:
        WeightsError: the file is damaged, or the package `onnx` is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise WeightsError(
            f"reading {path} needs the package onnx: pip install onnx"
        ) from error
    try:
        model = onnx.load(path)
    except Exception as error:  # of protobuf, or for tensors in files beside it
        raise WeightsError(
            f"{path} is cut off or damaged, or is not an ONNX file ({error}). Copy or "
            "download it again"
        ) from error
    if not model.graph.node:
        raise WeightsError(
            f"{path} is damaged, or is not an ONNX file: it has no graph"
        )
    return model


def read(path: str) -> Source:
    """Returns what an ONNX file holds.

    Raises:
        WeightsError: the file is damaged, or its graph has an operation that no net of
            the AlexNet family has.
    """
    model = load(path)
    return _Reader(model, path).read()


class _Reader:
    """Walks over the operations of a graph, which ONNX keeps in a valid order."""

    def __init__(self, model: Any, path: str):
        self._model = model
        self._path = path
        self._tensors: dict[str, np.ndarray] = {}
        self._used: list[str] = []
        self._layers: list[SourceLayer] = []
        self._mean: np.ndarray | None = None
        self._last = ""  # what the next operation must read

    def read(self) -> Source:
        import onnx

        graph = self._model.graph
        for initializer in graph.initializer:
            self._tensors[initializer.name] = self._array(initializer)
        stored = set(self._tensors)
        image = next((each for each in graph.input if each.name not in stored), None)
        self._last = "" if image is None else image.name
        for node in graph.node:
            attributes = {
                a.name: onnx.helper.get_attribute_value(a) for a in node.attribute
            }
            if node.op_type not in _CONSTANTS:
                if self._last not in node.input:
                    raise self._refuse(node, "does not follow the one before it")
                self._last = node.output[0]
            self._add(node, attributes)
        dims = [] if image is None else image.type.tensor_type.shape.dim
        made_by: Channels | None = (
            "RGB" if "matlab" in self._model.producer_name.lower() else None
        )
        return Source(
            self._path,
            "ONNX",
            {name: self._tensors[name] for name in self._used},
            tuple(self._layers),
            channels=made_by,
            input_size=dims[-1].dim_value or None if dims else None,
            mean=self._mean,
        )

    def _array(self, tensor: Any) -> np.ndarray:
        import onnx

        try:
            return onnx.numpy_helper.to_array(tensor)
        except Exception as error:  # of a damaged tensor
            raise WeightsError(
                f"{self._path}: the tensor {tensor.name!r} is damaged ({error})"
            ) from error

    def _refuse(self, node: Any, why: str) -> WeightsError:
        return WeightsError(
            f"{self._path} is of another net: its operation {node.op_type} "
            f"({node.name or node.output[0]}) {why}"
        )

    def _add(self, node: Any, attributes: Mapping[str, Any]) -> None:
        kind = node.op_type
        if kind in _IGNORED:
            return
        if kind in _CONSTANTS:
            self._add_constant(node, attributes)
        elif kind == "Conv":
            self._add_convolution(node, attributes)
        elif kind in ("Gemm", "MatMul"):
            self._add_dense(node, attributes)
        elif kind == "Relu":
            self._layers.append(SourceLayer("relu", node.output[0]))
        elif kind == "LRN":
            self._add_normalization(node, attributes)
        elif kind in ("MaxPool", "AveragePool"):
            self._add_pooling(node, attributes)
        elif kind == "Add":
            self._add_bias(node)
        elif kind == "Sub" and not self._layers and node.input[1] in self._tensors:
            mean = np.squeeze(self._tensors[node.input[1]])
            self._mean = np.asarray(mean, np.float32)
        else:
            raise self._refuse(node, "is in no net of the AlexNet family")

    def _add_constant(self, node: Any, attributes: Mapping[str, Any]) -> None:
        value = attributes.get("value")
        if node.op_type == "ConstantOfShape":
            shape = self._tensors.get(node.input[0])
            if shape is None:
                raise self._refuse(node, "has no constant shape")
            number = np.float32(0) if value is None else self._array(value).reshape(())
            made = np.full(tuple(shape), number)
        elif value is None:
            raise self._refuse(node, "is not a tensor")
        else:
            made = self._array(value)
        self._tensors[node.output[0]] = made

    def _constant(self, node: Any, place: int) -> str:
        """The name of a constant input, which is then one of the net's tensors."""
        if len(node.input) <= place or node.input[place] not in self._tensors:
            raise self._refuse(node, "does not have its weights in the file")
        name = node.input[place]
        self._used.append(name)
        return name

    def _add_convolution(self, node: Any, attributes: Mapping[str, Any]) -> None:
        if any(size != 1 for size in attributes.get("dilations", ())):
            raise self._refuse(node, "is dilated")
        if attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
            raise self._refuse(node, "pads by itself (auto_pad)")
        kernel = self._constant(node, 1)
        strides = attributes.get("strides", [1, 1])
        self._layers.append(
            SourceLayer(
                "convolution",
                node.name or node.output[0],
                kernel,
                self._constant(node, 2) if len(node.input) > 2 else None,
                "OIHW",
                {
                    "groups": attributes.get("group", 1),
                    "stride": strides[0],
                    "padding": tuple(attributes.get("pads", (0, 0, 0, 0))),
                },
            )
        )

    def _add_dense(self, node: Any, attributes: Mapping[str, Any]) -> None:
        scaled = attributes.get("alpha", 1.0) != 1 or attributes.get("beta", 1.0) != 1
        if scaled or attributes.get("transA"):
            raise self._refuse(node, "scales or transposes what it reads")
        self._layers.append(
            SourceLayer(
                "dense",
                node.name or node.output[0],
                self._constant(node, 1),
                self._constant(node, 2) if len(node.input) > 2 else None,
                "OI" if attributes.get("transB") else "IO",
            )
        )

    def _add_bias(self, node: Any) -> None:
        """Takes an addition right after a layer without bias for its bias."""
        last = self._layers[-1] if self._layers else None
        place = next((p for p in (0, 1) if node.input[p] in self._tensors), None)
        if (
            last is None
            or last.kernel is None
            or last.bias is not None
            or place is None
        ):
            raise self._refuse(node, "is in no net of the AlexNet family")
        name = self._constant(node, place)
        self._tensors[name] = self._tensors[name].reshape(-1)
        self._layers[-1] = SourceLayer(
            last.kind, last.name, last.kernel, name, last.axes, last.constants
        )

    def _add_normalization(self, node: Any, attributes: Mapping[str, Any]) -> None:
        size = attributes.get("size", 0)
        if size < 1:
            raise self._refuse(node, "has no size")
        self._layers.append(
            SourceLayer(
                "normalization",
                node.output[0],
                constants={
                    "size": size,
                    "k": attributes.get("bias", 1.0),
                    "alpha": attributes.get("alpha", 1e-4) / size,
                    "beta": attributes.get("beta", 0.75),
                },
            )
        )

    def _add_pooling(self, node: Any, attributes: Mapping[str, Any]) -> None:
        size = attributes.get("kernel_shape", [0])[0]
        stride = attributes.get("strides", [1])[0]
        if node.op_type == "MaxPool":
            self._layers.append(
                SourceLayer(
                    "pooling",
                    node.output[0],
                    constants={"size": size, "stride": stride},
                )
            )
        elif (size, stride) != (1, 1):
            raise self._refuse(node, "is in no net of the AlexNet family")
