"""ILSVRC-2010 from archives laid out as the real ones, a few pictures each."""

import gzip
import pathlib
import sys
import tempfile

import numpy as np
import pytest
import tensorflow_datasets as tfds

from alexnet_tf import sources
from alexnet_tf.datasets.ilsvrc2010 import ilsvrc2010_dataset_builder, make_dummy_data

# By ILSVRC2010_ID, whatever the order in the kit; the synset with children is no class.
CLASSES = (
    "n07711080 french fries, french-fried potatoes, fries, chips",
    "n07711569 mashed potato",
    "n07767549 apple",
)


class Ilsvrc2010Test(tfds.testing.DatasetBuilderTestCase):
    """What TFDS asks of a builder."""

    DATASET_CLASS = ilsvrc2010_dataset_builder.Builder
    SPLITS = {"train": 9, "validation": 4, "test": 5}  # noqa: RUF012

    @classmethod
    def setUpClass(cls):
        cls._folder = tempfile.TemporaryDirectory()
        cls.EXAMPLE_DIR = cls._folder.name
        make_dummy_data.write(pathlib.Path(cls.EXAMPLE_DIR))
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        cls._folder.cleanup()


@pytest.fixture
def manual(tmp_path):
    make_dummy_data.write(tmp_path / "archives")
    return tmp_path / "archives"


def open_source(tmp_path, manual):
    return sources.open_source(
        "ilsvrc2010", data_dir=str(tmp_path / "data"), manual_dir=str(manual)
    )


def brightness(example):
    """Of a dummy picture: what `make_dummy_data.picture` was given."""
    return round(float(example.read()[..., 0].mean()) / 8)


def test_labels_are_the_kits_ids_less_one(tmp_path, manual):
    source = open_source(tmp_path, manual)
    assert source.classes == CLASSES
    train = sorted((brightness(e), e.label) for e in source.splits["train"])
    assert train == [(n, 0 if n <= 4 else 1 if n <= 7 else 2) for n in range(1, 10)]
    # Picture number k has line k of the ground truth, wherever the archive has it.
    for split, truth in (
        ("validation", make_dummy_data.VALIDATION),
        ("test", make_dummy_data.TEST),
    ):
        found = sorted((brightness(e), e.label) for e in source.splits[split])
        assert found == [(21 + k, number - 1) for k, number in enumerate(truth)]


def test_the_gzipped_picture_is_unpacked_for_every_reader(tmp_path, manual):
    open_source(tmp_path, manual)
    builder = tfds.builder("ilsvrc2010", data_dir=str(tmp_path / "data" / "tfds"))
    examples = builder.as_data_source("train")
    (found,) = (
        e for e in examples if e["file_name"].decode() == make_dummy_data.GZIPPED
    )
    assert found["image"].shape == (10, 12, 3)
    assert abs(float(found["image"][..., 0].mean()) - 8 * 6) < 2


@pytest.mark.parametrize("prefix", ["", "train/"])
def test_the_synsets_archives_may_lie_in_a_folder(tmp_path, manual, prefix):
    path = manual / "ILSVRC2010_images_train.tar"
    inner = make_dummy_data.tar({"n07767549_1.JPEG": make_dummy_data.picture(1)})
    path.write_bytes(make_dummy_data.tar({f"{prefix}n07767549.tar": inner}))
    (example,) = open_source(tmp_path, manual).splits["train"]
    assert (brightness(example), example.label) == (1, 2)


def test_a_kit_without_metadata_is_refused(tmp_path, manual):
    kit = make_dummy_data.tar({"devkit-1.0/readme.txt": b""})
    (manual / "ILSVRC2010_devkit-1.0.tar.gz").write_bytes(gzip.compress(kit))
    with pytest.raises(ValueError, match="no development kit: it has no data/meta.mat"):
        open_source(tmp_path, manual)


def test_a_damaged_kit_is_told(tmp_path, manual):
    path = manual / "ILSVRC2010_devkit-1.0.tar.gz"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"devkit-1\.0\.tar\.gz is damaged"):
        open_source(tmp_path, manual)


def test_without_scipy_it_is_said_how_to_get_it(tmp_path, manual, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(RuntimeError, match=r"pip install 'alexnet_tf\[ilsvrc\]'"):
        open_source(tmp_path, manual)


def test_the_dummy_archives_are_the_same_bytes_each_time(tmp_path, manual):
    make_dummy_data.write(tmp_path / "again")
    for path in manual.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()
    assert np.sum([path.stat().st_size for path in manual.iterdir()]) < 100_000
