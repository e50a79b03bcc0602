"""Convolution with explicit padding, computed in the fastest way the device has."""

import functools
from typing import Any

import keras
import tensorflow as tf

from alexnet_tf import ops
from alexnet_tf.models.layers import arguments

# The fewest channels with which Winograd convolution was measured to be faster: conv2
# of one tower (docs/speed.md).
_WINOGRAD_LEAST_CHANNELS = 48


@keras.saving.register_keras_serializable(package="alexnet_tf")
class Convolution(keras.layers.Conv2D):
    """A convolution like `keras.layers.Conv2D`, with explicit padding.

    The 2012 program pads its 224 pixels with three zeros to the right and below only,
    which neither of Keras' paddings does.

    Training steps on a CPU compute the convolution in the fastest way there is. In
    bfloat16 on a CPU that multiplies tiles (AMX) that is `ops.direct_convolution`.
    Elsewhere, for kernels of 3 x 3 and 5 x 5 with stride 1 and from 48 channels up, it
    is `ops.winograd_convolution`, unless `winograd` is False. All other calls, and all
    calls where the op library is absent, use `tf.nn.conv2d`. The results differ by rounding only.

    Args:
        filters, kernel_size, strides: as in `keras.layers.Conv2D`.
        explicit_padding: rows of zeros (above, below) the input; the columns (left,
            right) are padded alike.
        winograd: whether training steps may use Winograd convolution.
        **kwargs: the remaining arguments of `keras.layers.Conv2D`. This layer has a
            bias, no activation, no dilation, no groups, and channels last; other values
            of these arguments are refused.

    Input: [N, H, W, C]. Output: [N, H', W', filters], where
    H' = (H + above + below - kernel_size) // stride + 1.

    Raises:
        ValueError: an argument is invalid or not supported.

    Example:
        >>> conv1 = Convolution(96, 11, strides=4, explicit_padding=(0, 3))
        >>> conv1(tf.zeros([1, 224, 224, 3])).shape
        TensorShape([1, 55, 55, 96])
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        explicit_padding: tuple[int, int] = (0, 0),
        winograd: bool = True,
        **kwargs: Any,
    ):
        # None would be the user's global image_data_format.
        kwargs["data_format"] = kwargs.get("data_format") or "channels_last"
        super().__init__(filters, kernel_size, **kwargs)
        self.explicit_padding = arguments.before_and_after(
            "explicit_padding", explicit_padding
        )
        self.winograd = winograd
        self._refuse_unsupported_arguments()

    def _refuse_unsupported_arguments(self) -> None:
        given = {
            "padding": self.padding,
            "data_format": self.data_format,
            "dilation_rate": self.dilation_rate,
            "groups": self.groups,
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
        }
        for name, (wanted, advice) in _SUPPORTED.items():
            if given[name] != wanted:
                raise ValueError(
                    f"Convolution supports only {name}={wanted!r}, got "
                    f"{given[name]!r}: {advice}"
                )

    def call(self, inputs, training=False):
        if training and ops.on_cpu() and not ops.being_compiled():
            if self._suits_tiles(inputs):
                return self._by_tiles(inputs)
            if (
                self.winograd
                and self._suits_winograd(inputs)
                and ops.availability.is_usable(ops.availability.WINOGRAD, inputs.dtype)
            ):
                return tf.nn.bias_add(self._by_winograd(inputs), self.bias)
        outputs = ops.padded_convolution(
            inputs, self.kernel, strides=self.strides, padding=self.explicit_padding
        )
        return tf.nn.bias_add(outputs, self.bias)

    def _suits_tiles(self, inputs) -> bool:
        return (
            inputs.dtype == tf.bfloat16
            and len(set(self.kernel_size)) == len(set(self.strides)) == 1
            and (self.strides == (1, 1) or None not in inputs.shape[1:3])
            and ops.instruction_set() == "amx_bf16"
        )

    def _by_tiles(self, inputs):
        if self.strides == (1, 1):
            return ops.direct_convolution(
                inputs, self.kernel, self.bias, padding=self.explicit_padding
            )
        # With a stride, squares of pixels become the channels of single positions,
        # which fill a tile better: conv1 has 48 such channels instead of 3.
        squares, kernel = _in_squares(
            inputs, self.kernel, self.explicit_padding, self.strides[0]
        )
        return ops.direct_convolution(squares, kernel, self.bias)

    def _suits_winograd(self, inputs) -> bool:
        return (
            self.kernel_size in ((3, 3), (5, 5))
            and self.strides == (1, 1)
            and min(inputs.shape[-1], self.filters) >= _WINOGRAD_LEAST_CHANNELS
            and inputs.dtype in (tf.float32, tf.bfloat16)
        )

    def _by_winograd(self, inputs):
        convolve = functools.partial(
            ops.winograd_convolution, padding=self.explicit_padding
        )
        if inputs.dtype == tf.float32:
            return convolve(inputs, self.kernel)
        if self.kernel_size == (3, 3):
            return convolve(inputs, self.kernel, outputs=2)
        # With 5 x 5 kernels, tiles in bfloat16 lose too much precision. In float32 they
        # are still faster than direct convolution in bfloat16.
        wide = convolve(tf.cast(inputs, tf.float32), tf.cast(self.kernel, tf.float32))
        return tf.cast(wide, inputs.dtype)

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        grow = sum(self.explicit_padding)
        grown = [side and side + grow for side in (height, width)]  # None is any side
        return super().compute_output_shape((batch, *grown, channels))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "explicit_padding": self.explicit_padding,
            "winograd": self.winograd,
        }


# The arguments of Conv2D that Convolution takes in one value only: that value, and what
# to do instead of passing another one.
_SUPPORTED = {
    "padding": ("valid", "use explicit_padding=(before, after)"),
    "data_format": ("channels_last", "transpose the inputs to [N, H, W, C]"),
    "dilation_rate": ((1, 1), "use keras.layers.Conv2D"),
    "groups": (1, "use keras.layers.Conv2D, or one Convolution per group"),
    "activation": ("linear", "add the activation as a layer of its own"),
    "use_bias": (True, "use keras.layers.Conv2D"),
}


def _in_squares(inputs, kernel, padding, stride):
    """Input and kernel of a convolution of stride 1 that equals the one of `stride`.

    Each square of `stride` x `stride` pixels becomes one position, and its pixels
    become the channels of that position. Inputs [N, H, W, C] become
    [N, H', W', stride * stride * C].
    """
    size, _, channels, filters = kernel.shape
    wide = -(-size // stride)  # the size of the new kernel
    lengths = [n + sum(padding) for n in inputs.shape[1:3]]
    rows, columns = ((n - size) // stride + wide for n in lengths)
    # After the last square that the kernel reaches, pixels may be missing or left over.
    after = [
        n * stride - length + padding[1]
        for n, length in zip((rows, columns), lengths, strict=True)
    ]
    edges = [[padding[0], max(n, 0)] for n in after]
    padded = tf.pad(inputs, [[0, 0], *edges, [0, 0]])
    padded = padded[:, : rows * stride, : columns * stride]
    squares = tf.reshape(padded, [-1, rows, stride, columns, stride * channels])
    squares = tf.transpose(squares, [0, 1, 3, 2, 4])
    missing = [0, wide * stride - size]
    whole = tf.pad(kernel, [missing, missing, [0, 0], [0, 0]])
    whole = tf.reshape(whole, [wide, stride, wide, stride, channels, filters])
    whole = tf.transpose(whole, [0, 2, 1, 3, 4, 5])
    depth = stride * stride * channels
    return (
        tf.reshape(squares, [-1, rows, columns, depth]),
        tf.reshape(whole, [wide, wide, depth, filters]),
    )
