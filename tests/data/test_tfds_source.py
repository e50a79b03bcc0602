"""Datasets of TFDS, and ImageNet's archives through TFDS, become sources."""

import dataclasses
import pickle
import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds

from alexnet_tf.data import (
    archives,
    preparation,
    prepared_dataset,
    records,
    sources,
)
from alexnet_tf.data.builders.ilsvrc2010 import make_dummy_data
from alexnet_tf.runtime import lock
from tests.support import commands


class TinyImages(tfds.core.GeneratorBasedBuilder):
    """Three training images, two test images and one in a split of another name."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3)),
                    "label": tfds.features.ClassLabel(names=["dark", "light"]),
                }
            ),
        )

    def _split_generators(self, dl_manager):
        del dl_manager
        counts = {"train": 3, "test": 2, "unlabeled": 1}
        return {split: self._generate_examples(n) for split, n in counts.items()}

    def _generate_examples(self, count):
        for number in range(count):
            image = np.full((5, 4, 3), 100 * number, np.uint8)
            yield number, {"image": image, "label": number % 2}


class TinyNumbers(tfds.core.GeneratorBasedBuilder):
    """No images at all."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = tfds.features.FeaturesDict({"x": tfds.features.Scalar(np.int64)})
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        del dl_manager
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        yield 0, {"x": 1}


def test_a_tfds_dataset_is_built_and_read(tmp_path):
    source = sources.open_source("tfds:tiny_images", data_dir=str(tmp_path))
    assert (source.name, source.classes) == ("tiny_images", ("dark", "light"))
    counts = {split: len(examples) for split, examples in source.splits.items()}
    assert counts == {"train": 3, "test": 2}
    found = {}
    for example in source.splits["train"]:
        image = example.read()
        assert image.shape == (5, 4, 3)
        found[example.name] = (int(image.min()), int(image.max()), example.label)
    assert sorted(found) == [f"tiny_images/train#{i}" for i in range(3)]
    assert sorted(found.values()) == [(0, 0, 0), (100, 100, 1), (200, 200, 0)]
    assert list((tmp_path / "tfds").iterdir())
    sent = pickle.loads(pickle.dumps(source.splits["train"][1:]))
    assert [e.name for e in sent] == [f"tiny_images/train#{i}" for i in (1, 2)]
    assert {e.name: e.label for e in sent}.items() <= {
        name: label for name, (_, _, label) in found.items()
    }.items()


def test_splits_of_other_names_and_without_labels_are_reported(tmp_path, monkeypatch):
    def generate(builder, count):
        del builder
        for number in range(count):
            label = -1 if count == 2 else number % 2
            yield number, {"image": np.zeros((5, 4, 3), np.uint8), "label": label}

    monkeypatch.setattr(TinyImages, "_generate_examples", generate)
    source = sources.open_source("tfds:tiny_images", data_dir=str(tmp_path))
    assert list(source.splits) == ["train"]
    assert sorted(source.notes) == [
        "left out: tiny_images/test (2 examples), because its images have no labels",
        "left out: tiny_images/unlabeled (1 example), because it is not one of train, "
        "validation and test",
    ]


@pytest.mark.parametrize("names", [("training", "valid"), ("Train", "dev")])
def test_splits_of_tfds_may_have_other_names(tmp_path, monkeypatch, names):
    def generate(builder, dl_manager):
        del dl_manager
        return {name: builder._generate_examples(2) for name in (*names, "eval")}

    monkeypatch.setattr(TinyImages, "_split_generators", generate)
    source = sources.open_source("tfds:tiny_images", data_dir=str(tmp_path))
    counts = {split: len(examples) for split, examples in source.splits.items()}
    assert counts == {"train": 2, "validation": 2}
    (note,) = source.notes
    assert note.endswith("is the validation split")


def find(name, tmp_path):
    return preparation.find_or_prepare(
        f"tfds:{name}", size=8, encoding="raw", data_dir=str(tmp_path)
    )


def test_records_know_the_version_of_a_tfds_dataset(tmp_path, monkeypatch):
    prepared = find("tiny_images", tmp_path)
    assert prepared.source == "tfds:tiny_images/1.0.0"
    assert find("tiny_images", tmp_path) == prepared
    # Without TFDS's own files the version is still compared, and nothing is built.
    shutil.rmtree(tmp_path / "tfds")
    assert find("tiny_images", tmp_path) == prepared
    assert not (tmp_path / "tfds").exists()
    monkeypatch.setattr(TinyImages, "VERSION", tfds.core.Version("1.0.1"))
    with pytest.raises(
        ValueError, match="tiny_images/1.0.0, and not from tfds:tiny_images/1.0.1"
    ):
        find("tiny_images", tmp_path)


def test_records_of_a_tfds_dataset_that_was_built_anew_are_refused(
    tmp_path, monkeypatch
):
    find("tiny_images", tmp_path)
    shutil.rmtree(tmp_path / "tfds")
    build = TinyImages._generate_examples
    monkeypatch.setattr(
        TinyImages,
        "_generate_examples",
        lambda self, count: build(self, min(count + 1, 3)),
    )
    sources.open_source("tfds:tiny_images", data_dir=str(tmp_path))
    with pytest.raises(
        ValueError, match="tiny_images/1.0.0, whose images have changed"
    ):
        find("tiny_images", tmp_path)


def test_records_of_a_tfds_dataset_that_does_not_exist_are_not_used(tmp_path):
    find("tiny_images", tmp_path)
    (tmp_path / "tiny_images-8").rename(tmp_path / "no_such_images-8")
    with pytest.raises(ValueError, match="tfds:no_such_images: TFDS has no such"):
        find("no_such_images", tmp_path)


def test_class_names_of_tfds_are_checked_before_it_is_built(tmp_path, monkeypatch):
    describe = TinyImages._info

    def with_other_names(builder):
        info = describe(builder)
        info.features["label"]._str2int = {"dark": 0, "li\nght": 1}
        info.features["label"]._int2str = ["dark", "li\nght"]
        return info

    monkeypatch.setattr(TinyImages, "_info", with_other_names)
    with pytest.raises(
        ValueError, match=r"tiny_images: the class name 'li\\nght' has a"
    ):
        sources.open_source("tfds:tiny_images", data_dir=str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_tfds_dataset_is_built_by_one_process_at_a_time(tmp_path, monkeypatch):
    built, build = [], TinyImages._generate_examples

    def meanwhile(builder, count):
        with pytest.raises(ValueError, match="another process is writing into.*wait"):
            sources.open_source("tfds:tiny_images", data_dir=str(tmp_path))
        built.append(count)
        return build(builder, count)

    monkeypatch.setattr(TinyImages, "_generate_examples", meanwhile)
    sources.open_source("tfds:tiny_images", data_dir=str(tmp_path))
    assert built == [3, 2, 1]
    # A dataset that is built can be opened even while the folder is locked.
    with lock.exclusive(tmp_path / "tfds" / "tiny_images", "unused"):
        sources.open_source("tfds:tiny_images", data_dir=str(tmp_path))


def test_the_remains_of_a_killed_build_are_removed(tmp_path):
    folder = tmp_path / "tfds" / "tiny_images"
    for name in ("incomplete.A1B2C3_1.0.0", "incomplete.A1B2C3_2.0.0"):
        (folder / name).mkdir(parents=True)
        (folder / name / "shard").write_bytes(bytes(100))
    sources.open_source("tfds:tiny_images", data_dir=str(tmp_path))
    found = sorted(path.name for path in folder.iterdir())
    assert found == ["1.0.0", "incomplete.A1B2C3_2.0.0", "lock"]


def test_a_reader_of_a_tfds_dataset_may_open_all_its_shards(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(records, "allow_open_files", asked.append)
    source = sources.open_source("tfds:tiny_images", data_dir=str(tmp_path))
    source.splits["train"][0].read()
    assert set(asked) == {3}  # one shard per split


def test_a_tfds_dataset_without_images_is_rejected(tmp_path):
    with pytest.raises(ValueError, match="tfds:tiny_numbers is not an image classif"):
        sources.open_source("tfds:tiny_numbers", data_dir=str(tmp_path))


def test_a_name_that_tfds_does_not_know_is_rejected(tmp_path):
    with pytest.raises(ValueError, match="tfds:no_such_images: TFDS has no such"):
        sources.open_source("tfds:no_such_images", data_dir=str(tmp_path))


@pytest.fixture
def archives_2012(tmp_path, monkeypatch):
    """A manual_dir with archives laid out as those of ILSVRC-2012, with few images."""
    folder = tmp_path / "archives"
    folder.mkdir()
    image, tar = make_dummy_data.dummy_image, make_dummy_data.tar_archive
    train = {}
    for first, synset in ((1, "n01440764"), (4, "n01443537")):
        images = {f"{synset}_{n}.JPEG": image(n) for n in range(first, first + 3)}
        train[f"{synset}.tar"] = tar(images)
    (folder / "ILSVRC2012_img_train.tar").write_bytes(tar(train))
    for split, count in (("val", 4), ("test", 2)):
        images = {
            f"ILSVRC2012_{split}_{n:08}.JPEG": image(20 + n)
            for n in range(1, count + 1)
        }
        (folder / f"ILSVRC2012_img_{split}.tar").write_bytes(tar(images))
    unpublished = tuple(
        dataclasses.replace(archive, size=None, sha256=None)
        for archive in archives.ARCHIVES["imagenet2012"]
    )
    monkeypatch.setitem(archives.ARCHIVES, "imagenet2012", unpublished)
    return folder


def test_imagenet_2012_is_prepared_from_its_archives(
    tmp_path, archives_2012, monkeypatch, capsys
):
    # The kit of 2012 names the classes; here it has the layout of our dummy kit of
    # 2010.
    rows = ((1, "n01443537", "goldfish, Carassius auratus", 0),)
    monkeypatch.setattr(make_dummy_data, "SYNSETS", rows)
    kit = make_dummy_data.tar_archive({"kit/data/meta.mat": make_dummy_data.metadata()})
    (archives_2012 / archives.DEVKIT_2012).write_bytes(kit)

    data_dir = str(tmp_path / "data")
    commands.run_prepare(
        source="imagenet2012",
        data_dir=data_dir,
        manual_dir=str(archives_2012),
        size=8,
        verify=True,
    )
    assert "6 train, 4 validation images" in capsys.readouterr().out
    dataset = prepared_dataset.read_description(tmp_path / "data" / "imagenet2012-8")
    assert len(dataset.classes) == 1000
    assert dataset.classes[:3] == (
        "n01440764",
        "n01443537 goldfish, Carassius auratus",
        "n01484850",
    )
    assert dataset.counts == {"train": 6, "validation": 4}  # test has no labels

    source = sources.open_source("tfds:imagenet2012", data_dir=data_dir)
    found = sorted(
        (round(float(e.read()[..., 0].mean()) / 8), e.label)
        for e in source.splits["train"]
    )
    assert found == [(1, 0), (2, 0), (3, 0), (4, 1), (5, 1), (6, 1)]
    # The first lines of TFDS's own list of validation labels.
    labels = tfds.core.tfds_path("datasets/imagenet2012/validation_labels.txt")
    synsets = labels.read_text().split()[:4]
    for example in source.splits["validation"]:
        number = round(float(example.read()[..., 0].mean()) / 8) - 21
        assert source.classes[example.label].split()[0] == synsets[number]


def test_missing_imagenet_archives_are_reported_before_anything_is_built(tmp_path):
    with pytest.raises(
        ValueError,
        match=r"imagenet2012 needs archives in .*data/tfds/downloads/manual.*image-net"
        r".*ILSVRC2012_img_train\.tar is missing; ILSVRC2012_img_val\.tar is missing",
    ):
        sources.open_source("imagenet2012", data_dir=str(tmp_path / "data"))
    assert not list(tmp_path.rglob("*imagenet2012*"))


def test_a_dataset_that_is_already_built_needs_no_archives(tmp_path, archives_2012):
    folders = {"data_dir": str(tmp_path / "data"), "manual_dir": str(archives_2012)}
    sources.open_source("imagenet2012", **folders)
    for path in archives_2012.iterdir():
        path.unlink()
    assert len(sources.open_source("imagenet2012", **folders).splits["train"]) == 6
    with pytest.raises(ValueError, match="is missing"):
        sources.open_source("imagenet2012", **folders, checksums=True)


def test_a_tfds_dataset_that_needs_archives_is_reported_in_one_error(tmp_path):
    with pytest.raises(ValueError, match=r"tfds:resisc45: .*manual"):
        sources.open_source("tfds:resisc45", data_dir=str(tmp_path))
