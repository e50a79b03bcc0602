"""The two kinds of files, each as anyone else reads it."""

import os

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
import xxhash
from array_record.python import array_record_module
from hypothesis import strategies as st

from alexnet_tf.data import record_files

NAMES = ["folder/über.png", "b.JPEG", os.fsdecode(b"gr\xfcn.png")]
RECORDS = [
    record_files.Record(bytes(range(n, n + 12)), label)
    for n, label in enumerate((3, 999, 0))
]


def write(path, kind, records=RECORDS):
    named = list(zip(NAMES, records, strict=True))
    record_files.write_shard(path, named, encoding=kind, size=2)
    return path


@pytest.mark.parametrize("kind", ["jpeg", "raw"])
def test_records_are_read_as_they_were_written(tmp_path, kind):
    shard = record_files.open_shard(
        write(tmp_path / f"a{record_files.SUFFIXES[kind]}", kind)
    )
    assert (len(shard), shard.lost) == (3, "")
    for position in (2, 0, 1, 1):
        assert shard.read(position) == RECORDS[position]


@pytest.mark.parametrize("kind", ["jpeg", "raw"])
def test_the_names_of_the_image_files_are_read_back(tmp_path, kind):
    path = write(tmp_path / f"a{record_files.SUFFIXES[kind]}", kind)
    shard = record_files.open_shard(path)
    assert [shard.name(position) for position in (2, 0, 1)] == [NAMES[2], *NAMES[:2]]


def test_the_names_of_a_damaged_shard_are_empty(tmp_path):
    raw = write(tmp_path / "a.npy", "raw")
    raw.write_bytes(raw.read_bytes()[:-1])  # ends in the array of names
    shard = record_files.open_shard(raw)
    assert (shard.name(0), shard.read(0)) == ("", RECORDS[0])
    path = write(tmp_path / "a.array_record", "jpeg")
    data = bytearray(path.read_bytes())
    data[data.index(b"b.JPEG")] ^= 1
    path.write_bytes(data)
    shard = record_files.open_shard(path)
    assert (shard.name(0), shard.name(1)) == (NAMES[0], "")


@pytest.mark.parametrize("kind", ["jpeg", "raw"])
def test_the_same_records_give_the_same_bytes(tmp_path, kind):
    files = [write(tmp_path / f"{n}", kind).read_bytes() for n in range(3)]
    assert len(set(files)) == 1


def test_jpeg_shards_hold_tf_train_examples(tmp_path):
    path = write(tmp_path / "a.array_record", "jpeg")
    reader = array_record_module.ArrayRecordReader(str(path))
    for data, name, record in zip(reader.read_all(), NAMES, RECORDS, strict=True):
        feature = tf.train.Example.FromString(data).features.feature
        assert feature["image/encoded"].bytes_list.value[:] == [record.encoded]
        assert feature["image/class/label"].int64_list.value[:] == [record.label]
        assert feature["image/filename"].bytes_list.value[:] == [os.fsencode(name)]


def test_raw_shards_are_arrays_that_numpy_loads(tmp_path):
    path = write(tmp_path / "a.npy", "raw")
    found = np.load(path, mmap_mode="r")
    assert found["image"].shape == (3, 2, 2, 3)
    assert [image.tobytes() for image in found["image"]] == [r.encoded for r in RECORDS]
    assert found["label"].tolist() == [3, 999, 0]
    assert found["xxh3_64"].tolist() == [
        xxhash.xxh3_64_intdigest(row.tobytes()[:-8]) for row in found
    ]
    with path.open("rb") as file:
        np.load(file)
        assert np.load(file).tolist() == list(map(os.fsencode, NAMES))
        assert file.read() == b""


def test_a_raw_shard_may_be_empty(tmp_path):
    path = tmp_path / "a.npy"
    record_files.write_shard(path, [], encoding="raw", size=2)
    shard = record_files.open_shard(path)
    assert (len(shard), shard.lost) == (0, "")


def test_raw_bytes_of_another_size_are_rejected(tmp_path):
    with pytest.raises(
        ValueError, match="b.JPEG: expected 2 x 2 x 3 raw bytes, got 11"
    ):
        write(
            tmp_path / "a.npy",
            "raw",
            [RECORDS[0], record_files.Record(bytes(11), 1), RECORDS[2]],
        )


def test_an_array_of_something_else_is_not_a_shard(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(3))
    shard = record_files.open_shard(tmp_path / "a.npy")
    assert len(shard) == 0
    assert shard.lost.startswith("the header at its start is damaged")


def test_an_array_record_of_something_else_has_damaged_records(tmp_path):
    path = tmp_path / "a.array_record"
    writer = array_record_module.ArrayRecordWriter(str(path), "group_size:1")
    writer.write(b"no example")
    writer.write(b"")
    writer.close()
    shard = record_files.open_shard(path)
    for position in (0, 1):
        with pytest.raises(
            record_files.DamagedRecordError, match="not a tf.train.Example"
        ):
            shard.read(position)


def test_a_read_error_of_the_disk_names_the_byte(tmp_path, monkeypatch):
    shard = record_files.open_shard(write(tmp_path / "a.npy", "raw"))

    def refuse(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "pread", refuse)
    with pytest.raises(record_files.DamagedRecordError, match=r"Input.*at byte \d+"):
        shard.read(1)


@hypothesis.given(
    st.binary(min_size=1, max_size=300),
    st.integers(0, 2**31 - 1),
    st.binary(min_size=1, max_size=40).filter(lambda name: 0 not in name),
)
def test_a_record_is_what_tensorflow_serializes(encoded, label, name):
    def feature(value):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    name = os.fsdecode(name)
    labels = tf.train.Int64List(value=[label])
    features = {
        "image/encoded": feature(encoded),
        "image/class/label": tf.train.Feature(int64_list=labels),
        "image/filename": feature(os.fsencode(name)),
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    found = record_files.serialize(name, record_files.Record(encoded, label))
    assert found == example.SerializeToString(deterministic=True)
