"""Random initial weights that are drawn on the CPU, whatever device they are for."""

import keras
import tensorflow as tf


class _DrawnOnCpu:
    """Draws on the CPU, so that a seed gives the same bits for every device.

    GPUs draw other bits than CPUs. They also compile a part of Keras' own draw, the
    remainder of int64 seeds, at run time, for which parts of CUDA must be installed.
    """

    def __call__(self, shape, dtype=None):
        with tf.device("/CPU:0"):
            return super().__call__(shape, dtype)  # type: ignore[misc]


@keras.saving.register_keras_serializable(package="alexnet_tf")
class RandomNormal(_DrawnOnCpu, keras.initializers.RandomNormal):
    """`keras.initializers.RandomNormal`, drawn on the CPU.

    Example:
        >>> RandomNormal(stddev=0.01, seed=3)([2, 3]).shape
        TensorShape([2, 3])
    """


@keras.saving.register_keras_serializable(package="alexnet_tf")
class RandomUniform(_DrawnOnCpu, keras.initializers.RandomUniform):
    """`keras.initializers.RandomUniform`, drawn on the CPU.

    Example:
        >>> bool(tf.reduce_max(RandomUniform(-0.1, 0.1, seed=3)([9])) < 0.1)
        True
    """
