"""Dropout: its two conventions, and its masks as a function of seed and step."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.models import layers
from tests.support.arrays import noise

ONES = np.ones((100, 1000), np.float32)


def masks(layer, steps, x=ONES):
    return [layer(x, training=True).numpy() for _ in range(steps)]


@pytest.mark.parametrize("rate", [0.5, 0.2])
def test_original_dropout_does_not_scale_activations_in_training(rate):
    (kept,) = masks(layers.Dropout(rate), 1)
    assert set(np.unique(kept)) == {0.0, 1.0}
    # 100,000 draws: five standard deviations.
    assert kept.mean() == pytest.approx(1 - rate, abs=5 * np.sqrt(0.25 / ONES.size))


def test_original_dropout_multiplies_by_one_minus_rate_at_test_time():
    x = noise(4, 6)
    np.testing.assert_array_equal(layers.Dropout(0.5)(x), x / 2)
    np.testing.assert_allclose(layers.Dropout(0.2)(x), x * 0.8, rtol=1e-6)


def test_inverted_dropout_scales_in_training_and_changes_nothing_at_test_time():
    layer = layers.Dropout(0.2, "inverted")
    (kept,) = masks(layer, 1)
    np.testing.assert_allclose(np.unique(kept), [0, 1.25], rtol=1e-6)
    np.testing.assert_array_equal(layer(ONES), ONES)


@pytest.mark.parametrize("convention", ["original", "inverted"])
def test_in_both_conventions_the_mean_in_training_is_the_output_at_test_time(
    convention,
):
    layer = layers.Dropout(0.3, convention)
    x = np.abs(noise(1, 200)) + 1
    mean = np.mean(masks(layer, 400, x), axis=0)
    error = x * np.sqrt(0.3 * 0.7 / 400) / (0.7 if convention == "inverted" else 1)
    assert (np.abs(mean - layer(x)) < 5 * error).all()


def test_a_mask_depends_on_seed_and_step_only():
    layer = layers.Dropout(0.5, seed=3)
    first, second, third = masks(layer, 3)
    assert int(layer.step) == 3
    assert (first != second).any()
    assert (second != third).any()
    layer.step.assign(1)
    np.testing.assert_array_equal(masks(layer, 2), [second, third])
    np.testing.assert_array_equal(masks(layers.Dropout(0.5, seed=3), 1)[0], first)


def philox(key, step, places):
    """Philox 4x32-10 (Salmon et al., 2011, figure 2): [places, 4] of 32 bits."""
    place = np.arange(places, dtype=np.uint64)
    zeros = np.zeros_like(place)
    words = [place, zeros, zeros + np.uint64(step), zeros]
    keys = [np.uint64(key), np.uint64(0)]
    low, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    for _ in range(10):
        one = words[0] * np.uint64(0xD2511F53)
        two = words[2] * np.uint64(0xCD9E8D57)
        words = [
            (two >> shift) ^ words[1] ^ keys[0],
            two & low,
            (one >> shift) ^ words[3] ^ keys[1],
            one & low,
        ]
        weyl = (0x9E3779B9, 0xBB67AE85)
        keys = [(k + np.uint64(w)) & low for k, w in zip(keys, weyl, strict=True)]
    return np.stack(words, 1)


def test_a_mask_is_philox_of_seed_step_and_place():
    layer = layers.Dropout(0.5, seed=3)
    layer.build((4, 6))
    layer.step.assign(2)
    kept = layer(np.ones((4, 6), np.float32), training=True).numpy()
    # A number's 23 lowest bits are its fraction, whose first is a half.
    expected = (philox(3, 2, 6) >> np.uint64(22)) & np.uint64(1)
    np.testing.assert_array_equal(kept.ravel(), expected.ravel())


def test_no_random_key_is_computed_on_the_host():
    layer = layers.Dropout()
    layer.build((4, 6))
    function = tf.function(lambda x: layer(x, training=True))
    graph = function.get_concrete_function(tf.TensorSpec([4, 6])).graph
    kinds = {op.type for op in graph.get_operations()}
    assert "StatelessRandomUniformV2" in kinds
    assert not kinds & {"StatelessRandomGetKeyCounter", "StatelessRandomUniform"}


def test_masks_of_two_seeds_and_two_steps_are_independent():
    masks_ = masks(layers.Dropout(seed=0), 2) + masks(layers.Dropout(seed=1), 2)
    agreement = [(a == b).mean() for i, a in enumerate(masks_) for b in masks_[i + 1 :]]
    np.testing.assert_allclose(agreement, 0.5, atol=5 * np.sqrt(0.25 / ONES.size))


def test_a_traced_call_draws_the_masks_of_an_eager_one_and_counts_steps():
    eager, traced = layers.Dropout(seed=2), layers.Dropout(seed=2)
    traced.build(ONES.shape)
    function = tf.function(lambda x: traced(x, training=True))
    np.testing.assert_array_equal([function(ONES), function(ONES)], masks(eager, 2))
    assert int(traced.step) == 2


def test_calls_at_test_time_draw_no_mask():
    layer = layers.Dropout()
    layer(ONES)
    layer(ONES, training=False)
    assert int(layer.step) == 0


def test_building_a_model_draws_no_mask():
    layer = layers.Dropout()
    model = keras.Sequential([keras.Input((6,)), layer])
    assert int(layer.step) == 0
    assert model.count_params() == 0


@pytest.mark.parametrize(("convention", "factor"), [("original", 1), ("inverted", 2)])
def test_the_gradient_passes_where_activations_were_kept(convention, factor):
    layer = layers.Dropout(0.5, convention)
    x = tf.Variable(ONES[:10, :10])
    with tf.GradientTape() as tape:
        y = layer(x, training=True)
    gradient = tape.gradient(y, x).numpy()
    np.testing.assert_array_equal(gradient, factor * (y.numpy() > 0))


def test_dropout_in_bfloat16_draws_the_masks_of_float32():
    low = layers.Dropout(seed=5, dtype="mixed_bfloat16")
    x = noise(10, 20)
    found = tf.cast(low(x, training=True), tf.float32)
    expected = tf.cast(layers.Dropout(seed=5)(x, training=True), tf.bfloat16)
    np.testing.assert_array_equal(found, tf.cast(expected, tf.float32))


@pytest.mark.parametrize("rate", [-0.1, 1.0, 2])
def test_an_impossible_rate_is_rejected(rate):
    with pytest.raises(ValueError, match=f"at least 0 and below 1, got {rate}"):
        layers.Dropout(rate)


def test_an_unknown_convention_is_rejected():
    with pytest.raises(ValueError, match="one of original, inverted, got 'alpha'"):
        layers.Dropout(convention="alpha")
