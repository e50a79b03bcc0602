"""Verification finds every kind of damage and names the file and the record."""

import subprocess

import pytest

from alexnet_tf.data import dataset_verification, record_files
from tests.support import image_sources

TEST_SHARD = "test-00000-of-00001.npy"


@pytest.fixture
def copy(prepared, tmp_path):
    """A prepared folder to damage."""
    folder = tmp_path / "copy"
    subprocess.run(["cp", "-r", prepared.path, folder], check=True)
    return folder


def test_a_prepared_dataset_passes_verification(prepared):
    assert dataset_verification.verify_dataset(prepared.path) == prepared
    subprocess.run(
        ["sha256sum", "--check", "--quiet", "--strict", "SHA256SUMS"],
        cwd=prepared.path,
        check=True,
    )
    assert len((prepared.path / "SHA256SUMS").read_text().splitlines()) == 4


@pytest.mark.parametrize(
    "name",
    ["train-00000-of-00001.npy", "dataset.json", "statistics.npz"],
)
def test_a_flipped_bit_is_found(copy, name):
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    if name == "dataset.json":
        data = (copy / name).read_bytes().replace(b'"made"', b'"mode"')
    (copy / name).write_bytes(data)
    with pytest.raises(ValueError, match=f"{name} is damaged"):
        dataset_verification.verify_dataset(copy)


def test_a_missing_shard_is_found(copy):
    (copy / TEST_SHARD).rename(copy / "test-00001-of-00001.npy")
    with pytest.raises(
        ValueError, match=r"missing \['test-00000.*unknown \['test-00001"
    ):
        dataset_verification.verify_dataset(copy)


def write_digests(folder):
    """Writes digests of the files as they are now, as if the damage were older."""
    lines = [
        f"{digest}  {name}\n"
        for name, digest in image_sources.file_digests(folder).items()
    ]
    (folder / "SHA256SUMS").write_text("".join(lines))


def rewrite_test_shard(copy, *labels, size=16):
    """Rewrites the test shard with black images of these labels; returns its path."""
    path = copy / TEST_SHARD
    named = [
        ("x", record_files.Record(bytes(size * size * 3), label)) for label in labels
    ]
    record_files.write_shard(path, named, encoding="raw", size=size)
    return path


@pytest.mark.parametrize("label", [3, -1])
def test_a_label_without_a_class_is_found_with_its_record(copy, label):
    path = rewrite_test_shard(copy, 0, label)
    write_digests(copy)
    with pytest.raises(
        ValueError, match=f"{path.name}, record 1: its label is {label}, .* 3 classes"
    ):
        dataset_verification.verify_dataset(copy)


def test_an_image_of_another_size_is_found_with_its_record(copy):
    path = rewrite_test_shard(copy, 0, 1, size=8)
    write_digests(copy)
    with pytest.raises(ValueError, match=f"{path.name}, record 0: .* 192 bytes, but"):
        dataset_verification.verify_dataset(copy)


def test_damage_from_before_the_digests_is_found_with_its_record(copy):
    path = rewrite_test_shard(copy, 0, 1)
    content = bytearray(path.read_bytes())
    content[192 + 16 * 16 * 3 + 12 + 5] ^= 1
    path.write_bytes(content)
    write_digests(copy)
    with pytest.raises(
        ValueError, match=f"{path.name}, record 1: its hash does not match"
    ):
        dataset_verification.verify_dataset(copy)
    path.write_bytes(content[:500])
    write_digests(copy)
    with pytest.raises(ValueError, match=f"{path.name}: .* ends at byte 500"):
        dataset_verification.verify_dataset(copy)


def test_a_wrong_count_is_found(copy):
    rewrite_test_shard(copy, 0)
    write_digests(copy)
    with pytest.raises(ValueError, match=r"'test': 1.*dataset\.json says.*'test': 4"):
        dataset_verification.verify_dataset(copy)


def test_a_folder_without_digests_must_be_prepared_again(copy):
    (copy / "SHA256SUMS").unlink()
    with pytest.raises(ValueError, match="SHA256SUMS is missing: restore it"):
        dataset_verification.verify_dataset(copy)
