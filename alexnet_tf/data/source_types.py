"""What a source of images is: splits of examples, each read on demand."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

SPLIT_FOLDERS = {
    "train": "train",
    "validation": "validation",
    "val": "validation",
    "test": "test",
}


@dataclasses.dataclass(frozen=True)
class Example:
    """One picture still to be read: `read()` gives uint8 RGB [H, W, 3]."""

    name: str
    label: int
    read: Callable[[], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Source:
    """The splits of a dataset and the names of its classes.

    `fingerprint` is another where the files' names are others, or in another order.
    """

    name: str
    classes: tuple[str, ...]
    splits: Mapping[str, Sequence[Example]]
    fingerprint: str = ""
