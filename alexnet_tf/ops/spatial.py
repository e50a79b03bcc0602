"""Normalization within one map, and its gradient."""

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
