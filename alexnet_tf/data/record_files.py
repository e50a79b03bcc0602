"""Files of records that are read by index: ArrayRecord for JPEGs, NumPy for raw images.

JPEGs have different lengths. They are stored in ArrayRecord, TFDS's random-access
format, as one `tf.train.Example` per record with `image/encoded`, `image/class/label`
and `image/filename`. ArrayRecord hashes each record and its own index.

Raw records all have the same size, so a record's offset is `index * size` and reading
it takes one `pread`, half the time ArrayRecord needs. The file is what `numpy.save`
writes: an array with rows of (image, label, xxh3_64), where the last is the hash of the
bytes before it, followed by an array of the file names. `numpy.load` reads the first
array.
"""

import os
import pathlib
import re
import weakref
from collections.abc import Iterable
from typing import Any, BinaryIO, NamedTuple, Protocol

import numpy as np
import xxhash
from array_record.python import array_record_module
from google.protobuf import message

from alexnet_tf.runtime import array_files, protobuf

# The suffix of a shard, by the encoding of its images.
SUFFIXES = {"jpeg": ".array_record", "raw": ".npy"}

_HASH_BYTES = 8
_LABEL_BYTES = 4

# A `tf.train.Example`, without TensorFlow. A map, as its features are, is stored as a
# list of entries.
_MESSAGES = protobuf.message_classes(
    "alexnet_tf.example",
    {
        "BytesList": [("*value", 1, protobuf.BYTES)],
        "Int64List": [("**value", 1, protobuf.INT64)],
        "Feature": [("bytes_list", 1, "BytesList"), ("int64_list", 3, "Int64List")],
        "Entry": [("key", 1, protobuf.STRING), ("value", 2, "Feature")],
        "Features": [("*feature", 1, "Entry")],
        "Example": [("features", 1, "Features")],
    },
)


class Record(NamedTuple):
    """An encoded image and the label of its class."""

    encoded: bytes | memoryview  # a JPEG, or size * size * 3 bytes
    label: int


class DamagedRecordError(ValueError):
    """A record or a whole shard is not as it was written; the message says which."""


class Shard(Protocol):
    """One file of records, open for reading; several threads may read at once.

    Attributes:
        lost: why none of the records can be found, in which case the shard has length
            0; empty if they can.
    """

    lost: str

    def __len__(self) -> int: ...

    def read(self, position: int) -> Record:
        """Reads one record; raises `DamagedRecordError` with its byte offset."""

    def name(self, position: int) -> str:
        """The name of a record's image file; empty if it is damaged."""


def open_shard(path: pathlib.Path) -> Shard:
    """Opens a shard of either format; the suffix of `path` says which."""
    return _RawShard(path) if path.suffix == SUFFIXES["raw"] else _JpegShard(path)


def write_shard(
    path: pathlib.Path,
    named: Iterable[tuple[str, Record]],
    *,
    encoding: str,
    size: int,
) -> None:
    """Writes one shard. The same records always result in the same bytes.

    Args:
        path: the file to write.
        named: the records, each with the name of the image's file.
        encoding: "jpeg" or "raw".
        size: side of the images in pixels.

    Raises:
        ValueError: a raw record does not have size * size * 3 bytes.
    """
    if encoding == "raw":
        _write_raw(path, named, size)
    else:
        _write_jpegs(path, named)


def _write_jpegs(path: pathlib.Path, named: Iterable[tuple[str, Record]]) -> None:
    # Each record is a group of its own, for random access.
    writer = array_record_module.ArrayRecordWriter(
        os.fspath(path), "group_size:1,uncompressed"
    )
    for name, record in named:
        writer.write(serialize(name, record))
    writer.close()


def serialize(name: str, record: Record) -> bytes:
    """A record as a serialized `tf.train.Example`; always the same bytes."""
    features = {
        "image/class/label": {"int64_list": {"value": [record.label]}},
        "image/encoded": {"bytes_list": {"value": [bytes(record.encoded)]}},
        "image/filename": {"bytes_list": {"value": [os.fsencode(name)]}},
    }
    entries = [{"key": key, "value": value} for key, value in features.items()]
    example = _MESSAGES["Example"](features={"feature": entries})
    return example.SerializeToString(deterministic=True)


def _parse(serialized: bytes) -> dict[str, Any]:
    """The features of a serialized `tf.train.Example`, by name."""
    example = _MESSAGES["Example"].FromString(serialized)
    return {entry.key: entry.value for entry in example.features.feature}


def _lost(path: pathlib.Path, part: str) -> str:
    return f"{part} is damaged or cut off (the file ends at byte {path.stat().st_size})"


class _JpegShard:
    """A file of ArrayRecord; see `Shard`."""

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
            features = _parse(self._reader.read([position])[0])
            return Record(
                features["image/encoded"].bytes_list.value[0],
                features["image/class/label"].int64_list.value[0],
            )
        except RuntimeError as error:  # ArrayRecord's; its text has the byte offset
            raise DamagedRecordError(str(error)) from None
        except (message.DecodeError, LookupError):
            raise DamagedRecordError(
                "it is not a tf.train.Example with an image and its label"
            ) from None

    def name(self, position: int) -> str:
        try:
            features = _parse(self._reader.read([position])[0])
            return os.fsdecode(features["image/filename"].bytes_list.value[0])
        except (RuntimeError, message.DecodeError, LookupError):
            return ""


def _row_type(size: int) -> np.dtype:
    return np.dtype(
        [("image", "u1", (size, size, 3)), ("label", "<i4"), ("xxh3_64", "<u8")]
    )


def _write_raw(
    path: pathlib.Path, named: Iterable[tuple[str, Record]], size: int
) -> None:
    row_type, names = _row_type(size), []
    with path.open("wb") as file:
        file.write(array_files.npy_header(row_type, (0,)))
        for name, record in named:
            if len(record.encoded) != row_type["image"].itemsize:
                raise ValueError(
                    f"{name}: expected {size} x {size} x 3 raw bytes, got "
                    f"{len(record.encoded)}"
                )
            label = record.label.to_bytes(_LABEL_BYTES, "little", signed=True)
            content = b"".join((record.encoded, label))
            file.write(content + _hash(content))
            names.append(os.fsencode(name))
        file.write(array_files.npy_bytes(np.array(names, np.bytes_)))
        # The header gets its count now. It keeps its length, because NumPy pads it so
        # that any count fits.
        file.seek(0)
        file.write(array_files.npy_header(row_type, (len(names),)))


def _hash(content: bytes | memoryview) -> bytes:
    """The hash as a little-endian number, as the type of a row declares it."""
    return xxhash.xxh3_64_digest(content)[::-1]


class _RawShard:
    """A file of raw records; see `Shard`.

    The file is read and not memory-mapped: if it is truncated or the disk fails, a read
    raises an error, but access to a mapping would kill the process.
    """

    def __init__(self, path: pathlib.Path):
        self.lost, self._count = "", 0
        self._names: np.ndarray | None = None
        with path.open("rb") as file:
            try:
                count, row_type = _read_header(file)
            except ValueError:
                self.lost = _lost(path, "the header at its start")
                return
            except OSError as error:
                self.lost = f"the header at its start cannot be read ({error})"
                return
            self._start, self._row_bytes = file.tell(), row_type.itemsize
            end = self._start + count * self._row_bytes
            file.seek(end)
            magic = np.lib.format.MAGIC_PREFIX  # begins the array of names
            if file.read(len(magic)) != magic:
                self.lost = _lost(
                    path, f"what should end at byte {end} according to its header"
                )
                return
            self._names_start = end
        self._count = count
        self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)

    def __len__(self) -> int:
        return self._count

    def read(self, position: int) -> Record:
        offset = self._start + position * self._row_bytes
        try:
            row = memoryview(os.pread(self._file, self._row_bytes, offset))
        except OSError as error:
            raise DamagedRecordError(f"{error}, at byte {offset}") from None
        content, expected = row[:-_HASH_BYTES], row[-_HASH_BYTES:]
        if len(row) != self._row_bytes or _hash(content) != expected:
            raise DamagedRecordError(f"its hash does not match, at byte {offset}")
        encoded, label = content[:-_LABEL_BYTES], content[-_LABEL_BYTES:]
        return Record(encoded, int.from_bytes(label, "little", signed=True))

    def name(self, position: int) -> str:
        if self._names is None:
            with open(self._file, "rb", closefd=False) as file:
                file.seek(self._names_start)
                try:
                    self._names = np.lib.format.read_array(file)
                except (ValueError, EOFError, OSError):
                    self._names = np.array([], np.bytes_)
        return os.fsdecode(self._names[position]) if position < len(self._names) else ""


def _read_header(file: BinaryIO) -> tuple[int, np.dtype]:
    """The number and the type of the rows that follow; ValueError if they are not ours.

    The header is compared with the one we would write and not parsed, because NumPy's
    parser evaluates Python.
    """
    start = file.read(10)
    header = start + file.read(int.from_bytes(start[8:], "little"))
    found = re.search(rb"\((\d{1,5}), \1, 3\).*\((\d{1,12}),\)", header)
    if found is None:
        raise ValueError("this is not the header of an array of records")
    size, count = map(int, found.groups())
    row_type = _row_type(size)
    if header != array_files.npy_header(row_type, (count,)):
        raise ValueError("this is the header of an array with other columns")
    return count, row_type
