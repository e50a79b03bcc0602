"""Puts the towers of a network on their devices, forward and backward.

Paper, section 3.2, and the 2012 program's `layers-145.cfg`: each device holds half of
the kernels, and the devices exchange activations only at conv3, fc6, fc7 and fc8. In
Caffe's nets they also do so at each normalization, which reads all channels.

TensorFlow puts an operation on the device that `tf.device` names when the operation is
created, and a variable on the device that it names when the variable is created. A
Keras layer does the first in `call` and the second in `build`, so `place` wraps both.
The backward pass follows through `colocated_gradients`.
"""

import collections
import functools
from collections.abc import Callable, Sequence
from typing import TypeVar

import keras
import tensorflow as tf

from alexnet_tf.models import devices, layers

L = TypeVar("L", bound=keras.layers.Layer)


def place(layer: L, device: str | None) -> L:
    """Returns `layer`, whose variables and operations will be on `device`.

    Without a device, TensorFlow chooses one.
    """
    if device is not None:
        for method in ("build", "call"):
            setattr(layer, method, _under(device, getattr(layer, method)))
    return layer


def _under(device: str, method):
    @functools.wraps(method)
    def on_device(*args, **kwargs):
        with tf.device(device):
            return method(*args, **kwargs)

    return on_device


class TowerStreams:
    """The outputs of the layers built last: one stream per tower, on its device.

    There are as many streams as towers, except below the first layer with weights and
    above a layer that is on the first tower alone.

    Args:
        tower_devices: one device per tower; None leaves the placement to TensorFlow.
        policy: the Keras dtype policy of the layers that move activations.
    """

    def __init__(self, tower_devices: Sequence[str | None], policy: str):
        self._devices = list(tower_devices)
        self._policy = policy
        self._streams: list[keras.KerasTensor] = []

    @property
    def input_devices(self) -> list[str | None]:
        """The devices that need the image: one if all towers are on the same device."""
        shared = len(set(self._devices)) == 1
        return self._devices[:1] if shared else self._devices

    @property
    def count(self) -> int:
        """The number of streams at present."""
        return len(self._streams)

    def start(self, images: Sequence[keras.KerasTensor]) -> None:
        """Begins with the images, one for each of `input_devices`."""
        self._streams = list(images)

    def flatten(self) -> None:
        """Turns maps [N, H, W, C] into units [N, H * W * C]; units stay as they are."""
        if len(self._streams[0].shape) == 4:
            self.apply(
                lambda tower, _: keras.layers.Flatten(
                    data_format="channels_last",
                    dtype=self._policy,
                    name=f"flatten_{tower}",
                )
            )

    def feed(self, layer: str, inputs: str, towers: int) -> None:
        """Makes the streams that the next layer reads, one for each of its towers.

        Args:
            layer: the name of that layer.
            inputs: "own" if each tower reads its own stream, "both" if it reads all.
            towers: how many towers the layer is divided over.
        """
        if inputs == "both":
            self._exchange(layer, towers)
        if len(self._streams) == 1:
            self._streams = self._streams * towers
        if len(self._streams) != towers:
            raise ValueError(
                f"{layer} is on one tower and its inputs are on {self.count}: it must "
                "have inputs='both'"
            )

    def apply(
        self, make: Callable[[int, keras.KerasTensor], keras.layers.Layer]
    ) -> None:
        """Applies a layer of its own to every stream, on the stream's device.

        `make` returns the layer, for the number of the tower and its stream.
        """
        self._streams = [
            place(make(tower, stream), self._devices[tower])(stream)
            for tower, stream in enumerate(self._streams)
        ]

    def apply_to_all_channels(
        self,
        layer: str,
        make: Callable[[int, keras.KerasTensor], keras.layers.Layer],
    ) -> None:
        """Applies a layer to the channels of all streams, of which each keeps its own.

        The layer runs once on every device, so that what crosses between devices are
        its inputs. Its output must have the shape of its input.

        Args:
            layer: the name of that layer. The parts of its result get the names
                `{layer}_tower0`, `{layer}_tower1` and so on.
            make: returns the layer, for the number of a device and the joined streams.
        """
        towers = self.count
        self._exchange(layer, towers)
        self.apply(make)
        if self.count == 1:
            self._streams = self._streams * towers
        self.apply(
            lambda tower, _: layers.ChannelPart(
                tower, towers, dtype=self._policy, name=f"{layer}_tower{tower}"
            )
        )

    def join(self) -> keras.KerasTensor:
        """Returns all streams as one tensor on the first tower's device."""
        self._exchange("outputs", 1)
        return self._streams[0]

    def _exchange(self, layer: str, towers: int) -> None:
        """Joins all streams in the towers' order, once on every device that reads."""
        if self.count == 1:
            return
        readers = min(towers, len(self.input_devices))
        self._streams = [
            place(
                keras.layers.Concatenate(
                    dtype=self._policy, name=f"{layer}_inputs_{number}"
                ),
                device,
            )(self._streams)
            for number, device in enumerate(self.input_devices[:readers])
        ]


def colocated_gradients(
    loss: tf.Tensor, variables: Sequence[keras.Variable | tf.Variable]
) -> list[tf.Tensor]:
    """The gradients of `loss`, computed on the devices of the forward operations.

    It works only inside a `tf.function`. `tf.GradientTape` would put the whole backward
    pass on the first device (TensorFlow issues 33688 and 54460).

    Args:
        loss: a scalar.
        variables: what to differentiate with respect to.

    Returns: one gradient per variable, with its shape and type.
    """
    return tf.compat.v1.gradients(
        loss,
        [v.value if isinstance(v, keras.Variable) else v for v in variables],
        colocate_gradients_with_ops=True,
    )


def devices_of(function: tf.types.experimental.ConcreteFunction) -> dict[str, set[str]]:
    """Returns the devices that a traced function uses, for each type of operation.

    The device of an operation that TensorFlow may place anywhere is "".
    """
    found: dict[str, set[str]] = collections.defaultdict(set)
    for op in function.graph.get_operations():
        found[op.type].add(devices.canonical(op.device) if op.device else "")
    return found
