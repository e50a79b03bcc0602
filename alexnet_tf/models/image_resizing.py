"""From an image in memory to what a net sees of it, by NumPy and without TensorFlow.

`resizing.resize` is the same rule as a graph, which exported models need. The two agree
but for the last bits of float32, which round one number in 100,000 or fewer to the
next level.

A pixel of the result is a weighted mean of a few rows and columns of the image, so
resizing multiplies the image by a matrix from the left and by one from the right. Both
are nearly empty. They are cut into blocks of a few results, each with the pixels that it
needs, which takes half of the time of Pillow's loops.
"""

import functools
import warnings
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from alexnet_tf.models import resize_rule

# Results per block. More of them would multiply by more zeros; fewer would take more
# time for calls. With these numbers OpenBLAS multiplies the blocks of usual photographs
# in the calling thread: others would only get into the way of the other workers.
_ROWS, _COLUMNS = 8, 6

# So many numbers are converted to float32 at once, unless a block needs more.
_STRIP = 1 << 16


class _Block(NamedTuple):
    """Some results along a side: which pixels they need, and with which weights.

    Attributes:
        start, end: the results.
        first, last: the pixels, without `last`.
        weights: float32 [results, pixels]. Each row sums up to 1.
    """

    start: int
    end: int
    first: int
    last: int
    weights: np.ndarray


def square(
    image: np.ndarray, size: int, rule: resize_rule.Rule = resize_rule.DEFAULT
) -> np.ndarray:
    """Resizes an image to a square by a rule of `resize_rule`.

    It is bilinear with antialiasing, which averages areas when it shrinks. With "crop",
    only the pixels that the square needs are computed.

    Args:
        image: RGB, 0-255, numbers [H, W, 3].
        size: side of the result in pixels.
        rule: "crop" scales the shorter side and cuts out the square in the center;
            "squash" scales both sides.

    Returns: uint8 [size, size, 3].

    Example:
        >>> square(np.full((300, 400, 3), 7, np.uint8), 256)[0, 0].tolist()
        [7, 7, 7]
    """
    height, width, channels = image.shape
    scaled_height, scaled_width = _scaled_sides(height, width, size, rule)
    rows = _blocks(height, scaled_height, size, _ROWS)
    columns = _column_blocks(width, scaled_width, size, channels)
    left, right = columns[0].first, columns[-1].last
    image = image[:, left // channels : right // channels].reshape(height, -1)
    narrow = np.empty((size, right - left), np.float32)
    for strip in _strips(rows, image.shape[1]):
        first, last = strip[0].first, strip[-1].last
        pixels = image[first:last].astype(np.float32)
        for block in strip:
            needed = pixels[block.first - first : block.last - first]
            np.matmul(block.weights, needed, out=narrow[block.start : block.end])
    result = np.empty((size, size * channels), np.float32)
    for block in columns:
        pixels = narrow[:, block.first - left : block.last - left]
        np.matmul(pixels, block.weights, out=result[:, block.start : block.end])
    result += resize_rule.TIES_UP
    np.rint(result, out=result)
    if image.dtype != np.uint8:
        result.clip(0, 255, out=result)
    return result.astype(np.uint8).reshape(size, size, channels)


def _strips(rows: list[_Block], width: int) -> Iterator[list[_Block]]:
    """Groups of blocks whose pixels are converted together.

    Fewer calls of NumPy are faster, above all in several threads, because between two of
    them a thread has to wait for Python's lock.
    """
    most = max(len(block.weights[0]) for block in rows)
    count = max(1, _STRIP // (most * width))
    for start in range(0, len(rows), count):
        yield rows[start : start + count]


def _scaled_sides(
    height: int, width: int, size: int, rule: resize_rule.Rule
) -> tuple[int, int]:
    """The sides of the whole image when it is scaled, of which the square is cut."""
    if rule == "squash":
        return size, size
    shorter = min(height, width)

    def scaled(side: int) -> int:  # rounded; exact, because it uses whole numbers
        return max((2 * side * size + shorter) // (2 * shorter), size)

    return scaled(height), scaled(width)


@functools.lru_cache(maxsize=256)
def _blocks(side: int, scaled: int, size: int, length: int) -> list[_Block]:
    """The blocks of `size` results in the center of a side that has `scaled` of them.

    A result's weights fall linearly from its place to 0 at a distance of one result, or
    of one pixel if the image grows. Both have their places in the middle.
    """
    # In float32 and in the order of TensorFlow's op, whose roundings these are too.
    scale = 1 / (np.float32(scaled) / np.float32(side))
    reach = max(scale, np.float32(1))
    start = (scaled - size) // 2
    places = (
        np.arange(start, start + size, dtype=np.float32) + np.float32(0.5)
    ) * scale
    first = np.ceil(places - reach - np.float32(0.5)).clip(0).astype(int)[:, None]
    pixels = first + np.arange(int(2 * reach) + 2)  # more than enough of them
    distances = pixels.astype(np.float32) + np.float32(0.5) - places[:, None]
    weights = (1 - np.abs(distances * (1 / reach))).clip(0)
    weights[pixels >= side] = 0
    weights *= 1 / weights.sum(1, keepdims=True)
    blocks = []
    for start in range(0, size, length):
        each = slice(start, min(start + length, size))
        first, last = pixels[each].min(), pixels[each].max() + 1
        matrix = np.zeros((each.stop - start, last - first), np.float32)
        np.put_along_axis(matrix, pixels[each] - first, weights[each], 1)
        last = min(last, side)
        matrix = np.ascontiguousarray(matrix[:, : last - first])
        blocks.append(_Block(start, each.stop, int(first), int(last), matrix))
    return blocks


@functools.lru_cache(maxsize=256)
def _column_blocks(side: int, scaled: int, size: int, channels: int) -> list[_Block]:
    """The blocks along rows, in which the channels of each pixel stand side by side.

    Their numbers count channels, and their weights are transposed.
    """
    each = np.arange(channels)
    blocks = []
    for block in _blocks(side, scaled, size, _COLUMNS):
        results, pixels = block.weights.shape
        weights = np.zeros((pixels, channels, results, channels), np.float32)
        weights[:, each, :, each] = block.weights.T
        matrix = weights.reshape(pixels * channels, results * channels)
        start, end, first, last = (channels * number for number in block[:4])
        blocks.append(_Block(start, end, first, last, matrix))
    return blocks


def center_view(
    image: np.ndarray,
    size: int,
    side: int,
    rule: resize_rule.Rule = resize_rule.DEFAULT,
) -> np.ndarray:
    """Returns what a network sees of an image in evaluation: uint8 [side, side, 3].

    Args:
        image: uint8 or float [H, W, 3], RGB, 0-255.
        size: the side that the image is resized to first.
        side: the side of the center crop.
        rule: how it is resized.

    Raises:
        ValueError: the image has another shape.
    """
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[-1] != 3 or 0 in image.shape:
        raise ValueError(f"an image must be [height, width, 3], got {image.shape}")
    warn_of_unit_pixels(image)
    margin = (size - side) // 2
    middle = slice(margin, margin + side)
    return square(image, size, rule)[middle, middle]


def warn_of_unit_pixels(image: np.ndarray) -> None:
    """Warns about pixels from 0 to 1, as other libraries have them.

    A net reads them as 0 to 255, where they are all nearly black.
    """
    if image.dtype.kind == "f" and image.size and 0 < image.max() <= 1:
        warnings.warn(
            "all pixels are numbers from 0 to 1, and nets of this package read 0 to 255: "
            "multiply them by 255",
            stacklevel=3,
        )
