"""Top-k error with fractional credit for ties."""

import tensorflow as tf


def credit(scores: tf.Tensor, labels: tf.Tensor, k: int) -> tf.Tensor:
    """Returns whether each row's label is among its `k` best classes, as 0 to 1.

    If the label ties with other classes for the last of the `k` places, it gets its
    share of them, as in the 2012 program (`layer_kernels.cu`). A row with NaN gets 0.

    Args:
        scores: [N, classes], logits or probabilities.
        labels: int [N].
        k: at least 1.

    Returns: float32 [N].

    Example:
        >>> credit(tf.constant([[0.5, 0.5, 0.0]]), tf.constant([1]), 1).numpy().tolist()
        [0.5]
    """
    scores = tf.cast(scores, tf.float32)
    own = tf.gather(scores, labels, axis=1, batch_dims=1)[:, None]
    above = tf.reduce_sum(tf.cast(scores > own, tf.float32), axis=1)
    equal = tf.reduce_sum(tf.cast(scores == own, tf.float32), axis=1)
    share = tf.clip_by_value((k - above) / tf.maximum(equal, 1), 0, 1)
    finite = tf.reduce_all(tf.math.is_finite(scores), axis=1)
    return tf.where(finite, share, tf.zeros_like(share))
