"""The normalization within one map, and its gradient."""

import tensorflow as tf

from alexnet_tf.ops import library, lrn


def spatial_normalization(x, *, size, k, alpha, beta) -> tf.Tensor:
    """Normalisation within each map: the released program's layer type `rnorm`.

    `y = x / (k + alpha * sum of x^2)^beta`, the sum over the square of `size` x `size`
    positions of the same channel around `x`, clipped at the border. On the CPU alone;
    the arithmetic is float32.

    Args:
        x: `[batch, height, width, channels]`, float32 or bfloat16.
        size: side of the square, odd.
        k, alpha, beta: the formula's constants.

    Returns:
        A tensor as `x`.
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
