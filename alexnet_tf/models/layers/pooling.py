"""Max pooling whose last window may extend past the edge, for maps of any size."""

import math
from typing import Any

import keras
import tensorflow as tf

from alexnet_tf.models.layers import arguments


@keras.saving.register_keras_serializable(package="alexnet_tf")
class CeilMaxPooling2D(keras.layers.Layer):
    """Max pooling that leaves out no pixel, as in the 2012 program and in Caffe.

    For one size of maps, `keras.layers.MaxPooling2D` does the same with one of its
    paddings. Which one it is depends on the size, so this layer is for maps whose
    height and width need different ones, or are not known.

    Args:
        pool_size: side of the square window.
        strides: pixels from one window to the next.

    Input: [N, H, W, C]. Output: [N, H', W', C], where
    H' = 1 + ceil((H - pool_size) / strides).

    Raises:
        ValueError: an argument is below 1, or the input does not have four axes.

    Example:
        >>> x = tf.reshape(tf.range(4.0), [1, 1, 4, 1])
        >>> CeilMaxPooling2D(3, 2)(tf.repeat(x, 3, axis=1)).numpy().ravel().tolist()
        [2.0, 3.0]
    """

    def __init__(self, pool_size: int, strides: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.pool_size = arguments.count("pool_size", pool_size)
        self.strides = arguments.count("strides", strides)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def call(self, inputs):
        sides = tf.shape(inputs)[1:3]
        past = (self.pool_size - sides) % self.strides
        edges = [[0, 0], [0, past[0]], [0, past[1]], [0, 0]]
        padded = tf.pad(inputs, edges, constant_values=inputs.dtype.min)
        return tf.nn.max_pool2d(padded, self.pool_size, self.strides, "VALID")

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        return (batch, self._output_side(height), self._output_side(width), channels)

    def _output_side(self, side: int | None) -> int | None:
        if side is None:
            return None
        return 1 + math.ceil((side - self.pool_size) / self.strides)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "pool_size": self.pool_size,
            "strides": self.strides,
        }
