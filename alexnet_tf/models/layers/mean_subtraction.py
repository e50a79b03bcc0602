"""Pixels less the mean image."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf


@keras.saving.register_keras_serializable(package="alexnet_tf")
class MeanSubtraction(keras.layers.Layer):
    """RGB pixels 0-255 less the mean of the training images, paper section 2.

    The mean is a weight that is not trained, so that a saved model holds it.

    Args:
        mean: [H, W, 3] in pixel values; None for a layer whose weights are loaded.

    Input: [N, H, W, 3], RGB pixels 0-255. Output: the same in the compute type.

    Example:
        >>> centered = MeanSubtraction(np.full((1, 1, 3), 100.0))
        >>> centered(np.full((1, 1, 1, 3), 255, np.uint8)).numpy().tolist()
        [[[[155.0, 155.0, 155.0]]]]
    """

    def __init__(self, mean: np.ndarray | None = None, **kwargs: Any):
        super().__init__(autocast=False, **kwargs)
        self._initial_mean = mean

    def build(self, input_shape):
        self.mean = self.add_weight(
            name="mean",
            shape=input_shape[1:],
            dtype="float32",
            initializer="zeros",
            trainable=False,
            autocast=False,  # or it would be rounded before it is subtracted
        )
        if self._initial_mean is not None:
            self.mean.assign(np.broadcast_to(self._initial_mean, input_shape[1:]))

    def call(self, image):
        centered = tf.cast(image, tf.float32) - self.mean
        return tf.cast(centered, self.compute_dtype)

    def compute_output_spec(self, image):
        return keras.KerasTensor(image.shape, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return super().get_config()  # the mean is saved with the weights
