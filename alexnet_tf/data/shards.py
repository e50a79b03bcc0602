"""One shard of a preparation: written whole or not at all, by any process, anywhere.

What a later run and the others must know of it is kept beside it until all are done.
"""

import dataclasses
import hashlib
import os
import pathlib
import socket
import uuid
import zipfile
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from alexnet_tf.data import (
    image_decoding,
    image_statistics,
    prepared_dataset,
    record_files,
    records,
    source_types,
)
from alexnet_tf.models import resizing

# One trace for every shape: three times faster than eager.
_resize = tf.function(
    resizing.resize,
    input_signature=[
        tf.TensorSpec([None, None, 3], tf.uint8),
        tf.TensorSpec([], tf.int32),
    ],
)


@dataclasses.dataclass(frozen=True)
class Job:
    """All that a process needs to write one shard."""

    path: pathlib.Path
    examples: Sequence[source_types.Example]
    size: int
    encoding: str
    counted: bool  # among the statistics, as training pictures are
    max_bad_files: int


@dataclasses.dataclass(frozen=True)
class Finished:
    """What is known of a shard that is whole."""

    pictures: int
    bytes: int
    sha256: str
    left_out: tuple[str, ...]  # why each bad file is not in it
    statistics: image_statistics.StatisticsAccumulator


def write(job: Job, advance: Callable[[], None]) -> Finished:
    """Writes the shard; `advance` is called after each picture.

    Raises:
        sources.BadImageError: one more bad picture than `job.max_bad_files`.
    """
    statistics = image_statistics.StatisticsAccumulator(job.size)
    left_out: list[str] = []
    count = 0

    def named() -> Iterator[tuple[str, record_files.Record]]:
        nonlocal count
        for example in job.examples:
            try:
                image = _square(example.read(), job.size)
            except image_decoding.BadImageError as error:
                if len(left_out) == job.max_bad_files:
                    raise one_too_many(str(error)) from error
                left_out.append(str(error))
            else:
                if job.counted:
                    statistics.add(image)
                encoded = records.encode(image, job.encoding)
                count += 1
                yield example.name, record_files.Record(encoded, example.label)
            advance()

    partial = _partial(job.path)
    try:
        record_files.write_shard(partial, named(), encoding=job.encoding, size=job.size)
        digest = sha256(partial)
        finished = Finished(
            count, partial.stat().st_size, digest, tuple(left_out), statistics
        )
        with partial.open("rb") as file:
            os.fsync(file.fileno())  # on the disk before the note that says so
        partial.replace(job.path)
    finally:
        partial.unlink(missing_ok=True)
    _keep(finished, job.path)
    return finished


def _partial(path: pathlib.Path) -> pathlib.Path:
    """A name beside `path` that no other writer has, on this machine or another.

    Another process may be at the same shard, left by a parent that was killed, or as a
    second try of Beam's: it writes the same bytes, under its own name.
    """
    writer = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex}"
    return path.with_name(f"{path.name}.{writer}.partial")


def one_too_many(reason: str) -> image_decoding.BadImageError:
    return image_decoding.BadImageError(
        f"{reason}. Mend or remove it, or allow for it with --max_bad_files"
    )


def _square(image: np.ndarray, size: int) -> np.ndarray:
    with tf.device("/CPU:0"):
        return _resize(image, size).numpy()


def sha256(path: pathlib.Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(1 << 20):
            digest.update(data)
    return digest.hexdigest()


def note_of(path: pathlib.Path) -> pathlib.Path:
    """Where `write` keeps what it found, once the shard at `path` is whole."""
    return path.parent.with_name("notes") / f"{path.name}.npz"


def _keep(finished: Finished, path: pathlib.Path) -> None:
    note = note_of(path)
    partial = _partial(note)
    with partial.open("wb") as file:
        np.savez(
            file,
            pictures=finished.pictures,
            bytes=finished.bytes,
            sha256=finished.sha256,
            left_out=np.array(finished.left_out, dtype=np.str_),
            count=finished.statistics.count,
            sum=finished.statistics.sum,
            products=finished.statistics.products,
        )
    partial.replace(note)


def read_finished(path: pathlib.Path) -> Finished | None:
    """What was kept of the shard at `path`; None where it is not whole."""
    try:
        size = path.stat().st_size
        with np.load(note_of(path)) as kept:
            statistics = image_statistics.StatisticsAccumulator(kept["sum"].shape[0])
            statistics.count = int(kept["count"])
            statistics.sum, statistics.products = kept["sum"], kept["products"]
            finished = Finished(
                int(kept["pictures"]),
                int(kept["bytes"]),
                str(kept["sha256"]),
                tuple(map(str, kept["left_out"])),
                statistics,
            )
    except (OSError, EOFError, ValueError, zipfile.BadZipFile):
        return None
    return finished if finished.bytes == size else None


def verify(
    path: pathlib.Path,
    digest: str,
    dataset: prepared_dataset.Dataset,
    advance: Callable[[], None],
) -> int:
    """Reads every record of a shard back; returns how many there are.

    Raises ValueError with the file's name, and the record's number, where something is
    not as it was written.
    """
    found = sha256(path)
    if found != digest:
        raise ValueError(f"{path} is damaged: its sha256 is {found}, not {digest}")
    shard = record_files.open_shard(path)
    if shard.lost:
        raise ValueError(f"{path}: {shard.lost}")
    for number in range(len(shard)):
        try:
            encoded, label = shard.read(number)
            records.decode(encoded, dataset.size, dataset.encoding)
        except record_files.DamagedRecordError as error:
            raise ValueError(f"{path}, record {number}: {error}") from error
        if not 0 <= label < len(dataset.classes):
            raise ValueError(
                f"{path}, record {number}: label {label} of "
                f"{len(dataset.classes)} classes"
            )
        advance()
    return len(shard)
