"""Every problem with archives that only their user can download is reported at once."""

import hashlib

import pytest
import tensorflow_datasets as tfds

from alexnet_tf.data import archives


@pytest.fixture
def known(monkeypatch):
    """Two archives of a made-up dataset: one whose size and digest are published."""
    found = (
        archives.Archive("a.tar", 1024, hashlib.sha256(bytes(1024)).hexdigest()),
        archives.Archive("b.tar"),
    )
    monkeypatch.setitem(archives.ARCHIVES, "made", found)
    monkeypatch.setitem(archives.WHERE, "made", "https://example.org")


def test_complete_archives_pass(known, tmp_path, capsys):
    (tmp_path / "a.tar").write_bytes(bytes(1024))
    (tmp_path / "b.tar").write_bytes(b"x" * 512 + bytes(1024))
    archives.check_archives("made", tmp_path)
    archives.check_archives("made", tmp_path, checksums=True)
    printed = capsys.readouterr().err
    assert f"{tmp_path / 'a.tar'}: SHA-256 matches the published one" in printed
    digest = hashlib.sha256(b"x" * 512 + bytes(1024)).hexdigest()
    assert f"{tmp_path / 'b.tar'}: SHA-256 {digest}; no official digest" in printed


def test_every_missing_archive_is_named_with_its_download_page(known, tmp_path):
    with pytest.raises(
        ValueError,
        match=rf"made needs archives in {tmp_path}.*https://example.org.*--manual_dir"
        r".*a\.tar is missing; b\.tar is missing",
    ):
        archives.check_archives("made", tmp_path)


@pytest.mark.parametrize(
    ("name", "size", "problem"),
    [
        ("a.tar", 1023, "has 1,023 bytes instead of 1,024: resume its download"),
        ("a.tar", 1025, "has 1,025 bytes instead of 1,024: download it again"),
        ("b.tar", 700, "has 700 bytes and is not complete: resume"),
        ("b.tar", 0, "has 0 bytes and is not complete: resume"),
    ],
)
def test_an_archive_of_the_wrong_size_is_reported(known, tmp_path, name, size, problem):
    (tmp_path / "a.tar").write_bytes(bytes(1024))
    (tmp_path / "b.tar").write_bytes(bytes(1024))
    (tmp_path / name).write_bytes(bytes(size))
    with pytest.raises(ValueError, match=f"Found: {name} {problem}"):
        archives.check_archives("made", tmp_path)


@pytest.mark.parametrize("end", [b"x" * 1024, b"x" + bytes(1023), bytes(512)])
def test_a_tar_archive_without_its_end_blocks_is_reported(known, tmp_path, end):
    # A download may stop between two blocks, and `tarfile` would not notice.
    (tmp_path / "a.tar").write_bytes(bytes(1024))
    (tmp_path / "b.tar").write_bytes(b"x" * (4096 - len(end)) + end)
    with pytest.raises(ValueError, match=r"b\.tar has 4,096 bytes and is not complete"):
        archives.check_archives("made", tmp_path)


def test_wrong_bytes_of_the_right_size_are_found_only_by_checksums(known, tmp_path):
    (tmp_path / "a.tar").write_bytes(b"x" * 1024)
    (tmp_path / "b.tar").write_bytes(bytes(1024))
    archives.check_archives("made", tmp_path)
    with pytest.raises(
        ValueError, match=r"a\.tar has SHA-256 \w{64} instead of the published"
    ):
        archives.check_archives("made", tmp_path, checksums=True)


def test_sizes_and_digests_are_those_tfds_publishes():
    published = {
        info.filename or url.rpartition("/")[2]: (int(info.size), info.checksum)
        for url, info in tfds.builder_cls("imagenet2012").url_infos.items()
    }
    for archive in archives.ARCHIVES["imagenet2012"]:
        assert (archive.size, archive.sha256) == published[archive.name]


def test_instructions_of_the_2010_builder_name_every_archive():
    from alexnet_tf.data.builders.ilsvrc2010 import (
        ilsvrc2010_dataset_builder as ilsvrc2010,
    )

    instructions = ilsvrc2010.Builder.MANUAL_DOWNLOAD_INSTRUCTIONS
    assert all(
        archive.name in instructions for archive in archives.ARCHIVES["ilsvrc2010"]
    )
