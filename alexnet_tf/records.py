"""The on-disk example, both directions, and the statistics beside it.

A prepared folder holds square RGB pictures of one size:

    train-00000-of-00004.array_record ...   one file a shard, one example a record
    dataset.json                            name, size, encoding, classes, counts
    statistics.npz                          mean image and colour covariance of training
    SHA256SUMS                              of all of these, for sha256sum --check

Records are ArrayRecord, TFDS's random-access format, so that any order is a permutation
of indices. It hashes each record and its own index: `Records` finds every flipped bit. A
record is a `tf.train.Example` with `image/encoded` (a JPEG, or size * size * 3 raw
bytes), `image/class/label` and `image/filename`.
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
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
import simplejpeg
import tensorflow as tf
from absl import logging
from array_record.python import array_record_module

Damaged = Literal["stop", "skip"]

ENCODINGS = ("jpeg", "raw")
EVALUATION_SPLITS = ("validation", "test")

_FEATURES = {
    "image/encoded": tf.io.FixedLenFeature([], tf.string),
    "image/class/label": tf.io.FixedLenFeature([], tf.int64),
}


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

    def shards(self, split: str) -> list[str]:
        if split not in self.counts:
            raise ValueError(
                f"{self.path} has no split {split!r}, only {', '.join(self.counts)}"
            )
        found = sorted(map(str, self.path.glob(f"{split}-*.array_record")))
        if not found:
            raise FileNotFoundError(f"{self.path} has no {split}-*.array_record")
        return found

    def statistics(self) -> Statistics:
        with np.load(self.path / "statistics.npz") as arrays:
            return Statistics(**arrays)


def shard_name(split: str, shard: int, shards: int) -> str:
    return f"{split}-{shard:05d}-of-{shards:05d}.array_record"


def write_shard(path: os.PathLike[str], examples: Iterable[bytes]) -> None:
    """Writes one shard; a group of one record each, for random access."""
    writer = array_record_module.ArrayRecordWriter(
        os.fspath(path), "group_size:1,uncompressed"
    )
    for example in examples:
        writer.write(example)
    writer.close()


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
        return Dataset(**described, path=folder)
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{folder / 'dataset.json'} is of another version of alexnet_tf "
            f"({error}): prepare the dataset again"
        ) from error


def encode_image(image: np.ndarray, encoding: str) -> bytes:
    """uint8 [size, size, 3] to the image bytes of a record."""
    if encoding == "raw":
        return image.tobytes()
    # As OpenCV wrote the released program's pictures (make-data/pyext): quality 95,
    # libjpeg's halved chroma. A quarter fewer bytes, and of decoding time, than whole.
    return tf.io.encode_jpeg(
        image, quality=95, chroma_downsampling=True, optimize_size=True
    ).numpy()


def serialize(encoded: bytes, label: int, filename: str) -> bytes:
    """One example as the bytes of a record."""

    def bytes_feature(value: bytes) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    return tf.train.Example(
        features=tf.train.Features(
            feature={
                "image/encoded": bytes_feature(encoded),
                "image/class/label": tf.train.Feature(
                    int64_list=tf.train.Int64List(value=[label])
                ),
                "image/filename": bytes_feature(os.fsencode(filename)),
            }
        )
    ).SerializeToString(deterministic=True)


def parse(examples: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Records, string [N], to (encoded images string [N], labels int32 [N])."""
    parsed = tf.io.parse_example(examples, _FEATURES)
    return parsed["image/encoded"], tf.cast(parsed["image/class/label"], tf.int32)


def decode_image(encoded: tf.Tensor, size: int, encoding: str) -> tf.Tensor:
    """The bytes of a record, scalar string, to uint8 [size, size, 3]."""
    if encoding == "jpeg":
        image = tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")
    else:
        image = tf.reshape(tf.io.decode_raw(encoded, tf.uint8), [size, size, 3])
    return tf.ensure_shape(image, [size, size, 3])


def decode_into(whole: np.ndarray, encoded: memoryview, encoding: str) -> np.ndarray:
    """As `decode_image`, a quarter faster for JPEGs: they are decoded into `whole`.

    Raw bytes are looked at as they lie. Bit for bit the same, and other threads run.

    Args:
        whole: uint8 [size, size, 3], C-contiguous; what it holds is lost.
        encoded: the bytes of a record's picture.
        encoding: "jpeg" or "raw".

    Returns:
        uint8 [size, size, 3]: `whole`, or a view of the raw bytes.

    Raises:
        DamagedRecordError: a JPEG that cannot be decoded, or a picture of another size.
    """
    if encoding == "jpeg":
        try:
            picture = simplejpeg.decode_jpeg(encoded, "RGB", buffer=whole)
        except ValueError as error:
            raise DamagedRecordError(f"a record's JPEG is damaged: {error}") from None
    else:
        picture = np.frombuffer(encoded, np.uint8)
    if picture.size != whole.size:
        raise DamagedRecordError(
            f"a record's picture has {picture.size} bytes, and dataset.json says "
            f"{whole.shape[0]} x {whole.shape[1]} x 3: prepare the dataset again"
        )
    return picture.reshape(whole.shape)


def unpack(record: bytes) -> tuple[memoryview, int]:
    """(encoded image, label) of one record, as `parse`, without a copy of the image.

    The protocol buffer's fields are walked as they lie: a library's parse copies a raw
    picture twice (20 us and more, against 5).
    """
    first: dict[bytes, tuple[int, int]] = {}  # feature: where its first value is
    _, at = _field(record, 0)  # Example.features
    while at < len(record):
        end, at = _field(record, at)  # Features.feature, an entry of a map
        key_end, key = _field(record, at)
        start, stop = key_end, 0
        for _ in range(3):  # Feature, its BytesList or Int64List, the list's value
            stop, start = _field(record, start)
        first[record[key:key_end]] = start, stop
        at = end
    start, stop = first[b"image/encoded"]
    label, _ = _varint(record, first[b"image/class/label"][0])
    return memoryview(record)[start:stop], label


def _field(record: bytes, at: int) -> tuple[int, int]:
    """(end, start) of the content of the length-delimited field at `at`."""
    length, start = _varint(record, at + 1)  # the tag is one byte below field 16
    return start + length, start


def _varint(record: bytes, at: int) -> tuple[int, int]:
    """(the number at `at`, where it ends)."""
    value = record[at]
    if value < 128:
        return value, at + 1
    rest, end = _varint(record, at + 1)
    return value - 128 + 128 * rest, end


class DamagedRecordError(ValueError):
    """A record, or a whole shard, that is not as it was written; the message says where."""


class Records:
    """The records of some shards in the order given: `len()` and any index, in threads.

    With `damaged` "stop", what cannot be read raises `DamagedRecordError`; with "skip",
    `read` gives None for it; each is counted, and logged once, as a lost shard is.
    """

    def __init__(
        self,
        paths: Sequence[str],
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
            self._readers = list(executor.map(_open_shard, paths))
        counts = [reader.num_records() for reader in self._readers]
        lost = [i for i, reader in enumerate(self._readers) if not reader.ok()]
        self._lost = frozenset(lost)
        missing = (sum(counts) if count is None else count) - sum(counts)
        if lost and (damaged == "stop" or missing < 0):
            raise DamagedRecordError(self._lost_text(lost[0]))
        if missing and not lost:
            raise DamagedRecordError(
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

    def __getitem__(self, index: int) -> bytes:
        if not 0 <= index < len(self):
            raise IndexError(f"record {index} of {len(self)}")
        shard = bisect.bisect_right(self._ends, index)
        if shard in self._lost:
            raise DamagedRecordError(self._lost_text(shard))
        position = index - (self._ends[shard - 1] if shard else 0)
        try:
            return self._readers[shard].read([position])[0]
        except RuntimeError as error:  # ArrayRecord's; its text has the byte's offset
            raise DamagedRecordError(
                f"{self._paths[shard]}: record {position} is damaged ({error})"
            ) from None

    def read(self, index: int) -> bytes | None:
        """The record, or None where it is damaged and such are skipped."""
        try:
            return self[index]
        except DamagedRecordError as error:
            if self._damaged == "stop":
                raise DamagedRecordError(
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
        path = self._paths[shard]
        return (
            f"{path}: the index at its end is damaged or cut off (at byte "
            f"{os.path.getsize(path)}), so none of its records can be found"
        )


def open_records(dataset: Dataset, split: str, damaged: Damaged = "stop") -> Records:
    """The records of one split; see `Records`."""
    return Records(dataset.shards(split), dataset.counts[split], damaged)


def _open_shard(path: str) -> array_record_module.ArrayRecordReader:
    return array_record_module.ArrayRecordReader(
        path,
        options="readahead_buffer_size:0,max_parallelism:0",  # for random access
        file_reader_buffer_size=4096,
    )


def allow_open_files(count: int) -> None:
    """Lets this process have `count` files open, and some: 1.28M raw pictures are 2,000."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 256
    if soft != resource.RLIM_INFINITY and soft < wanted:
        if hard != resource.RLIM_INFINITY and hard < wanted:
            raise OSError(f"{count} shards need {wanted} open files: ulimit -Hn {hard}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
