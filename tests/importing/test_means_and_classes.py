"""The mean and the class names of imported nets."""

import numpy as np
import pytest

from alexnet_tf.importing import class_files, means
from alexnet_tf.importing.source import WeightsError
from tests.support import published_files as files


def test_three_numbers_are_red_green_and_blue():
    assert means.parse("1,2,3.5", 4)[3, 3].tolist() == [1, 2, 3.5]


def ramp(side):
    """A mean image [3, side, side] in BGR: 100 times the channel, plus the row."""
    rows = np.arange(side)[None, :, None] + np.zeros((3, side, side))
    return (rows + 100 * np.arange(3)[:, None, None]).astype(np.float32)


@pytest.mark.parametrize("kind", ["npy", "binaryproto", "old binaryproto"])
def test_caffes_mean_image_is_cropped_in_the_center_and_becomes_rgb(kind, tmp_path):
    path = tmp_path / f"mean.{kind.split(' ')[-1]}"
    if kind == "npy":
        np.save(path, ramp(10))
    else:
        path.write_bytes(files.blob(ramp(10), legacy=kind.startswith("old")))
    found = means.parse(str(path), 4)
    assert found.shape == (4, 4, 3)
    assert found.dtype == np.float32
    assert found[0, 0].tolist() == [203, 103, 3]  # red was last; the first row is 3
    assert found[3, 0].tolist() == [206, 106, 6]


def test_our_own_mean_is_rgb_already(tmp_path):
    path = tmp_path / "mean.npy"
    np.save(path, ramp(4).transpose(1, 2, 0))
    np.testing.assert_array_equal(means.parse(str(path), 4), np.load(path))


@pytest.mark.parametrize(
    ("mean", "wrong"),
    [
        (np.zeros((3, 3, 8)), "smaller than the net's input of 4"),
        (np.zeros((4, 4)), r"has the shape \[4, 4\]"),
        (np.full((3, 4, 4), np.nan), "NaN"),
        (np.array(["a"]), "expected numbers"),
    ],
)
def test_an_array_that_is_not_a_mean_image_is_refused(mean, wrong, tmp_path):
    path = tmp_path / "mean.npy"
    np.save(path, mean)
    with pytest.raises(WeightsError, match=wrong):
        means.parse(str(path), 4)


def test_a_pickled_mean_is_not_unpickled(tmp_path):
    path = tmp_path / "mean.npy"
    np.save(path, np.array({"a": 1}, dtype=object), allow_pickle=True)
    with pytest.raises(WeightsError, match="damaged"):
        means.parse(str(path), 4)


@pytest.mark.parametrize("text", ["1,2", "1,2,3,4", "mean.jpg"])
def test_other_means_are_refused_with_what_is_expected(text):
    with pytest.raises(WeightsError, match=r"must be Caffe's ilsvrc_2012_mean"):
        means.parse(text, 4)


def test_a_missing_file_of_the_mean_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.npy"):
        means.parse(str(tmp_path / "none.npy"), 4)


def test_a_thousand_classes_are_the_synsets_of_ilsvrc():
    found = class_files.read_class_names(None, 1000)
    assert len(set(found)) == 1000
    assert found[0] == "n01440764"  # tench
    assert found[999] == "n15075141"  # toilet tissue
    assert list(found) == sorted(found)


def test_other_numbers_of_classes_need_a_file():
    with pytest.raises(WeightsError, match=r"20 classes.*--class_names=FILE"):
        class_files.read_class_names(None, 20)


def test_a_file_has_one_class_per_line(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("n01440764 tench, Tinca tinca\nn01443537 goldfish\n\n")
    found = class_files.read_class_names(str(path), 2)
    assert found == ("n01440764 tench, Tinca tinca", "n01443537 goldfish")
    with pytest.raises(WeightsError, match="has 2 lines, and the net 3 classes"):
        class_files.read_class_names(str(path), 3)


@pytest.mark.parametrize("text", ["cat\ncat\n", "cat\n\ndog\n"])
def test_classes_have_different_names(text, tmp_path):
    path = tmp_path / "words.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"words\.txt"):
        class_files.read_class_names(str(path), len(text.split("\n")) - 1)


def test_a_file_that_is_not_text_is_refused(tmp_path):
    path = tmp_path / "words.txt"
    path.write_bytes(b"\xff\xfe\x00cat")
    with pytest.raises(WeightsError, match="UTF-8"):
        class_files.read_class_names(str(path), 2)
