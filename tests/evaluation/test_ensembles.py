"""The softmax outputs of several nets are averaged, and their weights can be searched."""

import dataclasses
import itertools
import shutil
import types

import numpy as np
import pytest

from alexnet_tf.data import prepared_dataset, records
from alexnet_tf.evaluation import ensembles, evaluator
from alexnet_tf.models import zoo
from tests.support import runs

# Three nets, two images, three classes.
A = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3]], np.float32)
B = np.array([[0.1, 0.6, 0.3], [0.3, 0.3, 0.4]], np.float32)
C = np.array([[0.1, 0.4, 0.5], [0.2, 0.0, 0.8]], np.float32)


def random_answers(nets, images=40, classes=7, seed=0):
    rng = np.random.default_rng(seed)
    return list(
        rng.dirichlet(np.ones(classes), (nets, images)).astype(np.float32)
    ), rng.integers(0, classes, images)


def test_the_average_of_three_nets_is_that_worked_out_by_hand():
    found = ensembles.average([A, B, C])
    np.testing.assert_allclose(found, [[0.3, 0.4, 0.3], [0.2, 0.3, 0.5]], rtol=1e-6)
    assert found.dtype == np.float32
    weighted = ensembles.average([A, B, C], [2, 1, 1])
    np.testing.assert_allclose(
        weighted, [[0.4, 0.35, 0.25], [0.175, 0.375, 0.45]], rtol=1e-6
    )


def test_the_errors_of_an_average_are_those_worked_out_by_hand():
    found = ensembles.errors(ensembles.average([A, B, C]), np.array([0, 2]))
    assert found["top1_error"] == 50  # the first image is taken for class 1
    assert found["top5_error"] == 0
    assert found["loss"] == pytest.approx(-(np.log(0.3) + np.log(0.5)) / 2)
    # Classes 0 and 2 tie for the second place only, so class 2 gets nothing here.
    assert ensembles.errors(np.array([[0.4, 0.4, 0.2]]), np.array([1])) == {
        **{"top1_error": 50, "top5_error": 0},
        "loss": pytest.approx(-np.log(0.4)),
    }


def test_the_order_of_the_nets_does_not_change_one_bit_of_the_average():
    nets, _ = random_answers(4)
    coefficients = [0.1, 0.2, 0.3, 0.4]
    plain = ensembles.average(nets)
    weighted = ensembles.average(nets, coefficients)
    for order in itertools.permutations(range(4)):
        shuffled = [nets[n] for n in order]
        assert np.array_equal(ensembles.average(shuffled), plain)
        chosen = [coefficients[n] for n in order]
        assert np.array_equal(ensembles.average(shuffled, chosen), weighted)


def test_more_images_than_are_averaged_at_once_are_averaged_alike(monkeypatch):
    nets, labels = random_answers(3)
    whole, found = ensembles.average(nets), ensembles.errors(nets[0], labels)
    monkeypatch.setattr(ensembles, "_ROWS", 7)
    assert np.array_equal(ensembles.average(nets), whole)
    assert ensembles.errors(nets[0], labels) == pytest.approx(found)


def test_the_search_recovers_the_weights_that_made_the_labels():
    # The labels are those of 0.6 a + 0.3 b + 0.1 c, so only weights near these are right.
    nets, _ = random_answers(3, images=3000, classes=3, seed=4)
    made = ensembles.average(nets, [0.6, 0.3, 0.1])
    labels = made.argmax(axis=1)
    found = ensembles.search_coefficients(nets, labels)
    assert found == pytest.approx([0.6, 0.3, 0.1], abs=0.03)
    assert sum(found) == pytest.approx(1, abs=1e-5)
    error = ensembles.errors(ensembles.average(nets, found), labels)["top1_error"]
    equal = ensembles.errors(ensembles.average(nets), labels)["top1_error"]
    assert error < 3 < equal


def test_the_search_lessens_the_top_five_error_first():
    # Net 0 has the label always sixth, net 1 has it fifth: top-5 errors of 100 and 0 %.
    sixth = np.array([[0.3, 0.2, 0.18, 0.15, 0.12, 0.05]])
    fifth = np.array([[0.3, 0.2, 0.18, 0.15, 0.05, 0.12]])
    labels = np.array([5])
    found = ensembles.search_coefficients([sixth, fifth], labels)
    assert found[1] > 0.5 > found[0]
    mean = ensembles.average([sixth, fifth], found)
    assert ensembles.errors(mean, labels)["top5_error"] == 0


def test_nets_that_cannot_be_told_apart_keep_equal_weights():
    assert ensembles.search_coefficients([A, A], np.array([0, 1])) == [0.5, 0.5]


def test_the_search_never_gives_all_nets_the_weight_zero():
    # Guessing would be better than these, but zero weights give no probabilities.
    wrong = np.tile(np.array([[0.9, 0.1, 0.0]]), (3, 1))
    found = ensembles.search_coefficients([wrong, wrong], np.array([2, 2, 2]))
    assert sum(found) == pytest.approx(1)


@pytest.mark.parametrize("split", ["test", "validation"])
def test_the_average_has_the_coefficients_that_were_searched(split, monkeypatch):
    """They are those of the split of the search, also where another one is reported."""
    answers, labels = {}, {}
    for seed, each in enumerate(("validation", "test")):
        # The first net is right about the validation split, the second about the other.
        answers[each], labels[each] = random_answers(2, classes=3, seed=seed)
        right = np.eye(3, dtype=np.float32)[labels[each]]
        answers[each][seed] = np.float32(0.3) + np.float32(0.1) * right
    names = ["one", "other"]

    def measure(net, dataset, which, **how):
        found = answers[which][names.index(net)]
        return ensembles.Measured(
            {}, dict.fromkeys(ensembles.METHODS, found), labels[which]
        )

    monkeypatch.setattr(ensembles, "measure", measure)
    dataset = types.SimpleNamespace(shards=lambda which: [])
    found = ensembles.evaluate(names, dataset, split, search_split="validation")
    expected = ensembles.search_coefficients(
        answers["validation"], labels["validation"]
    )
    assert found.coefficients == expected
    assert expected[0] > expected[1]
    for method in ensembles.METHODS:
        weighted = ensembles.average(answers[split], expected)
        np.testing.assert_array_equal(found.averages[method], weighted)
        for mine, theirs in zip(found.measured, answers[split], strict=True):
            assert mine.probabilities[method] is theirs


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory):
    """Two nets of 3 classes: other layers, other crop sizes, other mean images."""
    root = tmp_path_factory.mktemp("two")
    small = zoo.CIFAR10_11PCT.with_classes(3)
    large = dataclasses.replace(zoo.CIFAR10_13PCT.with_classes(3), input_size=28)
    first = runs.write_untrained(root / "a", small, seed=1)
    mean = np.full((28, 28, 3), 50, np.float32)
    second = runs.write_untrained(root / "b", large, seed=2, mean=mean)
    return [str(first), str(second)]


def test_each_net_sees_the_images_in_its_own_way(two_runs, small_dataset):
    nets = ensembles.find_nets(two_runs)
    dataset = ensembles.dataset_of(nets, small_dataset.path)
    both = ensembles.evaluate(nets, dataset, "validation")
    for net, measured in zip(nets, both.measured, strict=True):
        (alone,) = ensembles.evaluate([net], dataset, "validation", keep=True).measured
        assert measured.results == alone.results
        for method, probabilities in measured.probabilities.items():
            assert np.array_equal(probabilities, alone.probabilities[method])
            np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
            counted = ensembles.errors(probabilities, measured.labels)
            assert counted == pytest.approx(
                measured.results[method], rel=1e-5, abs=1e-4
            )
    one, other = (m.probabilities["center_crop"] for m in both.measured)
    assert not np.allclose(one, other)
    np.testing.assert_allclose(
        both.averages["center_crop"], (one + other) / 2, rtol=1e-6
    )


def test_searching_on_the_reported_split_computes_it_once(
    two_runs, small_dataset, monkeypatch
):
    nets, seen = ensembles.find_nets(two_runs), []
    measure = ensembles.measure

    def counting(net, dataset, split, **how):
        seen.append(split)
        return measure(net, dataset, split, **how)

    monkeypatch.setattr(ensembles, "measure", counting)
    for search, expected in (
        ("validation", ["validation"] * 2),
        ("train", ["train"] * 2 + ["validation"] * 2),
    ):
        seen.clear()
        found = ensembles.evaluate(
            nets, small_dataset, "validation", search_split=search
        )
        assert seen == expected
        assert len(found.measured[0].labels) == 12


def test_nets_of_other_classes_are_refused_with_the_first_difference(
    two_runs, tmp_path
):
    other = runs.write_untrained(
        tmp_path / "other",
        zoo.CIFAR10_11PCT.with_classes(3),
        class_names=("class0", "class2", "class1"),
    )
    with pytest.raises(ValueError, match="class 1 is 'class2', expected 'class1'"):
        ensembles.find_nets([*two_runs, str(other)])
    fewer = runs.write_untrained(tmp_path / "fewer", zoo.CIFAR10_11PCT.with_classes(2))
    with pytest.raises(ValueError, match="2 classes, expected 3"):
        ensembles.find_nets([two_runs[0], str(fewer)])


def test_a_net_that_is_named_twice_is_refused(two_runs):
    with pytest.raises(ValueError, match="twice"):
        ensembles.find_nets([two_runs[0], two_runs[1], f"{two_runs[0]}/checkpoints"])


def test_nets_without_a_dataset_of_their_own_need_one_named(two_runs):
    with pytest.raises(ValueError, match="was imported and has no dataset"):
        ensembles.dataset_of(ensembles.find_nets(two_runs))


def test_a_net_of_its_own_dataset_lends_it_to_an_imported_one(
    two_runs, trained_run, small_dataset
):
    nets = ensembles.find_nets([two_runs[0], str(trained_run)])
    assert ensembles.dataset_of(nets).path == small_dataset.path


def test_nets_of_different_datasets_need_one_named(
    trained_run, tmp_path, small_dataset
):
    other = runs.write_untrained(
        tmp_path / "other",
        zoo.CIFAR10_11PCT.with_classes(3),
        dataset_path=str(tmp_path / "elsewhere"),
        dataset_digest="0" * 64,
    )
    nets = ensembles.find_nets([str(trained_run), str(other)])
    with pytest.raises(ValueError, match="elsewhere: name the images"):
        ensembles.dataset_of(nets)
    assert ensembles.dataset_of(nets, small_dataset.path) == small_dataset


def test_a_net_of_another_record_size_or_resize_rule_is_named(
    two_runs, tmp_path, small_dataset, caplog
):
    large = dataclasses.replace(zoo.CIFAR10_11PCT.with_classes(3), record_size=40)
    other = runs.write_untrained(tmp_path / "large", large)
    nets = ensembles.find_nets([two_runs[0], str(other)])
    with pytest.raises(ValueError, match=r"32 pixels, and .*large.* trained on 40"):
        ensembles.dataset_of(nets, small_dataset.path)
    squashed = runs.write_untrained(
        tmp_path / "squashed", zoo.CIFAR10_11PCT.with_classes(3), resize="squash"
    )
    nets = ensembles.find_nets([two_runs[0], str(squashed)])
    ensembles.dataset_of(nets, small_dataset.path)
    assert len(caplog.messages) == 1
    assert f"{squashed}/checkpoints/step-1 is of images with" in caplog.text


def test_a_net_that_answers_nan_is_named(two_runs):
    nets = ensembles.find_nets(two_runs)
    labels = np.array([0, 1])
    broken = np.where(A == 0.2, np.nan, A)
    measured = [
        ensembles.Measured({}, {"ten_crop": each}, labels) for each in (A, broken)
    ]
    with pytest.raises(ValueError, match="b/checkpoints/step-1 answers NaN"):
        ensembles._check_comparable(nets, measured)


def test_answers_to_other_images_are_not_averaged(two_runs):
    nets = ensembles.find_nets(two_runs)
    measured = [
        ensembles.Measured({}, {"ten_crop": A}, np.array(labels))
        for labels in ([0, 1], [1, 1])
    ]
    with pytest.raises(ValueError, match="was computed for other images"):
        ensembles._check_comparable(nets, measured)


def test_a_split_that_is_not_there_is_reported_before_a_net_is_restored(
    two_runs, small_dataset, monkeypatch
):
    monkeypatch.setattr(evaluator, "Evaluation", None)
    nets = ensembles.find_nets(two_runs)
    with pytest.raises(ValueError, match="has no split 'test', only train, validation"):
        ensembles.evaluate(nets, small_dataset, "validation", search_split="test")


def test_names_stay_with_their_images_if_damaged_records_are_skipped(
    small_dataset, tmp_path
):
    folder = tmp_path / "damaged"
    shutil.copytree(small_dataset.path, folder)
    (shard,) = folder.glob("validation-*")
    content = bytearray(shard.read_bytes())
    fifth = records.open_records(small_dataset, "validation")[5].encoded
    content[content.index(bytes(fifth)) + 7] ^= 1
    shard.write_bytes(content)
    damaged = prepared_dataset.read_description(folder)
    whole = ensembles.image_names(small_dataset, "validation")
    found = ensembles.image_names(damaged, "validation", complete=False)
    assert found == whole[:5] + whole[6:]
