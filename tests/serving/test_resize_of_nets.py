"""Everything that shows an image to a net resizes it by the net's own rule."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import alexnet_tf
from alexnet_tf import features
from alexnet_tf.data import preparation
from alexnet_tf.evaluation import evaluator
from alexnet_tf.models import builder, trained
from alexnet_tf.runtime import options
from alexnet_tf.serving import (
    export_verification,
    exporting,
    local_model,
    model_versions,
    preflight,
)
from alexnet_tf.training import assembly, checkpoint
from tests.support import answers, by_hand, images, runs

RULES = ("crop", "squash")

# Twelve columns of six pixels: a black quarter, a gray half and a white quarter.
STRIPES = np.repeat(
    np.repeat([0] * 3 + [128] * 6 + [255] * 3, 3).reshape(1, 12, 3), 6, axis=0
).astype(np.uint8)
# The columns that the net sees, the inner four of six. Of the image as it is cropped all
# are gray. Squashed, the six are 0, 64, 128, 128, 191.5 and 255.
SEEN = {"crop": (128, 128, 128, 128), "squash": (64, 128, 128, 192)}


def probabilities(rule):
    """What the net of `run` gives: it compares the left with the right half."""
    seen = np.array(SEEN[rule]) / 255
    exponents = np.exp([4 * seen[:2].mean(), 4 * seen[2:].mean(), *[0.0] * 5])
    return exponents / exponents.sum()


@pytest.fixture(scope="module", params=RULES)
def rule(request):
    return request.param


@pytest.fixture(scope="module")
def run(rule, tmp_path_factory):
    """A run folder of a net that reads how bright both halves of its crop are."""
    folder = tmp_path_factory.mktemp("run")
    net = trained.TrainedNet(
        by_hand.NET,
        tuple(f"c{number}" for number in range(7)),
        np.zeros((4, 4, 3), np.float32),
        *("inverted", "float32", "/nowhere", "0"),
        resize=rule,
    )
    trained.write_trained_net(folder, net)
    model = builder.build(by_hand.NET, mean=net.mean, dropout=net.dropout)
    halves = np.zeros((4, 4, 3, 2), np.float32)
    halves[:, :2, :, 0] = halves[:, 2:, :, 1] = 1 / (255 * 24)
    compared = np.zeros((2, 7), np.float32)
    compared[0, 0] = compared[1, 1] = 4
    for variable in model.trainable_variables:
        value = {"fc1/kernel": halves.reshape(48, 2), "fc2/kernel": compared}
        variable.assign(value.get(variable.path, np.zeros(variable.shape)))
    velocities = [tf.Variable(tf.zeros(v.shape)) for v in model.trainable_variables]
    checkpoint.Checkpoints(folder, model, velocities, net).save(1, {})
    return folder


@pytest.fixture(scope="module")
def exported(run):
    return exporting.export(run, top=7)


@pytest.fixture(scope="module")
def served(exported):
    return tf.saved_model.load(str(exported)).signatures


def by_class(answer):
    return [score for _, score in sorted(answer)]


def test_a_net_in_python_uses_its_rule(run, rule):
    (found,) = alexnet_tf.load(run).predict([STRIPES], top=7)
    np.testing.assert_allclose(by_class(found), probabilities(rule), atol=1e-6)


def test_a_keras_file_uses_the_rule_of_its_net(run, rule):
    path = exporting.export(run, format="keras")
    (found,) = alexnet_tf.load(path).predict([STRIPES], top=7)
    np.testing.assert_allclose(by_class(found), probabilities(rule), atol=1e-6)


# Tracing a graph takes seconds; test_signatures.py tests graphs of the default rule.
not_the_default = pytest.mark.parametrize("rule", ["squash"], indirect=True)


@not_the_default
def test_a_graph_uses_the_rule_of_its_net(exported, served, rule):
    encoded, other = (
        images.encode(Image.fromarray(STRIPES), kind) for kind in ("PNG", "BMP")
    )
    for name, inputs in (
        ("serving_default", {"image_bytes": tf.constant([encoded])}),
        ("serving_default", {"image_bytes": tf.constant([other])}),
        ("predict_images", {"image": tf.constant(STRIPES[None])}),
        ("predict_float_images", {"image": tf.constant(STRIPES[None], tf.float32)}),
    ):
        found = served[name](**inputs)["probabilities"][0]
        np.testing.assert_allclose(found, probabilities(rule), atol=1e-6)
    seen = np.array(SEEN[rule]) / 255
    found = served["features"](image_bytes=tf.constant([encoded]))["features"][0]
    np.testing.assert_allclose(found, [seen[:2].mean(), seen[2:].mean()], atol=1e-6)
    found = local_model.Model(exported).classify(encoded)
    scores = by_class(zip(found.classes, found.scores, strict=True))
    np.testing.assert_allclose(scores, probabilities(rule), atol=1e-6)


@not_the_default
def test_the_check_of_an_export_uses_the_rule_of_its_net(
    exported, served, rule, monkeypatch
):
    encoded = images.encode(Image.fromarray(STRIPES), "PNG")
    replay = answers.replay(served, "serving_default", encoded)
    monkeypatch.setattr(preflight, "check_export", lambda path: [replay])
    found, _ = export_verification.verify_export(exported)
    assert found == exported
    origin = json.loads(model_versions.origin_file(exported).read_text())
    assert origin["resize"] == rule


@not_the_default
def test_the_check_of_an_export_names_a_rule_that_changed(
    exported, run, rule, monkeypatch
):
    monkeypatch.setattr(preflight, "check_export", lambda path: [])
    net = trained.read_trained_net(run)
    (other,) = set(RULES) - {rule}
    trained.write_trained_net(run, dataclasses.replace(net, resize=other))
    try:
        with pytest.raises(
            preflight.CheckError, match=f"with the resize rule {rule}, and .*{other}"
        ):
            export_verification.verify_export(exported)
    finally:
        trained.write_trained_net(run, net)


def test_the_rule_is_read_as_it_was_written_and_no_other_is(run, rule, tmp_path):
    net = trained.read_trained_net(run)
    assert net.resize == rule
    trained.write_trained_net(tmp_path, net)
    described = json.loads((tmp_path / "model.json").read_text())
    assert described["resize"] == rule
    for wrong in ("stretch", 3, ["crop"], None):
        described["resize"] = wrong
        (tmp_path / "model.json").write_text(json.dumps(described))
        with pytest.raises(ValueError, match="resize must be crop or squash, got"):
            trained.read_trained_net(tmp_path)


def test_the_features_of_files_use_the_rule_of_their_net(run, rule, tmp_path):
    (tmp_path / "images").mkdir()
    Image.fromarray(STRIPES).save(tmp_path / "images/0.png")
    chosen = options.replace(
        features.FeaturesOptions(),
        checkpoint=str(run),
        layer=("fc1",),
        images=str(tmp_path / "images"),
        output=str(tmp_path / "features.npz"),
    )
    features.main(chosen, [])
    seen = np.array(SEEN[rule]) / 255
    with np.load(tmp_path / "features.npz") as found:
        np.testing.assert_allclose(
            found["fc1"], [[seen[:2].mean(), seen[2:].mean()]], atol=1e-6
        )


def test_the_weights_of_a_net_of_another_rule_are_warned_of(
    small_dataset, trained_run, tmp_path, monkeypatch, caplog
):
    squashed = dataclasses.replace(small_dataset, resize="squash")
    monkeypatch.setattr(preparation, "find_or_prepare", lambda *_, **__: squashed)
    chosen = runs.train_options_of(
        small_dataset, tmp_path / "run", weights=str(trained_run)
    )
    with caplog.at_level("WARNING", logger="absl"):
        assert assembly.assemble(chosen).trained.resize == "squash"
    (warning,) = caplog.messages
    assert "with --resize=squash, and the weights of" in warning
    assert "with --resize=crop: the trained net has that of the dataset" in warning


def test_a_dataset_of_another_rule_is_warned_of(tmp_path, caplog):
    dataset = by_hand.write_dataset(tmp_path)
    net = trained.read_trained_net(
        by_hand.write_run(tmp_path / "run", dataset, "original")
    )
    with caplog.at_level("WARNING", logger="absl"):
        evaluator.dataset_of(net)
        assert not caplog.records
        evaluator.dataset_of(dataclasses.replace(net, resize="squash"), dataset.path)
    (warning,) = caplog.messages
    assert warning.startswith(
        f"{dataset.path} was prepared with --resize=crop, and the net is of images with "
        "--resize=squash"
    )
