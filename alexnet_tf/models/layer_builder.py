"""The Keras layer that one tower has for one layer of an architecture."""

import dataclasses
import functools
import math
from typing import Any

import keras

from alexnet_tf.models import architecture as architectures
from alexnet_tf.models import layers

Initialization = architectures.Initialization


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerOptions:
    """What is the same for all layers of a network; `builder.build` explains each."""

    policy: str = "float32"  # Keras' dtype policy
    initialization: Initialization = "cuda_convnet"
    dropout: layers.DropoutConvention = "original"
    lrn: layers.Implementation = "auto"
    winograd: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
    """Where a layer is in a network.

    Attributes:
        name: the name of the Keras layer.
        towers: how many towers the layer's outputs are divided between.
        shape: of its input for one image: (height, width, channels), where None is any
            height or width, or (units,).
        fan_in: how many inputs each of its outputs is a weighted sum of; 0 without
            weights.
        seed: of its random numbers; different for every layer and every tower.
    """

    name: str
    towers: int
    shape: tuple[int | None, ...]
    fan_in: int
    seed: int


@functools.singledispatch
def make(
    layer: architectures.Layer, place: Place, options: LayerOptions
) -> keras.layers.Layer:
    """Returns one tower's Keras layer for one layer of an architecture.

    Raises:
        TypeError: there is no Keras layer for this type.
        ValueError: the layer does not fit `place`, or an option is unknown.
    """
    raise TypeError(f"there is no Keras layer for {layer!r} ({place.name}, {options})")


def _common(place: Place, options: LayerOptions) -> dict[str, Any]:
    return {"name": place.name, "dtype": options.policy}


def _weighted(
    layer: architectures.Weighted, place: Place, options: LayerOptions
) -> dict[str, Any]:
    """The arguments that all layers with weights have."""
    if options.initialization == "pytorch":
        # PyTorch's kaiming_uniform(a=sqrt(5)) has this bound too. A net's layers use
        # fewer than 500 of the 1,000 seeds that it has.
        bound = 1 / math.sqrt(place.fan_in)
        kernel, bias = (
            layers.RandomUniform(-bound, bound, seed=seed)
            for seed in (place.seed, place.seed + 500)
        )
        return {
            **_common(place, options),
            "kernel_initializer": kernel,
            "bias_initializer": bias,
        }
    standard_deviation = (
        architectures.PAPER_STANDARD_DEVIATION
        if options.initialization == "paper"
        else layer.standard_deviation
    )
    return {
        **_common(place, options),
        "kernel_initializer": layers.RandomNormal(
            stddev=standard_deviation, seed=place.seed
        ),
        "bias_initializer": keras.initializers.Constant(layer.initial_bias),
    }


@make.register
def _(layer: architectures.Convolution, place: Place, options: LayerOptions):
    return layers.Convolution(
        layer.filters // place.towers,
        layer.kernel_size,
        strides=layer.stride,
        explicit_padding=layer.padding,
        winograd=options.winograd,
        **_weighted(layer, place, options),
    )


@make.register
def _(layer: architectures.UnsharedConvolution, place: Place, options: LayerOptions):
    return layers.UnsharedConvolution(
        layer.filters // place.towers,
        layer.kernel_size,
        padding=layer.padding,
        **_weighted(layer, place, options),
    )


@make.register
def _(layer: architectures.Dense, place: Place, options: LayerOptions):
    return layers.Dense(layer.units // place.towers, **_weighted(layer, place, options))


@make.register
def _(layer: architectures.Relu, place: Place, options: LayerOptions):
    del layer
    return layers.ReLU(**_common(place, options))


@make.register
def _(layer: architectures.Tanh, place: Place, options: LayerOptions):
    del layer
    return keras.layers.Activation("tanh", **_common(place, options))


@make.register
def _(layer: architectures.ResponseNormalization, place: Place, options: LayerOptions):
    return layers.LocalResponseNormalization(**_normalization(layer, place, options))


@make.register
def _(layer: architectures.SpatialNormalization, place: Place, options: LayerOptions):
    return layers.SpatialNormalization(**_normalization(layer, place, options))


def _normalization(
    layer: architectures.ResponseNormalization | architectures.SpatialNormalization,
    place: Place,
    options: LayerOptions,
) -> dict[str, Any]:
    """The arguments that both normalizations have."""
    return {
        **_common(place, options),
        "size": layer.size,
        "k": layer.k,
        "alpha": layer.alpha,
        "beta": layer.beta,
        "implementation": options.lrn,
    }


@make.register
def _(layer: architectures.MaxPool, place: Place, options: LayerOptions):
    # How far the last window of the rows, and of the columns, extends past the map.
    excess = (
        {0}
        if not layer.ceil_mode
        else {
            None if side is None else (layer.size - side) % layer.stride
            for side in place.shape[:2]
        }
    )
    past = excess.pop()
    if past is None or excess:
        return layers.CeilMaxPooling2D(
            layer.size, layer.stride, **_common(place, options)
        )
    if past > 1:
        raise ValueError(
            f"{place.name}: the last {layer.size} x {layer.size} window with stride "
            f"{layer.stride} extends {past} columns past a map of {place.shape[0]}, and "
            "at most 1 is supported"
        )
    # "same" lets the last window extend one column past the edge of the map, where
    # "valid" would leave a column out.
    return keras.layers.MaxPooling2D(
        layer.size,
        layer.stride,
        padding="same" if past else "valid",
        data_format="channels_last",
        **_common(place, options),
    )


@make.register
def _(layer: architectures.Dropout, place: Place, options: LayerOptions):
    return layers.Dropout(
        layer.rate, options.dropout, place.seed, **_common(place, options)
    )
