"""Convolution whose kernel differs at every position."""

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="alexnet_tf")
class UnsharedConvolution(keras.layers.Layer):
    """A convolution with a kernel and a bias of its own at every position.

    cuda-convnet's `local` layer, paper section 3.3's CIFAR-10 net. Stride 1;
    `padding` = zeros (before, after) on both spatial axes.

    Input [N, H, W, C]; kernel [H', W', size * size * C, filters], bias
    [H', W', filters]; output [N, H', W', filters].
    """

    def __init__(
        self,
        filters: int,
        size: int,
        padding: tuple[int, int] = (0, 0),
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.filters = filters
        self.size = size
        self.padding = tuple(padding)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def build(self, input_shape):
        _, height, width, filters = self.compute_output_shape(input_shape)
        taps = self.size * self.size * input_shape[-1]
        self.kernel = self.add_weight(
            name="kernel",
            shape=(height, width, taps, filters),
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
        # Slices, whose gradient is cheaper than that of tf.image.extract_patches.
        patches = tf.concat(
            [
                padded[:, row : row + height, column : column + width]
                for row in range(self.size)
                for column in range(self.size)
            ],
            axis=-1,
        )
        return tf.einsum("nhwt,hwtf->nhwf", patches, self.kernel) + self.bias

    def compute_output_shape(self, input_shape):
        batch, height, width, _ = input_shape
        grow = sum(self.padding) - self.size + 1
        return (batch, height + grow, width + grow, self.filters)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "filters": self.filters,
            "size": self.size,
            "padding": self.padding,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }
