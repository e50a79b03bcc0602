"""From an image of any size to what the network sees, in a graph of TensorFlow.

`image_resizing` does the same with NumPy for images that are in memory.
"""

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

    Exported models use this function, with the rule of their net. It is bilinear with
    antialiasing, which averages areas when it shrinks.

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
    shape = tf.shape(image)
    return tf.cond(
        tf.reduce_all(shape[:2] == size),
        lambda: _pixels(tf.cast(image, tf.float32)),  # the same without the work
        lambda: _pixels(_scaled(image, size, rule)),
    )


def _scaled(image: tf.Tensor, size: int, rule: resize_rule.Rule) -> tf.Tensor:
    """float32 [size, size, 3], not rounded."""
    if rule == "squash":
        return tf.image.resize(image, [size, size], antialias=True)
    shape = tf.shape(image)
    height, width = shape[0], shape[1]
    shorter = tf.minimum(height, width)

    def scaled(
        side: tf.Tensor,
    ) -> tf.Tensor:  # rounded; exact, because it uses whole numbers
        return tf.maximum((2 * side * size + shorter) // (2 * shorter), size)

    height, width = scaled(height), scaled(width)
    resized = tf.image.resize(image, [height, width], antialias=True)
    return tf.image.crop_to_bounding_box(
        resized, (height - size) // 2, (width - size) // 2, size, size
    )


def _pixels(image: tf.Tensor) -> tf.Tensor:
    """Rounds float pixels to uint8."""
    rounded = tf.round(image + resize_rule.TIES_UP)
    return tf.cast(tf.clip_by_value(rounded, 0, 255), tf.uint8)


def center_crop(images: tf.Tensor, side: int) -> tf.Tensor:
    """Returns the center of images [..., S, S, C]: [..., side, side, C]."""
    margin = (images.shape[-2] - side) // 2
    return images[..., margin : margin + side, margin : margin + side, :]


def five_crops(images: tf.Tensor, side: int) -> tf.Tensor:
    """Returns the center and the four corners of images [..., S, S, C], in this order.

    Paper, section 4.1. Together with their mirror images they are the ten test views.

    Returns: [..., 5, side, side, C].
    """
    margin = images.shape[-2] - side
    crops = []
    for down, right in _CROPS:
        top, left = int(down * margin), int(right * margin)
        crops.append(images[..., top : top + side, left : left + side, :])
    return tf.stack(crops, axis=-4)


def views(image: tf.Tensor, side: int) -> tf.Tensor:
    """Returns the ten test views of an image [S, S, C]: [10, side, side, C].

    The five crops come first, then the same five mirrored. Paper, section 4.1.
    """
    five = five_crops(image, side)
    return tf.concat([five, five[:, :, ::-1]], axis=0)
