"""A prepared folder: its records, their pictures, and the statistics beside them.

It holds square RGB pictures of one size:

    train-00000-of-00004.array_record ...   JPEGs, or .npy: raw pictures; see `storage`
    dataset.json                            name, size, encoding, classes, counts
    statistics.npz                          mean image and colour covariance of training
    SHA256SUMS                              of all of these, for sha256sum --check

Records are read by index, so that any order is a permutation, and each is hashed:
`Records` finds every flipped bit.
"""

import bisect
import concurrent.futures
import dataclasses
import hashlib
import itertools
import json
import os
import pathlib
import resource
import threading
from collections.abc import Sequence
from typing import Literal

import numpy as np
import simplejpeg
import tensorflow as tf
from absl import logging

from alexnet_tf import storage

Damaged = Literal["stop", "skip"]

EVALUATION_SPLITS = ("validation", "test")


@dataclasses.dataclass(frozen=True)
class Statistics:
    """Of the training pixels, 0-255.

    `mean` float32 [size, size, 3]; `covariance` float64 [3, 3] of RGB over all pixels;
    `eigenvectors` [3, 3], a column each, strongest first; `stdevs` [3], the square
    roots of the eigenvalues.
    """

    mean: np.ndarray
    covariance: np.ndarray
    eigenvectors: np.ndarray
    stdevs: np.ndarray

    def mean_crop(self, side: int) -> np.ndarray:
        """The mean's centre [side, side, 3]: the released program's `convdata_jpeg.py`."""
        margin = (self.mean.shape[0] - side) // 2
        return self.mean[margin : margin + side, margin : margin + side]


class StatisticsAccumulator:
    """Adds up pictures. Sums of integers: no order and no grouping changes a bit."""

    def __init__(self, size: int):
        self.count = 0
        self.sum = np.zeros((size, size, 3), np.int64)
        self.products = np.zeros((3, 3), np.int64)

    def add(self, image: np.ndarray) -> None:
        """`image` uint8 [size, size, 3]."""
        # Exact in float64 for one picture, and that multiplication is a fast one.
        pixels = image.reshape(-1, 3).astype(np.float64)
        self.count += 1
        self.sum += image
        self.products += (pixels.T @ pixels).astype(np.int64)

    def merge(self, other: "StatisticsAccumulator") -> None:
        """Adds what `other` has added up."""
        self.count += other.count
        self.sum += other.sum
        self.products += other.products

    def result(self) -> Statistics:
        if not self.count:
            raise ValueError("the training split has no pictures")
        mean = self.sum / self.count
        pixels = self.count * mean.shape[0] * mean.shape[1]
        channel = self.sum.sum((0, 1)) / pixels
        covariance = self.products / pixels - np.outer(channel, channel)
        values, vectors = np.linalg.eigh(covariance)
        values, vectors = values[::-1].clip(min=0), vectors[:, ::-1]
        vectors = vectors * np.where(vectors.sum(0) < 0, -1, 1)  # a sign that stays
        return Statistics(mean.astype(np.float32), covariance, vectors, np.sqrt(values))


@dataclasses.dataclass(frozen=True)
class Dataset:
    """What `dataset.json` says of a prepared folder."""

    name: str
    size: int
    encoding: str
    classes: tuple[str, ...]
    counts: dict[str, int]
    path: pathlib.Path = dataclasses.field(compare=False)

    @property
    def evaluation_split(self) -> str:
        """`validation` where there is one, else `test`."""
        for split in EVALUATION_SPLITS:
            if split in self.counts:
                return split
        raise ValueError(
            f"{self.path} has no validation or test split: with "
            "--validate_epochs=-1 it can be trained on and is never evaluated"
        )

    def digest(self) -> str:
        """SHA-256 of the list of its files' own: of another preparation, another."""
        sums = self.path / "SHA256SUMS"
        if not sums.exists():
            raise ValueError(
                f"{sums} is missing: put it back, or prepare the dataset again"
            )
        return hashlib.sha256(sums.read_bytes()).hexdigest()

    def shards(self, split: str) -> list[pathlib.Path]:
        if split not in self.counts:
            raise ValueError(
                f"{self.path} has no split {split!r}, only {', '.join(self.counts)}"
            )
        pattern = f"{split}-*{storage.SUFFIXES[self.encoding]}"
        found = sorted(self.path.glob(pattern))
        if not found:
            raise FileNotFoundError(
                f"{self.path} has no {pattern}: prepare the dataset again"
            )
        return found

    def statistics(self) -> Statistics:
        with np.load(self.path / "statistics.npz") as arrays:
            return Statistics(**arrays)


def shard_name(split: str, shard: int, shards: int, encoding: str) -> str:
    return f"{split}-{shard:05d}-of-{shards:05d}{storage.SUFFIXES[encoding]}"


def write_description(dataset: Dataset, statistics: Statistics) -> None:
    """Writes `dataset.json` and `statistics.npz` into the dataset's folder."""
    np.savez(dataset.path / "statistics.npz", **dataclasses.asdict(statistics))
    described = {
        field.name: getattr(dataset, field.name)
        for field in dataclasses.fields(dataset)
        if field.name != "path"
    }
    (dataset.path / "dataset.json").write_text(json.dumps(described, indent=1) + "\n")


def read_description(path: str | os.PathLike[str]) -> Dataset:
    """The dataset prepared in folder `path`."""
    folder = pathlib.Path(path)
    try:
        described = json.loads((folder / "dataset.json").read_text())
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{folder} is no prepared dataset (it has no dataset.json): prepare one "
            "with python -m alexnet_tf.prepare --source=... --output=..."
        ) from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{folder / 'dataset.json'} is damaged: {error}") from error
    try:
        described["classes"] = tuple(described["classes"])
        _ = storage.SUFFIXES[described["encoding"]]
        return Dataset(**described, path=folder)
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{folder / 'dataset.json'} is of another version of alexnet_tf "
            f"({error}): prepare the dataset again"
        ) from error


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
            raise storage.DamagedRecordError(
                f"a record's JPEG is damaged: {error}"
            ) from None
    else:
        picture = np.frombuffer(encoded, np.uint8)
    if picture.size != size * size * 3:
        raise storage.DamagedRecordError(
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
            self._shards = list(executor.map(storage.open_shard, paths))
        counts = list(map(len, self._shards))
        lost = [number for number, shard in enumerate(self._shards) if shard.lost]
        missing = (sum(counts) if count is None else count) - sum(counts)
        if lost and (damaged == "stop" or missing < 0):
            raise storage.DamagedRecordError(self._lost_text(lost[0]))
        if missing and not lost:
            raise storage.DamagedRecordError(
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

    def __getitem__(self, index: int) -> storage.Record:
        if not 0 <= index < len(self):
            raise IndexError(f"record {index} of {len(self)}")
        shard = bisect.bisect_right(self._ends, index)
        if self._shards[shard].lost:
            raise storage.DamagedRecordError(self._lost_text(shard))
        position = index - (self._ends[shard - 1] if shard else 0)
        try:
            return self._shards[shard].read(position)
        except storage.DamagedRecordError as error:
            raise storage.DamagedRecordError(
                f"{self._paths[shard]}: record {position} is damaged ({error})"
            ) from None

    def read(self, index: int) -> storage.Record | None:
        """The record, or None where it is damaged and such are skipped."""
        try:
            return self[index]
        except storage.DamagedRecordError as error:
            if self._damaged == "stop":
                raise storage.DamagedRecordError(
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


def open_records(dataset: Dataset, split: str, damaged: Damaged = "stop") -> Records:
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
