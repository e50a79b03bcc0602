"""Images to compute something of: those below a folder, or a split of a prepared dataset.

Both give what the network sees in evaluation: the center crop, uint8. An image of a
folder is decoded, resized and cropped as `predict` does it.
"""

import array
import dataclasses
import hashlib
import os
import unicodedata
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from alexnet_tf.data import (
    folder_listing,
    image_decoding,
    image_files,
    prepared_dataset,
    records,
    source_types,
)
from alexnet_tf.models import background as backgrounds
from alexnet_tf.models import image_resizing, resize_rule
from alexnet_tf.runtime import names

UNKNOWN = -1  # the label of an image whose class is not known


class View(NamedTuple):
    """What the network sees of an image, uint8 [side, side, 3], and the image's label."""

    pixels: np.ndarray
    label: int


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """Images in a fixed order, each read on demand and from any thread.

    Attributes:
        where: what they are, for messages.
        identity: a digest that changes when an image is added, removed or changed.
        count: how many they are.
        classes: the names of the classes, in the order of their labels.
        name: the name of an image by its index.
        read: the view of an image by its index. It raises
            `image_decoding.BadImageError` if it cannot be decoded, and
            `record_files.DamagedRecordError` for a damaged record; a damaged record
            that is to be skipped is None.
        notes: what was found and is not used, in sentences.
    """

    where: str
    identity: str
    count: int
    classes: tuple[str, ...]
    name: Callable[[int], str]
    read: Callable[[int], View | None]
    notes: tuple[str, ...] = ()


def folder_images(
    folder: str,
    *,
    size: int,
    side: int,
    background: backgrounds.Color,
    resize: resize_rule.Rule = resize_rule.DEFAULT,
) -> ImageSet:
    """All images below a folder, at any depth, in the order of their names.

    An image's name is its path below the folder, and its class is the first folder of
    that path. Folders that are named as splits (train, validation ...) are not classes
    if no other folder stands beside them; then the class is the next folder. An image
    without such a folder has the label `UNKNOWN`.

    Args:
        folder: the folder.
        size: the side that images are resized to.
        side: of the center crop.
        background: the color behind transparent pixels.
        resize: how an image becomes a square.

    Raises:
        ValueError: there is no such folder, it has no images, or a folder in it cannot
            be listed.
    """
    shown = names.escaped(folder)
    if not os.path.isdir(folder):
        problem = (
            "a file: name its folder" if os.path.isfile(folder) else "not a folder"
        )
        raise ValueError(f"--images={shown} is {problem}")
    unused = folder_listing.Unused()
    found = folder_listing.ClassWalker(unused).images(folder)
    if not found:
        suffixes = ", ".join(image_decoding.SUFFIXES)
        raise ValueError(f"--images={shown} has no images ({suffixes})")
    digest = hashlib.sha256()
    for image in found:
        entry = f"{image.name}\0{image.size}\0{image.modified_ns}\0"
        digest.update(os.fsencode(entry))
    files = [image.name for image in found]
    classes, labels = _classes_of(files)

    def read(index: int) -> View:
        path = os.path.join(folder, files[index])
        image = image_decoding.decode(image_files.read(path), path, background)
        view = image_resizing.center_view(image, size, side, resize)
        return View(view, labels[index])

    return ImageSet(
        shown,
        digest.hexdigest(),
        len(files),
        classes,
        files.__getitem__,
        read,
        unused.texts(),
    )


def _classes_of(files: Sequence[str]) -> tuple[tuple[str, ...], array.array]:
    """The names of the classes, and the label of each image, from the images' paths."""
    first = {file.split("/")[0] for file in files if "/" in file}
    depth = 1 if first and all(map(source_types.split_of, first)) else 0

    def class_of(file: str) -> str | None:
        folders = file.split("/")[:-1]
        if len(folders) <= depth:
            return None
        return unicodedata.normalize("NFC", folders[depth])

    found = list(map(class_of, files))
    classes = tuple(sorted({name for name in found if name is not None}))
    label = {name: number for number, name in enumerate(classes)}
    labels = [UNKNOWN if name is None else label[name] for name in found]
    return classes, array.array("q", labels)


def split_images(
    dataset: prepared_dataset.Dataset,
    split: str,
    *,
    side: int,
    damaged: records.Damaged = "stop",
) -> ImageSet:
    """The images of a split of a prepared dataset, in its order.

    Args:
        dataset, split: the images.
        side: of the center crop.
        damaged: "stop" raises an error at a damaged record, "skip" leaves it out and
            logs a warning.

    Raises:
        ValueError: the dataset has no such split.
        record_files.DamagedRecordError: a shard is damaged or missing.
    """
    source = records.open_records(dataset, split, damaged)
    margin = (dataset.size - side) // 2
    center = slice(margin, margin + side)

    def read(index: int) -> View | None:
        record = source.read(index)
        if record is None:
            return None
        image = records.decode_image(record.encoded, dataset.size, dataset.encoding)
        return View(image[center, center], record.label)

    return ImageSet(
        f"the {split} split of {names.escaped(dataset.path)}",
        f"{dataset.digest()} {split}",
        len(source),
        dataset.classes,
        source.name,
        read,
    )
