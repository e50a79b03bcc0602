"""The last steps from uint8 crops to the input of the network."""

import functools
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from alexnet_tf import ops


def finish(image, mirror, shift, gain, mean) -> tf.Tensor:
    """Returns (image + shift - mean) * gain for uint8 crops, mirrored where asked for.

    Args:
        image: uint8 [N, H, W, 3].
        mirror: bool [N], which images are mirrored left to right.
        shift: float32 [N, 3], added to the channels, in pixel values.
        gain: float32 [N], the factor of each image.
        mean: float32 [H, W, 3], or a shape that broadcasts to it.

    Returns: float32 [N, H, W, 3].
    """
    rows = [-1, 1, 1]
    # As float32, because TensorFlow would compile the choice between bytes for a GPU at
    # run time, and this may be what stands in where nothing can be compiled.
    image = tf.cast(image, tf.float32)
    image = tf.where(tf.reshape(mirror, [*rows, 1]), image[:, :, ::-1], image)
    centered = image - mean
    shifted = centered + tf.reshape(shift, [*rows, 3])
    return shifted * tf.reshape(gain, [*rows, 1])


class Preprocessing(keras.layers.Layer):
    """Turns uint8 crops into the network's input on the tower's device: see `finish`.

    The host sends bytes only. With `jit`, XLA compiles a dozen passes over the data
    into one (at batch 128 on two busy cores, 17 ms instead of 590 ms). If XLA cannot
    compile on the device, a warning says so once, and the passes are made one by one.
    An exported model must leave `jit` out, because a stock server refuses compiled
    functions.

    Args:
        mean: the mean image [H, W, 3] or the channel means [3], in pixel values.
        jit: whether XLA compiles the computation.

    Output: [N, H, W, 3] in the compute type.

    Example:
        >>> finished = Preprocessing(np.full((4, 4, 3), 100.0))
        >>> finished(**plain_inputs(tf.zeros([2, 4, 4, 3], tf.uint8))).shape
        TensorShape([2, 4, 4, 3])
    """

    def __init__(self, mean: np.ndarray, jit: bool = True, **kwargs: Any):
        super().__init__(autocast=False, **kwargs)
        mean = np.asarray(mean, np.float32)

        def finished(image, mirror, shift, gain):
            image = finish(image, mirror, shift, gain, mean)
            return tf.cast(image, self.compute_dtype)

        self._finished = finished
        self._compiled = _compiled(finished) if jit else None

    def call(self, image, mirror, shift, gain):
        finished = self._finished
        if self._compiled is not None and _compiles(ops.current_device()):
            finished = self._compiled
        return finished(image, mirror, shift, gain)

    def compute_output_spec(self, image, mirror, shift, gain):
        return keras.KerasTensor(image.shape, dtype=self.compute_dtype)


def _compiled(function):
    return tf.function(function, jit_compile=True, autograph=False)


@functools.cache
def _compiles(device: str) -> bool:
    """Whether XLA can compile `finish` on a device of this process; warns if not.

    On a GPU it needs parts of CUDA that may not be installed, and finds that out only
    when it runs, so one pixel is finished first.
    """
    try:
        with tf.init_scope(), tf.device(f"/{device}"):
            pixel = plain_inputs(tf.zeros([1, 1, 1, 3], tf.uint8))
            _compiled(finish)(**pixel, mean=tf.zeros([3]))
    except tf.errors.OpError as error:
        logging.warning(
            "XLA cannot compile on /%s, so images are finished there without it, which "
            "is slower: %s",
            *(device, str(error).partition("\n")[0]),
        )
        return False
    return True


def plain_inputs(images: tf.Tensor) -> dict[str, tf.Tensor]:
    """The inputs of a model with a mean for images without augmentation.

    `images` are uint8 [N, H, W, 3]; they are neither mirrored nor changed in color.

    Example:
        >>> sorted(plain_inputs(tf.zeros([2, 4, 4, 3], tf.uint8)))
        ['gain', 'image', 'mirror', 'shift']
    """
    count = tf.shape(images)[0]
    return {
        "image": images,
        "mirror": tf.zeros([count], tf.bool),
        "shift": tf.zeros([count, 3]),
        "gain": tf.ones([count]),
    }
