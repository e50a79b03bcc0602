"""Compares the gradients that training computes with numerical ones, layer by layer.

The 2012 program's `--check-grads` does this for whole nets of a few units. Here every
Keras layer of a net is checked on its own, so that a wrong gradient is found in the
layer that computes it and not also in all layers below.

A layer is called as `train` calls it (`training=True`, in a `tf.function`, with
`towers.colocated_gradients`). Its inputs are Gaussian. For an input or a weight `a` and
a direction `u`, central differences give the change of every output per step,

    D(h) = (y(a + h u) - y(a - h u)) / 2h,

and for random signs `r`, one for each output, the gradient `g` of `sum(r y)` by `a` must
satisfy `<g, u> = <r, D>`. The relative difference of a direction is
`|<g, u> - <r, D>| / ||D||`: for a wrong gradient it is about the share of the change that
the gradient misses, whichever outputs it is wrong in.

How much difference is allowed follows from the error of D(h). A truncation error of
order h^2 is a third of `D(2h) - D(h)`, and independent rounding errors are less than it,
so `||D(2h) - D(h)||` bounds the error of D(h). Random signs add up errors of this norm
to more than five times of it once in 100,000 directions (Hoeffding's inequality). The
gradient is rounded too: see `_ROUNDING`.

ReLU and max pooling have kinks, where central differences are wrong. If the slope of an
output changes by k at a distance of at most h, then either `D(2h) - D(h)` or
`(y(2h) - 4 y(h) + 6 y(0) - 4 y(-h) + y(-2h)) / 2h` is at least k / 7, while both are of
higher order for smooth outputs. Outputs for which one of them is not small get no sign,
and take no part.

Only float32 can be checked in this way. bfloat16 rounds every output to 8 bits, so a step of 1/32
of the outputs would change them by a few units of the last place.
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf.models import architecture as architectures
from alexnet_tf.models import layers, towers

# The largest change of an output in a step, as a part of the largest output.
_STEP = 1 / 32
# Kinks are looked for down to this part of the largest change of an output.
_KINK = 1 / 256
# How many times the norm of their errors random signs may add up to.
_SIGNS = 5
# The error of a gradient in float32. A sum of n terms errs by about sqrt(n) roundings of
# 2^-24, and four sums of up to 2^18 terms are passed on the way to <g, u>.
_ROUNDING = 4 * 2**9 * 2**-24
# A direction decides nothing if more than this is allowed. It is the 2012 program's
# threshold (include/util.cuh, GRADIENT_CHECK_REL_THRESHOLD).
_MOST_ALLOWED = 0.02

_IMAGES = 2
_DENSE_DIRECTIONS = 3
_SINGLE_VALUES = 4


@dataclasses.dataclass(frozen=True)
class Check:
    """What was found about the gradient by one input or weight of a layer.

    Attributes:
        variable: "kernel", "bias" or "inputs" ("inputs0" and so on if there are more).
        values: how many values the input or the weight has.
        directions: how many directions were compared.
        difference: the relative difference of the worst direction, compared with what
            is allowed for it.
        allowed: the difference that rounding and the step size explain there.
    """

    variable: str
    values: int
    directions: int
    difference: float
    allowed: float

    @property
    def correct(self) -> bool:
        """Whether directions were compared, and all of them agree."""
        return self.directions > 0 and self.difference <= self.allowed


@dataclasses.dataclass(frozen=True)
class LayerCheck:
    """What was found about a layer, or about layers whose gradients are fused.

    Attributes:
        layer: the name of the Keras layer; two names are joined by "+".
        checks: one for each of its weights and inputs.
    """

    layer: str
    checks: tuple[Check, ...]

    @property
    def worst(self) -> Check:
        """The check that is furthest from what is allowed."""
        return max(
            self.checks,
            key=lambda check: (not check.correct, _excess(check), check.values),
        )

    @property
    def correct(self) -> bool:
        """Whether all gradients of the layer are correct."""
        return all(check.correct for check in self.checks)


def _excess(check: Check) -> float:
    ratio = check.difference / check.allowed if check.directions else math.inf
    return math.inf if math.isnan(ratio) else ratio


def narrowed(architecture: architectures.Architecture) -> architectures.Architecture:
    """Returns the same layers with few kernels and units, for small images.

    Every tower keeps 48 kernels, the fewest for which training uses Winograd
    convolution. Images of 99 pixels give maps of 23, 11, 5 and 2 positions in AlexNets.

    Example:
        >>> from alexnet_tf.models import zoo
        >>> small = narrowed(zoo.find("paper"))
        >>> small.input_size, small.classes
        (99, 64)
    """
    most_filters, most_units = 48 * architecture.towers, 64

    def narrow(layer: architectures.Layer) -> architectures.Layer:
        if isinstance(layer, architectures.Dense):
            return dataclasses.replace(layer, units=min(layer.units, most_units))
        if isinstance(
            layer, architectures.Convolution | architectures.UnsharedConvolution
        ):
            return dataclasses.replace(layer, filters=min(layer.filters, most_filters))
        return layer

    side = min(architecture.input_size, 99)
    return dataclasses.replace(
        architecture, layers=tuple(map(narrow, architecture.layers))
    ).with_input_size((side, side, 3))


def chains_of(model: keras.Model) -> list[list[keras.layers.Layer]]:
    """Returns what `check` is called with to check all layers of a model, in order.

    That is every layer alone, and also each ReLU together with the LRN behind it,
    because training fuses their gradients (`ops.relu`).

    Example:
        >>> from alexnet_tf.models import builder, zoo
        >>> model = builder.build(narrowed(zoo.find("cifar10_13pct")))
        >>> [layer.name for layer in chains_of(model)[0]]
        ['conv1']
    """
    found: list[list[keras.layers.Layer]] = []
    producers: dict[int, keras.layers.Layer] = {}
    for layer in model.layers:
        producers[id(layer.output)] = layer
        if isinstance(layer, keras.layers.InputLayer):
            continue
        found.append([layer])
        if isinstance(layer, layers.LocalResponseNormalization):
            below = producers[id(layer.input)]
            if isinstance(below, layers.ReLU):
                found.append([below, layer])
    return found


def check(chain: Sequence[keras.layers.Layer], seed: int = 0) -> LayerCheck:
    """Checks the gradients of a layer in float32, or of a chain of layers as one.

    Args:
        chain: of `chains_of`. The weights are changed meanwhile, and restored.
        seed: of inputs and directions.

    Example:
        >>> layer = layers.ReLU(name="relu")
        >>> _ = layer(keras.Input((8,)))
        >>> check([layer]).correct
        True
    """
    called = _Called(chain, np.random.default_rng(seed))
    return LayerCheck(
        called.name,
        tuple(_check_variable(called, name) for name in called.variables),
    )


class _Called:
    """A chain of Keras layers, called as in training, and what it is called with."""

    def __init__(
        self, chain: Sequence[keras.layers.Layer], random: np.random.Generator
    ):
        self.name = "+".join(layer.name for layer in chain)
        self.random = random
        self._chain = chain
        first = chain[0]
        self._many = isinstance(first.input, list)
        read = first.input if self._many else [first.input]
        scale = math.prod(map(_input_scale, chain))
        self._inputs = [
            tf.Variable(
                (scale * random.standard_normal((_IMAGES, *x.shape[1:]))).astype("f4")
            )
            for x in read
        ]
        self._weights = [v for layer in chain for v in layer.trainable_variables]
        names = [f"inputs{n}" if self._many else "inputs" for n in range(len(read))]
        # What the outputs depend on, by name, the weights first.
        self.variables: dict[str, tf.Variable] = {
            **{v.name: v.value for v in self._weights},
            **dict(zip(names, self._inputs, strict=True)),
        }
        self._outputs = tf.function(self._call, autograph=False)
        self._gradients = tf.function(self._differentiate, autograph=False)

    def _call(self, values):
        values = list(values) if self._many else values[0]
        for layer in self._chain:
            values = layer(values, training=True)
        return values

    def _differentiate(self, values, signs):
        outputs = self._call(values)
        by = [*(v.value for v in self._weights), *values]
        found = towers.colocated_gradients(tf.reduce_sum(outputs * signs), by)
        return [
            tf.zeros_like(v) if g is None else tf.convert_to_tensor(g)
            for g, v in zip(found, by, strict=True)
        ]

    def _values(self) -> list[tf.Tensor]:
        for layer in self._chain:
            if isinstance(layer, layers.Dropout):
                layer.step.assign(0)  # the same mask in every call
        return [v.read_value() for v in self._inputs]

    def outputs(self) -> np.ndarray:
        """The outputs for the present values, float64."""
        return self._outputs(self._values()).numpy().astype(np.float64)

    def gradients(self, signs: np.ndarray) -> dict[str, np.ndarray]:
        """The gradients of sum(signs * outputs), float32, by the variable's name."""
        found = self._gradients(self._values(), tf.constant(signs, tf.float32))
        return dict(zip(self.variables, (g.numpy() for g in found), strict=True))


def _input_scale(layer: keras.layers.Layer) -> float:
    """The standard deviation of a layer's inputs.

    A normalization's sum of squares times alpha is as large as k on average, so that
    every term of its gradient counts.
    """
    if isinstance(layer, layers.LocalResponseNormalization):
        window = layer.size
    elif isinstance(layer, layers.SpatialNormalization):
        window = layer.size**2
    else:
        return 1.0
    return math.sqrt(layer.k / (layer.alpha * window)) if layer.alpha else 1.0


def _check_variable(called: _Called, name: str) -> Check:
    """Compares the gradient by one variable in all directions."""
    variable = called.variables[name]
    value = variable.numpy()
    here = called.outputs()
    found: list[tuple[float, float]] = []
    gain = 0.0  # the norm of the outputs' change over that of the direction
    if not np.isfinite(here).all():
        return Check(name, value.size, 0, math.nan, math.nan)
    try:
        for direction in _directions(value.shape, called.random):
            change, smooth = _change(called, variable, value, here, direction)
            variable.assign(value)
            moved, length = _norm(change[1]), _norm(direction)
            gain = max(gain, moved / length)
            # A direction that changes no output must have no gradient; the directions
            # that change some say what is small.
            scale = moved or gain * length or 1.0
            allowed = _ROUNDING + _SIGNS * _norm(change[2] - change[1]) / scale
            if not smooth.any() or allowed > _MOST_ALLOWED:
                continue
            signs = smooth * called.random.choice([-1.0, 1.0], smooth.shape)
            by_gradient = _product(called.gradients(signs)[name], direction)
            by_differences = _product(signs, change[1])
            found.append((abs(by_gradient - by_differences) / scale, allowed))
    finally:
        variable.assign(value)
    if not found:
        return Check(name, value.size, 0, math.nan, math.nan)
    checks = [Check(name, value.size, len(found), *pair) for pair in found]
    return max(checks, key=_excess)


def _product(one: np.ndarray, other: np.ndarray) -> float:
    """The scalar product, in double precision and without BLAS, whose threads wait."""
    return float(np.sum(np.multiply(one, other, dtype=np.float64)))


def _norm(values: np.ndarray) -> float:
    return math.sqrt(_product(values, values))


def _directions(
    shape: tuple[int, ...], random: np.random.Generator
) -> Iterator[np.ndarray]:
    """Directions in all values, in the first and last ones of each axis, and in one.

    The ends of the axes are where padding, windows and vectors of a kernel end too.
    """

    def gaussian(places: tuple | slice) -> np.ndarray:
        direction = np.zeros(shape, np.float32)
        direction[places] = random.standard_normal(direction[places].shape)
        return direction

    for _ in range(_DENSE_DIRECTIONS):
        yield gaussian(slice(None))
    for axis, size in enumerate(shape):
        if size > 1 and len(shape) > 1:
            for end in (0, size - 1):
                yield gaussian((slice(None),) * axis + (slice(end, end + 1),))
    for _ in range(_SINGLE_VALUES):
        yield gaussian(tuple(slice(n, n + 1) for n in random.integers(shape)))


def _change(
    called: _Called,
    variable: tf.Variable,
    value: np.ndarray,
    here: np.ndarray,
    direction: np.ndarray,
) -> tuple[dict[int, np.ndarray], np.ndarray]:
    """Returns D(h) and D(2h) as {1: D(h), 2: D(2h)}, and which outputs have no kink.

    `here` are the outputs for `value`. The change of outputs with a kink is 0.
    """

    def at(distance: float) -> np.ndarray:
        variable.assign(value + np.float32(distance) * direction)
        return called.outputs()

    largest = np.abs(here).max() or 1.0
    # A step that is certainly small tells how large the step may be.
    step = _STEP * (np.abs(value).max() or 1.0) / np.abs(direction).max()
    if moved := np.abs(at(step) - here).max():
        step *= _STEP * largest / moved
    step = float(np.float32(step))
    ahead, back = {n: at(n * step) for n in (1, 2)}, {n: at(-n * step) for n in (1, 2)}
    change = {n: (ahead[n] - back[n]) / (2 * n * step) for n in (1, 2)}
    fourth = ahead[2] + back[2] - 4 * (ahead[1] + back[1]) + 6 * here
    limit = _KINK * np.abs(change[1]).max()
    smooth = np.abs(change[2] - change[1]) <= limit
    smooth &= np.abs(fourth) / (2 * step) <= limit
    return {n: np.where(smooth, change[n], 0.0) for n in (1, 2)}, smooth
