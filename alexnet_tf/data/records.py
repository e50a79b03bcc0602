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
import tensorflow as tf
from absl import logging

from alexnet_tf.data import prepared_dataset, record_files

Damaged = Literal["stop", "skip"]


def encode(image: np.ndarray, encoding: str) -> bytes:
    """uint8 [size, size, 3] to the image bytes of a record."""
    if encoding == "raw":
        return image.tobytes()
    # As OpenCV wrote the released program's pictures (make-data/pyext): quality 95,
    # libjpeg's halved chroma. A quarter fewer bytes, and of decoding time, than whole.
    return tf.io.encode_jpeg(
        image, quality=95, chroma_downsampling=True, optimize_size=True
    ).numpy()


def decode(
    encoded: bytes | memoryview,
    size: int,
    encoding: str,
    *,
    into: np.ndarray | None = None,
) -> np.ndarray:
    """The picture of a record, uint8 [size, size, 3]; other threads run meanwhile.

    A JPEG is decoded by libjpeg-turbo, bit for bit as `tf.io.decode_jpeg` does with
    "INTEGER_ACCURATE", and a quarter faster. Raw bytes are looked at as they lie.

    Args:
        encoded: the bytes of a record's picture.
        size: its side in pixels.
        encoding: "jpeg" or "raw".
        into: uint8 [size, size, 3], C-contiguous, for a JPEG to be decoded into; what it
            holds is lost. Without it, a new array.

    Raises:
        storage.DamagedRecordError: a JPEG that cannot be decoded, or a picture of another
            size.
    """
    if encoding == "jpeg":
        if into is None:
            into = np.empty((size, size, 3), np.uint8)
        try:
            picture = simplejpeg.decode_jpeg(encoded, "RGB", buffer=into)
        except ValueError as error:
            raise record_files.DamagedRecordError(
                f"a record's JPEG is damaged: {error}"
            ) from None
    else:
        picture = np.frombuffer(encoded, np.uint8)
    if picture.size != size * size * 3:
        raise record_files.DamagedRecordError(
            f"a record's picture has {picture.size} bytes, and dataset.json says "
            f"{size} x {size} x 3: prepare the dataset again"
        )
    return picture.reshape(size, size, 3)


class Records:
    """The records of some shards in the order given: `len()` and any index, in threads.

    With `damaged` "stop", what cannot be read raises `storage.DamagedRecordError`; with "skip",
    `read` gives None for it; each is counted, and logged once, as a lost shard is.
    """

    def __init__(
        self,
        paths: Sequence[pathlib.Path],
        count: int | None = None,
        damaged: Damaged = "stop",
    ):
        """Opens the shards; `count` is how many records they should hold together."""
        self._paths = list(paths)
        self._damaged = damaged
        self._bad: set[int] = set()
        self._told: set[str] = set()
        self._lock = threading.Lock()
        allow_open_files(len(paths))
        with concurrent.futures.ThreadPoolExecutor(8) as executor:
            self._shards = list(executor.map(record_files.open_shard, paths))
        counts = list(map(len, self._shards))
        lost = [number for number, shard in enumerate(self._shards) if shard.lost]
        missing = (sum(counts) if count is None else count) - sum(counts)
        if lost and (damaged == "stop" or missing < 0):
            raise record_files.DamagedRecordError(self._lost_text(lost[0]))
        if missing and not lost:
            raise record_files.DamagedRecordError(
                f"{paths[0]} and the shards beside it hold {sum(counts)} records, and "
                f"dataset.json says {count}: prepare the dataset again"
            )
        for place, shard in enumerate(lost):  # shards are as long as each other, nearly
            bounds = [missing * i // len(lost) for i in (place, place + 1)]
            counts[shard] = bounds[1] - bounds[0]
        self._ends = list(itertools.accumulate(counts))

    def __len__(self) -> int:
        return self._ends[-1]

    @property
    def skipped(self) -> int:
        """How many damaged records have been met so far."""
        return len(self._bad)

    def __getitem__(self, index: int) -> record_files.Record:
        if not 0 <= index < len(self):
            raise IndexError(f"record {index} of {len(self)}")
        shard = bisect.bisect_right(self._ends, index)
        if self._shards[shard].lost:
            raise record_files.DamagedRecordError(self._lost_text(shard))
        position = index - (self._ends[shard - 1] if shard else 0)
        try:
            return self._shards[shard].read(position)
        except record_files.DamagedRecordError as error:
            raise record_files.DamagedRecordError(
                f"{self._paths[shard]}: record {position} is damaged ({error})"
            ) from None

    def read(self, index: int) -> record_files.Record | None:
        """The record, or None where it is damaged and such are skipped."""
        try:
            return self[index]
        except record_files.DamagedRecordError as error:
            if self._damaged == "stop":
                raise record_files.DamagedRecordError(
                    f"{error}. Prepare the dataset again, or go on without such records "
                    "with --damaged_records=skip"
                ) from None
            with self._lock:
                self._bad.add(index)
                if str(error) not in self._told:  # a lost shard's records have one text
                    self._told.add(str(error))
                    logging.warning("skipped (%d so far): %s", len(self._bad), error)
            return None

    def _lost_text(self, shard: int) -> str:
        return (
            f"{self._paths[shard]}: {self._shards[shard].lost}, so none of its records "
            "can be found"
        )


def open_records(
    dataset: prepared_dataset.Dataset, split: str, damaged: Damaged = "stop"
) -> Records:
    """The records of one split; see `Records`."""
    return Records(dataset.shards(split), dataset.counts[split], damaged)


def allow_open_files(count: int) -> None:
    """Lets this process have `count` files open, and some: 1.28M raw pictures are 2,000."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 256
    if soft != resource.RLIM_INFINITY and soft < wanted:
        if hard != resource.RLIM_INFINITY and hard < wanted:
            raise OSError(f"{count} shards need {wanted} open files: ulimit -Hn {hard}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
