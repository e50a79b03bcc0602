"""The data types of an image source: splits of examples, each read on demand."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

# The splits of a prepared dataset, in their usual order.
SPLITS = ("train", "validation", "test")

# The names that these splits have in folders and in TFDS, in small letters.
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "eval": "validation",
    "evaluation": "validation",
    "test": "test",
    "testing": "test",
}


def split_of(name: str) -> str | None:
    """The split that a folder or a split of TFDS with this name is; None if it is none.

    Example:
        >>> split_of("Valid"), split_of("cat")
        ('validation', None)
    """
    return SPLIT_NAMES.get(name.lower())


@dataclasses.dataclass(frozen=True)
class Example:
    """One labeled image that has not been read yet.

    Attributes:
        name: the name of the image's file, for records and error messages.
        label: the index of its class, or -1 if nobody knows it.
        read: returns the image, uint8 RGB [H, W, 3], or RGBA [H, W, 4], or raises
            `image_decoding.BadImageError`.
    """

    name: str
    label: int
    read: Callable[[], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Source:
    """A dataset that can be prepared.

    Attributes:
        name: the name of the dataset.
        classes: the names of the classes, in the order of their labels.
        splits: the examples of each split: train, validation or test. Parts of a split
            can be pickled, so that several processes can share the reading.
        specification: what was opened: folder:/path, or tfds:NAME/VERSION.
        fingerprint: changes when the source changes. Of a folder it covers the name,
            the size and the modification time of every image.
        class_counts: the images of each class in each split, if they are known without
            reading the examples.
        notes: what was found and is not used, each with the reason.
    """

    name: str
    classes: tuple[str, ...]
    splits: Mapping[str, Sequence[Example]]
    specification: str = ""
    fingerprint: str = ""
    class_counts: Mapping[str, Sequence[int]] | None = None
    notes: tuple[str, ...] = ()
