"""The fully connected layer."""

import contextlib
from collections.abc import Iterator, Mapping

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="alexnet_tf")
class Dense(keras.layers.Dense):
    """`keras.layers.Dense`, which under `reading_copies` reads a copy of its kernel."""

    def call(self, inputs, training=None):
        copy = _copies.get(self.kernel.path)
        if copy is None:
            return super().call(inputs, training)
        outputs = tf.matmul(inputs, copy)
        if self.use_bias:
            outputs = tf.nn.bias_add(outputs, self.bias)
        return self.activation(outputs)


_copies: Mapping[str, tf.Variable] = {}


@contextlib.contextmanager
def reading_copies(copies: Mapping[str, tf.Variable]) -> Iterator[None]:
    """Dense layers called inside read these for the kernels of these paths."""
    global _copies
    before, _copies = _copies, copies
    try:
        yield
    finally:
        _copies = before


def copied_kernels(net: keras.Model) -> list[keras.Variable]:
    """The kernels that training steps in bfloat16 should read copies of.

    They are the dense layers', 96 % of the parameters: cast every step, they take a
    twentieth of it (docs/speed.md).
    """
    return [
        layer.kernel
        for layer in net.layers
        if isinstance(layer, Dense) and layer.compute_dtype == "bfloat16"
    ]
