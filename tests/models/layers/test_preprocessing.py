"""Preprocessing against a loop over images in double precision."""

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.models import layers


def finished_by_hand(image, mirror, shift, gain, mean):
    finished = []
    for crop, turned, color, factor in zip(image, mirror, shift, gain, strict=True):
        crop = crop[:, ::-1] if turned else crop
        finished.append((crop - mean.astype(np.float64) + color) * factor)
    return np.array(finished)


def crops():
    rng = np.random.default_rng(0)
    return {
        "image": rng.integers(0, 256, (3, 4, 5, 3)).astype(np.uint8),
        "mirror": np.array([True, False, True]),
        "shift": rng.normal(0, 10, (3, 3)).astype(np.float32),
        "gain": np.array([1, 1 / 1.1, 0.5], np.float32),
    }


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("shape", [(4, 5, 3), (3,)], ids=["mean image", "means"])
def test_preprocessing_applies_mirror_color_mean_and_gain(shape, jit):
    mean = np.random.default_rng(1).uniform(0, 255, shape)
    found = layers.Preprocessing(mean, jit)(**crops())
    assert found.dtype == tf.float32
    expected = finished_by_hand(**crops(), mean=mean)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


def test_the_mean_is_not_mirrored_with_the_image():
    mean = np.zeros((1, 2, 3))
    mean[0, 0] = 100  # left
    image = np.full((1, 1, 2, 3), 100, np.uint8)
    found = layers.Preprocessing(mean)(
        image, np.array([True]), np.zeros((1, 3), np.float32), np.ones(1, np.float32)
    )
    np.testing.assert_array_equal(found[0, 0, :, 0], [0, 100])


def test_preprocessing_in_bfloat16_rounds_only_the_result():
    mean = np.random.default_rng(1).uniform(100, 101, (4, 5, 3))
    layer = layers.Preprocessing(mean, dtype="mixed_bfloat16")
    found = layer(**crops())
    assert found.dtype == tf.bfloat16
    expected = finished_by_hand(**crops(), mean=mean)
    np.testing.assert_allclose(
        tf.cast(found, tf.float32), expected, rtol=2**-8, atol=1e-4
    )
