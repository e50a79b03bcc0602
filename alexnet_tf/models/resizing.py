"""From an image of any size to the views that a network sees: resize, center crop, ten views."""

import numpy as np
import tensorflow as tf

# Offsets of the five crops as fractions of the margin (row, column): paper section 4.1.
_CROPS = ((0.5, 0.5), (0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0))


VIEWS = 2 * len(_CROPS)


def resize(image: tf.Tensor, size: int) -> tf.Tensor:
    """The one resize rule: shorter side to `size`, then the centre square.

    Paper section 2. Bilinear with antialiasing, which is area-weighted downwards.
    `image` uint8 or float [H, W, 3], 0-255; returns uint8 [size, size, 3].
    """
    shape = tf.shape(image)
    height, width = shape[0], shape[1]
    shorter = tf.minimum(height, width)

    def scaled(side: tf.Tensor) -> tf.Tensor:  # rounded, exact in integers
        return tf.maximum((2 * side * size + shorter) // (2 * shorter), size)

    height, width = scaled(height), scaled(width)
    resized = tf.image.resize(image, [height, width], antialias=True)
    square = tf.image.crop_to_bounding_box(
        resized, (height - size) // 2, (width - size) // 2, size, size
    )
    return tf.cast(tf.clip_by_value(tf.round(square), 0, 255), tf.uint8)


def center_crop(images: tf.Tensor, side: int) -> tf.Tensor:
    """The middle of [..., S, S, C]: [..., side, side, C]."""
    margin = (images.shape[-2] - side) // 2
    return images[..., margin : margin + side, margin : margin + side, :]


def views(image: tf.Tensor, side: int) -> tf.Tensor:
    """The ten test views of [S, S, C]: [10, side, side, C].

    Centre first, then the corners; then the same five mirrored. Paper section 4.1.
    """
    margin = image.shape[0] - side
    crops = []
    for down, right in _CROPS:
        top, left = int(down * margin), int(right * margin)
        crops.append(image[top : top + side, left : left + side])
    five = tf.stack(crops)
    return tf.concat([five, five[:, :, ::-1]], axis=0)


def center_view(image: np.ndarray, size: int, side: int) -> np.ndarray:
    """An image of any size as a net sees it in evaluation: uint8 [side, side, 3].

    `image` uint8 or float [H, W, 3], RGB, 0-255; `size` is the side that it is resized
    to first. Raises ValueError for any other shape.
    """
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[-1] != 3 or 0 in image.shape:
        raise ValueError(f"an image must be [height, width, 3], got {image.shape}")
    with tf.device("/CPU:0"):
        return center_crop(resize(tf.constant(image), size), side).numpy()
