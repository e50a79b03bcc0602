"""Builds the Keras model of an architecture.

The layers of towers have names like `conv1_tower0` and `conv1_tower1`. Two towers on
one device are still two convolutions, so a checkpoint fits one device and two.
"""

import itertools
from collections.abc import Sequence
from typing import get_args

import keras
import numpy as np

from alexnet_tf.models import architecture as architectures
from alexnet_tf.models import layer_builder, layers, towers
from alexnet_tf.models.layer_builder import Initialization
from alexnet_tf.models.layers import arguments

# Keras' dtype policy for each precision.
POLICIES = {"float32": "float32", "tf32": "float32", "bfloat16": "mixed_bfloat16"}


def build(
    architecture: architectures.Architecture,
    *,
    image: keras.KerasTensor | None = None,
    mean: np.ndarray | None = None,
    pixels: bool = False,
    devices: Sequence[str | None] | None = None,
    precision: str = "float32",
    policy: str | None = None,
    initialization: Initialization | None = None,
    dropout: layers.DropoutConvention | None = None,
    lrn: layers.Implementation = "auto",
    winograd: bool = True,
    jit: bool = True,
    seed: int = 0,
    include_top: bool = True,
    classifier_activation: str | None = None,
    name: str | None = None,
) -> keras.Model:
    """Returns the Keras model of an architecture.

    Keras' global settings (floatx, the dtype policy, the image data format) have no
    effect on it.

    Args:
        architecture: the network; see `zoo.find`.
        image: the finished images to begin with, [N, H, W, 3], without a mean. The
            model's inputs are then what they were made from. None makes an input of
            the architecture's own size.
        mean: a mean image [H, W, 3] or three channel means. With it, the model reads
            what the host sends: a dict of `image` uint8 [N, H, W, 3], `mirror` bool
            [N], `shift` float32 [N, 3] and `gain` float32 [N]. Every tower's device
            then finishes the image itself, see `layers.Preprocessing`. Without a mean,
            the model reads the finished image, float [N, H, W, 3].
        pixels: with a mean, whether the model reads only RGB pixels 0-255,
            [N, H, W, 3], and subtracts the mean, which is then one of its weights. So a
            saved model is complete.
        devices: one device per tower; None leaves the placement to TensorFlow.
        precision: the compute type. Weights are always float32.
        policy: Keras' dtype policy, in place of that of `precision`.
        initialization: how the weights start. "cuda_convnet" draws them from Gaussians
            with each layer's own standard deviation, as the 2012 program and Caffe do;
            "paper" uses 0.01 for all layers. Both start biases with the layer's own
            value. "pytorch" draws weights and biases uniformly from ±1 / sqrt(number of
            inputs of an output). None is the architecture's own.
        dropout: the convention, see `layers.Dropout`; None is the architecture's own.
        lrn: the `implementation` of both normalizations, see
            `layers.LocalResponseNormalization`.
        winograd: see `layers.Convolution`.
        jit: see `layers.Preprocessing`.
        seed: of the initial weights and of dropout.
        include_top: False ends the model at the last map before the dense layers.
        classifier_activation: the activation of the last layer; None gives logits.
        name: of the model; the architecture's name if it is None.

    Returns:
        A model whose output is logits [N, classes], or probabilities with
        `classifier_activation="softmax"`, or a map [N, H, W, C] without the top.

    Raises:
        ValueError: an option is unknown, the number of devices differs from the number
            of towers, or a pooling does not fit its map.

    Example:
        >>> from alexnet_tf.models import zoo
        >>> build(zoo.find("cifar10_11pct")).output_shape
        (None, 10)
    """
    tower_devices = _tower_devices(architecture, devices)
    arguments.one_of("precision", precision, tuple(POLICIES))
    initialization = initialization or architecture.initialization
    arguments.one_of("initialization", initialization, get_args(Initialization))
    options = layer_builder.LayerOptions(
        policy=policy or POLICIES[precision],
        initialization=initialization,
        dropout=dropout or architecture.dropout,
        lrn=lrn,
        winograd=winograd,
    )
    streams = towers.TowerStreams(tower_devices, options.policy)
    if image is None:
        inputs = _start(
            streams, architecture.input_size, mean, pixels, jit, options.policy
        )
    else:
        streams.start([image] * len(streams.input_devices))
        sources = keras.utils.get_source_inputs(image)
        inputs = sources[0] if len(sources) == 1 else sources
    seeds = itertools.count(seed * 1000)
    for extent in architectures.extents(architecture):
        if not include_top and isinstance(
            extent.layer, architectures.Dense | architectures.Dropout
        ):
            break  # dropout before the first dense layer belongs to the top
        _add_layer(streams, extent, architecture.towers, options, seeds)
    outputs = streams.join()
    if classifier_activation is not None and include_top:
        outputs = keras.layers.Activation(
            classifier_activation, dtype="float32", name="predictions"
        )(outputs)
    return keras.Model(inputs, outputs, name=name or architecture.name)


def _tower_devices(
    architecture: architectures.Architecture, devices: Sequence[str | None] | None
) -> list[str | None]:
    """One device per tower, or None for each."""
    if devices is None:
        return [None] * architecture.towers
    if len(devices) != architecture.towers:
        raise ValueError(
            f"{architecture.name} has {architecture.towers} towers, "
            f"got {len(devices)} devices"
        )
    return list(devices)


def _start(
    streams: towers.TowerStreams,
    side: int,
    mean: np.ndarray | None,
    pixels: bool,
    jit: bool,
    policy: str,
) -> keras.KerasTensor | dict[str, keras.KerasTensor]:
    """Starts the streams with the finished image, and returns the model's inputs."""
    devices = streams.input_devices
    if mean is None:
        image = keras.Input((side, side, 3), dtype="float32", name="image")
        streams.start([image] * len(devices))
        return image
    if pixels:
        image = keras.Input((side, side, 3), dtype="float32", name="image")
        subtraction = layers.MeanSubtraction(
            mean, dtype=policy, name="mean_subtraction"
        )
        streams.start([subtraction(image)] * len(devices))
        return image
    inputs = {
        "image": keras.Input((side, side, 3), dtype="uint8", name="image"),
        "mirror": keras.Input((), dtype="bool", name="mirror"),
        "shift": keras.Input((3,), dtype="float32", name="shift"),
        "gain": keras.Input((), dtype="float32", name="gain"),
    }
    streams.start(
        [
            towers.place(
                layers.Preprocessing(
                    mean, jit, dtype=policy, name=f"preprocessing_{number}"
                ),
                device,
            )(**inputs)
            for number, device in enumerate(devices)
        ]
    )
    return inputs


def _add_layer(
    streams: towers.TowerStreams,
    extent: architectures.Extent,
    tower_count: int,
    options: layer_builder.LayerOptions,
    seeds: itertools.count,
) -> None:
    """Adds one layer of the architecture to every tower that has a part of it."""
    layer = extent.layer
    if isinstance(layer, architectures.Dense):
        streams.flatten()
    if isinstance(layer, architectures.Weighted):
        divided = not isinstance(layer, architectures.Dense) or layer.split
        streams.feed(extent.name, layer.inputs, tower_count if divided else 1)
    count = streams.count
    reads_all_channels = (
        count > 1
        and isinstance(layer, architectures.ResponseNormalization)
        and layer.inputs == "both"
    )
    suffix = "" if count == 1 else "_device{}" if reads_all_channels else "_tower{}"
    # One per tower, also for a layer that is made once per device.
    layer_seeds = list(itertools.islice(seeds, count))

    def make(number: int, stream: keras.KerasTensor) -> keras.layers.Layer:
        place = layer_builder.Place(
            name=extent.name + suffix.format(number),
            towers=count,
            shape=stream.shape[1:],
            fan_in=extent.fan_in,
            seed=layer_seeds[number],
        )
        return layer_builder.make(layer, place, options)

    if reads_all_channels:
        streams.apply_to_all_channels(extent.name, make)
    else:
        streams.apply(make)
