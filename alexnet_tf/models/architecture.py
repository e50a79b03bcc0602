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
from collections.abc import Iterator, Sequence
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


_CONV1_PADDING = (0, 3)  # zeros to the right and below: 224 pixels give 55 positions


def _head(classes: int = 1000) -> tuple[Layer, ...]:
    """fc6 to fc8. P sections 3.5 and 4.2."""
    return (
        Dense("fc6", units=4096, bias=1.0, inputs="both"),
        Relu(),
        Dropout(),
        Dense("fc7", units=4096, bias=1.0, inputs="both"),
        Relu(),
        Dropout(),
        Dense("fc8", units=classes, inputs="both", split=False),
    )


def _middle(
    filters: Sequence[int], conv5_padding: tuple[int, int] = (1, 1)
) -> tuple[Layer, ...]:
    """conv3 to conv5, without the pooling. P section 3.5; std: `layers-145.cfg`."""
    conv3, conv4, conv5 = filters
    same = (1, 1)
    return (
        Convolution(
            "conv3", filters=conv3, size=3, padding=same, std=0.03, inputs="both"
        ),
        Relu(),
        Convolution("conv4", filters=conv4, size=3, padding=same, std=0.03, bias=1.0),
        Relu(),
        Convolution(
            "conv5", filters=conv5, size=3, padding=conv5_padding, std=0.03, bias=1.0
        ),
        Relu(),
    )


def _conv1(filters: int) -> Convolution:
    return Convolution(
        "conv1", filters=filters, size=11, stride=4, padding=_CONV1_PADDING
    )


def _conv2(filters: int, padding: tuple[int, int] = (2, 2)) -> Convolution:
    return Convolution("conv2", filters=filters, size=5, padding=padding, bias=1.0)


_OVERLAPPING = MaxPool()


def _program(
    filters: tuple[int, int, int, int, int],
    pool: MaxPool = _OVERLAPPING,
    conv2_padding: tuple[int, int] = (2, 2),
    conv5_padding: tuple[int, int] = (1, 1),
) -> tuple[Layer, ...]:
    """The released program's order: `layers-145.cfg` and its relatives."""
    conv1, conv2, *middle = filters
    lrn = ResponseNormalization(alpha=1e-4 / 5)  # the program divides by the size
    return (
        _conv1(conv1),
        lrn,
        pool,
        Relu(),
        _conv2(conv2, conv2_padding),
        Relu(),
        lrn,
        SpatialNormalization(),
        pool,
        *_middle(middle, conv5_padding),
        pool,
        *_head(),
    )


PAPER = Architecture(
    name="paper",
    description="the net of the paper's text, sections 3.1 to 3.5",
    input_size=224,
    record_size=256,
    towers=2,
    layers=(
        _conv1(96),
        Relu(),
        ResponseNormalization(),
        MaxPool(),
        _conv2(256),
        Relu(),
        ResponseNormalization(),
        MaxPool(),
        *_middle((384, 384, 256)),
        MaxPool(),
        *_head(),
    ),
)

CODE = dataclasses.replace(
    PAPER,
    name="code",
    description="the 2012 program's net, layers-145.cfg",
    layers=_program((96, 256, 384, 384, 256)),
)

ONE_GPU = dataclasses.replace(
    PAPER,
    name="one_gpu",
    description="half the kernels on one device (P, footnote to 3.2), "
    "layers-145-half.cfg",
    towers=1,
    layers=_program((48, 128, 192, 192, 256)),
)

NO_LRN = dataclasses.replace(
    CODE,
    name="no_lrn",
    description="the program's net without any normalisation, layers-148.cfg",
    layers=tuple(
        layer
        for layer in CODE.layers
        if not isinstance(layer, ResponseNormalization | SpatialNormalization)
    ),
)

POOL2X2 = dataclasses.replace(
    CODE,
    name="pool2x2",
    description="pooling without overlap, 2x2 with stride 2, layers-147.cfg",
    layers=_program(
        (96, 256, 384, 384, 256),
        pool=MaxPool(2, 2),
        conv2_padding=(1, 1),
        conv5_padding=(0, 0),
    ),
)

CONV6 = dataclasses.replace(
    CODE,
    name="conv6",
    description="a sixth convolution after the last pooling, layers-146-2012-2011.cfg",
    layers=(
        *CODE.layers[: -len(_head())],
        # Its start is not on record; that of conv4 and conv5.
        Convolution(
            "conv6",
            filters=256,
            size=3,
            padding=(1, 1),
            std=0.03,
            bias=1.0,
            inputs="both",
        ),
        Relu(),
        *_head(),
    ),
)

_CIFAR_LRN = ResponseNormalization(size=9, k=1.0, alpha=0.001 / 9)


def _cifar(local3: int, fc10_decay: float, normalized: bool) -> tuple[Layer, ...]:
    """The unshared CIFAR-10 nets of cuda-convnet: layers-conv-local-*pct.cfg."""
    layers: tuple[Layer, ...] = (
        Convolution("conv1", filters=64, size=5, padding=(2, 2), std=1e-4, decay=0.0),
        Relu(),
        MaxPool(),
        _CIFAR_LRN,
        Convolution("conv2", filters=64, size=5, padding=(2, 2), decay=0.0),
        Relu(),
        _CIFAR_LRN,
        MaxPool(),
        Unshared(
            "local3", filters=local3, size=3, padding=(1, 1), std=0.04, decay=0.004
        ),
        Relu(),
        Unshared("local4", filters=32, size=3, padding=(1, 1), std=0.04, decay=0.004),
        Relu(),
        Dense("fc10", units=10, decay=fc10_decay, split=False),
    )
    return tuple(layer for layer in layers if normalized or layer is not _CIFAR_LRN)


CIFAR10_11PCT = Architecture(
    name="cifar10_11pct",
    description="the CIFAR-10 net with 11 % error of P section 3.3, with unshared layers",
    input_size=24,
    record_size=32,
    towers=1,
    layers=_cifar(local3=64, fc10_decay=0.01, normalized=True),
)

CIFAR10_11PCT_NO_LRN = dataclasses.replace(
    CIFAR10_11PCT,
    name="cifar10_11pct_no_lrn",
    description="the same without LRN and alike in all else, which the published pair "
    "of 11 and 13 % is not",
    layers=_cifar(local3=64, fc10_decay=0.01, normalized=False),
)

CIFAR10_13PCT = dataclasses.replace(
    CIFAR10_11PCT,
    name="cifar10_13pct",
    description="the CIFAR-10 net with 13 % error of P section 3.3, without LRN",
    layers=_cifar(local3=32, fc10_decay=0.004, normalized=False),
)

ARCHITECTURES = {
    net.name: net
    for net in (
        PAPER,
        CODE,
        ONE_GPU,
        NO_LRN,
        POOL2X2,
        CONV6,
        CIFAR10_11PCT,
        CIFAR10_11PCT_NO_LRN,
        CIFAR10_13PCT,
    )
}


def find(name: str) -> Architecture:
    """The architecture called `name`; an unknown name raises, listing the known ones."""
    if name not in ARCHITECTURES:
        raise ValueError(
            f"architecture must be one of {', '.join(ARCHITECTURES)}, got {name!r}"
        )
    return ARCHITECTURES[name]
