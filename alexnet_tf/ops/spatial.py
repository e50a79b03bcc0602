"""Normalization within one map, its gradient, and its form in TensorFlow's own ops."""

import math

import tensorflow as tf

from alexnet_tf.ops import library, lrn

_FORWARD = "AlexnetTf>SpatialNormalization"
_CONSTANTS = ("size", "k", "alpha", "beta")


def spatial_normalization(x, *, size, k, alpha, beta) -> tf.Tensor:
    """Normalization within each map, which the 2012 program has as layer type `rnorm`.

    `y = x / (k + alpha * sum of x^2)^beta`. The sum is over the square of `size` x
    `size` positions of the same channel around `x`, clipped at the border. The
    arithmetic is float32. The op runs on the CPU only. It can be differentiated twice
    and more, which TensorFlow's own ops do from the second time on.

    Args:
        x: `[batch, height, width, channels]`, float32 or bfloat16.
        size: the side of the square, an odd number of at most 65535.
        k: the positive constant that is added to the sum.
        alpha: the factor of the sum itself, not of its mean.
        beta: the exponent, at least 0. `k^-beta` and `2 * alpha * beta` may be at most
            2^127, so that they are finite in float32.

    Returns:
        A tensor with the shape and type of `x`.

    Raises:
        ValueError: if a constant, or the rank of `x`, is wrong.
        TypeError: if `x` has another type.

    Example:
        >>> x = tf.ones([1, 2, 2, 1])  # each square holds all four positions
        >>> y = spatial_normalization(x, size=3, k=2.0, alpha=0.5, beta=0.5)
        >>> y.numpy().round(3).ravel().tolist()  # (2 + 0.5 * 4)^-0.5
        [0.5, 0.5, 0.5, 0.5]
    """
    lrn.check_constants(size, k, alpha, beta)
    x = lrn.checked_input(x, (tf.float32, tf.bfloat16))
    return library.ops.alexnet_tf_spatial_normalization(
        x, size=size, k=k, alpha=alpha, beta=beta
    )


@tf.RegisterGradient(_FORWARD)
def _spatial_normalization_gradient(op, dy):
    return library.ops.alexnet_tf_spatial_normalization_grad(
        dy, op.inputs[0], **{key: op.get_attr(key) for key in _CONSTANTS}
    )


@tf.RegisterGradient(f"{_FORWARD}Grad")
def _gradient_of_the_gradient(op, ddx):
    dy, x = op.inputs
    with tf.GradientTape() as tape:
        tape.watch([dy, x])
        wide = tf.cast(x, tf.float32)
        constants = {key: op.get_attr(key) for key in _CONSTANTS}
        dx = _stock_gradient(dy, wide, *_stock_scale(wide, **constants), **constants)
        dx = tf.cast(dx, x.dtype)
    return tape.gradient(dx, [dy, x], ddx)


def _box_sum(x: tf.Tensor, size: int) -> tf.Tensor:
    """The sums over `size` x `size` squares of each map, clipped at the border."""
    # A square that is larger than the image is the whole image.
    rows, columns = (
        size // 2 if side is None else min(size // 2, max(0, side - 1))
        for side in x.shape[1:3]
    )
    padded = tf.pad(x, [[0, 0], [rows, rows], [columns, columns], [0, 0]])
    window = (2 * rows + 1, 2 * columns + 1)
    return tf.nn.avg_pool2d(padded, window, 1, "VALID") * float(math.prod(window))


def _stock_scale(wide, *, size, k, alpha, beta) -> tuple[tf.Tensor, tf.Tensor]:
    """s and s^-beta for x in float32."""
    scale = k + alpha * _box_sum(tf.square(wide), size)
    if beta != 0.75:
        return scale, tf.pow(scale, -beta)
    root = tf.math.rsqrt(scale)  # five times as fast as the general power
    return scale, root * tf.sqrt(root)


def _stock_gradient(dy, wide, scale, power, *, size, k, alpha, beta) -> tf.Tensor:
    """dx in float32, from x in float32 and what `_stock_scale` returns for it."""
    direct = tf.cast(dy, tf.float32) * power
    return direct - 2 * alpha * beta * wide * _box_sum(direct * wide / scale, size)


def spatial_normalization_stock(x, *, size, k, alpha, beta) -> tf.Tensor:
    """`spatial_normalization` in TensorFlow's own ops, for any device and for XLA.

    Arguments and result are those of `spatial_normalization`. `x` may also be float16.
    """
    lrn.check_constants(size, k, alpha, beta)
    x = lrn.checked_input(x)
    constants = {"size": size, "k": k, "alpha": alpha, "beta": beta}

    @tf.custom_gradient
    def normalize(wide):
        scale, power = _stock_scale(wide, **constants)

        def gradient(dy):
            return _stock_gradient(dy, wide, scale, power, **constants)

        return wide * power, gradient

    return tf.cast(normalize(tf.cast(x, tf.float32)), x.dtype)
