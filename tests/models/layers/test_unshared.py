"""The unshared convolution against a loop over positions."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.models import layers
from tests.support.arrays import noise, padded


@pytest.mark.parametrize(
    ("size", "padding"), [(3, (1, 1)), (3, (0, 0)), (2, (1, 0)), (1, (0, 0))]
)
def test_an_unshared_convolution_equals_a_loop_over_positions(size, padding):
    x = noise(2, 5, 6, 3)
    layer = layers.UnsharedConvolution(
        4, size, padding, bias_initializer=keras.initializers.RandomNormal(seed=1)
    )
    found = layer(x)
    wide = padded(x, *padding)
    height, width = (s + sum(padding) - size + 1 for s in (5, 6))
    expected = np.zeros((2, height, width, 4))
    kernel, bias = layer.kernel.numpy(), layer.bias.numpy()
    for row in range(height):
        for column in range(width):
            patch = wide[:, row : row + size, column : column + size].reshape(2, -1)
            expected[:, row, column] = patch @ kernel[row, column] + bias[row, column]
    assert found.shape == layer.compute_output_shape(x.shape) == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_an_unshared_convolution_with_equal_kernels_is_a_convolution():
    x = noise(1, 6, 6, 2)
    kernel = noise(3, 3, 2, 4, seed=1)
    layer = layers.UnsharedConvolution(4, 3, (1, 1))
    layer.build(x.shape)
    layer.kernel.assign(np.tile(kernel.reshape(18, 4), (6, 6, 1, 1)))
    expected = tf.nn.conv2d(x, kernel, 1, "SAME")
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"filters": 0}, "filters must be a whole number of at least 1, got 0"),
        ({"kernel_size": (3, 3)}, "kernel_size must be a whole number of at least 1"),
        ({"padding": "same"}, r"padding must be \(before, after\).*got 'same'"),
        ({"activation": "relu"}, "activation"),
        ({"strides": 2}, "strides"),
    ],
)
def test_arguments_that_the_layer_does_not_have_are_rejected(arguments, message):
    with pytest.raises(ValueError, match=message):
        layers.UnsharedConvolution(**{"filters": 4, "kernel_size": 3, **arguments})
