"""Top-k error with fractional credit for ties."""

import tensorflow as tf


def credit(scores: tf.Tensor, labels: tf.Tensor, k: int) -> tf.Tensor:
    """How far each row's label is among its `k` best: float32 [N], 0 to 1.

    `scores` [N, classes]. Where the label ties with others over the last of the `k`
    places, it gets its share of them; a row with NaN gets nothing.
    """
    scores = tf.cast(scores, tf.float32)
    own = tf.gather(scores, labels, axis=1, batch_dims=1)[:, None]
    above = tf.reduce_sum(tf.cast(scores > own, tf.float32), axis=1)
    equal = tf.reduce_sum(tf.cast(scores == own, tf.float32), axis=1)
    share = tf.clip_by_value((k - above) / tf.maximum(equal, 1), 0, 1)
    finite = tf.reduce_all(tf.math.is_finite(scores), axis=1)
    return tf.where(finite, share, tf.zeros_like(share))
