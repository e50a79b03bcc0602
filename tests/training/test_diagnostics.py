"""Sizes of weights and updates, and the warning about a stuck loss."""

import math

import keras
import pytest
import tensorflow as tf

from alexnet_tf.training import diagnostics


def test_mean_magnitudes_and_their_ratio_by_hand():
    variable = keras.Variable([[1.0, -3.0]], name="kernel")
    velocity = tf.Variable([[0.02, -0.06]])
    statistics = diagnostics.weight_statistics([variable], {"kernel": velocity})
    assert statistics == pytest.approx(
        {"kernel/weight": 2.0, "kernel/update": 0.04, "kernel/ratio": 0.02}
    )


def test_weights_that_are_all_zero_have_ratio_zero():
    statistics = diagnostics.weight_statistics(
        [keras.Variable([0.0], name="bias")], {"bias": tf.Variable([0.5])}
    )
    assert statistics["bias/ratio"] == 0.0


def warned(losses, *, classes=10, steps=30):
    flat = diagnostics.FlatLoss(classes, steps)
    return [flat.observe(10, loss) is not None for loss in losses]


def test_a_loss_of_random_guessing_is_reported_once():
    chance = math.log(10)
    assert warned([chance] * 5) == [False, False, True, False, False]


def test_a_loss_that_leaves_restarts_the_count():
    chance = math.log(10)
    losses = [chance, chance, 2.0, chance, chance, chance, 1.9, *[chance] * 3]
    assert warned(losses) == [False] * 5 + [True] + [False] * 3 + [True]


@pytest.mark.parametrize("loss", [0.985 * math.log(10), 1.015 * math.log(10)])
def test_a_loss_beyond_one_percent_is_not_random_guessing(loss):
    assert not any(warned([loss] * 10))


def test_one_percent_is_relative_to_the_number_of_classes():
    assert any(warned([6.85] * 10, classes=1000))
    assert not any(warned([6.85] * 10, classes=800))


def test_zero_steps_never_warn():
    assert not any(warned([math.log(10)] * 100, steps=0))


def test_the_warning_names_the_steps_and_the_flags():
    text = diagnostics.FlatLoss(10, 5).observe(5, math.log(10))
    assert "2.303" in text
    assert "5 steps" in text
    assert "--init=cuda_convnet" in text
