"""The images in this package are a known part of Fashion-MNIST, and a TFDS dataset."""

import pathlib

import numpy as np
import pytest

from alexnet_tf.data import sources
from alexnet_tf.data.builders.garments import garments_dataset_builder as garments

FOLDER = pathlib.Path(garments.__file__).parent


@pytest.fixture(scope="module")
def train():
    return garments.read_split("train")


@pytest.fixture(scope="module")
def test():
    return garments.read_split("test")


def test_there_are_10000_training_and_2000_test_images(train, test):
    for (images, labels), count in ((train, 10_000), (test, 2_000)):
        assert images.shape == (count, 28, 28)
        assert images.dtype == np.uint8
        assert labels.shape == (count,)
        assert len(garments.CLASSES) == 10


def test_labels_are_those_of_fashion_mnist(train, test):
    # The first labels of the published files.
    assert train[1][:12].tolist() == [9, 0, 0, 3, 0, 2, 7, 2, 5, 5, 0, 9]
    assert test[1][:12].tolist() == [9, 2, 1, 1, 6, 1, 4, 6, 5, 7, 4, 5]


def test_classes_are_about_equally_frequent(train, test):
    for _, labels in (train, test):
        counts = np.bincount(labels, minlength=10)
        assert len(counts) == 10
        expected = len(labels) / 10
        assert np.abs(counts - expected).max() < 5 * np.sqrt(0.9 * expected)


def test_pixels_are_those_of_fashion_mnist(train):
    # Mean and standard deviation of Fashion-MNIST's training split, divided by 255.
    pixels = train[0] / 255
    assert pixels.mean() == pytest.approx(0.2860, abs=0.005)
    assert pixels.std() == pytest.approx(0.3530, abs=0.005)


def test_no_image_is_in_both_splits(train, test):
    in_train, in_test = (
        {image.tobytes() for image in images} for images, _ in (train, test)
    )
    assert not in_train & in_test
    assert len(in_train) > 9_900


def test_images_match_their_labels(train, test):
    # The nearest class mean is right for two images in three, as in all of
    # Fashion-MNIST. With mixed-up labels it would be one in ten.
    images, labels = (part.astype(np.float64) for part in train)
    means = np.stack([images[labels == label].mean(0).ravel() for label in range(10)])
    flat = test[0].reshape(len(test[0]), -1).astype(np.float64)
    distances = ((flat[:, None] - means) ** 2).sum(-1)
    assert (distances.argmin(1) == test[1]).mean() > 0.6


def test_classes_have_their_published_names_in_order():
    assert " ".join(garments.CLASSES) == (
        "t-shirt trouser pullover dress coat sandal shirt sneaker bag ankle boot"
    )


def test_the_files_take_at_most_six_megabytes_and_include_their_license():
    size = sum(path.stat().st_size for path in FOLDER.iterdir() if path.is_file())
    assert size < 6_000_000
    assert "MIT" in (FOLDER / "LICENSE").read_text()
    assert "Zalando" in (FOLDER / "LICENSE").read_text()


def test_the_dataset_is_built_offline_and_read_back_as_rgb(tmp_path, monkeypatch, test):
    # Forty images per split, because building the whole dataset takes long.
    read_split = garments.read_split
    monkeypatch.setattr(
        garments,
        "read_split",
        lambda split: tuple(part[:40] for part in read_split(split)),
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
