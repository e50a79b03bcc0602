"""Winograd convolution, and its gradients."""

import numpy as np
import tensorflow as tf

from alexnet_tf.ops import library

# The points of custom_ops/winograd/winograd.h, infinity coming after the last.
_WINOGRAD_POINTS = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)


_WINOGRAD_ATTRIBUTES = ("side", "outputs", "taps", "before", "after")


def _winograd_filter_matrix(outputs: int, taps: int) -> np.ndarray:
    """G of y = A^T [(G g G^T) * (B^T x B)] A: [outputs + taps - 1, taps]."""
    points = np.array(_WINOGRAD_POINTS[: outputs + taps - 2])
    apart = points[:, None] - points
    np.fill_diagonal(apart, 1)
    finite = np.vander(points, taps, increasing=True) / np.prod(apart, 1)[:, None]
    infinity = np.eye(1, taps, taps - 1)
    return np.concatenate([finite, infinity])


def winograd_convolution(x, kernel, *, outputs=4, zeros=(0, 0), name=None) -> tf.Tensor:
    """A convolution of stride 1 in fewer products, by Winograd's minimal filtering.

    Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2016). Tiles of
    `outputs` x `outputs` results take (outputs + taps - 1)^2 products a pair of channels
    instead of (outputs * taps)^2: with 4, a quarter for 3 x 3 kernels and 0.16 for
    5 x 5. The products are matrix products of TensorFlow's own. It differs from
    `tf.nn.conv2d` by rounding: in float32 by about 5e-6 of the result's norm; bfloat16
    rounds the tiles too, and there 2 outputs of 3 taps (0.5 % against 0.3 %) are what
    keeps it small. On the CPU alone. Differentiable twice and more.

    Args:
        x: `[batch, height, width, channels]`, float32 or bfloat16.
        kernel: `[taps, taps, channels, filters]`, taps 3 or 5, in the type of `x`.
        outputs: results of a tile along each side, 2 or 4.
        zeros: rows and columns of zeros around `x`, (before, after).
        name: of the op.

    Returns:
        `[batch, height', width', filters]`, with height' = height + before + after -
        taps + 1, in the type of `x`.

    Raises:
        ValueError: ranks, taps, outputs or zeros are wrong.
    """
    with tf.name_scope(name or "winograd_convolution"):
        x = tf.convert_to_tensor(x)
        kernel = tf.convert_to_tensor(kernel)
        x.shape.assert_has_rank(4)
        kernel.shape.assert_has_rank(4)
        taps, _, channels, filters = kernel.shape
        if kernel.shape[:2] not in ([3, 3], [5, 5]):
            raise ValueError(f"kernel must be 3 x 3 or 5 x 5, got {kernel.shape}")
        if outputs not in (2, 4):
            raise ValueError(f"outputs must be 2 or 4, got {outputs}")
        before, after = zeros
        if min(before, after) < 0:
            raise ValueError(f"zeros must be at least 0, got {tuple(zeros)}")
        attributes = {
            "outputs": outputs,
            "taps": taps,
            "before": before,
            "after": after,
        }

        matrix = _winograd_filter_matrix(outputs, taps)
        places = len(matrix) ** 2
        both_axes = tf.constant(np.kron(matrix, matrix), tf.float32)
        wide = tf.reshape(tf.cast(kernel, tf.float32), [taps * taps, -1])
        factors = tf.reshape(both_axes @ wide, [places, channels, filters])

        tiles = library.ops.alexnet_tf_winograd_to_tiles(x, side="input", **attributes)
        products = tiles @ tf.cast(factors, x.dtype)
        batch, height, width, _ = tf.unstack(tf.shape(x))
        grow = before + after - taps + 1
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
        **{key: op.get_attr(key) for key in _WINOGRAD_ATTRIBUTES},
    )


@tf.RegisterGradient("AlexnetTf>WinogradFromTiles")
def _winograd_from_tiles_gradient(op, dy):
    tiles = library.ops.alexnet_tf_winograd_to_tiles(
        dy, **{key: op.get_attr(key) for key in _WINOGRAD_ATTRIBUTES}
    )
    return tiles, None
