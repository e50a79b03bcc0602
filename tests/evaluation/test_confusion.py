"""Confusions are counted as by hand, and their errors are those of an evaluation."""

import collections

import numpy as np
import pytest

from alexnet_tf.evaluation import confusion, evaluator, image_sets
from alexnet_tf.models import trained
from tests.support import image_sets as sets

# Five images of three classes; the third class has none.
LABELS = [0, 0, 1, 1, 1]
ANSWERS = [
    *([0.6, 0.3, 0.1], [0.1, 0.2, 0.7]),
    *([0.8, 0.1, 0.1], [0.2, 0.5, 0.3], [0.4, 0.35, 0.25]),
]


def counted(**options):
    found = confusion.Confusion(3, **options)
    found.add([10, 11, 12], LABELS[:3], np.array(ANSWERS[:3]))
    found.add([13, 14], LABELS[3:], np.array(ANSWERS[3:]))
    return found


def test_answers_are_counted_by_true_class_and_answer():
    found = counted()
    assert found.matrix.tolist() == [[1, 0, 1], [2, 1, 0], [0, 0, 0]]
    assert found.images == 5
    assert found.error == pytest.approx(60)
    np.testing.assert_allclose(found.class_errors, [50, 200 / 3, np.nan])
    assert found.confused_pairs() == [(1, 0, 2), (0, 2, 1)]


def test_the_most_confident_mistakes_come_first():
    expected = [(12, 1, 0, 0.8), (11, 0, 2, 0.7), (14, 1, 0, 0.4)]
    assert [tuple(each) for each in counted().mistakes] == expected
    assert [tuple(each) for each in counted(kept=2).mistakes] == expected[:2]


def test_mistakes_of_equal_confidence_are_in_the_order_of_the_images():
    found = confusion.Confusion(2, kept=2)
    found.add([7, 3, 5], [0, 0, 0], np.array([[0.1, 0.9]] * 3))
    assert [each.image for each in found.mistakes] == [3, 5]


def test_nan_is_refused_and_the_image_named():
    answers = np.array([[0.5, 0.5], [np.nan, 0.5]])
    with pytest.raises(ValueError, match="the net answers NaN for image 8"):
        confusion.Confusion(2).add([7, 8], [0, 0], answers)


def test_a_split_is_counted_as_a_plain_loop_and_the_evaluation_do(
    small_dataset, trained_run
):
    restored = trained.restore(trained_run, inputs="pixels")
    images = image_sets.images_for(restored.trained)
    found = confusion.measure(restored, images, batch_size=5)
    pairs = collections.Counter()
    for index in range(images.count):
        view = images.read(index)
        answer = restored.model(view.pixels[None]).numpy().argmax()
        pairs[view.label, int(answer)] += 1
    expected = [[pairs[label, answer] for answer in range(3)] for label in range(3)]
    assert found.matrix.tolist() == expected
    results = evaluator.Evaluation(trained.restore(trained_run).model, ten_crop=False)(
        small_dataset, "validation", crop=24
    )
    assert found.error == pytest.approx(results["center_crop"]["top1_error"], abs=1e-3)


def test_images_of_unknown_classes_are_left_out(trained_run):
    restored = trained.restore(trained_run, inputs="pixels")
    pixels = sets.noise(6, 24)
    labels = [0, -1, 1, -1, 2, 2]
    found = confusion.measure(restored, sets.of_pixels(pixels, labels))
    assert found.matrix.sum(axis=1).tolist() == [1, 1, 2]
    with pytest.raises(ValueError, match="no image of memory has a class of the net"):
        confusion.measure(restored, sets.of_pixels(pixels))
