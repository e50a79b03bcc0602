"""The data types of an image source: splits of examples, each read on demand."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

# The names that splits have in folders and in TFDS, and their names in a prepared
# dataset.
SPLIT_NAMES = {
    "train": "train",
    "validation": "validation",
    "val": "validation",
    "test": "test",
}


@dataclasses.dataclass(frozen=True)
class Example:
    """One labeled image that has not been read yet.

    Attributes:
        name: the name of the image's file, for records and error messages.
        label: the index of its class.
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
        fingerprint: changes when the names of the files or their order change. It tells
            whether an interrupted preparation may be continued.
    """

    name: str
    classes: tuple[str, ...]
    splits: Mapping[str, Sequence[Example]]
    fingerprint: str = ""
