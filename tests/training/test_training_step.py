"""What a step returns of its batch, and the gradients that it applies."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.models import layers
from alexnet_tf.training import schedule, training_step
from tests.support import arrays


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_loss_and_error_are_those_of_the_logits_in_double_precision(policy):
    """Also where the net computes in bfloat16: a loss of 2.301 would become 2.297."""
    image = keras.Input((6,), dtype="float32")
    net = keras.Model(image, layers.Dense(10, dtype=policy)(image))
    inputs, labels = (
        tf.constant(arrays.noise(64, 6)),
        np.arange(64, dtype=np.int32) % 10,
    )
    applied = []
    rule = types.SimpleNamespace(
        apply=lambda gradients, rates: applied.append(gradients)
    )
    step = training_step.Step(net, rule).trace(
        tf.data.Dataset.from_tensors((inputs, labels))
    )
    rates = schedule.LearningRates(0.1, 0.1, 1.0).tensors()
    loss, error, vote = step(inputs, tf.constant(labels), rates).numpy()

    logits = tf.cast(net(inputs, training=True), tf.float64).numpy()
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    own = shares[np.arange(64), labels]
    assert loss == pytest.approx(-np.log(own).mean(), rel=1e-6)
    wrong = (logits.argmax(axis=1) != labels).mean()
    assert error == pytest.approx(100 * wrong, abs=1e-4)
    assert vote == 0
    (gradients,) = applied
    shapes = [variable.shape for variable in net.trainable_variables]
    assert [gradient.shape for gradient in gradients] == shapes
