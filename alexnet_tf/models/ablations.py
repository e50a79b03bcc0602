"""Nets that differ from a named one in what an ablation takes away. No TensorFlow.

The paper says what each of its ideas is worth by leaving it out: normalization (section
3.3), the overlap of pooling windows (3.4), the second GPU (3.2), a convolution (section
7), the rectified linear units (3.1), dropout (4.2). `ablated` leaves the same out of any
net.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Literal, get_args

from alexnet_tf.models.architecture import (
    Architecture,
    Convolution,
    Dropout,
    Layer,
    MaxPool,
    Relu,
    ResponseNormalization,
    SpatialNormalization,
    Tanh,
    Weighted,
    extents,
)
from alexnet_tf.runtime import suggestions

Activation = Literal["relu", "tanh"]
_ACTIVATIONS: dict[Activation, type] = {"relu": Relu, "tanh": Tanh}

# What can be left out besides layers with weights, in the order in which it is done.
PARTS = ("lrn", "overlap", "tower", "exchange")


def ablated(
    net: Architecture,
    *,
    without: Sequence[str] = (),
    activation: Activation = "relu",
    dropout_rate: float | None = None,
) -> Architecture:
    """Returns a net without some of its parts; its name says which.

    Args:
        net: the whole net.
        without: names of layers with weights, with the activation and the dropout that
            follow them, but neither the first nor the last such layer, nor one between
            two poolings, such as conv2. If a layer that reads both towers is left out,
            the next one does so in its place. Also
            "lrn", all normalization layers; "overlap", that of the pooling windows;
            "exchange", what the towers read of each other below the last layer; and
            "tower", the second tower, with half the kernels of every convolution but
            the last, as in the 2012 program's net for one GPU.
        activation: of all layers.
        dropout_rate: of all dropout layers; None leaves theirs.

    Raises:
        ValueError: the net has no such part, so that nothing would change.

    Example:
        >>> from alexnet_tf.models import zoo
        >>> ablated(zoo.find("cuda_convnet"), without=["conv3"]).name
        'cuda_convnet-without-conv3'
    """
    for name in without:
        if without.count(name) > 1:
            raise ValueError(f"--without names {name} twice: name each part once")
    found = net
    for name in (*[n for n in without if n not in PARTS], *PARTS):
        if name in without:
            found = _LEAVE_OUT.get(name, _without_layer)(found, name)
    suffixes = [f"without-{'-'.join(without)}"] if without else []
    if not isinstance(activation, str) or activation not in get_args(Activation):
        raise ValueError(f"activation must be relu or tanh, got {activation!r}")
    if activation != "relu":
        found = _with_activation(found, activation)
        suffixes.append(activation)
    if dropout_rate is not None:
        before, found = found, _with_dropout_rate(found, dropout_rate)
        if found == before:
            return ablated(net, without=without, activation=activation)
        suffixes.append(f"dropout-{dropout_rate:g}")
    if not suffixes:
        return net
    what = ", ".join(suffix.replace("-", " ") for suffix in suffixes)
    return dataclasses.replace(
        found,
        name="-".join([net.name, *suffixes]),
        description=f"{net.description}; {what}",
    )


def _with_layers(net: Architecture, layers: Sequence[Layer]) -> Architecture:
    return dataclasses.replace(net, layers=tuple(layers))


def _without_layer(net: Architecture, name: str) -> Architecture:
    """The net without a layer with weights, and what follows only for its sake."""
    found = _removed(net, name)
    if found is None:
        named = [x.name for x in net.layers if isinstance(x, Weighted)]
        possible = [each for each in named if _removed(net, each) is not None]
        parts = [*possible, *_parts_of(net)]
        raise ValueError(
            f"--without={name} is no part of {net.name} that can be left out: name one "
            f"or more of {', '.join(parts)}{suggestions.did_you_mean(name, parts)}"
        )
    return found


def _removed(net: Architecture, name: str) -> Architecture | None:
    """The net without a layer with weights; None if it cannot do without it."""
    named = [layer.name for layer in net.layers if isinstance(layer, Weighted)]
    if name not in named[1:-1]:
        return None
    layers = list(net.layers)
    place = next(
        n
        for n, layer in enumerate(layers)
        if isinstance(layer, Weighted) and layer.name == name
    )
    gone = layers.pop(place)
    assert isinstance(gone, Weighted)
    while isinstance(layers[place], Relu | Tanh | Dropout):
        layers.pop(place)
    for n, layer in enumerate(layers[place:], place):
        if isinstance(layer, Weighted):
            inputs = "both" if gone.inputs == "both" else layer.inputs
            layers[n] = dataclasses.replace(layer, inputs=inputs)
            break
    found = _with_layers(net, layers)
    # Two poolings in a row would both be named after the layer before them.
    names = [extent.name for extent in extents(found)]
    return found if len(set(names)) == len(names) else None


def _without_normalization(net: Architecture, part: str) -> Architecture:
    kinds = ResponseNormalization | SpatialNormalization
    kept = [layer for layer in net.layers if not isinstance(layer, kinds)]
    return _changed(net, part, kept)


def _without_overlap(net: Architecture, part: str) -> Architecture:
    return _changed(
        net,
        part,
        [
            dataclasses.replace(layer, size=min(layer.size, layer.stride))
            if isinstance(layer, MaxPool)
            else layer
            for layer in net.layers
        ],
    )


def _without_exchange(net: Architecture, part: str) -> Architecture:
    """The last layer still reads both towers: they have one answer together."""
    *below, last = net.layers
    alone = [
        dataclasses.replace(layer, inputs="own")
        if isinstance(layer, Weighted | ResponseNormalization)
        else layer
        for layer in below
    ]
    return _changed(net, part, [*alone, last] if net.towers > 1 else net.layers)


def _without_tower(net: Architecture, part: str) -> Architecture:
    if net.towers == 1:
        raise _nothing_to_leave_out(net, part)
    convolutions = [layer for layer in net.layers if isinstance(layer, Convolution)]
    halved = [
        dataclasses.replace(layer, filters=layer.filters // 2)
        if isinstance(layer, Convolution) and layer is not convolutions[-1]
        else layer
        for layer in net.layers
    ]
    return dataclasses.replace(net, towers=1, layers=tuple(halved))


_LEAVE_OUT: dict[str, Callable[[Architecture, str], Architecture]] = {
    "lrn": _without_normalization,
    "overlap": _without_overlap,
    "tower": _without_tower,
    "exchange": _without_exchange,
}


def _parts_of(net: Architecture) -> list[str]:
    """Which of `PARTS` a net has."""
    found = []
    for part in PARTS:
        try:
            _LEAVE_OUT[part](net, part)
        except ValueError:
            continue
        found.append(part)
    return found


def _changed(net: Architecture, part: str, layers: Sequence[Layer]) -> Architecture:
    if tuple(layers) == net.layers:
        raise _nothing_to_leave_out(net, part)
    return _with_layers(net, layers)


_MEANINGS = {
    "lrn": "normalization layers",
    "overlap": "pooling windows that overlap",
    "exchange": "towers that read each other below the last layer",
    "tower": "second tower",
}


def _nothing_to_leave_out(net: Architecture, part: str) -> ValueError:
    return ValueError(
        f"{net.name} has no {_MEANINGS[part]}, so --without={part} would change nothing: "
        "leave it out, or choose another --architecture"
    )


def _with_activation(net: Architecture, activation: Activation) -> Architecture:
    kind = _ACTIVATIONS[activation]
    return _with_layers(
        net, [kind() if isinstance(layer, Relu) else layer for layer in net.layers]
    )


def _with_dropout_rate(net: Architecture, rate: float) -> Architecture:
    if not any(isinstance(layer, Dropout) for layer in net.layers):
        raise ValueError(
            f"{net.name} has no dropout layers, so --dropout_rate={rate:g} would change "
            "nothing: leave it out, or choose another --architecture"
        )
    return _with_layers(
        net,
        [
            Dropout(rate) if isinstance(layer, Dropout) else layer
            for layer in net.layers
        ],
    )
