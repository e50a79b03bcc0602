"""What a file of weights holds, whatever its format: its tensors and its layers.

No TensorFlow. Every reader returns a `Source`, and nothing after the readers knows
about formats.
"""

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

Kind = Literal["convolution", "relu", "normalization", "pooling", "dense"]
Channels = Literal["RGB", "BGR"]


class WeightsError(ValueError):
    """A file of weights that cannot be imported; the message names it."""


@dataclasses.dataclass(frozen=True)
class SourceLayer:
    """One layer, as a file describes it.

    Attributes:
        kind: what it does.
        name: what the file calls it.
        kernel, bias: the names of its tensors; None if it has no weights.
        axes: those of its kernel: "OIHW" or "HWIO", "OI" or "IO". O are outputs, I
            inputs (of one group), H and W height and width.
        constants: those that the file holds of "groups", "stride" and "padding" (above,
            left, below, right) of a convolution; "size" and "stride" of a pooling;
            "size", "k", "alpha" and "beta" of a normalization, where alpha multiplies
            the sum of squares.
    """

    kind: Kind
    name: str
    kernel: str | None = None
    bias: str | None = None
    axes: str = ""
    constants: Mapping[str, float | tuple[int, ...]] = dataclasses.field(
        default_factory=dict
    )


@dataclasses.dataclass(frozen=True)
class Source:
    """The content of a file of weights.

    Attributes:
        path: of the file.
        format: its format in words, "Caffe model".
        tensors: by the file's own names, as the file stores them.
        layers: in the order of computation. Files that hold only tensors have only the
            layers with weights here.
        flattened: the order in which the first dense layer reads a map.
        channels: the order of the colors that the first convolution reads, if the file
            says it.
        input_size: the side in pixels of the images that the file's graph reads, if it
            has a graph and says it.
        mean: float32 [3, H, W] or [3], in the order of `channels`, that the file's
            graph itself subtracts from the image; None if it does not.
    """

    path: str
    format: str
    tensors: Mapping[str, np.ndarray]
    layers: tuple[SourceLayer, ...]
    flattened: Literal["CHW", "HWC"] = "CHW"
    channels: Channels | None = None
    input_size: int | None = None
    mean: np.ndarray | None = None

    @property
    def weighted(self) -> tuple[SourceLayer, ...]:
        """The layers with weights."""
        return tuple(layer for layer in self.layers if layer.kernel is not None)

    @property
    def has_order(self) -> bool:
        """Whether the layers without weights are known too."""
        return len(self.layers) > len(self.weighted)

    def kernel(self, layer: SourceLayer) -> np.ndarray:
        """The kernel of a layer with its axes in the order O, I, H, W, or O, I."""
        assert layer.kernel is not None
        order = [layer.axes.index(axis) for axis in "OIHW" if axis in layer.axes]
        return self.tensors[layer.kernel].transpose(order)


def flat_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """The shape [O, I] of a dense layer, whose kernel may be [O, C, H, W]."""
    return shape[0], math.prod(shape[1:])


def natural_order(name: str) -> list[Any]:
    """A key by which names are sorted as people number them.

    Example:
        >>> sorted(["conv10", "conv2"], key=natural_order)
        ['conv2', 'conv10']
    """
    return [int(p) if p.isdecimal() else p for p in re.split(r"([0-9]+)", name)]
