"""Probabilities and submissions can be read back, and no file is ever replaced."""

import csv
import io
import json
import pathlib

import numpy as np
import pytest

from alexnet_tf.data import archives, prepared_dataset
from alexnet_tf.data.builders.ilsvrc2010 import make_dummy_data
from alexnet_tf.evaluation import class_ids, prediction_files

METHODS = ("center_crop", "ten_crop")


def made_up(names=("a/1.png", 'b/"2", x.png'), classes=("cat, small", "dog", "emu")):
    rng = np.random.default_rng(0)
    answers = rng.dirichlet(np.ones(3), (2, 2, 2)).astype(np.float32)
    probabilities = dict(zip(METHODS, map(list, answers), strict=True))
    return prediction_files.Predictions(
        probabilities,
        {way: np.mean(nets, axis=0) for way, nets in probabilities.items()},
        names,
        np.array([0, 2], np.int32),
        classes,
        ["runs/a/step-1", "runs/b/step-2"],
        [0.5, 0.5],
        {"split": "test"},
    )


def test_npz_holds_every_probability(tmp_path):
    wanted = made_up()
    prediction_files.write_predictions(tmp_path / "p.npz", wanted)
    with np.load(tmp_path / "p.npz") as found:
        for way in METHODS:
            assert np.array_equal(found[way], wanted.probabilities[way])
            assert found[way].dtype == np.float32
            assert np.array_equal(found[f"{way}_average"], wanted.averages[way])
        assert found["names"].tolist() == list(wanted.names)
        assert found["labels"].tolist() == [0, 2]
        assert found["classes"].tolist() == list(wanted.classes)
        assert found["checkpoints"].tolist() == list(wanted.checkpoints)
        assert found["coefficients"].tolist() == [0.5, 0.5]
        assert json.loads(str(found["about"])) == {"split": "test"}


def test_csv_holds_the_same_numbers_bit_for_bit(tmp_path):
    wanted = made_up()
    prediction_files.write_predictions(tmp_path / "p.csv", wanted)
    header, *rows = csv.reader(io.StringIO((tmp_path / "p.csv").read_text()))
    assert header == ["image", "label", "class", "method", "net", *wanted.classes]
    assert len(rows) == 2 * 2 * 3  # images, methods, nets and the average
    found = {tuple(row[:5]): np.array(row[5:], np.float32) for row in rows}
    for image, (name, label) in enumerate(zip(wanted.names, (0, 2), strict=True)):
        for way in METHODS:
            arrays = (*wanted.probabilities[way], wanted.averages[way])
            for net, array in zip(
                (*wanted.checkpoints, "average"), arrays, strict=True
            ):
                key = (name, str(label), wanted.classes[label], way, net)
                assert np.array_equal(found[key], array[image])


def test_a_name_that_is_not_unicode_can_be_written(tmp_path):
    wanted = made_up(names=("caf\udce9.png", "b.png"))
    prediction_files.write_predictions(tmp_path / "p.csv", wanted)
    assert (tmp_path / "p.csv").read_text().count("caf\\xe9.png") == 6
    prediction_files.write_predictions(tmp_path / "p.npz", wanted)
    with np.load(tmp_path / "p.npz") as found:
        assert found["names"].tolist() == ["caf\\xe9.png", "b.png"]


@pytest.mark.parametrize(
    ("name", "broken", "error"),
    [
        ("p.npz", {"averages": {}}, KeyError),  # after the first array
        ("p.csv", {"labels": np.array([0, 9])}, IndexError),  # after the first image
    ],
)
def test_a_write_that_fails_leaves_nothing(tmp_path, name, broken, error):
    with pytest.raises(error):
        prediction_files.write_predictions(
            tmp_path / name, made_up()._replace(**broken)
        )
    assert list(tmp_path.iterdir()) == []


def test_the_best_five_come_by_descending_probability(tmp_path):
    probabilities = np.array(
        [[0.05, 0.1, 0.3, 0.25, 0.2, 0.1], [0.5, 0.1, 0.1, 0.1, 0.1, 0.1]]
    )
    numbering = prediction_files.Numbering(range(1, 7), "labels", by_file_name=False)
    prediction_files.write_submission(
        tmp_path / "s.txt", probabilities, ["z#1", "a#2"], numbering
    )
    assert (tmp_path / "s.txt").read_text() == "3 4 5 2 6\n1 2 3 4 5\n"


def test_lines_are_in_the_order_of_the_file_names_and_numbers_are_the_kits(tmp_path):
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7], [0.2, 0.5, 0.3]])
    names = ["a/val_3.JPEG", "z/val_1.JPEG", "k/val_2.JPEG"]
    numbering = prediction_files.Numbering([30, 10, 20], "kit", by_file_name=True)
    prediction_files.write_submission(
        tmp_path / "s.txt", probabilities, names, numbering
    )
    assert (tmp_path / "s.txt").read_text() == "20 10 30\n10 20 30\n30 10 20\n"


@pytest.mark.parametrize("name", ["imagenet2012/validation#7", ""])
def test_images_without_a_file_name_have_no_place_in_a_submission(tmp_path, name):
    numbering = prediction_files.Numbering([1, 2], "kit", by_file_name=True)
    with pytest.raises(ValueError, match="image 1 has none"):
        prediction_files.write_submission(
            tmp_path / "s.txt", np.ones((2, 2)), ["a.JPEG", name], numbering
        )
    assert not (tmp_path / "s.txt").exists()


def test_files_that_exist_are_not_replaced(tmp_path):
    path = tmp_path / "p.npz"
    path.write_text("kept")
    numbering = prediction_files.Numbering([1], "", by_file_name=False)
    for write in (
        lambda: prediction_files.check_outputs(predictions=str(path)),
        lambda: prediction_files.check_outputs(output=str(path)),
        lambda: prediction_files.write_predictions(path, made_up()),
        lambda: prediction_files.write_results(path, {}),
        lambda: prediction_files.write_submission(
            path, np.ones((1, 1)), "a", numbering
        ),
    ):
        with pytest.raises(FileExistsError, match="remove it, or choose another --"):
            write()
    assert path.read_text() == "kept"


def test_outputs_that_cannot_be_written_are_refused_first(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        prediction_files.check_outputs(output=str(tmp_path / "file/r.json"))
    with pytest.raises(ValueError, match=r"must end in \.npz or \.csv"):
        prediction_files.check_outputs(predictions=str(tmp_path / "p.txt"))
    with pytest.raises(ValueError, match="--output and --submission name the same"):
        prediction_files.check_outputs(
            output=f"{tmp_path}/x", predictions=None, submission=f"{tmp_path}/./x"
        )
    prediction_files.check_outputs(output=str(tmp_path / "new/folder/r.json"))
    assert (tmp_path / "new/folder").is_dir()


def dataset_of(*classes, source=""):
    return prepared_dataset.Dataset(
        **{"name": "x", "size": 32, "encoding": "raw", "counts": {"test": 1}},
        **{"classes": classes, "path": pathlib.Path("data/x"), "source": source},
    )


@pytest.fixture
def devkit(tmp_path):
    """A kit whose ids 1, 2 and 3 are french fries, mashed potato and apple."""
    make_dummy_data.write_archives(tmp_path)
    return tmp_path / archives.DEVKIT_2010


def test_the_kit_gives_synsets_their_ids(devkit):
    dataset = dataset_of("n07711569 potato", "n07767549", "n07711080 fries")
    found = class_ids.numbering(dataset, devkit)
    assert list(found.numbers) == [2, 3, 1]
    assert found.by_file_name


def test_synsets_without_a_kit_are_refused_because_labels_are_not_ids():
    with pytest.raises(ValueError, match="--devkit=ILSVRC2012_devkit_t12.tar.gz"):
        class_ids.numbering(dataset_of("n07711569", "n07767549"))


def test_labels_of_our_ilsvrc2010_are_the_ids_minus_one():
    dataset = dataset_of("n07711569", "n07767549", source="tfds:ilsvrc2010/1.0.0")
    found = class_ids.numbering(dataset)
    assert list(found.numbers) == [1, 2]
    assert found.by_file_name


def test_other_classes_get_their_labels_counted_from_one_and_it_is_said():
    found = class_ids.numbering(dataset_of("cat", "dog", "n07711569"))
    assert list(found.numbers) == [1, 2, 3]
    assert not found.by_file_name
    assert "not ImageNet's synsets" in found.source


def test_a_kit_that_does_not_fit_is_refused(devkit):
    with pytest.raises(ValueError, match="has no class n01440764"):
        class_ids.numbering(dataset_of("n07711569", "n01440764"), devkit)
    with pytest.raises(ValueError, match="'cat' of data/x is not one"):
        class_ids.numbering(dataset_of("n07711569", "cat"), devkit)
