"""The on-disk example, both directions, and the statistics beside it.

A prepared folder holds square RGB pictures of one size:

    train-00000-of-00004.array_record ...   one file a shard, one example a record
    dataset.json                            name, size, encoding, classes, counts
    statistics.npz                          mean image and colour covariance of training
    SHA256SUMS                              of all of these, for sha256sum --check

Records are ArrayRecord, TFDS's random-access format, so that any order is a permutation
of indices. A record is a `tf.train.Example` with `image/encoded` (a JPEG, or size * size
* 3 raw bytes), `image/class/label` and `image/filename`.
"""

import dataclasses
import json
import os
import pathlib
from collections.abc import Iterable, Sequence

import numpy as np
import tensorflow as tf
from array_record.python import array_record_data_source, array_record_module

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
        raise ValueError(f"{self.path} has no validation or test split to evaluate on")

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
    return tf.io.encode_jpeg(image, quality=95, chroma_downsampling=False).numpy()


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
                "image/filename": bytes_feature(filename.encode()),
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


def open_records(
    paths: Sequence[str],
) -> array_record_data_source.ArrayRecordDataSource:
    """Random access to the records of some shards, in the order given."""
    return array_record_data_source.ArrayRecordDataSource(list(paths))
