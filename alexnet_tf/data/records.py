"""The records of a prepared dataset: encoded, decoded, and read by index."""

import bisect
import concurrent.futures
import itertools
import pathlib
import resource
import threading
from collections.abc import Sequence
from typing import Literal

import numpy as np
import simplejpeg
from absl import logging

from alexnet_tf.data import prepared_dataset, record_files

Damaged = Literal["stop", "skip"]

_OPENING_THREADS = 8
_OTHER_OPEN_FILES = 256  # libraries, logs, checkpoints


def encode_image(image: np.ndarray, encoding: str) -> bytes:
    """Encodes an image, uint8 [size, size, 3], as the image bytes of a record.

    Args:
        image: the image.
        encoding: "jpeg" or "raw".
    """
    if encoding == "raw":
        return image.tobytes()
    # Quality 95 and libjpeg's halved chroma, as OpenCV wrote the images of the 2012
    # program (make-data/pyext). Full chroma would take a quarter more bytes and a
    # quarter more decoding time.
    return simplejpeg.encode_jpeg(
        np.ascontiguousarray(image),
        quality=95,
        colorspace="RGB",
        colorsubsampling="420",
    )


def decode_image(
    encoded: bytes | memoryview,
    size: int,
    encoding: str,
    *,
    into: np.ndarray | None = None,
) -> np.ndarray:
    """Decodes the image bytes of a record to uint8 [size, size, 3], 0-255.

    A JPEG is decoded by libjpeg-turbo without holding Python's lock. The pixels are
    those of `tf.io.decode_jpeg` with "INTEGER_ACCURATE", bit for bit, in three quarters
    of its time. Raw bytes are returned as a view, without a copy.

    Args:
        encoded: the image bytes of a record.
        size: side of the image in pixels.
        encoding: "jpeg" or "raw".
        into: uint8 [size, size, 3], C-contiguous, which a JPEG is decoded into. Without
            it, a new array is returned.

    Raises:
        record_files.DamagedRecordError: the JPEG is damaged, or the image has another
            size.

    Example:
        >>> decode_image(bytes(2 * 2 * 3), 2, "raw").shape
        (2, 2, 3)
    """
    if encoding == "jpeg":
        if into is None:
            into = np.empty((size, size, 3), np.uint8)
        try:
            image = simplejpeg.decode_jpeg(encoded, "RGB", buffer=into)
        except ValueError as error:
            raise record_files.DamagedRecordError(
                f"a record's JPEG is damaged: {error}"
            ) from None
    else:
        image = np.frombuffer(encoded, np.uint8)
    if image.size != size * size * 3:
        raise record_files.DamagedRecordError(
            f"a record's image has {image.size} bytes, but dataset.json says "
            f"{size} x {size} x 3: prepare the dataset again"
        )
    return image.reshape(size, size, 3)


class Records:
    """The records of several shards in a row, read by index and from several threads.

    A record that cannot be read raises `record_files.DamagedRecordError`. If `damaged`
    is "skip", `read` returns None for it instead, counts it in `skipped` and logs a
    warning once per record, or once per shard if a whole shard is lost.
    """

    def __init__(
        self,
        paths: Sequence[pathlib.Path],
        count: int | None = None,
        damaged: Damaged = "stop",
    ):
        """Opens the shards.

        Args:
            paths: the shards in order.
            count: how many records they should hold together; by default, as many as
                they do.
            damaged: "stop" or "skip".

        Raises:
            record_files.DamagedRecordError: the shards hold another number of records,
                or, unless `damaged` is "skip", a whole shard is lost.
        """
        self._paths = list(paths)
        self._damaged = damaged
        self._damaged_indices: set[int] = set()
        self._logged: set[str] = set()
        self._lock = threading.Lock()
        allow_open_files(len(paths))
        with concurrent.futures.ThreadPoolExecutor(_OPENING_THREADS) as executor:
            self._shards = list(executor.map(record_files.open_shard, paths))
        counts = list(map(len, self._shards))
        self._ends = list(itertools.accumulate(self._with_lost(counts, count)))

    def _with_lost(self, counts: list[int], expected: int | None) -> list[int]:
        """The number of records per shard, with those of lost shards, which read as 0.

        Shards have nearly the same length, so lost shards share the missing records.
        """
        lost = [number for number, shard in enumerate(self._shards) if shard.lost]
        total = sum(counts)
        missing = 0 if expected is None else expected - total
        if lost and (self._damaged == "stop" or missing < 0):
            raise record_files.DamagedRecordError(self._lost_text(lost[0]))
        if missing and not lost:
            raise record_files.DamagedRecordError(
                f"{self._paths[0]} and the shards beside it hold {total} records, but "
                f"dataset.json says {expected}: prepare the dataset again"
            )
        for place, shard in enumerate(lost):
            start, end = (missing * i // len(lost) for i in (place, place + 1))
            counts[shard] = end - start
        return counts

    def __len__(self) -> int:
        return self._ends[-1]

    @property
    def skipped(self) -> int:
        """How many damaged records have been skipped so far."""
        return len(self._damaged_indices)

    def __getitem__(self, index: int) -> record_files.Record:
        """Reads a record; raises `record_files.DamagedRecordError` if it is damaged."""
        shard, position = self._place(index)
        if self._shards[shard].lost:
            raise record_files.DamagedRecordError(self._lost_text(shard))
        try:
            return self._shards[shard].read(position)
        except record_files.DamagedRecordError as error:
            raise record_files.DamagedRecordError(
                f"{self._paths[shard]}: record {position} is damaged ({error})"
            ) from None

    def _place(self, index: int) -> tuple[int, int]:
        """(number of the shard, position in it) of a record."""
        if not 0 <= index < len(self):
            raise IndexError(f"record {index} of {len(self)}")
        shard = bisect.bisect_right(self._ends, index)
        return shard, index - (self._ends[shard - 1] if shard else 0)

    def name(self, index: int) -> str:
        """The name of a record's image file; empty if it is damaged or lost."""
        shard, position = self._place(index)
        return "" if self._shards[shard].lost else self._shards[shard].name(position)

    def read(self, index: int) -> record_files.Record | None:
        """Reads a record; None if it is damaged and damaged records are skipped."""
        try:
            return self[index]
        except record_files.DamagedRecordError as error:
            if self._damaged == "stop":
                raise record_files.DamagedRecordError(
                    f"{error}. Prepare the dataset again, or go on without such records "
                    "with --damaged_records=skip"
                ) from None
            self._note_skipped(index, str(error))
            return None

    def _note_skipped(self, index: int, reason: str) -> None:
        with self._lock:
            self._damaged_indices.add(index)
            if reason in self._logged:  # all records of a lost shard have the same text
                return
            self._logged.add(reason)
            logging.warning(
                "skipped (%d so far): %s", len(self._damaged_indices), reason
            )

    def _lost_text(self, shard: int) -> str:
        return (
            f"{self._paths[shard]}: {self._shards[shard].lost}, so none of its records "
            "can be found"
        )


def open_records(
    dataset: prepared_dataset.Dataset, split: str, damaged: Damaged = "stop"
) -> Records:
    """Opens the records of one split of a dataset; see `Records`."""
    return Records(dataset.shards(split), dataset.counts[split], damaged)


def allow_open_files(count: int) -> None:
    """Raises this process' limit on open files, if needed, so that `count` shards fit.

    1.28 million raw images of 256 pixels are 2,000 shards, and all are open at once.

    Raises:
        OSError: the system's hard limit is too low.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + _OTHER_OPEN_FILES
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise OSError(
            f"{count} shards need {wanted} open files, but the system allows {hard}: "
            f"raise the hard limit that ulimit -Hn shows"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
