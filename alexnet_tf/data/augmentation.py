"""The random numbers of data augmentation: crops, mirroring and color noise.

`draw_epoch` draws the numbers of a whole epoch from (seed, epoch), one row per example,
so that a run that is interrupted and resumed sees the same numbers. The other functions
are pure and take the numbers as arguments.
"""

from typing import Literal, NamedTuple

import numpy as np
import tensorflow as tf

ColorNoise = Literal["paper", "cuda_convnet", "none"]


class Draws(NamedTuple):
    """The random numbers of one epoch, one row per example."""

    place: tf.Tensor  # float32 [N, 2] in [0, 1): row and column of the crop
    mirror: tf.Tensor  # bool [N]
    color: tf.Tensor  # float32 [N, 3], standard normal


def draw_epoch(seed: int, epoch: int, count: int) -> Draws:
    """The random numbers of `epoch` for examples 0 to `count` - 1."""
    uniform = tf.random.stateless_uniform([count, 3], seed=[seed, 2 * epoch])
    normal = tf.random.stateless_normal([count, 3], seed=[seed, 2 * epoch + 1])
    return Draws(uniform[:, :2], uniform[:, 2] < 0.5, normal)


def crop_corners(place: np.ndarray, size: int, side: int) -> np.ndarray:
    """The top left corners of crops [side, side] from images [size, size].

    Args:
        place: float32 [N, 2], row and column as fractions in [0, 1) of the range, as
            `draw_epoch` draws them.
        size: side of the images in pixels.
        side: side of the crops in pixels.

    Returns:
        int32 [N, 2], the row and column of each corner, from 0 to `size` - `side`.

    Example:
        >>> crop_corners(np.array([[0.0, 0.99]], np.float32), 256, 224).tolist()
        [[0, 32]]
    """
    return (place * np.float32(size - side + 1)).astype(np.int32)


def color_axes(
    color_noise: ColorNoise, eigenvectors: np.ndarray, stdevs: np.ndarray
) -> tuple[np.ndarray, float]:
    """How random numbers become color noise (fancy PCA, paper section 4.1).

    The noise added to every pixel of an image is `axes @ alpha`, with alpha ~ N(0, 1)
    of shape [3], and the image is then multiplied by `gain`.

    Args:
        color_noise: "cuda_convnet" is what the 2012 program does (`convdata_jpeg.py`):
            0.1 times the standard deviation along each eigenvector, and the image is
            divided by 1.1 afterwards. "paper" is what the text says: 0.1 times the
            eigenvalue itself, of pixels scaled to 0-1, and the noise is scaled back to
            0-255. "none" adds no noise.
        eigenvectors: [3, 3], one per column, of pixels 0-255 (see
            `image_statistics.Statistics`).
        stdevs: [3], the standard deviations along them.

    Returns:
        (axes, gain): float32 [3, 3] and a number.

    Raises:
        ValueError: `color_noise` is none of these.
    """
    if color_noise == "cuda_convnet":
        return (0.1 * eigenvectors * stdevs).astype(np.float32), 1 / 1.1
    if color_noise == "paper":
        eigenvalues = (stdevs / 255) ** 2
        return (0.1 * 255 * eigenvectors * eigenvalues).astype(np.float32), 1.0
    if color_noise == "none":
        return np.zeros((3, 3), np.float32), 1.0
    raise ValueError(
        f"color noise must be paper, cuda_convnet or none, got {color_noise!r}"
    )
