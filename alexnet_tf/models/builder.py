"""Architecture -> Keras model.

One builder for every net. Towers become layers named `conv1_tower0`, `conv1_tower1`;
where both live on one device they are still two convolutions, so that a checkpoint
moves freely between one device and two.
"""

import itertools
from collections.abc import Sequence
from typing import Any, Literal

import keras
import numpy as np

from alexnet_tf.models import architecture as architectures
from alexnet_tf.models import layers, towers

Initialization = Literal["paper", "cuda_convnet"]


POLICIES = {"float32": "float32", "tf32": "float32", "bfloat16": "mixed_bfloat16"}


def build(
    architecture: architectures.Architecture,
    *,
    mean: np.ndarray | None = None,
    devices: Sequence[str | None] | None = None,
    precision: str = "float32",
    initialization: Initialization = "cuda_convnet",
    dropout: layers.DropoutConvention = "original",
    lrn: layers.Implementation = "op",
    winograd: bool = True,
    jit: bool = True,
    seed: int = 0,
    include_top: bool = True,
    classifier_activation: str | None = None,
    name: str | None = None,
) -> keras.Model:
    """The Keras model of an architecture.

    Args:
        mean: with a mean image [H, W, 3] (or three channel means), the model takes what
            the host sends, a dict of `image` uint8 [N, H, W, 3], `mirror` bool [N],
            `shift` float32 [N, 3] and `gain` float32 [N], and finishes it on each
            tower's device; without, it takes the finished image, float [N, H, W, 3].
        devices: one a tower; None leaves placement to TensorFlow.
        precision: the compute type; weights are float32 always.
        initialization: "cuda_convnet" takes each layer's own standard deviation, "paper" 0.01.
        dropout: see `layers.Dropout`.
        lrn: the `implementation` of both normalisations, see `layers`.
        winograd: see `layers.Convolution`.
        jit: see `layers.Preprocessing`.
        seed: of weights and dropout.
        include_top: False ends at the last map before the dense layers.
        classifier_activation: of the last layer; None gives logits.

    Returns: a model of logits [N, classes] (or probabilities, or a map [N, H, W, C]).
    """
    devices = list(devices) if devices is not None else [None] * architecture.towers
    if len(devices) != architecture.towers:
        raise ValueError(
            f"{architecture.name} has {architecture.towers} towers, "
            f"got {len(devices)} devices"
        )
    if precision not in POLICIES:
        raise ValueError(
            f"precision must be one of {', '.join(POLICIES)}, got {precision!r}"
        )
    if initialization not in ("paper", "cuda_convnet"):
        raise ValueError(
            f"initialization must be paper or cuda_convnet, got {initialization!r}"
        )
    policy = POLICIES[precision]
    shared = len(set(devices)) == 1  # one device: what both towers need is made once
    seeds = itertools.count(seed * 1000)

    inputs, streams = _inputs(
        architecture, mean, jit, devices[:1] if shared else devices, policy
    )
    for extent in architectures.extents(architecture):
        layer = extent.layer
        if isinstance(layer, architectures.Dense) and not include_top:
            break
        if isinstance(layer, architectures.Dense) and len(streams[0].shape) == 4:
            streams = [
                towers.place(
                    keras.layers.Flatten(dtype=policy, name=f"flatten_{tower}"), device
                )(stream)
                for tower, (stream, device) in enumerate(
                    zip(streams, devices, strict=True)
                )
            ]
        if isinstance(layer, architectures.Weighted):
            alone = isinstance(layer, architectures.Dense) and not layer.split
            count = 1 if alone else architecture.towers
            if layer.inputs == "both":
                streams = _exchange(
                    streams, extent.name, devices[:count], shared, policy
                )
            if len(streams) == 1:
                streams = streams * count
        else:
            count = len(streams)
        streams = [
            towers.place(
                _layer(
                    layer,
                    side=stream.shape[1],
                    name=extent.name + (f"_tower{tower}" if count > 1 else ""),
                    towers_share=count,
                    policy=policy,
                    initialization=initialization,
                    dropout=dropout,
                    lrn=lrn,
                    winograd=winograd,
                    seed=next(seeds),
                ),
                device,
            )(stream)
            for tower, (stream, device) in enumerate(
                zip(streams, devices[:count], strict=True)
            )
        ]
    (outputs,) = _exchange(streams, "outputs", devices[:1], True, policy)
    if classifier_activation is not None and include_top:
        outputs = keras.layers.Activation(
            classifier_activation, dtype="float32", name="predictions"
        )(outputs)
    return keras.Model(inputs, outputs, name=name or architecture.name)


def _inputs(architecture, mean, jit, devices, policy):
    """The model's inputs, and the image as each device sees it."""
    side = architecture.input_size
    if mean is None:
        image = keras.Input((side, side, 3), name="image")
        return image, [image] * len(devices)
    inputs = {
        "image": keras.Input((side, side, 3), dtype="uint8", name="image"),
        "mirror": keras.Input((), dtype="bool", name="mirror"),
        "shift": keras.Input((3,), dtype="float32", name="shift"),
        "gain": keras.Input((), dtype="float32", name="gain"),
    }
    return inputs, [
        towers.place(
            layers.Preprocessing(
                mean, jit, dtype=policy, name=f"preprocessing_{number}"
            ),
            device,
        )(**inputs)
        for number, device in enumerate(devices)
    ]


def _exchange(streams, name, devices, shared, policy):
    """All towers' maps or units, first tower first, on each of `devices`."""
    if len(streams) == 1:
        return streams
    if shared:
        devices = devices[:1]
    return [
        towers.place(
            keras.layers.Concatenate(dtype=policy, name=f"{name}_inputs_{number}"),
            device,
        )(streams)
        for number, device in enumerate(devices)
    ]


def _layer(
    layer,
    *,
    side,
    name,
    towers_share,
    policy,
    initialization,
    dropout,
    lrn,
    winograd,
    seed,
) -> keras.layers.Layer:
    """One tower's Keras layer for one line of an architecture."""
    common: dict[str, Any] = {"name": name, "dtype": policy}
    if isinstance(layer, architectures.Weighted):
        std = (
            layer.standard_deviation
            if initialization == "cuda_convnet"
            else architectures.PAPER_STANDARD_DEVIATION
        )
        common["kernel_initializer"] = keras.initializers.RandomNormal(
            stddev=std, seed=seed
        )
        common["bias_initializer"] = keras.initializers.Constant(layer.initial_bias)
    match layer:
        case architectures.Convolution():
            return layers.Convolution(
                layer.filters // towers_share,
                layer.kernel_size,
                strides=layer.stride,
                zeros=layer.padding,
                winograd=winograd,
                **common,
            )
        case architectures.UnsharedConvolution():
            return layers.UnsharedConvolution(
                layer.filters // towers_share,
                layer.kernel_size,
                padding=layer.padding,
                **common,
            )
        case architectures.Dense():
            return layers.Dense(layer.units // towers_share, **common)
        case architectures.Relu():
            return layers.ReLU(**common)
        case architectures.ResponseNormalization():
            return layers.LocalResponseNormalization(
                layer.size,
                layer.k,
                layer.alpha,
                layer.beta,
                implementation=lrn,
                **common,
            )
        case architectures.SpatialNormalization():
            return layers.SpatialNormalization(
                layer.size,
                layer.k,
                layer.alpha,
                layer.beta,
                implementation=lrn,
                **common,
            )
        case architectures.MaxPool():
            # "same" hangs one column over the end where "valid" would leave one out.
            over = (layer.size - side) % layer.stride
            if over > 1:
                raise ValueError(
                    f"{name}: windows of {layer.size} by {layer.stride} hang {over} "
                    f"columns over {side}, and at most 1 is supported"
                )
            return keras.layers.MaxPooling2D(
                layer.size, layer.stride, padding="same" if over else "valid", **common
            )
        case architectures.Dropout():
            return layers.Dropout(layer.rate, dropout, seed, **common)
    raise TypeError(f"no Keras layer for {layer!r}")
