"""An export composes transparent pixels with the background of its net."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from alexnet_tf.models import builder, trained
from alexnet_tf.serving import (
    export_verification,
    exporting,
    local_model,
    preflight,
)
from alexnet_tf.training import checkpoint
from tests.support import answers, by_hand, images


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """An export of a net with a black background, whose answers depend on pixels."""
    run = tmp_path_factory.mktemp("run")
    net = dataclasses.replace(by_hand.TRAINED, background=(0, 0, 0))
    trained.write_trained_net(run, net)
    model = builder.build(by_hand.NET, mean=net.mean, dropout=net.dropout, seed=1)
    for weight in model.trainable_variables:
        weight.assign(np.random.default_rng(1).normal(0, 0.05, weight.shape))
    velocities = [tf.Variable(tf.zeros(v.shape)) for v in model.trainable_variables]
    checkpoint.Checkpoints(run, model, velocities, net).save(1, {})
    return exporting.export(run)


UNSEEN = images.encode(Image.new("RGBA", (8, 6), (9, 9, 9, 0)), "PNG")


@pytest.fixture(scope="module")
def served(path):
    return tf.saved_model.load(str(path)).signatures


def test_a_transparent_image_is_black_in_the_graph_and_in_this_process(path, served):
    scores = {
        level: served["predict_images"](image=tf.fill([1, 6, 8, 3], np.uint8(level)))[
            "scores"
        ].numpy()
        for level in (0, 255)
    }
    assert np.abs(scores[0] - scores[255]).max() > 0.01
    found = served["serving_default"](image_bytes=tf.constant([UNSEEN]))["scores"]
    np.testing.assert_allclose(found, scores[0], atol=1e-6)
    found = local_model.Model(path).classify(UNSEEN).scores
    np.testing.assert_allclose(found, scores[0][0], atol=1e-6)


def test_the_check_of_an_export_uses_the_background_of_its_net(
    path, served, monkeypatch
):
    replay = answers.replay(served, "serving_default", UNSEEN)
    monkeypatch.setattr(preflight, "check_export", lambda _: [replay])
    assert export_verification.verify_export(path) == (path, ["serving_default"])
