"""Winograd convolution and its gradients."""

import numpy as np
import tensorflow as tf

from alexnet_tf.ops import library

# The points of custom_ops/winograd/winograd.h. Infinity comes after the last one used.
_POINTS = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)
_ATTRIBUTES = ("side", "outputs", "kernel_size", "padding_before", "padding_after")


def _kernel_matrix(outputs: int, kernel_size: int) -> np.ndarray:
    """G of y = A^T [(G g G^T) * (B^T x B)] A.

    [outputs + kernel_size - 1, kernel_size].
    """
    points = np.array(_POINTS[: outputs + kernel_size - 2])
    differences = points[:, None] - points
    np.fill_diagonal(differences, 1)
    powers = np.vander(points, kernel_size, increasing=True)
    finite = powers / np.prod(differences, 1)[:, None]
    infinity = np.eye(1, kernel_size, kernel_size - 1)
    return np.concatenate([finite, infinity])


def _transformed_kernel(kernel, outputs: int) -> tf.Tensor:
    """G g G^T for every pair of channels, float32.

    [places of a tile, channels, filters].
    """
    kernel_size, _, channels, filters = kernel.shape
    matrix = _kernel_matrix(outputs, kernel_size)
    both_axes = tf.constant(np.kron(matrix, matrix), tf.float32)
    wide = tf.reshape(tf.cast(kernel, tf.float32), [kernel_size * kernel_size, -1])
    return tf.reshape(both_axes @ wide, [len(matrix) ** 2, channels, filters])


def winograd_convolution(
    x, kernel, *, outputs=4, padding=(0, 0), name=None
) -> tf.Tensor:
    """A Winograd convolution of stride 1, which multiplies less than `tf.nn.conv2d`.

    See Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2016). A
    tile of `outputs` x `outputs` results takes (outputs + kernel_size - 1)^2 products
    per pair of channels, whereas direct convolution takes (outputs * kernel_size)^2.
    With 4 outputs this is a factor of 0.25 for 3 x 3 kernels and 0.16 for 5 x 5
    kernels. TensorFlow's matrix product computes the products.

    The result differs from that of `tf.nn.conv2d` by rounding. In float32 the
    difference is about 5e-6 of the result's norm. In bfloat16 the tiles are rounded
    too; to keep the error small there, use 2 outputs and 3 x 3 kernels (0.5 %, whereas
    `tf.nn.conv2d` has 0.3 %).

    The op runs on the CPU only. It can be differentiated any number of times.

    Args:
        x: `[batch, height, width, channels]`, float32 or bfloat16.
        kernel: `[kernel_size, kernel_size, channels, filters]`, in the type of `x`. The
            kernel size is 3 or 5.
        outputs: the results of a tile along each side, 2 or 4.
        padding: the rows and columns of zeros around `x`, (before, after).
        name: the name of the op.

    Returns:
        `[batch, height', width', filters]`, in the type of `x`, where height' is
        height + before + after - kernel_size + 1.

    Raises:
        ValueError: if a rank, the kernel size, `outputs` or `padding` is wrong.

    Example:
        >>> x, kernel = tf.random.normal([1, 9, 9, 4]), tf.random.normal([3, 3, 4, 8])
        >>> y = winograd_convolution(x, kernel, padding=(1, 1))
        >>> bool(np.allclose(y, tf.nn.conv2d(x, kernel, 1, "SAME"), atol=1e-4))
        True
    """
    with tf.name_scope(name or "winograd_convolution"):
        x = tf.convert_to_tensor(x)
        kernel = tf.convert_to_tensor(kernel)
        x.shape.assert_has_rank(4)
        kernel.shape.assert_has_rank(4)
        kernel_size, _, _, filters = kernel.shape
        if kernel.shape[:2] not in ([3, 3], [5, 5]):
            raise ValueError(f"kernel must be 3 x 3 or 5 x 5, got {kernel.shape}")
        if outputs not in (2, 4):
            raise ValueError(f"outputs must be 2 or 4, got {outputs}")
        before, after = padding
        if min(before, after) < 0:
            raise ValueError(f"padding must be at least 0, got {tuple(padding)}")
        attributes = {
            "outputs": outputs,
            "kernel_size": kernel_size,
            "padding_before": before,
            "padding_after": after,
        }

        factors = _transformed_kernel(kernel, outputs)
        tiles = library.ops.alexnet_tf_winograd_to_tiles(x, side="input", **attributes)
        products = tiles @ tf.cast(factors, x.dtype)
        batch, height, width, _ = tf.unstack(tf.shape(x))
        grow = before + after - kernel_size + 1
        shape = tf.stack([batch, height + grow, width + grow, filters])
        y = library.ops.alexnet_tf_winograd_from_tiles(
            products, shape, side="output", **attributes
        )
        sides = [None if n is None else n + grow for n in x.shape[1:3]]
        y.set_shape([x.shape[0], *sides, filters])
        return y


@tf.RegisterGradient("AlexnetTf>WinogradToTiles")
def _winograd_to_tiles_gradient(op, dy):
    return library.ops.alexnet_tf_winograd_from_tiles(
        dy,
        tf.shape(op.inputs[0]),
        **{key: op.get_attr(key) for key in _ATTRIBUTES},
    )


@tf.RegisterGradient("AlexnetTf>WinogradFromTiles")
def _winograd_from_tiles_gradient(op, dy):
    tiles = library.ops.alexnet_tf_winograd_to_tiles(
        dy, **{key: op.get_attr(key) for key in _ATTRIBUTES}
    )
    return tiles, None
