"""The embedded pictures: a known part of Fashion-MNIST, as a TFDS dataset."""

import pathlib

import numpy as np
import pytest

from alexnet_tf.data import sources
from alexnet_tf.data.builders.garments import garments_dataset_builder as garments

FOLDER = pathlib.Path(garments.__file__).parent


@pytest.fixture(scope="module")
def train():
    return garments.read("train")


@pytest.fixture(scope="module")
def test():
    return garments.read("test")


def test_there_are_ten_thousand_to_train_and_two_thousand_to_test(train, test):
    for (images, labels), count in ((train, 10_000), (test, 2_000)):
        assert images.shape == (count, 28, 28)
        assert images.dtype == np.uint8
        assert labels.shape == (count,)
        assert len(garments.CLASSES) == 10


def test_the_labels_are_fashion_mnists_own(train, test):
    # The first labels of the published files.
    assert train[1][:12].tolist() == [9, 0, 0, 3, 0, 2, 7, 2, 5, 5, 0, 9]
    assert test[1][:12].tolist() == [9, 2, 1, 1, 6, 1, 4, 6, 5, 7, 4, 5]


def test_classes_are_about_even(train, test):
    for _, labels in (train, test):
        counts = np.bincount(labels, minlength=10)
        assert len(counts) == 10
        expected = len(labels) / 10
        assert np.abs(counts - expected).max() < 5 * np.sqrt(0.9 * expected)


def test_the_pixels_are_fashion_mnists(train):
    # Mean and deviation of the whole training split: 0.2860 and 0.3530 of 255.
    pixels = train[0] / 255
    assert pixels.mean() == pytest.approx(0.2860, abs=0.005)
    assert pixels.std() == pytest.approx(0.3530, abs=0.005)


def test_no_picture_is_in_both_splits(train, test):
    pictures = [{image.tobytes() for image in images} for images, _ in (train, test)]
    assert not pictures[0] & pictures[1]
    assert len(pictures[0]) > 9_900


def test_pictures_go_with_their_labels(train, test):
    # The nearest class mean is right for 2 in 3, as in the whole set; mixed up, 1 in 10.
    images, labels = (part.astype(np.float64) for part in train)
    means = np.stack([images[labels == label].mean(0).ravel() for label in range(10)])
    flat = test[0].reshape(len(test[0]), -1).astype(np.float64)
    distances = ((flat[:, None] - means) ** 2).sum(-1)
    assert (distances.argmin(1) == test[1]).mean() > 0.6


def test_classes_have_their_published_names_in_their_order():
    assert " ".join(garments.CLASSES) == (
        "t-shirt trouser pullover dress coat sandal shirt sneaker bag ankle boot"
    )


def test_the_pictures_take_six_megabytes_at_most_and_their_licence_is_beside_them():
    size = sum(path.stat().st_size for path in FOLDER.iterdir() if path.is_file())
    assert size < 6_000_000
    assert "MIT" in (FOLDER / "LICENSE").read_text()
    assert "Zalando" in (FOLDER / "LICENSE").read_text()


def test_the_dataset_builds_offline_and_reads_back_as_rgb(tmp_path, monkeypatch, test):
    # Forty pictures a split; a whole build takes its time.
    whole = garments.read
    monkeypatch.setattr(
        garments, "read", lambda split: tuple(part[:40] for part in whole(split))
    )
    source = sources.open_source("garments", data_dir=str(tmp_path))
    assert (source.name, source.classes) == ("garments", garments.CLASSES)
    counts = {split: len(examples) for split, examples in source.splits.items()}
    assert counts == {"train": 40, "test": 40}
    found, examples = set(), source.splits["test"]
    for example in (examples[index] for index in range(40)):
        image = example.read()
        assert image.shape == (28, 28, 3)
        assert (image == image[..., :1]).all()
        found.add((image[..., 0].tobytes(), example.label))
    images, labels = test
    expected = zip(images[:40], labels[:40], strict=True)
    assert found == {(image.tobytes(), int(label)) for image, label in expected}
