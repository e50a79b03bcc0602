"""Archives that only their user can download: each fault is told, all at once."""

import dataclasses
import hashlib

import pytest
import tensorflow_datasets as tfds

from alexnet_tf import prepare
from alexnet_tf.data import archives, prepared_dataset, sources
from alexnet_tf.data.builders.ilsvrc2010 import make_dummy_data
from alexnet_tf.runtime import options


@pytest.fixture
def known(monkeypatch):
    """Two archives of a made-up dataset: one whose size and digest are published."""
    found = (
        archives.Archive("a.tar", 1024, hashlib.sha256(bytes(1024)).hexdigest()),
        archives.Archive("b.tar"),
    )
    monkeypatch.setitem(archives.ARCHIVES, "made", found)
    monkeypatch.setitem(archives.WHERE, "made", "https://example.org")


def test_archives_that_are_there_and_whole_are_let_through(known, tmp_path, capsys):
    (tmp_path / "a.tar").write_bytes(bytes(1024))
    (tmp_path / "b.tar").write_bytes(b"x" * 512 + bytes(1024))
    archives.check("made", tmp_path)
    archives.check("made", tmp_path, checksums=True)
    told = capsys.readouterr().err
    assert f"{tmp_path / 'a.tar'}: sha256 as published" in told
    digest = hashlib.sha256(b"x" * 512 + bytes(1024)).hexdigest()
    assert f"{tmp_path / 'b.tar'}: sha256 {digest}, none is published" in told


def test_every_missing_archive_is_named_with_where_to_get_it(known, tmp_path):
    with pytest.raises(
        ValueError,
        match=rf"made needs archives in {tmp_path}.*https://example.org.*--manual_dir"
        r".*a\.tar is missing; b\.tar is missing",
    ):
        archives.check("made", tmp_path)


@pytest.mark.parametrize(
    ("name", "size", "told"),
    [
        ("a.tar", 1023, "has 1,023 of 1,024 bytes: resume its download"),
        ("a.tar", 1025, "has 1,025 of 1,024 bytes: download it again"),
        ("b.tar", 700, "has 700 bytes, which is no whole archive: resume"),
        ("b.tar", 0, "has 0 bytes, which is no whole archive: resume"),
    ],
)
def test_an_archive_of_another_size_is_told(known, tmp_path, name, size, told):
    (tmp_path / "a.tar").write_bytes(bytes(1024))
    (tmp_path / "b.tar").write_bytes(bytes(1024))
    (tmp_path / name).write_bytes(bytes(size))
    with pytest.raises(ValueError, match=f"are: {name} {told}"):
        archives.check("made", tmp_path)


@pytest.mark.parametrize("end", [b"x" * 1024, b"x" + bytes(1023), bytes(512)])
def test_an_archive_without_its_end_is_told(known, tmp_path, end):
    # Whole blocks, as where a download stops: `tarfile` would find nothing amiss.
    (tmp_path / "a.tar").write_bytes(bytes(1024))
    (tmp_path / "b.tar").write_bytes(b"x" * (4096 - len(end)) + end)
    with pytest.raises(ValueError, match=r"b\.tar has 4,096 bytes, which is no whole"):
        archives.check("made", tmp_path)


def test_wrong_bytes_of_the_right_size_are_found_by_checksum_only(known, tmp_path):
    (tmp_path / "a.tar").write_bytes(b"x" * 1024)
    (tmp_path / "b.tar").write_bytes(bytes(1024))
    archives.check("made", tmp_path)
    with pytest.raises(ValueError, match=r"a\.tar has sha256 \w{64} and should have"):
        archives.check("made", tmp_path, checksums=True)


def test_what_is_published_is_what_tfds_publishes():
    published = {
        info.filename or url.rpartition("/")[2]: (int(info.size), info.checksum)
        for url, info in tfds.builder_cls("imagenet2012").url_infos.items()
    }
    for archive in archives.ARCHIVES["imagenet2012"]:
        assert (archive.size, archive.sha256) == published[archive.name]


def test_the_builder_of_2010_names_every_archive():
    from alexnet_tf.data.builders.ilsvrc2010 import (
        ilsvrc2010_dataset_builder as ilsvrc2010,
    )

    told = ilsvrc2010.Builder.MANUAL_DOWNLOAD_INSTRUCTIONS
    assert all(archive.name in told for archive in archives.ARCHIVES["ilsvrc2010"])


@pytest.fixture
def archives_2012(tmp_path, monkeypatch):
    """A manual_dir with archives as ILSVRC-2012's, of a few small pictures."""
    folder = tmp_path / "archives"
    folder.mkdir()
    picture, tar = make_dummy_data.picture, make_dummy_data.tar
    train = {}
    for first, synset in ((1, "n01440764"), (4, "n01443537")):
        pictures = {f"{synset}_{n}.JPEG": picture(n) for n in range(first, first + 3)}
        train[f"{synset}.tar"] = tar(pictures)
    (folder / "ILSVRC2012_img_train.tar").write_bytes(tar(train))
    for split, count in (("val", 4), ("test", 2)):
        pictures = {
            f"ILSVRC2012_{split}_{n:08}.JPEG": picture(20 + n)
            for n in range(1, count + 1)
        }
        (folder / f"ILSVRC2012_img_{split}.tar").write_bytes(tar(pictures))
    unpublished = tuple(
        dataclasses.replace(archive, size=None, sha256=None)
        for archive in archives.ARCHIVES["imagenet2012"]
    )
    monkeypatch.setitem(archives.ARCHIVES, "imagenet2012", unpublished)
    return folder


def test_imagenet_2012_goes_from_archives_to_a_prepared_folder(
    tmp_path, archives_2012, monkeypatch, capsys
):
    # Named by the kit of 2012, which here is that of our dummy 2010.
    rows = ((1, "n01443537", "goldfish, Carassius auratus", 0),)
    monkeypatch.setattr(make_dummy_data, "SYNSETS", rows)
    kit = make_dummy_data.tar({"kit/data/meta.mat": make_dummy_data.metadata()})
    (archives_2012 / archives.DEVKIT_2012).write_bytes(kit)

    flags = options.Config(
        source="imagenet2012",
        data_dir=str(tmp_path / "data"),
        manual_dir=str(archives_2012),
        size=8,
        verify=True,
    )
    prepare.main(flags, [])
    assert "6 train, 4 validation pictures" in capsys.readouterr().out
    dataset = prepared_dataset.read_description(tmp_path / "data" / "imagenet2012-8")
    assert len(dataset.classes) == 1000
    assert dataset.classes[:3] == (
        "n01440764",
        "n01443537 goldfish, Carassius auratus",
        "n01484850",
    )
    assert dataset.counts == {"train": 6, "validation": 4}  # test has no labels

    source = sources.open_source("tfds:imagenet2012", data_dir=flags.data_dir)
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


def test_missing_archives_of_imagenet_are_told_before_anything_is_built(tmp_path):
    with pytest.raises(
        ValueError,
        match=r"imagenet2012 needs archives in .*data/tfds/downloads/manual.*image-net"
        r".*ILSVRC2012_img_train\.tar is missing; ILSVRC2012_img_val\.tar is missing",
    ):
        sources.open_source("imagenet2012", data_dir=str(tmp_path / "data"))
    assert not list(tmp_path.rglob("*imagenet2012*"))


def test_what_is_built_already_needs_no_archives(tmp_path, archives_2012):
    options = {"data_dir": str(tmp_path / "data"), "manual_dir": str(archives_2012)}
    sources.open_source("imagenet2012", **options)
    for path in archives_2012.iterdir():
        path.unlink()
    assert len(sources.open_source("imagenet2012", **options).splits["train"]) == 6
    with pytest.raises(ValueError, match="is missing"):
        sources.open_source("imagenet2012", **options, checksums=True)


def test_another_dataset_that_wants_archives_says_so_in_one_error(tmp_path):
    with pytest.raises(ValueError, match=r"tfds:resisc45: .*manual"):
        sources.open_source("tfds:resisc45", data_dir=str(tmp_path))
