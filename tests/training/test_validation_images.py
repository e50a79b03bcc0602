"""What TensorBoard shows of a net at each validation, and that it changes nothing."""

import collections
import types

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing import event_accumulator
from tensorboard.plugins.histogram import summary_v2

from alexnet_tf.evaluation import image_sets
from alexnet_tf.models import builder, layers
from alexnet_tf.training import run_log, trainer, validation_images
from tests.support import arrays, nets, runs
from tests.support.images import random_image


def tags_by_step(folder):
    """The tags of all summaries that are not scalars, by step."""
    events = event_accumulator.EventAccumulator(
        str(folder), size_guidance={"tensors": 0}
    )
    events.Reload()
    found = collections.defaultdict(set)
    for tag in events.Tags()["tensors"]:
        for event in events.Tensors(tag):
            if event.tensor_proto.tensor_shape.dim:
                found[event.step].add(tag)
    return dict(found)


def image_set(labels, side=99, damaged=()):
    views = [
        None
        if number in damaged
        else image_sets.View(random_image(number, side, side), label)
        for number, label in enumerate(labels)
    ]
    return types.SimpleNamespace(count=len(views), read=views.__getitem__)


def look_at(net, images):
    names = [f"class {n}" for n in range(5)]
    return validation_images.Look(net, nets.SMALL, lambda: images, names)


@pytest.fixture(scope="module")
def small_net():
    return nets.small_net(mean=np.full((99, 99, 3), 100, np.float32), seed=1)


def test_every_weight_has_a_histogram_of_all_its_values(small_net):
    shown = look_at(small_net, image_set([0, 1]))()
    paths = {variable.path: variable for variable in small_net.trainable_variables}
    assert shown.histograms.keys() == paths.keys()
    for path, buckets in shown.histograms.items():
        assert buckets[:, 2].sum() == np.prod(paths[path].shape)


@pytest.mark.parametrize("scale", [1.0, 1e-6])
def test_a_histogram_is_that_of_tensorboard(scale):
    values = arrays.noise(7, 40).astype(np.float64) * scale
    proto = summary_v2.histogram_pb("tag", values).value[0].tensor
    found = validation_images.histogram(values)
    np.testing.assert_allclose(found, tf.make_ndarray(proto), rtol=1e-6, atol=1e-12)


def test_a_histogram_of_equal_weights_holds_them():
    buckets = validation_images.histogram(np.full(12, 0.5, np.float32))
    (row,) = buckets[buckets[:, 2] > 0]
    assert row[0] <= 0.5 <= row[1]
    assert row[2] == 12


def test_a_histogram_of_weights_that_differ_in_their_last_bit_has_both():
    values = np.float32([1, 1, np.nextafter(np.float32(1), np.float32(2))])
    buckets = validation_images.histogram(values)
    assert list(buckets[[0, -1], 2]) == [2, 1]
    assert buckets[:, 2].sum() == 3


def test_the_kernels_of_the_towers_stand_one_below_the_other(small_net):
    pixels = validation_images.first_kernels(small_net, nets.SMALL)
    # Three kernels of 11 weights in each tower, four times as large, four between.
    assert pixels.shape == (2 * 44 + 16, 3 * 48 - 4, 3)
    first, second = (part.kernel.numpy() for part in nets.towers_of(small_net, "conv1"))
    scale = max(np.abs(first).max(), np.abs(second).max())
    for top, kernels in ((0, first), (60, second)):
        for number in range(3):
            left = 48 * number
            shown = pixels[top : top + 44 : 4, left : left + 44 : 4].astype(float)
            expected = 127.5 + 127.5 * kernels[..., number] / scale
            np.testing.assert_allclose(shown, expected, atol=0.51)


def bars_in(tile, image_width):
    """The colored bars of a prediction, from above: (width in pixels, color)."""
    panel = tile[:, image_width + 4 :].astype(int)
    found = []
    for color in ((0, 158, 115), (150, 150, 150)):
        solid = (panel == color).all(axis=-1)
        rows = solid[:, 0] & solid[:, :1].all(axis=1)
        starts = np.flatnonzero(rows & ~np.roll(rows, 1))
        found += [(row, int(solid[row].sum()), color) for row in starts]
    return [(width, color) for _, width, color in sorted(found)]


def test_a_prediction_is_the_image_with_bars_of_the_best_classes():
    pixels = random_image(3, 64, 64)
    probabilities = np.array([0.1, 0.5, 0.05, 0.3, 0.02, 0.03])
    tile = validation_images.prediction_image(pixels, 3, probabilities, list("abcdef"))
    np.testing.assert_array_equal(tile[:128:2, :128:2], pixels)
    green, gray = (0, 158, 115), (150, 150, 150)
    expected = [(95, gray), (57, green), (19, gray), (10, gray), (6, gray)]
    assert bars_in(tile, 128) == expected


def test_few_classes_and_names_in_any_script_are_drawn():
    pixels = random_image(0, 24, 24)
    names = ["\u732b \U0001f408", "x" * 300]
    tile = validation_images.prediction_image(pixels, 0, np.array([0.0, 1.0]), names)
    assert bars_in(tile, 144) == [(190, (150, 150, 150))]


def test_predictions_are_the_nets_own_of_images_spread_over_the_split(small_net):
    images = image_set(list(range(5)) * 20)
    look = look_at(small_net, images)
    shown = look().predictions
    places = [0, 20, 40, 59, 79, 99]
    views = [images.read(place) for place in places]
    pixels = np.stack([view.pixels for view in views])
    logits = small_net(layers.plain_inputs(tf.constant(pixels)))
    probabilities = tf.nn.softmax(logits).numpy()
    for tile, view, of_image in zip(shown, views, probabilities, strict=True):
        expected = validation_images.prediction_image(*view, of_image, look.class_names)
        np.testing.assert_array_equal(tile, expected)


def test_damaged_records_that_are_skipped_are_left_out(small_net):
    images = image_set([0, 1, 2, 3], damaged=(0, 2))
    assert len(look_at(small_net, images)().predictions) == 2
    images = image_set([0, 1], damaged=(0, 1))
    assert look_at(small_net, images)().predictions == []


def options_of(dataset, run_dir, **changes):
    chosen = {"epochs": 2.0, "checkpoint_steps": 2, "log_images": True, **changes}
    return runs.tiny_options_of(dataset, run_dir, **chosen)


@pytest.fixture(scope="module")
def shown(small_dataset, tmp_path_factory):
    """The run folder of two epochs whose net is looked at."""
    run_dir = tmp_path_factory.mktemp("runs") / "shown"
    runs.train(options_of(small_dataset, run_dir))
    return run_dir


@pytest.fixture(scope="module")
def plain(small_dataset, tmp_path_factory):
    """The run folder of the same run without images."""
    run_dir = tmp_path_factory.mktemp("runs") / "plain"
    runs.train(options_of(small_dataset, run_dir, log_images=False))
    return run_dir


def test_tensorboard_gets_them_at_each_validation(shown):
    predictions = {f"predictions/{number}" for number in range(6)}
    assert tags_by_step(shown / "validation") == {
        step: {"filters", *predictions} for step in (3, 6)
    }
    weights = [
        f"{layer}/{w}" for layer in ("conv1", "fc10") for w in ("kernel", "bias")
    ]
    histograms = {f"{path}/histogram" for path in weights}
    assert tags_by_step(shown / "weights") == dict.fromkeys((3, 6), histograms)


def test_without_them_there_are_only_numbers(plain):
    assert tags_by_step(plain / "validation") == {}


def test_they_change_no_bit_of_the_run(shown, plain):
    assert runs.same_weights(shown, plain)
    for kind in ("validation", "weights"):
        ours, theirs = (runs.log_of(run_dir, kind) for run_dir in (shown, plain))
        assert ours
        assert ours == theirs


def test_a_run_that_is_resumed_with_them_is_the_same(small_dataset, plain, tmp_path):
    parts = tmp_path / "parts"
    runs.train(options_of(small_dataset, parts, epochs=1.0))
    runs.train(options_of(small_dataset, parts), resume=True)
    assert runs.same_weights(plain, parts)
    assert set(tags_by_step(parts / "validation")) == {3, 6}


def test_a_weight_that_is_not_finite_is_still_what_stops_the_run(
    small_dataset, tmp_path
):
    chosen = options_of(small_dataset, tmp_path / "run")
    runs.record(chosen)
    run = runs.trainer_of(chosen)
    kernel = run.net.trainable_variables[0]
    kernel.assign(np.full(kernel.shape, np.nan))
    run.state.validation_due = True
    with pytest.raises(trainer.DivergedError, match="is NaN or infinite"):
        run.run(run_log.Log(run.checkpoints.run_dir, 0))


def test_a_net_on_two_devices_is_looked_at_too():
    net = builder.build(
        nets.SMALL,
        mean=np.full((99, 99, 3), 100, np.float32),
        devices=("/CPU:0", "/CPU:0"),
        precision="bfloat16",
    )
    shown = look_at(net, image_set([0]))()
    assert len(shown.predictions) == 1
