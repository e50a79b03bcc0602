"""Small nets for tests, and the layers of their towers."""

import dataclasses

import numpy as np

from alexnet_tf.models import architecture, builder, zoo

SMALL = architecture.Architecture(
    name="small",
    description="two towers, every kind of exchange, a few thousand parameters",
    input_size=99,  # 23, 11, 5 and 2 pixels
    record_size=110,
    towers=2,
    layers=tuple(
        dataclasses.replace(layer, filters=layer.filters // 16, standard_deviation=0.05)
        if isinstance(layer, architecture.Convolution)
        else dataclasses.replace(layer, units=24, standard_deviation=0.1)
        if isinstance(layer, architecture.Dense)
        else layer
        for layer in zoo.PAPER.layers
        if not isinstance(layer, architecture.Dropout)
    ),
).with_classes(5)


# Runs of it take half as long as those of the CIFAR-10 nets: tracing is most of them.
TINY = architecture.Architecture(
    name="figure1",  # a name that the flags accept
    description="a convolution and a dense layer, for tests of runs",
    input_size=24,
    record_size=32,
    towers=1,
    layers=(
        architecture.Convolution(
            "conv1", filters=8, kernel_size=5, stride=2, standard_deviation=1e-4
        ),
        architecture.Relu(),
        architecture.MaxPool(),
        architecture.Dense("fc10", units=10, split=False),
    ),
)


# The outputs of every layer of `narrowed` nets.
NARROW = {"conv1": 8, "conv2": 16, "conv3": 12, "conv4": 12, "conv5": 8}
NARROW |= {"fc6": 24, "fc7": 20, "fc8": 5}


def narrowed(net, side):
    """An AlexNet with a few filters and units, for images of `side` pixels."""
    return dataclasses.replace(
        net,
        input_size=side,
        layers=tuple(
            dataclasses.replace(layer, filters=NARROW[layer.name])
            if isinstance(layer, architecture.Convolution)
            else dataclasses.replace(layer, units=NARROW[layer.name])
            if isinstance(layer, architecture.Dense)
            else layer
            for layer in net.layers
        ),
    )


def small_net(**options):
    """A model of SMALL; `options` are those of `builder.build`."""
    return builder.build(SMALL, **options)


def towers_of(built, name):
    """The Keras layers of one layer of an architecture: one, or one per tower."""
    named = {layer.name: layer for layer in built.layers}
    if name in named:
        return [named[name]]
    return [named[f"{name}_tower{tower}"] for tower in (0, 1)]


def random_inputs(count, side, seed=0):
    """Random inputs of a net: float32 [count, side, side, 3], with a mean of 0."""
    rng = np.random.default_rng(seed)
    return rng.uniform(-128, 128, (count, side, side, 3)).astype(np.float32)
