# Copyright 2026 The alexnet_tf authors. Apache-2.0.
"""The training step on made-up pictures: what the benches time and trace."""

import contextlib
import pathlib
import tempfile
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf.models import architecture, builder, layers
from alexnet_tf.training import optimizer, schedule, training_step


def pictures(count: int, side: int = 224, classes: int = 1000):
    """(inputs of a model with a mean, labels): bytes, as the input pipeline hands on."""
    random = np.random.default_rng(0)
    inputs = {
        "image": tf.constant(random.integers(0, 256, (count, side, side, 3)), tf.uint8),
        "mirror": tf.constant(random.integers(0, 2, count), tf.bool),
        "shift": tf.zeros([count, 3]),
        "gain": tf.ones([count]),
    }
    return inputs, tf.constant(random.integers(0, classes, count), tf.int32)


def model_of(
    net: architecture.Architecture,
    devices: Sequence[str],
    precision: str,
    lrn: str = "op",
) -> keras.Model:
    """The model of bytes to logits, with a grey mean."""
    return builder.build(
        net, mean=np.full(3, 118.0), devices=devices, precision=precision, lrn=lrn
    )


def traced_step(
    net: architecture.Architecture,
    devices: Sequence[str],
    precision: str,
    count: int,
    lrn: str = "op",
    on: str | None = None,
) -> tuple[Callable[[], np.ndarray], tf.types.experimental.ConcreteFunction]:
    """(a call that makes and awaits one step of `count` pictures, its traced function).

    `on`: the device where the pictures stand; None leaves it to TensorFlow.
    """
    built = model_of(net, devices, precision, lrn)
    variables = built.trainable_variables
    rule = optimizer.MomentumSGD(
        variables,
        optimizer.weight_decays_of(net, variables),
        copies=layers.keep_kernel_copies(built),
    )
    with tf.device(on) if on else contextlib.nullcontext():
        batch = pictures(count, net.input_size, net.classes)
    step = training_step.Step(built, rule).trace(tf.data.Dataset.from_tensors(batch))
    rates = schedule.LearningRates(1e-3, 1e-3, 1.0).tensors()
    return lambda: step(*batch, rates).numpy(), step


def profiled(step: Callable[[], object]):
    """Calls `step` under TensorFlow's profiler: (line, event, name) of all that ran."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        step()
        tf.profiler.experimental.stop()
        (file,) = pathlib.Path(folder).rglob("*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(file.read_bytes())
    return [
        (line, event, plane.event_metadata[event.metadata_id].name)
        for plane in space.planes
        for line in plane.lines
        for event in line.events
    ]
