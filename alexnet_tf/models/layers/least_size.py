"""A check of the size of images that a net takes in any size."""

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="alexnet_tf")
class LeastSize(keras.layers.Layer):
    """Returns its input, and refuses images that are too small for the layers above.

    A map that is smaller than a pooling's window would end the process in TensorFlow.

    Args:
        least: height and width must be at least so many pixels.

    Input: [N, H, W, C]. Output: the same.

    Raises:
        ValueError: smaller images; InvalidArgumentError if their size was not known when
            the call was traced.

    Example:
        >>> LeastSize(63)(tf.zeros([1, 64, 80, 3])).shape
        TensorShape([1, 64, 80, 3])
    """

    def __init__(self, least: int, **kwargs: Any):
        super().__init__(autocast=False, **kwargs)
        self.least = least

    def call(self, inputs):
        message = f"images must have at least {self.least} x {self.least} pixels"
        if any(side is not None and side < self.least for side in inputs.shape[1:3]):
            raise ValueError(
                f"{message}, got {' x '.join(map(str, inputs.shape[1:3]))}"
            )
        sides = tf.shape(inputs)[1:3]
        checked = tf.debugging.assert_greater_equal(sides, self.least, message=message)
        # In a graph the check is an operation, which must come first.
        with tf.control_dependencies([] if checked is None else [checked]):
            return tf.identity(inputs)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"least": self.least}
