"""Which pixels the score of a class depends on: its gradient by the pixels.

The score is what enters the softmax, as in Simonyan, Vedaldi and Zisserman, "Deep inside
convolutional networks" (2013), section 3. The 2012 program shows the same gradient with
`shownet.py --show-data-grad`.
"""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf.models import layer_outputs


def score_model(model: keras.Model) -> keras.Model:
    """Returns a model of the same inputs whose outputs are the scores of the classes.

    They are what the last layer computes before the softmax, float32 [N, classes].

    Args:
        model: a net of pixels.
    """
    *_, last = layer_outputs.layer_names(model)
    scores = layer_outputs.layer_output(model, last)
    return keras.Model(model.input, keras.ops.cast(scores, "float32"))


def gradients(
    model: keras.Model, pixels: np.ndarray, classes: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the scores of classes, and their gradients by the pixels.

    Args:
        model: a net of pixels, as `trained.restore(..., inputs="pixels")` returns it.
        pixels: [N, side, side, 3], 0-255.
        classes: of each image, the class whose score is differentiated.

    Returns: the scores, float32 [N], and the gradients, float32 [N, side, side, 3]: the
        change of the score for one step of 255 of a pixel.

    Raises:
        ValueError: the net has no such class, or its answers are NaN.
    """
    scored = score_model(model)
    count = scored.output_shape[-1]
    for label in classes:
        if not 0 <= label < count:
            raise ValueError(f"class {label} is not one of the net's 0 to {count - 1}")
    images = tf.constant(pixels, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(images)
        scores = tf.gather(
            scored(images, training=False), tf.constant(classes), batch_dims=1
        )
    found = tape.gradient(scores, images)
    if not np.isfinite(scores.numpy()).all():
        raise ValueError(
            "the net's scores are NaN or infinite: its training diverged, so take an "
            "earlier checkpoint"
        )
    return scores.numpy(), found.numpy()


def saliency(gradient: np.ndarray) -> np.ndarray:
    """Returns a gradient's largest absolute value over the channels of each pixel.

    Args:
        gradient: [..., H, W, 3].

    Example:
        >>> saliency(np.array([[[1.0, -3.0, 2.0]]])).tolist()
        [[3.0]]
    """
    return np.abs(gradient).max(axis=-1)
