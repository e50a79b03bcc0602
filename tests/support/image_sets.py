"""Sets of images that are in memory."""

import numpy as np

from alexnet_tf.evaluation import image_sets


def of_pixels(pixels, labels=None, classes=(), where="memory", identity="memory"):
    """An image set of an array, uint8 [N, side, side, 3]; without labels, unknown ones."""
    labels = [image_sets.UNKNOWN] * len(pixels) if labels is None else labels
    return image_sets.ImageSet(
        where,
        identity,
        len(pixels),
        tuple(classes),
        lambda index: f"image{index}",
        lambda index: image_sets.View(pixels[index], int(labels[index])),
    )


def noise(count, side, seed=0):
    """Images of noise, uint8 [count, side, side, 3]."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, side, side, 3)).astype(np.uint8)
