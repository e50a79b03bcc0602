"""A prepared dataset: a folder of square RGB images of one size, with their statistics.

    train-00000-of-00004.array_record ...   the records; .npy if the images are raw
    dataset.json                            name, size, encoding, classes, counts
    statistics.npz                          mean image and color covariance of training
    SHA256SUMS                              digests of all these files

`record_files` describes both record formats. Every record carries a hash, so that
reading finds every flipped bit, and `sha256sum --check` accepts `SHA256SUMS`.
"""

import dataclasses
import json
import os
import pathlib
import shlex
from collections.abc import Iterable

import numpy as np

from alexnet_tf.data import image_statistics, record_files
from alexnet_tf.models import background as backgrounds
from alexnet_tf.models import resize_rule
from alexnet_tf.runtime import files, names, suggestions

# The splits to evaluate on, the preferred one first.
EVALUATION_SPLITS = ("validation", "test")

DESCRIPTION = "dataset.json"
STATISTICS = "statistics.npz"
DIGESTS = "SHA256SUMS"


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A prepared dataset, as its `dataset.json` describes it.

    Attributes:
        name: the name of the source.
        size: side of the images in pixels.
        encoding: "jpeg" or "raw".
        classes: the names of the classes, in the order of their labels.
        counts: the number of records of each split.
        path: the folder.
        source, fingerprint: the specification and the fingerprint of what was prepared,
            as `source_types.Source` has them.
        class_counts: for each split, the number of records of each class.
        background: the color behind transparent pixels.
        resize: how an image of any shape became a square.
    """

    name: str
    size: int
    encoding: str
    classes: tuple[str, ...]
    counts: dict[str, int]
    path: pathlib.Path = dataclasses.field(compare=False)
    source: str = ""
    fingerprint: str = ""
    class_counts: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    background: backgrounds.Color = backgrounds.WHITE
    resize: resize_rule.Rule = resize_rule.DEFAULT

    @property
    def evaluation_split(self) -> str:
        """The split to evaluate on: `validation` if there is one, and else `test`.

        Raises:
            ValueError: the dataset has neither.
        """
        for split in EVALUATION_SPLITS:
            if split in self.counts:
                return split
        raise ValueError(
            f"{self.path} has no validation or test split, so it can be trained on but "
            "not evaluated: train with --validation=never"
        )

    def digest(self) -> str:
        """SHA-256 of the `SHA256SUMS` file, which identifies a preparation.

        Different data give a different digest. Of the files themselves, the description
        and the statistics are compared with it, because training takes labels and mean
        from them; the records carry hashes of their own.

        Raises:
            ValueError: the file is missing, or one of those two is another.
        """
        recorded = read_digests(self.path)
        for name in (DESCRIPTION, STATISTICS):
            found = files.sha256(self.path / name)
            if recorded.get(name) != found:
                raise ValueError(
                    f"{self.path / name} was changed after the preparation: its digest "
                    f"is {found[:12]}, and {DIGESTS} has "
                    f"{recorded.get(name, 'none')[:12]}. Restore it, or prepare the "
                    "dataset again"
                )
        return files.sha256(self.path / DIGESTS)

    def check_split(self, split: str) -> None:
        """Raises ValueError if the dataset has no such split; the message lists them."""
        if split not in self.counts:
            raise ValueError(
                f"{self.path} has no split {split!r}, only {', '.join(self.counts)}"
                f"{suggestions.did_you_mean(split, self.counts)}"
            )

    def shards(self, split: str) -> list[pathlib.Path]:
        """The files that hold the records of a split, in order.

        Raises:
            ValueError: the dataset has no such split.
            FileNotFoundError: the files are missing.
        """
        self.check_split(split)
        pattern = f"{split}-*{record_files.SUFFIXES[self.encoding]}"
        found = sorted(self.path.glob(pattern))
        if not found:
            raise FileNotFoundError(
                f"{self.path} has no {pattern}: prepare the dataset again"
            )
        return found

    def statistics(self) -> image_statistics.Statistics:
        """The mean image and the color covariance of the training images."""
        with np.load(self.path / STATISTICS) as arrays:
            return image_statistics.Statistics(**arrays)


def shard_name(split: str, shard: int, shards: int, encoding: str) -> str:
    """The file name of shard number `shard` of `shards`.

    Example:
        >>> shard_name("train", 3, 12, "raw")
        'train-00003-of-00012.npy'
    """
    return f"{split}-{shard:05d}-of-{shards:05d}{record_files.SUFFIXES[encoding]}"


def write_description(
    dataset: Dataset, statistics: image_statistics.Statistics
) -> None:
    """Writes `dataset.json` and `statistics.npz` into the dataset's folder."""
    with files.written_aside(dataset.path / STATISTICS) as aside:
        np.savez(aside, **dataclasses.asdict(statistics))
    described = {name: getattr(dataset, name) for name in _described_fields()}
    files.write_json(dataset.path / DESCRIPTION, described)


def _described_fields() -> list[str]:
    return [f.name for f in dataclasses.fields(Dataset) if f.name != "path"]


def read_description(path: str | os.PathLike[str]) -> Dataset:
    """Reads the description of the dataset that was prepared in folder `path`.

    Raises:
        FileNotFoundError: the folder does not hold a prepared dataset.
        ValueError: `dataset.json` is damaged, or of another version of this package.

    Example:
        >>> dataset = read_description("data/mine")
        >>> dataset.size, dataset.counts["train"], dataset.evaluation_split
        (32, 24, 'validation')
    """
    folder = pathlib.Path(path)
    file = folder / DESCRIPTION
    try:
        described = json.loads(file.read_text())
    except (FileNotFoundError, NotADirectoryError):
        source = shlex.quote(f"folder:{folder}") if folder.is_dir() else "..."
        raise FileNotFoundError(
            f"{folder} is not a prepared dataset, because it has no {DESCRIPTION}: "
            f"prepare one with python -m alexnet_tf.prepare --source={source} --output=..."
            f"{suggestions.did_you_mean_path(folder, folders_only=True)}"
        ) from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{file} is damaged: {error}") from error
    try:
        for name in _described_fields():
            _ = described[name]
        described["classes"] = names.checked_all(described["classes"], os.fspath(file))
        _ = record_files.SUFFIXES[described["encoding"]]
        described["background"] = backgrounds.from_json(
            described["background"], str(file)
        )
        described["resize"] = resize_rule.from_json(described["resize"], str(file))
        return Dataset(**described, path=folder)
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{file} was written by another version of alexnet_tf ({error}): prepare "
            "the dataset again"
        ) from error


def write_digests(folder: pathlib.Path, digests: Iterable[tuple[str, str]]) -> None:
    """Writes `SHA256SUMS` from pairs of a file's name and its SHA-256."""
    lines = "".join(f"{digest}  {name}\n" for name, digest in digests)
    files.write_text(folder / DIGESTS, lines)


def read_digests(folder: pathlib.Path) -> dict[str, str]:
    """The SHA-256 of each file in a dataset's folder by its name, from `SHA256SUMS`.

    Raises:
        ValueError: the file is missing, or damaged.
    """
    file = folder / DIGESTS
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
        return {name: digest for digest, name in (line.split() for line in lines)}
    except FileNotFoundError:
        what = "is missing"
    except ValueError:
        what = "is damaged"
    raise ValueError(f"{file} {what}: restore it, or prepare the dataset again")
