"""ReLU."""

import keras
import tensorflow as tf

from alexnet_tf import ops


@keras.saving.register_keras_serializable(package="alexnet_tf")
class ReLU(keras.layers.Layer):
    """max(x, 0), paper section 3.1; in training by `ops.relu`. Output: as the input."""

    def call(self, inputs, training=False):
        # What is saved has TensorFlow's own gradients.
        return ops.relu(inputs) if training else tf.nn.relu(inputs)

    def compute_output_shape(self, input_shape):
        return input_shape
