"""A prepared folder: its records, their pictures, and the statistics beside them.

It holds square RGB pictures of one size:

    train-00000-of-00004.array_record ...   JPEGs, or .npy: raw pictures; see `storage`
    dataset.json                            name, size, encoding, classes, counts
    statistics.npz                          mean image and colour covariance of training
    SHA256SUMS                              of all of these, for sha256sum --check

Records are read by index, so that any order is a permutation, and each is hashed:
`Records` finds every flipped bit.
"""

import dataclasses
import hashlib
import json
import os
import pathlib

import numpy as np

from alexnet_tf.data import image_statistics, record_files

EVALUATION_SPLITS = ("validation", "test")


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
        pattern = f"{split}-*{record_files.SUFFIXES[self.encoding]}"
        found = sorted(self.path.glob(pattern))
        if not found:
            raise FileNotFoundError(
                f"{self.path} has no {pattern}: prepare the dataset again"
            )
        return found

    def statistics(self) -> image_statistics.Statistics:
        with np.load(self.path / "statistics.npz") as arrays:
            return image_statistics.Statistics(**arrays)


def shard_name(split: str, shard: int, shards: int, encoding: str) -> str:
    return f"{split}-{shard:05d}-of-{shards:05d}{record_files.SUFFIXES[encoding]}"


def write_description(
    dataset: Dataset, statistics: image_statistics.Statistics
) -> None:
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
        _ = record_files.SUFFIXES[described["encoding"]]
        return Dataset(**described, path=folder)
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{folder / 'dataset.json'} is of another version of alexnet_tf "
            f"({error}): prepare the dataset again"
        ) from error
