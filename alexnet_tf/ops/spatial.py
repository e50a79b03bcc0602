"""Normalization within one map, its gradient, and its form in TensorFlow's own ops."""

import tensorflow as tf

from alexnet_tf.ops import library, lrn


def spatial_normalization(x, *, size, k, alpha, beta) -> tf.Tensor:
    """Normalization within each map, which the 2012 program has as layer type `rnorm`.

    `y = x / (k + alpha * sum of x^2)^beta`. The sum is over the square of `size` x
    `size` positions of the same channel around `x`, clipped at the border. The
    arithmetic is float32. The op runs on the CPU only.

    Args:
        x: `[batch, height, width, channels]`, float32 or bfloat16.
        size: the side of the square, an odd number.
        k: the positive constant that is added to the sum.
        alpha: the factor of the sum itself, not of its mean.
        beta: the exponent.

    Returns:
        A tensor with the shape and type of `x`.
    """
    lrn.check_constants(size, k, alpha, beta)
    return library.ops.alexnet_tf_spatial_normalization(
        x, size=size, k=k, alpha=alpha, beta=beta
    )


@tf.RegisterGradient("AlexnetTf>SpatialNormalization")
def _spatial_normalization_gradient(op, dy):
    return library.ops.alexnet_tf_spatial_normalization_grad(
        dy,
        op.inputs[0],
        **{key: op.get_attr(key) for key in ("size", "k", "alpha", "beta")},
    )


def _box_sum(x: tf.Tensor, size: int) -> tf.Tensor:
    """The sums over `size` x `size` squares of each map, clipped at the border."""
    margin = size // 2
    edges = [[0, 0], [margin, margin], [margin, margin], [0, 0]]
    return tf.nn.avg_pool2d(tf.pad(x, edges), size, 1, "VALID") * float(size * size)


def spatial_normalization_stock(x, *, size, k, alpha, beta) -> tf.Tensor:
    """`spatial_normalization` in TensorFlow's own ops, for any device and for XLA.

    Arguments and result are those of `spatial_normalization`. `x` may also be float16.
    """

    lrn.check_constants(size, k, alpha, beta)

    def power(scale):
        if beta != 0.75:
            return tf.pow(scale, -beta)
        root = tf.math.rsqrt(scale)  # five times as fast as the general power
        return root * tf.sqrt(root)

    @tf.custom_gradient
    def normalize(x):
        scale = k + alpha * _box_sum(tf.square(x), size)
        shrunk = power(scale)

        def gradient(dy):
            inner = _box_sum(dy * x * shrunk / scale, size)
            return dy * shrunk - (2 * alpha * beta) * x * inner

        return x * shrunk, gradient

    return tf.cast(normalize(tf.cast(x, tf.float32)), x.dtype)
