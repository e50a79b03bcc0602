"""The paper's net, the 2012 program's, and each variant, as data. No TensorFlow.

An `Architecture` is a sequence of layers. A net of two towers splits the outputs of
every layer evenly between them; `inputs="both"` marks the layers at which a tower also
reads the other one (paper, figure 2: conv3, fc6, fc7, fc8).

Sources: P, the paper, section 3; the released program's `layers-145.cfg` and its
relatives, which the docstrings name. Where text and program differ, `PAPER` follows the
text and `CODE` the program; the ablations are the program's own, and follow it.
"""

import dataclasses
import math
from collections.abc import Iterator
from typing import Literal

Inputs = Literal["own", "both"]


@dataclasses.dataclass(frozen=True)
class Weighted:
    """What every layer with weights says: its name, its start and its decay.

    `bias` is the initial bias; `std` the standard deviation of the initial weights in
    the 2012 program (the paper's text has 0.01 for every layer: `PAPER_STD`); `decay`
    the weight-decay coefficient.
    """

    name: str
    bias: float = 0.0
    std: float = 0.01
    decay: float = 0.0005
    inputs: Inputs = "own"


@dataclasses.dataclass(frozen=True)
class Convolution(Weighted):
    """`filters` in all towers together; `padding` = zeros before and after each side."""

    filters: int = 0
    size: int = 0
    stride: int = 1
    padding: tuple[int, int] = (0, 0)


@dataclasses.dataclass(frozen=True)
class Unshared(Weighted):
    """A convolution whose kernel and bias differ at every position."""

    filters: int = 0
    size: int = 0
    padding: tuple[int, int] = (0, 0)


@dataclasses.dataclass(frozen=True)
class Dense(Weighted):
    """Fully connected. `split=False`: all of it stands on the first tower."""

    units: int = 0
    split: bool = True


@dataclasses.dataclass(frozen=True)
class Relu:
    """max(x, 0), P section 3.1."""


@dataclasses.dataclass(frozen=True)
class ResponseNormalization:
    """Across channels, within the tower: P section 3.3. `alpha` multiplies the sum."""

    size: int = 5
    k: float = 2.0
    alpha: float = 1e-4
    beta: float = 0.75


@dataclasses.dataclass(frozen=True)
class SpatialNormalization:
    """Within one map, over a `size` x `size` square: the program's `rnorm` layer."""

    size: int = 5
    k: float = 1.0
    alpha: float = 0.001 / 25
    beta: float = 0.75


@dataclasses.dataclass(frozen=True)
class MaxPool:
    """Overlapping where `stride` < `size` (P section 3.4); the last window may hang over."""

    size: int = 3
    stride: int = 2


@dataclasses.dataclass(frozen=True)
class Dropout:
    """P section 4.2."""

    rate: float = 0.5


Layer = (
    Convolution
    | Unshared
    | Dense
    | Relu
    | ResponseNormalization
    | SpatialNormalization
    | MaxPool
    | Dropout
)


PAPER_STD = 0.01  # P section 5: one standard deviation for every layer


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A net as data. `input_size` is the side in pixels of its square RGB crops."""

    name: str
    description: str
    input_size: int
    record_size: int
    towers: int
    layers: tuple[Layer, ...]

    def with_classes(self, classes: int) -> "Architecture":
        """The same net with `classes` outputs."""
        if classes < 2:
            raise ValueError(f"classes must be at least 2, got {classes}")
        *below, top = self.layers
        if not isinstance(top, Dense):
            raise ValueError(f"{self.name} does not end in a dense layer")
        return dataclasses.replace(
            self, layers=(*below, dataclasses.replace(top, units=classes))
        )

    def with_input_size(self, shape: tuple[int, int, int]) -> "Architecture":
        """The same net for square RGB images of another side; `shape` (side, side, 3)."""
        whole = len(shape) == 3 and all(isinstance(side, int) for side in shape)
        if not whole or shape[0] != shape[1] or shape[2] != 3:
            raise ValueError(f"input_shape must be (side, side, 3), got {shape}")
        net = dataclasses.replace(self, input_size=shape[0])
        for extent in extents(net):
            if min(extent.shape) < 1:
                raise ValueError(
                    f"input_shape {shape} is too small: nothing is left of it "
                    f"at {extent.name} of the net {self.name}"
                )
        return net

    @property
    def classes(self) -> int:
        top = self.layers[-1]
        assert isinstance(top, Dense)
        return top.units

    @property
    def record_encoding(self) -> Literal["jpeg", "raw"]:
        """How pictures of `record_size` are best kept: small ones lose by JPEG."""
        return "jpeg" if self.record_size > 64 else "raw"


@dataclasses.dataclass(frozen=True)
class Extent:
    """What one layer costs: its output shape, parameters, multiply-adds an image."""

    name: str
    layer: Layer
    shape: tuple[int, ...]
    parameters: int
    multiply_adds: int


def convolved(size: int, kernel: int, stride: int, padding: tuple[int, int]) -> int:
    """Output side of a convolution."""
    return 1 + (size + sum(padding) - kernel) // stride


def pooled(size: int, window: int, stride: int) -> int:
    """Output side of a pooling, windows hanging over the end (program's `layer.py`)."""
    return 1 + math.ceil((size - window) / stride)


def extents(architecture: Architecture) -> Iterator[Extent]:
    """Walks the net: each layer's output shape [H, W, C] or [units], and its cost."""
    shape: tuple[int, ...] = (architecture.input_size, architecture.input_size, 3)
    weighted = ""
    towers_below = 1  # the image is whole
    for layer in architecture.layers:
        parameters = multiply_adds = 0
        if isinstance(layer, Convolution | Unshared):
            height, _, channels = shape
            seen = channels // (towers_below if layer.inputs == "own" else 1)
            stride = layer.stride if isinstance(layer, Convolution) else 1
            side = convolved(height, layer.size, stride, layer.padding)
            kernel = layer.size**2 * seen * layer.filters
            multiply_adds = kernel * side**2
            parameters = (
                kernel + layer.filters
                if isinstance(layer, Convolution)
                else multiply_adds + layer.filters * side**2
            )
            shape = (side, side, layer.filters)
            towers_below = architecture.towers
        elif isinstance(layer, Dense):
            seen = math.prod(shape) // (towers_below if layer.inputs == "own" else 1)
            multiply_adds = seen * layer.units
            parameters = multiply_adds + layer.units
            shape = (layer.units,)
            towers_below = architecture.towers if layer.split else 1
        elif isinstance(layer, MaxPool):
            side = pooled(shape[0], layer.size, layer.stride)
            shape = (side, side, shape[2])
        if isinstance(layer, Weighted):
            weighted = layer.name
            name = weighted
        else:
            name = f"{weighted}_{type(layer).__name__.lower()}"
        yield Extent(name, layer, shape, parameters, multiply_adds)


def parameters(architecture: Architecture) -> int:
    """Weights and biases of the whole net."""
    return sum(extent.parameters for extent in extents(architecture))


def multiply_adds(architecture: Architecture) -> int:
    """Multiply-adds of one image's forward pass."""
    return sum(extent.multiply_adds for extent in extents(architecture))


def training_flop(architecture: Architecture) -> int:
    """Floating-point operations an image, forward and backward.

    Two a multiply-add; the backward pass multiplies twice, once for the weights and
    once for the inputs, except that the first layer's input needs no gradient.
    """
    costs = [e.multiply_adds for e in extents(architecture) if e.multiply_adds]
    return 2 * (3 * sum(costs) - costs[0])
