"""The rectifier."""

import keras
import tensorflow as tf

from alexnet_tf import ops


@keras.saving.register_keras_serializable(package="alexnet_tf")
class ReLU(keras.layers.Layer):
    """max(x, 0): paper, section 3.1.

    Input and output have the same shape and type. In training the layer uses
    `ops.relu`, whose gradient can be fused with that of our response normalization.

    Example:
        >>> ReLU()(tf.constant([-1.0, 2.0])).numpy().tolist()
        [0.0, 2.0]
    """

    def call(self, inputs, training=False):
        # A saved model must not refer to gradients that only this package registers.
        return ops.relu(inputs) if training else tf.nn.relu(inputs)

    def compute_output_shape(self, input_shape):
        return input_shape
