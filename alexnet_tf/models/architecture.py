"""The data types that describe a network, and what a network costs. No TensorFlow.

An `Architecture` is a sequence of layers. A network with two towers divides the outputs
of every layer evenly between them. `inputs="both"` marks the layers at which each tower
also reads the other tower's outputs (paper, figure 2: conv3, fc6, fc7, fc8).

`to_json` and `from_json` write an architecture as plain JSON data and read it back.
"""

import dataclasses
import itertools
import math
import numbers
import re
from collections.abc import Iterator, Sequence
from typing import Any, Literal, get_args

Inputs = Literal["own", "both"]

# Both are explained where they are used: `layers.Dropout`, `builder.build`.
DropoutConvention = Literal["original", "inverted"]
Initialization = Literal["paper", "cuda_convnet", "pytorch"]

# Paper, section 5: the initial weights of every layer have this standard deviation.
PAPER_STANDARD_DEVIATION = 0.01


@dataclasses.dataclass(frozen=True)
class Weighted:
    """What every layer with weights has.

    Attributes:
        name: the layer's name; it must be unique within the network.
        initial_bias: the value that all biases start with.
        standard_deviation: of the initial weights in the 2012 program. The paper's text
            uses `PAPER_STANDARD_DEVIATION` for every layer.
        weight_decay: the coefficient of weight decay.
        inputs: "own" reads the outputs of the same tower, "both" those of both towers.
    """

    name: str
    _: dataclasses.KW_ONLY
    initial_bias: float = 0.0
    standard_deviation: float = 0.01
    weight_decay: float = 0.0005
    inputs: Inputs = "own"

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"name must be a non-empty string, got {self.name!r}")
        _check_finite(self, "initial_bias")
        _check_finite(self, "standard_deviation", "weight_decay", least=0)
        _check_one_of(self, "inputs", Inputs)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Convolution(Weighted):
    """A convolution with square kernels.

    Attributes:
        filters: the number of filters in all towers together.
        kernel_size: side of the kernel in pixels.
        stride: pixels from one position to the next.
        padding: rows of zeros (above, below) the image; the columns (left, right) are
            padded alike.
    """

    filters: int
    kernel_size: int
    stride: int = 1
    padding: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_counts(self, "filters", "kernel_size", "stride")
        _check_padding(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class UnsharedConvolution(Weighted):
    """A convolution of stride 1 whose kernel and bias differ at every position.

    cuda-convnet's layer type `local`. The attributes are those of `Convolution`.
    """

    filters: int
    kernel_size: int
    padding: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_counts(self, "filters", "kernel_size")
        _check_padding(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dense(Weighted):
    """A fully connected layer of `units` outputs in all towers together.

    With `split=False` the whole layer is on the first tower.
    """

    units: int
    split: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_counts(self, "units")
        _check_flag(self, "split")


@dataclasses.dataclass(frozen=True)
class Relu:
    """max(x, 0): paper, section 3.1."""


@dataclasses.dataclass(frozen=True)
class Tanh:
    """tanh(x), what section 3.1 of the paper compares `Relu` with."""


@dataclasses.dataclass(frozen=True)
class ResponseNormalization:
    """Normalization across channels: paper, section 3.3.

    Attributes:
        size: the number of channels in a window; it must be odd.
        k: added to the sum.
        alpha: multiplies the sum of squares. The 2012 program and Caffe write `size`
            times this value.
        beta: the exponent.
        inputs: "own" normalizes across the channels of each tower alone, "both" across
            those of all towers, as Caffe does.
    """

    size: int = 5
    k: float = 2.0
    alpha: float = 1e-4
    beta: float = 0.75
    inputs: Inputs = "own"

    def __post_init__(self) -> None:
        _check_normalization(self)
        _check_one_of(self, "inputs", Inputs)


@dataclasses.dataclass(frozen=True)
class SpatialNormalization:
    """Normalization within one map, over squares of `size` x `size` positions.

    The 2012 program's layer type `rnorm`. `size`, `k`, `alpha` and `beta` are those of
    `ResponseNormalization`.
    """

    size: int = 5
    k: float = 1.0
    alpha: float = 0.001 / 25
    beta: float = 0.75

    def __post_init__(self) -> None:
        _check_normalization(self)


@dataclasses.dataclass(frozen=True)
class MaxPool:
    """Max pooling over `size` x `size` windows that are `stride` pixels apart.

    The windows overlap if `stride` < `size` (paper, section 3.4).

    Attributes:
        size, stride: in pixels.
        ceil_mode: whether the last window may extend past the edge of the map, as in
            the 2012 program and in Caffe. If not, as in PyTorch, the pixels that do not
            fill a window are left out. The attribute has PyTorch's name.
    """

    size: int = 3
    stride: int = 2
    ceil_mode: bool = True

    def __post_init__(self) -> None:
        _check_counts(self, "size", "stride")
        _check_flag(self, "ceil_mode")


@dataclasses.dataclass(frozen=True)
class Dropout:
    """Each activation is dropped with probability `rate`: paper, section 4.2."""

    rate: float = 0.5

    def __post_init__(self) -> None:
        _check_finite(self, "rate", least=0)
        if self.rate >= 1:
            raise ValueError(f"Dropout: rate must be below 1, got {self.rate}")


Layer = (
    Convolution
    | UnsharedConvolution
    | Dense
    | Relu
    | Tanh
    | ResponseNormalization
    | SpatialNormalization
    | MaxPool
    | Dropout
)


def _called(instance: Any) -> str:
    """What an error calls a layer or an architecture: its name, or else its kind."""
    return getattr(instance, "name", None) or type(instance).__name__


def _check_one_of(instance: Any, field: str, literal: Any) -> None:
    known, value = get_args(literal), getattr(instance, field)
    if value not in known:
        raise ValueError(
            f"{_called(instance)}: {field} must be {' or '.join(map(repr, known))}, "
            f"got {value!r}"
        )


def _check_flag(instance: Any, field: str) -> None:
    value = getattr(instance, field)
    if not isinstance(value, bool):
        raise ValueError(
            f"{_called(instance)}: {field} must be True or False, got {value!r}"
        )


def is_whole_number(value: object) -> bool:
    """Whether `value` is an integer of any type, NumPy's included, and not a bool."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _check_counts(instance: Any, *fields: str) -> None:
    for field in fields:
        value = getattr(instance, field)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(
                f"{_called(instance)}: {field} must be a whole number of at least 1, "
                f"got {value!r}"
            )


def _check_finite(instance: Any, *fields: str, least: float = -math.inf) -> None:
    for field in fields:
        value = getattr(instance, field)
        number = isinstance(value, int | float) and math.isfinite(value)
        if not number or value < least:
            wanted = "a finite number" + ("" if least < 0 else f" of at least {least}")
            raise ValueError(
                f"{_called(instance)}: {field} must be {wanted}, got {value!r}"
            )


def _check_padding(layer: Convolution | UnsharedConvolution) -> None:
    padding = layer.padding
    if (
        not isinstance(padding, tuple)
        or len(padding) != 2
        or not all(isinstance(count, int) and count >= 0 for count in padding)
    ):
        raise ValueError(
            f"{layer.name}: padding must be (before, after), two whole numbers of at "
            f"least 0, got {padding!r}"
        )


def _check_normalization(layer: ResponseNormalization | SpatialNormalization) -> None:
    _check_counts(layer, "size")
    if layer.size % 2 == 0:
        raise ValueError(f"{_called(layer)}: size must be odd, got {layer.size}")
    _check_finite(layer, "k", "alpha", "beta", least=0)


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A network as data.

    Attributes:
        name: what `--architecture` calls it.
        description: one line about it.
        input_size: side in pixels of the square RGB crops that it reads.
        record_size: side in pixels of the prepared images that the crops are taken
            from.
        towers: how many devices the network can be divided over.
        layers: from the first layer to the last.
        dropout: the convention that its original trains with; training and
            `builder.build` use it unless they are given another.
        initialization: how its original starts the weights, used in the same way.

    Example:
        >>> conv1 = Convolution("conv1", filters=8, kernel_size=5)
        >>> layers = (conv1, Relu(), MaxPool(2, 2), Dense("fc2", units=3))
        >>> net = Architecture("tiny", "an example", 12, 16, 1, layers)
        >>> [extent.shape for extent in extents(net)]
        [(8, 8, 8), (8, 8, 8), (4, 4, 8), (3,)]
    """

    name: str
    description: str
    input_size: int
    record_size: int
    towers: int
    layers: tuple[Layer, ...]
    dropout: DropoutConvention = "original"
    initialization: Initialization = "cuda_convnet"

    def __post_init__(self) -> None:
        _check_counts(self, "input_size", "record_size", "towers")
        _check_one_of(self, "dropout", DropoutConvention)
        _check_one_of(self, "initialization", Initialization)
        names = [layer.name for layer in self.layers if isinstance(layer, Weighted)]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"{self.name}: two layers have the name {name!r}")
        for layer in self.layers:
            outputs = _divided_outputs(layer)
            if outputs % self.towers:
                raise ValueError(
                    f"{self.name}: the {outputs} outputs of {_called(layer)} cannot be "
                    f"divided evenly between {self.towers} towers"
                )

    def with_classes(self, classes: int, *, least: int = 2) -> "Architecture":
        """Returns the same network with `classes` outputs, at least `least`.

        Raises:
            ValueError: `classes` is not a whole number or too small, or the last layer
                is not a dense layer.
        """
        if not is_whole_number(classes) or classes < least:
            raise ValueError(
                f"classes must be a whole number of at least {least}, got {classes!r}"
            )
        *below, top = self.layers
        if not isinstance(top, Dense):
            raise ValueError(f"{self.name} does not end in a dense layer")
        return dataclasses.replace(
            self, layers=(*below, dataclasses.replace(top, units=int(classes)))
        )

    def with_input_size(self, shape: Sequence[int]) -> "Architecture":
        """Returns the same network for images of shape (side, side, 3).

        Raises:
            ValueError: `shape` is not that of a square RGB image, or it is so small
                that a layer would have no output.
        """
        whole = len(shape) == 3 and all(map(is_whole_number, shape))
        if not whole or shape[0] != shape[1] or shape[2] != 3:
            raise ValueError(f"input_shape must be (side, side, 3), got {shape}")
        resized = dataclasses.replace(self, input_size=int(shape[0]))
        for extent in extents(resized):
            if min(extent.shape) < 1:
                raise ValueError(
                    f"input_shape {shape} is too small for the network {self.name}: "
                    f"its layer {extent.name} would have no output"
                )
        return resized

    @property
    def classes(self) -> int:
        """The number of outputs of the last layer, which must be a dense layer."""
        top = self.layers[-1]
        assert isinstance(top, Dense)
        return top.units

    @property
    def record_encoding(self) -> Literal["jpeg", "raw"]:
        """How prepared images are stored: JPEG visibly damages very small images."""
        return "jpeg" if self.record_size > 64 else "raw"


def _divided_outputs(layer: Layer) -> int:
    """How many outputs of `layer` the towers share; 0 if they do not share them."""
    if isinstance(layer, Convolution | UnsharedConvolution):
        return layer.filters
    if isinstance(layer, Dense) and layer.split:
        return layer.units
    return 0


@dataclasses.dataclass(frozen=True)
class Extent:
    """The output shape of one layer, and what the layer costs.

    Attributes:
        name: the layer's name. A layer without weights is named after the last layer
            with weights before it, for example `conv1_maxpool`.
        layer: the layer.
        shape: of its output for one image: (height, width, channels) or (units,).
        fan_in: how many inputs each output is a weighted sum of; 0 without weights.
        parameters: weights and biases.
        multiply_adds: of one image's forward pass.
    """

    name: str
    layer: Layer
    shape: tuple[int, ...]
    fan_in: int
    parameters: int
    multiply_adds: int


def convolution_output_size(
    size: int, kernel_size: int, stride: int, padding: tuple[int, int]
) -> int:
    """The output side of a convolution over an image whose side is `size`.

    Example:
        >>> convolution_output_size(224, 11, stride=4, padding=(0, 3))
        55
    """
    return 1 + (size + sum(padding) - kernel_size) // stride


def pooling_output_size(
    size: int, window: int, stride: int, ceil_mode: bool = True
) -> int:
    """The output side of a pooling; see `MaxPool` for `ceil_mode`.

    The default rule is that of the 2012 program's `layer.py`.

    Example:
        >>> pooling_output_size(55, window=3, stride=2)
        27
        >>> [pooling_output_size(56, 3, 2, ceil_mode) for ceil_mode in (True, False)]
        [28, 27]
    """
    steps = (size - window) / stride
    return 1 + (math.ceil(steps) if ceil_mode else math.floor(steps))


def least_side(architecture: Architecture) -> int:
    """The least side in pixels of images that give every layer an output.

    Example:
        >>> from alexnet_tf.models import zoo
        >>> least_side(zoo.find("torchvision"))
        63
    """
    return next(
        side
        for side in itertools.count(1)
        if all(
            min(extent.shape) > 0
            for extent in extents(dataclasses.replace(architecture, input_size=side))
        )
    )


def layer_of(path: str) -> str:
    """The layer that a variable belongs to, without its tower.

    Example:
        >>> layer_of("conv1_tower0/kernel")
        'conv1'
    """
    return re.sub(r"_tower\d+$", "", path.split("/")[0])


def kind_of(layer: str) -> str:
    """The kind of a layer, which layers of the same kind share.

    Example:
        >>> kind_of("conv1")
        'conv'
    """
    return layer.rstrip("0123456789")


def extents(architecture: Architecture) -> Iterator[Extent]:
    """Yields the output shape and the cost of every layer, in their order."""
    shape: tuple[int, ...] = (architecture.input_size, architecture.input_size, 3)
    last_weighted = ""
    towers_below = 1  # the image is not divided
    for layer in architecture.layers:
        fan_in = parameters = 0
        if isinstance(layer, Convolution | UnsharedConvolution):
            height, _, channels = shape
            seen = channels // (towers_below if layer.inputs == "own" else 1)
            fan_in = layer.kernel_size**2 * seen
            stride = layer.stride if isinstance(layer, Convolution) else 1
            side = convolution_output_size(
                height, layer.kernel_size, stride, layer.padding
            )
            shape = (side, side, layer.filters)
            outputs = (
                layer.filters if isinstance(layer, Convolution) else math.prod(shape)
            )
            parameters = (fan_in + 1) * outputs
            towers_below = architecture.towers
        elif isinstance(layer, Dense):
            fan_in = math.prod(shape) // (towers_below if layer.inputs == "own" else 1)
            shape = (layer.units,)
            parameters = (fan_in + 1) * layer.units
            towers_below = architecture.towers if layer.split else 1
        elif isinstance(layer, MaxPool):
            side = pooling_output_size(
                shape[0], layer.size, layer.stride, layer.ceil_mode
            )
            shape = (side, side, shape[2])
        if isinstance(layer, Weighted):
            name = last_weighted = layer.name
        else:
            name = f"{last_weighted}_{type(layer).__name__.lower()}"
        multiply_adds = fan_in * math.prod(shape)
        yield Extent(name, layer, shape, fan_in, parameters, multiply_adds)


def parameters(architecture: Architecture) -> int:
    """The number of weights and biases in the whole network.

    Example:
        >>> from alexnet_tf.models import zoo
        >>> parameters(zoo.find("paper"))
        60965224
    """
    return sum(extent.parameters for extent in extents(architecture))


def multiply_adds(architecture: Architecture) -> int:
    """The number of multiply-adds in one image's forward pass.

    Example:
        >>> from alexnet_tf.models import zoo
        >>> round(multiply_adds(zoo.find("paper")) / 1e6)
        724
    """
    return sum(extent.multiply_adds for extent in extents(architecture))


def training_flop(architecture: Architecture) -> int:
    """Floating-point operations per image in the forward and the backward pass.

    A multiply-add counts as two operations. The backward pass multiplies twice, once
    for the weight gradients and once for the input gradients, but the first layer needs
    no input gradients.
    """
    costs = [e.multiply_adds for e in extents(architecture) if e.multiply_adds]
    return 2 * (3 * sum(costs) - costs[0])
