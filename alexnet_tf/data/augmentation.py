"""Pure tensor functions on pictures: the resize rule, crops, views, PCA colour.

What is random takes its numbers as arguments; `draw` makes them for a whole epoch from
(seed, epoch), a row an example, so that a run is the same interrupted or not.
"""

from typing import Literal, NamedTuple

import numpy as np
import tensorflow as tf

ColorNoise = Literal["paper", "cuda_convnet", "none"]


class Draws(NamedTuple):
    """The random numbers of one epoch, a row an example."""

    place: tf.Tensor  # float32 [N, 2] in [0, 1): row and column of the crop
    mirror: tf.Tensor  # bool [N]
    color: tf.Tensor  # float32 [N, 3], standard normal


def draw(seed: int, epoch: int, count: int) -> Draws:
    """The draws of `epoch` for examples 0 to `count` - 1."""
    uniform = tf.random.stateless_uniform([count, 3], seed=[seed, 2 * epoch])
    normal = tf.random.stateless_normal([count, 3], seed=[seed, 2 * epoch + 1])
    return Draws(uniform[:, :2], uniform[:, 2] < 0.5, normal)


def crop_corners(place: np.ndarray, size: int, side: int) -> np.ndarray:
    """Where the `side` squares of pictures [size, size] begin: int32 [N, 2], row, column.

    `place` float32 [N, 2], fractions in [0, 1) of the range, as `draw` gives them.
    """
    return (place * np.float32(size - side + 1)).astype(np.int32)


def color_axes(
    reading: ColorNoise, eigenvectors: np.ndarray, stdevs: np.ndarray
) -> tuple[np.ndarray, float]:
    """(axes float32 [3, 3], gain): a picture's shift is `axes @ alpha`, alpha ~ N(0, 1).

    Fancy PCA, paper section 4.1, with `eigenvectors` and `stdevs` (square roots of the
    eigenvalues) of pixels 0-255. "cuda_convnet": 0.1 * stdev along each eigenvector, and the
    picture divided by 1.1 after (`convdata_jpeg.py`). "paper": the text's eigenvalue
    itself, of pixels scaled to 0-1, and the shift brought back to 0-255. "none": none.
    """
    if reading == "cuda_convnet":
        return (0.1 * eigenvectors * stdevs).astype(np.float32), 1 / 1.1
    if reading == "paper":
        eigenvalues = (stdevs / 255) ** 2
        return (0.1 * 255 * eigenvectors * eigenvalues).astype(np.float32), 1.0
    if reading == "none":
        return np.zeros((3, 3), np.float32), 1.0
    raise ValueError(
        f"color noise must be paper, cuda_convnet or none, got {reading!r}"
    )
