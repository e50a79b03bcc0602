"""Convolution with explicit padding, on the fastest way that the device has."""

import functools
from typing import Any

import keras
import tensorflow as tf

from alexnet_tf import ops

# The fewest with which it was seen to be faster (conv2 of a tower, docs/speed.md).
_WINOGRAD_LEAST_CHANNELS = 48


@keras.saving.register_keras_serializable(package="alexnet_tf")
class Convolution(keras.layers.Conv2D):
    """`keras.layers.Conv2D` with `zeros` = (before, after) on both spatial axes.

    The released program pads 224 pixels by three, to the right and below only.

    A processor's training steps take the fastest way there is: in bfloat16 on a
    processor that multiplies tiles (AMX) `ops.convolution`; elsewhere, with `winograd`,
    `ops.winograd_convolution` for kernels of 3 x 3 and 5 x 5, stride 1, from 48 channels
    on.
    """

    def __init__(
        self, filters, kernel_size, zeros=(0, 0), winograd=True, **kwargs: Any
    ):
        super().__init__(filters, kernel_size, **kwargs)
        self.zeros = tuple(zeros)
        self.winograd = winograd

    def call(self, inputs, training=False):
        if training and ops.on_cpu() and not ops.being_compiled():
            if self._suits_tiles(inputs):
                return self._by_tiles(inputs)
            if self.winograd and self._suits_winograd(inputs):
                return tf.nn.bias_add(self._by_winograd(inputs), self.bias)
        return tf.nn.bias_add(self._directly(inputs), self.bias)

    def _suits_tiles(self, inputs) -> bool:
        return (
            inputs.dtype == tf.bfloat16
            and self.groups == 1
            and len(set(self.kernel_size)) == len(set(self.strides)) == 1
            and (self.strides == (1, 1) or None not in inputs.shape[1:3])
            and ops.instruction_set() == "amx_bf16"
        )

    def _by_tiles(self, inputs):
        if self.strides == (1, 1):
            return ops.direct_convolution(
                inputs, self.kernel, self.bias, padding=self.zeros
            )
        # A stride is one step over squares of pixels, which make up a tile's channels:
        # 48 of conv1's where there were 3.
        squares, kernel = _in_squares(inputs, self.kernel, self.zeros, self.strides[0])
        return ops.direct_convolution(squares, kernel, self.bias)

    def _suits_winograd(self, inputs) -> bool:
        return (
            self.kernel_size in ((3, 3), (5, 5))
            and self.strides == (1, 1)
            and min(inputs.shape[-1], self.filters) >= _WINOGRAD_LEAST_CHANNELS
            and inputs.dtype in (tf.float32, tf.bfloat16)
        )

    def _by_winograd(self, inputs):
        convolve = functools.partial(ops.winograd_convolution, padding=self.zeros)
        if inputs.dtype == tf.float32:
            return convolve(inputs, self.kernel)
        if self.kernel_size == (3, 3):
            return convolve(inputs, self.kernel, outputs=2)
        # Tiles of 5 x 5 taps lose too much in bfloat16, and in float32 are faster still
        # than the direct sum in bfloat16.
        wide = convolve(tf.cast(inputs, tf.float32), tf.cast(self.kernel, tf.float32))
        return tf.cast(wide, inputs.dtype)

    def _directly(self, inputs):
        # Explicit padding would be the plain way, and 20 times slower in bfloat16: it
        # leaves oneDNN. "SAME" and a pad with "VALID" are the same numbers inside it.
        half = self.kernel_size[0] // 2
        odd = self.kernel_size[0] % 2
        if odd and self.zeros == (half, half) and self.strides == (1, 1):
            padding = "SAME"
        else:
            padding = "VALID"
            if any(self.zeros):
                edges = list(self.zeros)
                inputs = tf.pad(inputs, [[0, 0], edges, edges, [0, 0]])
        return tf.nn.conv2d(inputs, self.kernel, self.strides, padding)

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        grow = sum(self.zeros)
        return super().compute_output_shape(
            (batch, height + grow, width + grow, channels)
        )

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "zeros": self.zeros,
            "winograd": self.winograd,
        }


def _in_squares(inputs, kernel, zeros, stride):
    """Input and kernel of the convolution of stride 1 that is the one of `stride`.

    Squares of `stride` x `stride` pixels become one position, their pixels its channels:
    inputs `[N, H, W, C]` to `[N, H', W', stride * stride * C]`.
    """
    taps, _, channels, filters = kernel.shape
    wide = -(-taps // stride)  # taps of the new kernel
    lengths = [n + sum(zeros) for n in inputs.shape[1:3]]
    rows, columns = ((n - taps) // stride + wide for n in lengths)
    # Behind the last square that a tap reaches, pixels may lack or be left over.
    behind = [
        n * stride - length + zeros[1]
        for n, length in zip((rows, columns), lengths, strict=True)
    ]
    padded = tf.pad(inputs, [[0, 0], *([zeros[0], max(n, 0)] for n in behind), [0, 0]])[
        :, : rows * stride, : columns * stride
    ]
    squares = tf.reshape(padded, [-1, rows, stride, columns, stride * channels])
    squares = tf.transpose(squares, [0, 1, 3, 2, 4])
    missing = [0, wide * stride - taps]
    whole = tf.pad(kernel, [missing, missing, [0, 0], [0, 0]])
    whole = tf.reshape(whole, [wide, stride, wide, stride, channels, filters])
    whole = tf.transpose(whole, [0, 2, 1, 3, 4, 5])
    depth = stride * stride * channels
    return (
        tf.reshape(squares, [-1, rows, columns, depth]),
        tf.reshape(whole, [wide, wide, depth, filters]),
    )
