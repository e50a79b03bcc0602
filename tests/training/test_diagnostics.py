"""Weights beside updates, and the warning about a loss that stays."""

import math

import keras
import pytest
import tensorflow as tf

from alexnet_tf.training import diagnostics


def test_mean_magnitudes_and_their_ratio_by_hand():
    variable = keras.Variable([[1.0, -3.0]], name="kernel")
    velocity = tf.Variable([[0.02, -0.06]])
    statistics = diagnostics.weight_statistics([variable], [velocity])
    assert statistics == pytest.approx(
        {"kernel/weight": 2.0, "kernel/update": 0.04, "kernel/ratio": 0.02}
    )


def test_zero_weights_have_ratio_zero():
    statistics = diagnostics.weight_statistics(
        [keras.Variable([0.0], name="bias")], [tf.Variable([0.5])]
    )
    assert statistics["bias/ratio"] == 0.0


def told(losses, *, classes=10, steps=30):
    flat = diagnostics.FlatLoss(classes, steps)
    return [flat.observe(10, loss) is not None for loss in losses]


def test_a_loss_at_chance_is_told_once():
    chance = math.log(10)
    assert told([chance] * 5) == [False, False, True, False, False]


def test_a_loss_that_leaves_starts_the_count_again():
    chance = math.log(10)
    losses = [chance, chance, 2.0, chance, chance, chance, 1.9, *[chance] * 3]
    assert told(losses) == [False] * 5 + [True] + [False] * 3 + [True]


@pytest.mark.parametrize("loss", [0.985 * math.log(10), 1.015 * math.log(10)])
def test_beyond_one_percent_is_not_chance(loss):
    assert not any(told([loss] * 10))


def test_within_one_percent_is_chance_whatever_the_classes():
    assert any(told([6.85] * 10, classes=1000))
    assert not any(told([6.85] * 10, classes=800))


def test_zero_steps_never_tells():
    assert not any(told([math.log(10)] * 100, steps=0))


def test_the_warning_names_the_steps_and_the_flags():
    text = diagnostics.FlatLoss(10, 5).observe(5, math.log(10))
    assert "2.303" in text
    assert "5 steps" in text
    assert "--init=cuda_convnet" in text
