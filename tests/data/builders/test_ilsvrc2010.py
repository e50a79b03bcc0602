"""ILSVRC-2010 is read from small archives with the layout of the real ones."""

import gzip
import itertools
import pathlib
import re
import sys
import tempfile

import numpy as np
import pytest
import tensorflow_datasets as tfds

from alexnet_tf.data import sources
from alexnet_tf.data.builders.ilsvrc2010 import (
    ilsvrc2010_dataset_builder,
    make_dummy_data,
)

# In the order of ILSVRC2010_ID and not of the kit. The synset with children is missing,
# because it is not a class.
CLASSES = (
    "n07711080 french fries, french-fried potatoes, fries, chips",
    "n07711569 mashed potato",
    "n07767549 apple",
)


class Ilsvrc2010Test(tfds.testing.DatasetBuilderTestCase):
    """The tests that TFDS has for all builders."""

    DATASET_CLASS = ilsvrc2010_dataset_builder.Builder
    SPLITS = {"train": 9, "validation": 4, "test": 5}  # noqa: RUF012

    @classmethod
    def setUpClass(cls):
        cls._folder = tempfile.TemporaryDirectory()
        cls.EXAMPLE_DIR = cls._folder.name
        make_dummy_data.write_archives(pathlib.Path(cls.EXAMPLE_DIR))
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        cls._folder.cleanup()


@pytest.fixture
def manual(tmp_path):
    make_dummy_data.write_archives(tmp_path / "archives")
    return tmp_path / "archives"


def open_source(tmp_path, manual):
    return sources.open_source(
        "ilsvrc2010", data_dir=str(tmp_path / "data"), manual_dir=str(manual)
    )


VALIDATION_TRUTH = "ILSVRC2010_validation_ground_truth.txt"
SYNSETS = tuple(name.split()[0] for name in CLASSES)


def training_archive(names_by_synset, prefix=""):
    """A training archive with images of brightness 1, 2 and so on, in this order."""
    numbers = itertools.count(1)
    inner = {
        f"{prefix}{synset}.tar": make_dummy_data.tar_archive(
            {name: make_dummy_data.dummy_image(next(numbers)) for name in names}
        )
        for synset, names in names_by_synset.items()
    }
    return make_dummy_data.tar_archive(inner)


def brightness(example):
    """The number that `make_dummy_data.dummy_image` got for an image."""
    return round(float(example.read()[..., 0].mean()) / 8)


def test_labels_are_the_ids_of_the_kit_minus_one(tmp_path, manual):
    source = open_source(tmp_path, manual)
    assert source.classes == CLASSES
    train = sorted((brightness(e), e.label) for e in source.splits["train"])
    assert train == [(n, 0 if n <= 4 else 1 if n <= 7 else 2) for n in range(1, 10)]
    # Image number k belongs to line k of the ground truth, wherever it is in the
    # archive.
    for split, truth in (
        ("validation", make_dummy_data.VALIDATION),
        ("test", make_dummy_data.TEST),
    ):
        found = sorted((brightness(e), e.label) for e in source.splits[split])
        assert found == [(21 + k, number - 1) for k, number in enumerate(truth)]


def test_the_name_of_an_image_ends_with_that_of_its_file(tmp_path, manual):
    # The challenge orders the lines of a submission by these.
    source = open_source(tmp_path, manual)
    found = sorted(example.name for example in source.splits["test"])
    assert found == [
        f"ilsvrc2010/test/ILSVRC2010_test_{number:08d}.JPEG" for number in range(1, 6)
    ]


def test_the_gzipped_image_is_stored_unpacked(tmp_path, manual):
    open_source(tmp_path, manual)
    builder = tfds.builder("ilsvrc2010", data_dir=str(tmp_path / "data" / "tfds"))
    examples = builder.as_data_source("train")
    (found,) = (
        e for e in examples if e["file_name"].decode() == make_dummy_data.GZIPPED
    )
    assert found["image"].shape == (10, 12, 3)
    assert abs(float(found["image"][..., 0].mean()) - 8 * 6) < 2


@pytest.mark.parametrize("prefix", ["", "train/"])
def test_archives_of_synsets_may_be_in_a_folder(tmp_path, manual, prefix):
    path = manual / "ILSVRC2010_images_train.tar"
    path.write_bytes(training_archive({s: [f"{s}_1.JPEG"] for s in SYNSETS}, prefix))
    found = open_source(tmp_path, manual).splits["train"]
    assert sorted((brightness(e), e.label) for e in found) == [(1, 0), (2, 1), (3, 2)]


def assert_rejected(tmp_path, manual, text):
    with pytest.raises(ValueError, match=re.escape(text)):
        open_source(tmp_path, manual)
    assert not list((tmp_path / "data").rglob("*.array_record*"))


def test_a_class_without_images_is_reported(tmp_path, manual):
    path = manual / "ILSVRC2010_images_train.tar"
    path.write_bytes(training_archive({s: [f"{s}_1.JPEG"] for s in SYNSETS[:2]}))
    text = f"{path} has no image for 1 of 3 labels, such as the one for n07767549"
    assert_rejected(tmp_path, manual, text)


def test_an_image_of_an_unknown_synset_is_reported(tmp_path, manual):
    path = manual / "ILSVRC2010_images_train.tar"
    path.write_bytes(training_archive({"n00001740": ["n00001740_1.JPEG"]}))
    text = f"{path} holds n00001740_1.JPEG, which has no label"
    assert_rejected(tmp_path, manual, text)


@pytest.mark.parametrize("number", [0, 5])
def test_an_image_without_a_ground_truth_line_is_reported(tmp_path, manual, number):
    # Of line 0 it would be the label in the last one.
    images = make_dummy_data.numbered_images("val", 4)
    name = f"ILSVRC2010_val_{number:08}.JPEG"
    images[f"val/{name}"] = make_dummy_data.dummy_image(1)
    path = manual / "ILSVRC2010_images_val.tar"
    path.write_bytes(make_dummy_data.tar_archive(images))
    assert_rejected(tmp_path, manual, f"{path} holds {name}, which has no label")


def test_a_ground_truth_with_too_many_lines_is_reported(tmp_path, manual):
    with (manual / "ILSVRC2010_test_ground_truth.txt").open("a") as file:
        file.write("1\n2\n")
    text = "images_test.tar has no image for 2 of 7 labels, such as the one for 6"
    assert_rejected(tmp_path, manual, text)


@pytest.mark.parametrize("number", [0, 4])
def test_a_ground_truth_with_an_unknown_class_is_reported_before_archives_are_read(
    tmp_path, manual, number
):
    path = manual / "ILSVRC2010_test_ground_truth.txt"
    path.write_text(f"1\n2\n3\n{number}\n1\n")
    (manual / "ILSVRC2010_images_train.tar").write_bytes(bytes(1024))  # not read yet
    assert_rejected(
        tmp_path, manual, f"{path}: the ids of a ground truth must lie between 1 and 3"
    )


def test_a_file_that_is_not_a_ground_truth_is_named(tmp_path, manual):
    path = manual / "ILSVRC2010_test_ground_truth.txt"
    path.write_text("<html>404</html>")
    assert_rejected(tmp_path, manual, f"{path} is not a ground truth file")


def test_a_damaged_archive_is_named(tmp_path, manual):
    path = manual / "ILSVRC2010_images_val.tar"
    data = path.read_bytes()
    path.write_bytes(b"x" * 512 + data[512:])
    assert_rejected(tmp_path, manual, f"{path} is damaged")


def test_a_development_kit_without_metadata_is_rejected(tmp_path, manual):
    kit = make_dummy_data.tar_archive({"devkit-1.0/readme.txt": b""})
    (manual / "ILSVRC2010_devkit-1.0.tar.gz").write_bytes(gzip.compress(kit))
    with pytest.raises(
        ValueError, match="not a development kit, because it has no data/meta.mat"
    ):
        open_source(tmp_path, manual)


def test_a_truncated_development_kit_is_reported(tmp_path, manual):
    path = manual / "ILSVRC2010_devkit-1.0.tar.gz"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"devkit-1\.0\.tar\.gz is damaged"):
        open_source(tmp_path, manual)


def test_damage_inside_a_file_of_the_development_kit_is_reported(tmp_path, manual):
    # Far behind the file's header, so that zlib meets it and not tarfile.
    truth = np.random.default_rng(0).integers(1, 4, 300_000)
    kit = make_dummy_data.tar_archive(
        {f"kit/data/{VALIDATION_TRUTH}": make_dummy_data.ground_truth(tuple(truth))}
    )
    data = bytearray(gzip.compress(kit, compresslevel=0))
    middle = len(data) // 2
    data[middle : middle + 70_000] = b"\xff" * 70_000  # more than a block's 65,535
    (manual / "ILSVRC2010_devkit-1.0.tar.gz").write_bytes(data)
    with pytest.raises(ValueError, match=r"devkit-1\.0\.tar\.gz is damaged"):
        open_source(tmp_path, manual)


def test_a_development_kit_without_validation_labels_is_reported(tmp_path, manual):
    kit = make_dummy_data.tar_archive({"kit/data/meta.mat": make_dummy_data.metadata()})
    (manual / "ILSVRC2010_devkit-1.0.tar.gz").write_bytes(gzip.compress(kit))
    assert_rejected(tmp_path, manual, f"tar.gz has no data/{VALIDATION_TRUTH}")


def test_without_scipy_the_error_says_how_to_install_it(tmp_path, manual, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(RuntimeError, match=r"pip install 'alexnet_tf\[ilsvrc\]'"):
        open_source(tmp_path, manual)


def test_dummy_archives_always_have_the_same_bytes(tmp_path, manual):
    make_dummy_data.write_archives(tmp_path / "again")
    for path in manual.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()
    assert np.sum([path.stat().st_size for path in manual.iterdir()]) < 100_000
