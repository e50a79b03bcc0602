"""Local response normalization, its gradients, and its form in TensorFlow's own ops."""

import math

import numpy as np
import tensorflow as tf

from alexnet_tf.ops import library, tracing

_FORWARD = "AlexnetTf>LocalResponseNormalization"

# The limits of custom_ops/limits.h.
_LARGEST_SIZE = 65535
_SMALLEST_K = float(np.finfo(np.float32).tiny)

_TYPES = (tf.float32, tf.float16, tf.bfloat16)
_CONSTANTS = ("size", "k", "alpha", "beta")


def check_constants(size: int, k: float, alpha: float, beta: float) -> None:
    """Raises ValueError unless the constants of a normalization are valid.

    The LRN kernels check them too, because graphs may have been built elsewhere.
    """
    if not 1 <= size <= _LARGEST_SIZE or size % 2 == 0:
        raise ValueError(
            f"size must be odd and between 1 and {_LARGEST_SIZE}, got {size}"
        )
    if not _SMALLEST_K <= k < math.inf:
        raise ValueError(
            f"k must be finite and at least {_SMALLEST_K:.6g}, got {k:.6g}"
        )
    for name, value in (("alpha", alpha), ("beta", beta)):
        if not 0 <= value < math.inf:
            raise ValueError(f"{name} must be finite and at least 0, got {value:.6g}")
    for name, exponent in (
        ("k^-beta", -beta * math.log2(k)),
        ("2 * alpha * beta", math.log2(2 * alpha * beta) if alpha * beta else 0),
    ):
        if exponent > 127:
            raise ValueError(
                f"{name} must be at most 2^127, got k {k:.6g}, alpha {alpha:.6g} and "
                f"beta {beta:.6g}"
            )


def checked_input(x, types=_TYPES) -> tf.Tensor:
    """Returns `x` as a tensor, or raises TypeError unless it has one of these types."""
    x = tf.convert_to_tensor(x)
    if x.dtype not in types:
        *others, last = (dtype.name for dtype in types)
        raise TypeError(
            f"x must be {', '.join(others)} or {last}, got {x.dtype.name}: cast it"
        )
    return x


def local_response_normalization(
    x, *, size=5, k=2.0, alpha=1e-4, beta=0.75, name=None
) -> tf.Tensor:
    """Local response normalization across channels (AlexNet paper, section 3.3).

    `y_i = x_i / (k + alpha * sum_j x_j^2)^beta`. The sum is over the existing channels
    `j` with `|j - i| <= size // 2`. The defaults are the paper's. The arithmetic is
    float32 for every type. The gradient is computed from `x`. It can be differentiated
    again, which TensorFlow's own ops do.

    Args:
        x: `[batch, height, width, channels]`, float32, float16 or bfloat16.
        size: the number of channels in the window, an odd number of at most 65535. It
            is the paper's n.
        k: the positive constant that is added to the sum.
        alpha: the factor of the sum itself. Caffe's and PyTorch's alpha is `size` times
            this one.
        beta: the exponent, at least 0. `k^-beta` and `2 * alpha * beta` may be at most
            2^127, so that they are finite in float32.
        name: the name of the op.

    Returns:
        A tensor with the shape and type of `x`.

    Raises:
        ValueError: if a constant, or the rank of `x`, is wrong.
        TypeError: if `x` has another type.
        tf.errors.InvalidArgumentError: if the rank is wrong and known only at run time.

    Example:
        >>> x = tf.ones([1, 1, 1, 3])  # each window holds all three channels
        >>> y = local_response_normalization(x, k=1.0, alpha=1.0, beta=0.5)
        >>> y.numpy().round(3).tolist()  # (1 + 3)^-0.5
        [[[[0.5, 0.5, 0.5]]]]
    """
    check_constants(size, k, alpha, beta)
    return library.ops.alexnet_tf_local_response_normalization(
        checked_input(x), size=size, k=k, alpha=alpha, beta=beta, name=name
    )


@tf.RegisterGradient(_FORWARD)
def _local_response_normalization_gradient(op, dy):
    return library.ops.alexnet_tf_local_response_normalization_grad(
        dy,
        op.inputs[0],
        **{key: op.get_attr(key) for key in _CONSTANTS},
    )


@tf.RegisterGradient(f"{_FORWARD}Grad")
def _gradient_of_the_gradient(op, ddx):
    dy, x = op.inputs
    with tf.GradientTape() as tape:
        tape.watch([dy, x])
        wide = tf.cast(x, tf.float32)
        constants = {key: op.get_attr(key) for key in _CONSTANTS}
        dx = _stock_gradient(dy, wide, *_stock_scale(wide, **constants), **constants)
        if op.get_attr("rectified"):
            dx = tf.where(x > 0, dx, 0.0)
        dx = tf.cast(dx, x.dtype)
    return tape.gradient(dx, [dy, x], ddx)


def relu(x, name=None) -> tf.Tensor:
    """`tf.nn.relu` whose gradient is fused with that of our LRN, if possible.

    The backward pass then passes over memory once instead of twice. This requires that
    only our LRN reads the result, on the CPU, and that the gradient is computed by
    `tf.gradients` in the function that calls this. Otherwise, for instance under
    `tf.GradientTape`, the gradient is TensorFlow's.
    """
    with tracing.overridden_gradients({"Relu": "AlexnetTf>Relu"}):
        return tf.nn.relu(x, name=name)


@tf.RegisterGradient("AlexnetTf>Relu")
def _relu_gradient(op, dy):
    (y,) = op.outputs
    normalization = dy.op  # or the op that adds several gradients, if others read y
    if (
        normalization.type == f"{_FORWARD}Grad"
        and normalization.inputs[1] is y
        and tracing.runs_on_cpu(y.device)
    ):
        return library.ops.alexnet_tf_local_response_normalization_grad(
            *normalization.inputs,
            rectified=True,
            **{key: normalization.get_attr(key) for key in _CONSTANTS},
        )
    return tf.raw_ops.ReluGrad(gradients=dy, features=y)


def _window_sum(values: tf.Tensor, size: int) -> tf.Tensor:
    """The sums over the windows of `size` channels, clipped at the ends of the row."""
    channels = values.shape[-1]
    half = size // 2
    if channels is not None:  # a larger window is the whole row
        half = min(half, max(0, channels - 1))
    padded = tf.pad(values, [[0, 0]] * 3 + [[half, half]])
    channels = tf.shape(values)[-1]
    return tf.add_n([padded[..., d : d + channels] for d in range(2 * half + 1)])


def _stock_scale(wide, *, size, k, alpha, beta) -> tuple[tf.Tensor, tf.Tensor]:
    """s and s^-beta for x in float32."""
    scale = k + alpha * _window_sum(tf.square(wide), size)
    return scale, tf.pow(scale, -beta)


def _stock_gradient(dy, wide, scale, power, *, size, k, alpha, beta) -> tf.Tensor:
    """dx in float32, from x in float32 and what `_stock_scale` returns for it."""
    direct = tf.cast(dy, tf.float32) * power
    pulled = _window_sum(direct * wide / scale, size)
    return direct - 2 * alpha * beta * wide * pulled


def local_response_normalization_xla(
    x, *, size=5, k=2.0, alpha=1e-4, beta=0.75, name=None
) -> tf.Tensor:
    """`local_response_normalization` in TensorFlow's own ops, for `jit_compile=True`.

    XLA cannot compile a custom op, but it fuses these. The gradient is written out,
    because automatic differentiation of padding and slices is slow. It can be
    differentiated again.

    Example:
        >>> compiled = tf.function(local_response_normalization_xla, jit_compile=True)
        >>> y = compiled(tf.ones([1, 1, 1, 3]), k=1.0, alpha=1.0, beta=0.5)
        >>> y.numpy().round(3).tolist()
        [[[[0.5, 0.5, 0.5]]]]
    """
    check_constants(size, k, alpha, beta)
    constants = {"size": size, "k": k, "alpha": alpha, "beta": beta}

    @tf.custom_gradient
    def normalize(x):
        wide = tf.cast(x, tf.float32)
        scale, power = _stock_scale(wide, **constants)

        def gradient(dy):
            return tf.cast(
                _stock_gradient(dy, wide, scale, power, **constants), x.dtype
            )

        return tf.cast(wide * power, x.dtype), gradient

    with tf.name_scope(name or "local_response_normalization"):
        x = checked_input(x)
        x.shape.assert_has_rank(4)
        return normalize(x)
