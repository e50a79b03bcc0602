"""Files of records, each read by its number: ArrayRecord of JPEGs, NumPy of raw pictures.

JPEGs are of any length. They lie in ArrayRecord, TFDS's random-access format, a
`tf.train.Example` each, with `image/encoded`, `image/class/label` and `image/filename`.
ArrayRecord hashes each record and its own index.

Raw pictures are as long as each other, so that a record's place is a product, and to read
it is one call, in half the time that ArrayRecord takes. Their file is `numpy.save`'s: an
array of rows of (image, label, xxh3_64), the last of which is the hash of the bytes before
it, and behind it an array of the files' names. `numpy.load` reads the first.
"""

import io
import os
import pathlib
import re
import weakref
from collections.abc import Iterable
from typing import BinaryIO, NamedTuple, Protocol

import numpy as np
import tensorflow as tf
import xxhash
from array_record.python import array_record_module
from google.protobuf import message

# By the encoding of the pictures.
SUFFIXES = {"jpeg": ".array_record", "raw": ".npy"}


_HASH_BYTES = 8


class Record(NamedTuple):
    """A picture of a dataset, and its class."""

    encoded: bytes | memoryview  # a JPEG, or size * size * 3 bytes
    label: int


class DamagedRecordError(ValueError):
    """A record, or a whole shard, that is not as it was written; the message says where."""


class Shard(Protocol):
    """One file of records, open for reading, in threads."""

    lost: str  # why none of its records can be found, of which it then has 0; or empty

    def __len__(self) -> int: ...

    def read(self, position: int) -> Record:
        """Raises `DamagedRecordError` with the byte."""


def open_shard(path: pathlib.Path) -> Shard:
    """The shard at `path`, of the kind that its suffix says."""
    return _RawShard(path) if path.suffix == SUFFIXES["raw"] else _JpegShard(path)


def write_shard(
    path: pathlib.Path,
    named: Iterable[tuple[str, Record]],
    *,
    encoding: str,
    size: int,
) -> None:
    """Writes one shard; the same records are the same bytes.

    Args:
        named: each with the name of its file.
        encoding: "jpeg" or "raw".
        size: side of the pictures in pixels.
    """
    if encoding == "raw":
        _write_raw(path, named, size)
    else:
        _write_jpegs(path, named)


def _write_jpegs(path: pathlib.Path, named: Iterable[tuple[str, Record]]) -> None:
    # A group of one record each, for random access.
    writer = array_record_module.ArrayRecordWriter(
        os.fspath(path), "group_size:1,uncompressed"
    )
    for name, record in named:
        writer.write(serialize(name, record))
    writer.close()


def serialize(name: str, record: Record) -> bytes:
    """A record as the bytes of a `tf.train.Example`; the same ones every time."""

    def feature(value: bytes) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    features = {
        "image/encoded": feature(bytes(record.encoded)),
        "image/class/label": tf.train.Feature(
            int64_list=tf.train.Int64List(value=[record.label])
        ),
        "image/filename": feature(os.fsencode(name)),
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString(deterministic=True)


def _lost(path: pathlib.Path, part: str) -> str:
    return f"{part} is damaged or cut off (the file ends at byte {path.stat().st_size})"


class _JpegShard:
    def __init__(self, path: pathlib.Path):
        self._reader = array_record_module.ArrayRecordReader(
            os.fspath(path),
            options="readahead_buffer_size:0,max_parallelism:0",  # for random access
            file_reader_buffer_size=4096,
        )
        self.lost = "" if self._reader.ok() else _lost(path, "the index at its end")

    def __len__(self) -> int:
        return self._reader.num_records()

    def read(self, position: int) -> Record:
        try:
            example = tf.train.Example.FromString(self._reader.read([position])[0])
            feature = example.features.feature
            return Record(
                feature["image/encoded"].bytes_list.value[0],
                feature["image/class/label"].int64_list.value[0],
            )
        except RuntimeError as error:  # ArrayRecord's; its text has the byte's offset
            raise DamagedRecordError(str(error)) from None
        except (message.DecodeError, IndexError):
            raise DamagedRecordError(
                "it is no tf.train.Example of a picture and its label"
            ) from None


def _row(size: int) -> np.dtype:
    return np.dtype(
        [("image", "u1", (size, size, 3)), ("label", "<i4"), ("xxh3_64", "<u8")]
    )


def _write_raw(
    path: pathlib.Path, named: Iterable[tuple[str, Record]], size: int
) -> None:
    row, names = _row(size), []
    with path.open("wb") as file:
        file.write(_header(row, 0))
        for name, record in named:
            if len(record.encoded) != row["image"].itemsize:
                raise ValueError(
                    f"{name}: expected {size} x {size} x 3 raw bytes, got "
                    f"{len(record.encoded)}"
                )
            label = record.label.to_bytes(4, "little", signed=True)
            content = b"".join((record.encoded, label))
            file.write(content + _digest(content))
            names.append(os.fsencode(name))
        np.save(file, np.array(names, np.bytes_))
        file.seek(0)
        file.write(_header(row, len(names)))  # as long: numpy leaves room for any count


def _header(row: np.dtype, count: int) -> bytes:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header,
        {
            "descr": np.lib.format.dtype_to_descr(row),
            "fortran_order": False,
            "shape": (count,),
        },
    )
    return header.getvalue()


def _digest(content: bytes | memoryview) -> bytes:
    """The hash as the little-endian number that a row's type says it is."""
    return xxhash.xxh3_64_digest(content)[::-1]


class _RawShard:
    # Read and not mapped: where a file is cut off or a disk fails, a read is an error
    # and a mapping is the end of the process.

    def __init__(self, path: pathlib.Path):
        self.lost, self._count = "", 0
        with path.open("rb") as file:
            try:
                count, self._row = _read_header(file)
            except ValueError:
                self.lost = _lost(path, "the header at its start")
                return
            except OSError as error:
                self.lost = f"the header at its start cannot be read ({error})"
                return
            self._start = file.tell()
            end = self._start + count * self._row.itemsize
            file.seek(end)
            magic = np.lib.format.MAGIC_PREFIX  # of the second array
            if file.read(len(magic)) != magic:
                self.lost = _lost(path, f"what by the header ends at byte {end}")
                return
        self._count = count
        self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)

    def __len__(self) -> int:
        return self._count

    def read(self, position: int) -> Record:
        size = self._row.itemsize
        at = self._start + position * size
        try:
            row = memoryview(os.pread(self._file, size, at))
        except OSError as error:
            raise DamagedRecordError(f"{error}, at byte {at}") from None
        content, digest = row[:-_HASH_BYTES], row[-_HASH_BYTES:]
        if len(row) != size or _digest(content) != digest:
            raise DamagedRecordError(f"its hash is another, at byte {at}")
        return Record(content[:-4], int.from_bytes(content[-4:], "little", signed=True))


def _read_header(file: BinaryIO) -> tuple[int, np.dtype]:
    """(count, type) of the rows that follow; ValueError where they are not ours.

    Headers are compared and not parsed: numpy's parser evaluates Python.
    """
    start = file.read(10)
    header = start + file.read(int.from_bytes(start[8:], "little"))
    found = re.search(rb"\((\d{1,5}), \1, 3\).*\((\d{1,12}),\)", header)
    if found is None:
        raise ValueError("no header of rows")
    size, count = map(int, found.groups())
    row = _row(size)
    if header != _header(row, count):
        raise ValueError("a header of other rows")
    return count, row
