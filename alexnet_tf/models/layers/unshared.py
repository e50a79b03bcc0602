"""Convolution whose kernel differs at every position."""

from typing import Any

import keras
import tensorflow as tf

from alexnet_tf.models.layers import arguments


@keras.saving.register_keras_serializable(package="alexnet_tf")
class UnsharedConvolution(keras.layers.Layer):
    """A convolution of stride 1 with its own kernel and bias at every position.

    This is cuda-convnet's layer type `local`, which the CIFAR-10 network of the paper's
    section 3.3 uses.

    Args:
        filters: the number of filters.
        kernel_size: side of the square kernel.
        padding: rows of zeros (above, below) the input; the columns (left, right) are
            padded alike.
        kernel_initializer, bias_initializer: as in Keras.

    Input: [N, H, W, C]. Output: [N, H', W', filters], where
    H' = H + above + below - kernel_size + 1.

    The kernel has the shape [H', W', kernel_size * kernel_size * C, filters], the bias
    [H', W', filters].

    Raises:
        ValueError: an argument is invalid, or the input does not have four axes.

    Example:
        >>> UnsharedConvolution(4, 3, padding=(1, 1))(tf.zeros([2, 6, 6, 3])).shape
        TensorShape([2, 6, 6, 4])
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        padding: tuple[int, int] = (0, 0),
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.filters = arguments.count("filters", filters)
        self.kernel_size = arguments.count("kernel_size", kernel_size)
        self.padding = arguments.before_and_after("padding", padding)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def build(self, input_shape):
        _, height, width, filters = self.compute_output_shape(input_shape)
        patch = self.kernel_size * self.kernel_size * input_shape[-1]
        self.kernel = self.add_weight(
            name="kernel",
            shape=(height, width, patch, filters),
            initializer=self.kernel_initializer,
        )
        self.bias = self.add_weight(
            name="bias",
            shape=(height, width, filters),
            initializer=self.bias_initializer,
        )

    def call(self, inputs):
        before_after = list(self.padding)
        padded = tf.pad(inputs, [[0, 0], before_after, before_after, [0, 0]])
        height, width = self.kernel.shape[:2]
        # The gradient of slices is cheaper than that of tf.image.extract_patches.
        patches = tf.concat(
            [
                padded[:, row : row + height, column : column + width]
                for row in range(self.kernel_size)
                for column in range(self.kernel_size)
            ],
            axis=-1,
        )
        return tf.einsum("nhwt,hwtf->nhwf", patches, self.kernel) + self.bias

    def compute_output_shape(self, input_shape):
        batch, height, width, _ = input_shape
        grow = sum(self.padding) - self.kernel_size + 1
        return (batch, height + grow, width + grow, self.filters)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "padding": self.padding,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }
