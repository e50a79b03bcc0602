"""Images are chosen by a seed, and only errors are shown where that is asked for."""

import numpy as np
import pytest

from alexnet_tf.evaluation import answers
from alexnet_tf.models import trained
from tests.support import image_sets as sets


@pytest.fixture(scope="module")
def restored(trained_run):
    return trained.restore(trained_run, inputs="pixels")


def images_of(restored, labels=None):
    return sets.of_pixels(sets.noise(20, 24), labels)


def right_answers(restored):
    return restored.model(sets.noise(20, 24)).numpy().argmax(axis=1)


def test_the_seed_decides_which_images_are_shown(restored):
    images = images_of(restored)
    one, again, other = (
        [each.image for each in answers.choose(restored, images, 6, seed=seed).answers]
        for seed in (1, 1, 2)
    )
    assert one == again != other
    assert len(set(one)) == 6


def test_an_answer_is_that_of_the_net_to_the_pixels(restored):
    labels = np.arange(20) % 3
    chosen = answers.choose(restored, images_of(restored, labels), 5, batch_size=2)
    for each in chosen.answers:
        assert np.array_equal(each.pixels, sets.noise(20, 24)[each.image])
        assert (each.name, each.label) == (f"image{each.image}", each.image % 3)
        expected = restored.model(each.pixels[None]).numpy()[0]
        np.testing.assert_allclose(each.probabilities, expected, rtol=1e-4, atol=1e-6)
        assert each.best == expected.argmax()


def test_fewer_images_than_asked_for_are_all_shown(restored):
    chosen = answers.choose(restored, images_of(restored), 50)
    assert sorted(each.image for each in chosen.answers) == list(range(20))
    assert chosen.looked_at == 20


def test_only_errors_are_shown_in_the_same_order(restored):
    labels = right_answers(restored)
    wrong = [3, 8, 15]
    labels[wrong] = (labels[wrong] + 1) % 3
    images = images_of(restored, labels)
    chosen = answers.choose(restored, images, 10, only_errors=True, batch_size=4)
    assert sorted(each.image for each in chosen.answers) == wrong
    assert chosen.looked_at == 20
    everything = answers.choose(restored, images, 20)
    order = [each.image for each in everything.answers if each.image in wrong]
    assert [each.image for each in chosen.answers] == order
    first = answers.choose(restored, images, 1, only_errors=True, batch_size=4)
    assert [each.image for each in first.answers] == order[:1]


def test_no_errors_and_unknown_classes_are_said(restored):
    images = images_of(restored, right_answers(restored))
    with pytest.raises(ValueError, match="answers all 20 images of memory right"):
        answers.choose(restored, images, 3, only_errors=True)
    with pytest.raises(ValueError, match="classes of memory are not known"):
        answers.choose(restored, images_of(restored), 3, only_errors=True)


def test_answers_of_a_diverged_net_are_refused(trained_run):
    broken = trained.restore(trained_run, inputs="pixels")
    for variable in broken.model.trainable_variables:
        variable.assign(variable * np.nan)
    with pytest.raises(ValueError, match="answers NaN: its training diverged"):
        answers.choose(broken, images_of(broken), 3)
