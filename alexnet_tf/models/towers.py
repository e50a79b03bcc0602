"""Which device a tower lives on, and the proof of it.

Paper section 3.2 and the released program's `layers-145.cfg`: half of the kernels on
each device, exchange only at conv3, fc6, fc7 and fc8. TensorFlow places an operation
where `tf.device` says when the operation is made, and a variable where it says when the
variable is made; a layer does the first in `call` and the second in `build`, so
`place` wraps both. The backward pass follows through `colocated_gradients`.
"""

import collections
import functools
from collections.abc import Sequence
from typing import TypeVar

import keras
import tensorflow as tf

from alexnet_tf.models import devices

L = TypeVar("L", bound=keras.layers.Layer)


def place(layer: L, device: str | None) -> L:
    """`layer` with its variables and its operations on `device`; None leaves it."""
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


def colocated_gradients(
    loss: tf.Tensor, variables: Sequence[keras.Variable | tf.Variable]
) -> list[tf.Tensor]:
    """d loss / d variable, each operation on the device of the one it differentiates.

    Inside a `tf.function` only. `tf.GradientTape` would put the whole backward pass on
    the first device (tensorflow issues 33688 and 54460).
    """
    return tf.compat.v1.gradients(
        loss,
        [v.value if isinstance(v, keras.Variable) else v for v in variables],
        colocate_gradients_with_ops=True,
    )


def devices_of(function: tf.types.experimental.ConcreteFunction) -> dict[str, set[str]]:
    """Operation type -> the devices that a traced function puts it on."""
    found: dict[str, set[str]] = collections.defaultdict(set)
    for op in function.graph.get_operations():
        found[op.type].add(devices.canonical(op.device) if op.device else "")
    return found
