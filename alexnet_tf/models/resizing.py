"""From an image of any size to what the network sees: center crop and ten views."""

import warnings

import numpy as np
import tensorflow as tf

from alexnet_tf.models import resize_rule

# Paper, section 4.1: the offsets of the five crops (row, column), as fractions of the
# margin.
_CROPS = ((0.5, 0.5), (0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0))

VIEWS = 2 * len(_CROPS)


def resize(
    image: tf.Tensor, size: int, rule: resize_rule.Rule = resize_rule.DEFAULT
) -> tf.Tensor:
    """Resizes an image to a square by a rule of `resize_rule`.

    Preparation, evaluation, prediction and exported models all use this function, with
    the rule of their net. It is bilinear with antialiasing, which averages areas when
    it shrinks.

    Args:
        image: uint8 or float [H, W, 3], 0-255.
        size: side of the result in pixels.
        rule: "crop" scales the shorter side and cuts out the square in the center;
            "squash" scales both sides.

    Returns: uint8 [size, size, 3].

    Example:
        >>> resize(tf.zeros([300, 400, 3]), 256).shape
        TensorShape([256, 256, 3])
    """
    if rule == "squash":
        resized = tf.image.resize(image, [size, size], antialias=True)
        return _pixels(resized)
    shape = tf.shape(image)
    height, width = shape[0], shape[1]
    shorter = tf.minimum(height, width)

    def scaled(
        side: tf.Tensor,
    ) -> tf.Tensor:  # rounded; exact, because it uses whole numbers
        return tf.maximum((2 * side * size + shorter) // (2 * shorter), size)

    height, width = scaled(height), scaled(width)
    resized = tf.image.resize(image, [height, width], antialias=True)
    square = tf.image.crop_to_bounding_box(
        resized, (height - size) // 2, (width - size) // 2, size, size
    )
    return _pixels(square)


def _pixels(image: tf.Tensor) -> tf.Tensor:
    """Rounds float pixels to uint8."""
    return tf.cast(tf.clip_by_value(tf.round(image), 0, 255), tf.uint8)


def center_crop(images: tf.Tensor, side: int) -> tf.Tensor:
    """Returns the center of images [..., S, S, C]: [..., side, side, C]."""
    margin = (images.shape[-2] - side) // 2
    return images[..., margin : margin + side, margin : margin + side, :]


def views(image: tf.Tensor, side: int) -> tf.Tensor:
    """Returns the ten test views of an image [S, S, C]: [10, side, side, C].

    The center comes first, then the four corners, then the same five mirrored. Paper,
    section 4.1.
    """
    margin = image.shape[0] - side
    crops = []
    for down, right in _CROPS:
        top, left = int(down * margin), int(right * margin)
        crops.append(image[top : top + side, left : left + side])
    five = tf.stack(crops)
    return tf.concat([five, five[:, :, ::-1]], axis=0)


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
    with tf.device("/CPU:0"):
        return center_crop(resize(tf.constant(image), size, rule), side).numpy()
