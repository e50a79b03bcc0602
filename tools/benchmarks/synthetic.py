"""The training step on synthetic images, which the benchmarks time and trace."""

import contextlib
import pathlib
import tempfile
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf.models import architecture, builder, layers
from alexnet_tf.training import optimizer, schedule, training_step


def images(
    count: int, side: int = 224, classes: int = 1000
) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    """One batch as the input pipeline yields it: (the model's inputs, labels)."""
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
    """The model from bytes to logits, with a gray mean."""
    return builder.build(
        net, mean=np.full(3, 118.0), devices=devices, precision=precision, lrn=lrn
    )


def step_of(
    net: architecture.Architecture, model: keras.Model, batches: tf.data.Dataset
) -> tf.types.experimental.ConcreteFunction:
    """Traces a training step: (inputs, labels, learning rates) -> loss and error."""
    variables = model.trainable_variables
    rule = optimizer.MomentumSGD(
        variables,
        optimizer.weight_decays_of(net, variables),
        copies=layers.keep_kernel_copies(model),
    )
    return training_step.Step(model, rule).trace(batches)


def traced_step(
    net: architecture.Architecture,
    devices: Sequence[str],
    precision: str,
    count: int,
    lrn: str = "op",
    on: str | None = None,
) -> tuple[Callable[[], np.ndarray], tf.types.experimental.ConcreteFunction]:
    """A training step on `count` images: (a call that runs it and waits, its function).

    `on` is the device that holds the images; None leaves it to TensorFlow.
    """
    model = model_of(net, devices, precision, lrn)
    with tf.device(on) if on else contextlib.nullcontext():
        batch = images(count, net.input_size, net.classes)
    step = step_of(net, model, tf.data.Dataset.from_tensors(batch))
    learning_rates = schedule.LearningRates(1e-3, 1e-3, 1.0).tensors()
    return lambda: step(*batch, learning_rates).numpy(), step


def profiled(step: Callable[[], object], planes: str = "") -> list[tuple]:
    """Calls `step` under TensorFlow's profiler: (line, event, name) of all that ran.

    `planes` is how the names of the profile's planes begin, such as "/device:GPU:0".
    """
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
        if plane.name.startswith(planes)
        for line in plane.lines
        for event in line.events
    ]
