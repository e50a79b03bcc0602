"""The last steps from uint8 crops to the input of the network."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf


def finish(image, mirror, shift, gain, mean) -> tf.Tensor:
    """(image + shift - mean) * gain of uint8 crops, some of them mirrored: float32.

    `image` uint8 [N, H, W, 3], `mirror` bool [N], `shift` float32 [N, 3] in pixel
    values, `gain` float32 [N]; `mean` float32, [H, W, 3] or what broadcasts to it.
    """
    rows = [-1, 1, 1]
    image = tf.where(tf.reshape(mirror, [*rows, 1]), image[:, :, ::-1], image)
    centred = tf.cast(image, tf.float32) - mean
    shifted = centred + tf.reshape(shift, [*rows, 3])
    return shifted * tf.reshape(gain, [*rows, 1])


class Preprocessing(keras.layers.Layer):
    """uint8 crops to the net's input, where the tower lives: see `finish`.

    The host sends bytes. With `jit`, XLA makes one pass of what is a dozen (at batch
    128 on two busy cores 17 ms against 590); an export leaves it out, for a stock server
    refuses compiled functions. Output: [N, H, W, 3] in the compute type.
    """

    def __init__(self, mean: np.ndarray, jit: bool = True, **kwargs: Any):
        super().__init__(autocast=False, **kwargs)
        mean = np.asarray(mean, np.float32)

        def finished(image, mirror, shift, gain):
            image = finish(image, mirror, shift, gain, mean)
            return tf.cast(image, self.compute_dtype)

        self._finished = tf.function(finished, jit_compile=True) if jit else finished

    def call(self, image, mirror, shift, gain):
        return self._finished(image, mirror, shift, gain)

    def compute_output_spec(self, image, mirror, shift, gain):
        return keras.KerasTensor(image.shape, dtype=self.compute_dtype)


def plain_inputs(images: tf.Tensor) -> dict[str, tf.Tensor]:
    """The inputs of a model with a mean, for pictures as they are: uint8 [N, H, W, 3]."""
    count = tf.shape(images)[0]
    return {
        "image": images,
        "mirror": tf.zeros([count], tf.bool),
        "shift": tf.zeros([count, 3]),
        "gain": tf.ones([count]),
    }
