"""The convolution layer against hand-made padding and `tf.nn.conv2d`."""

import hypothesis
import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from alexnet_tf.models import layers
from tests.support.arrays import noise, padded

FEW = hypothesis.settings(deadline=None, max_examples=15)


@FEW
@hypothesis.example(kernel=4, stride=1, before=2, after=2)
@hypothesis.example(kernel=5, stride=1, before=2, after=2)
@hypothesis.given(
    kernel=st.integers(1, 5),
    stride=st.integers(1, 4),
    before=st.integers(0, 3),
    after=st.integers(0, 3),
)
def test_a_convolution_pads_exactly_as_explicit_padding_says(
    kernel, stride, before, after
):
    x = noise(2, 9, 9, 3)
    layer = layers.Convolution(
        4, kernel, strides=stride, explicit_padding=(before, after)
    )
    found = layer(x)
    assert found.shape == layer.compute_output_shape(x.shape)
    expected = tf.nn.conv2d(padded(x, before, after), layer.kernel, stride, "VALID")
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_the_first_convolution_is_padded_to_the_right_and_below_only():
    layer = layers.Convolution(2, 11, strides=4, explicit_padding=(0, 3))
    x = noise(1, 224, 224, 3)
    by_hand = np.zeros((1, 227, 227, 3), np.float32)
    by_hand[:, :224, :224] = x
    found = layer(x)
    assert found.shape == (1, 55, 55, 2)
    expected = tf.nn.conv2d(by_hand, layer.kernel, 4, "VALID")
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_a_convolution_adds_its_bias():
    layer = layers.Convolution(
        3, 3, explicit_padding=(1, 1), bias_initializer=keras.initializers.Constant(2.5)
    )
    layer.build((1, 4, 4, 2))
    np.testing.assert_array_equal(layer(np.zeros((1, 4, 4, 2), np.float32)), 2.5)


def test_rectangular_kernels_are_padded_alike_on_both_axes():
    x = noise(2, 9, 9, 3)
    layer = layers.Convolution(4, (3, 2), explicit_padding=(1, 1))
    found = layer(x)
    assert found.shape == layer.compute_output_shape(x.shape) == (2, 9, 10, 4)
    expected = tf.nn.conv2d(padded(x, 1, 1), layer.kernel, 1, "VALID")
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"padding": "same"}, "padding='valid', got 'same': use explicit_padding"),
        ({"activation": "relu"}, "activation='linear', got 'relu': add the activation"),
        ({"dilation_rate": 2}, r"dilation_rate=\(1, 1\), got \(2, 2\): use keras"),
        ({"groups": 2}, "groups=1, got 2: use keras.layers.Conv2D"),
        ({"use_bias": False}, "use_bias=True, got False: use keras.layers.Conv2D"),
        ({"data_format": "channels_first"}, "data_format='channels_last', got"),
        ({"explicit_padding": 1}, r"explicit_padding must be \(before, after\).*got 1"),
        ({"explicit_padding": (1, -1)}, r"at least 0, got \(1, -1\)"),
    ],
)
def test_arguments_that_the_layer_would_ignore_are_rejected(arguments, message):
    with pytest.raises(ValueError, match=message):
        layers.Convolution(4, 3, **arguments)


def test_the_layer_does_not_depend_on_keras_default_data_format():
    before = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_first")
    try:
        layer = layers.Convolution(4, 3)
        assert layer(noise(2, 9, 9, 3)).shape == (2, 7, 7, 4)
    finally:
        keras.config.set_image_data_format(before)
