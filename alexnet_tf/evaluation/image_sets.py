"""Images to compute something of: those below a folder, or a split of a prepared dataset.

Both give what the network sees in evaluation: the center crop, uint8. An image of a
folder is decoded, resized and cropped as `predict` does it.
"""

import array
import dataclasses
import hashlib
import os
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from absl import logging

from alexnet_tf.data import (
    folder_listing,
    image_decoding,
    image_files,
    prepared_dataset,
    records,
    shards,
    source_types,
)
from alexnet_tf.evaluation import evaluator
from alexnet_tf.models import background as backgrounds
from alexnet_tf.models import image_resizing, resize_rule, trained
from alexnet_tf.runtime import cores, names, progress, read_ahead, suggestions

UNKNOWN = -1  # the label of an image whose class is not known


class NothingToShowError(ValueError):
    """A set has no image that was asked for; the message says why."""


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
        problem = "a file: name its folder"
        if not os.path.isfile(folder):
            meant = suggestions.did_you_mean_path(folder, folders_only=True)
            problem = f"not a folder{meant}"
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
    read = _reader(folder, files, labels, size, side, background, resize)
    return ImageSet(
        shown,
        digest.hexdigest(),
        len(files),
        classes,
        files.__getitem__,
        read,
        unused.texts(),
    )


def file_image(
    path: str,
    *,
    size: int,
    side: int,
    background: backgrounds.Color,
    resize: resize_rule.Rule = resize_rule.DEFAULT,
) -> ImageSet:
    """One image file, whose class is unknown; the arguments are as in `folder_images`."""
    folder, name = os.path.split(path)
    status = os.stat(path)
    entry = f"{path}\0{status.st_size}\0{status.st_mtime_ns}\0"
    return ImageSet(
        names.escaped(path),
        hashlib.sha256(os.fsencode(entry)).hexdigest(),
        1,
        (),
        [name].__getitem__,
        _reader(folder, [name], [UNKNOWN], size, side, background, resize),
    )


def _reader(
    folder: str,
    files: Sequence[str],
    labels: Sequence[int],
    size: int,
    side: int,
    background: backgrounds.Color,
    resize: resize_rule.Rule,
) -> Callable[[int], View]:
    """Returns what reads an image of a folder by its index."""

    def read(index: int) -> View:
        path = os.path.join(folder, files[index])
        image = image_decoding.decode(image_files.read(path), path, background)
        view = image_resizing.center_view(image, size, side, resize)
        return View(view, labels[index])

    return read


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


def images_for(
    net: trained.TrainedNet,
    *,
    images: str | None = None,
    dataset: str | None = None,
    split: str | None = None,
    damaged: records.Damaged = "stop",
) -> ImageSet:
    """The images that a net is shown: of a folder, one file, or a prepared dataset.

    Args:
        net: the net, which decides the size of the images.
        images: a folder with images at any depth, or one image file.
        dataset: a prepared folder, instead of `images`. If neither is given, it is the
            dataset that the net was trained on.
        split: of the dataset; by default the one to evaluate on.
        damaged: as in `split_images`.

    Raises:
        FileNotFoundError: there is no such dataset.
        ValueError: the images are named twice, there are none, or they have another
            size than the net's.
    """
    side, size = net.architecture.input_size, net.architecture.record_size
    if images is None:
        found = evaluator.dataset_of(net, dataset, any_classes=True)
        return split_images(
            found, split or found.evaluation_split, side=side, damaged=damaged
        )
    for option, value in (("dataset", dataset), ("split", split)):
        if value is not None:
            raise ValueError(
                f"--{option}={value} is of a dataset, and --images={images} names the "
                "images: leave one of them out"
            )
    source = file_image if os.path.isfile(images) else folder_images
    return source(
        images, size=size, side=side, background=net.background, resize=net.resize
    )


def relabeled(images: ImageSet, classes: Sequence[str]) -> ImageSet:
    """The same images with labels that count `classes`, where they have such a name.

    An image of another class gets the label `UNKNOWN`, and a warning names the class.

    Args:
        images: the images, with classes of their own.
        classes: the names of the classes in their new order, as a net has them. The
            words after the number of an ImageNet synset do not matter.
    """
    if evaluator.same_classes(images.classes, classes):
        return dataclasses.replace(images, classes=tuple(classes))
    number = {evaluator.class_key(name): label for label, name in enumerate(classes)}
    labels = [number.get(evaluator.class_key(name), UNKNOWN) for name in images.classes]
    strange = [
        name
        for name, label in zip(images.classes, labels, strict=True)
        if label == UNKNOWN
    ]
    if strange:
        logging.warning(
            "%s: the net has no class %s, so the true class of these images counts as "
            "unknown",
            *(images.where, folder_listing.first_names(strange)),
        )

    def read(index: int) -> View | None:
        view = images.read(index)
        if view is None or view.label == UNKNOWN:
            return view
        return view._replace(label=labels[view.label])

    return dataclasses.replace(images, classes=tuple(classes), read=read)


def shuffled(images: ImageSet, seed: int) -> list[int]:
    """The indices of all images in an order that a seed decides.

    So the first N are a random choice, and the same for the same images and seed.
    """
    return np.random.default_rng(seed).permutation(images.count).tolist()


def pixels_of(images: ImageSet, index: int) -> np.ndarray:
    """What the network sees of an image that was read before, uint8 [side, side, 3]."""
    view = images.read(index)
    if view is None:
        raise ValueError(f"image {index} of {images.where} was damaged meanwhile")
    return view.pixels


class Batch(NamedTuple):
    """Some images of a set that could be read.

    Attributes:
        indices: int64 [N], of the images in the set.
        pixels: uint8 [N, side, side, 3].
        labels: int64 [N].
    """

    indices: np.ndarray
    pixels: np.ndarray
    labels: np.ndarray


def batches(
    images: ImageSet,
    indices: Sequence[int],
    batch_size: int,
    *,
    max_bad_files: int = 0,
) -> Iterator[Batch]:
    """Yields images of a set in the order of `indices`, `batch_size` at a time.

    At most two batches are in memory. What cannot be read is left out with a warning,
    as are images of 16 bits mentioned.

    Args:
        images, indices: which images.
        batch_size: how many a batch has; the last one may have fewer.
        max_bad_files: how many unreadable image files are left out before one is an
            error.

    Raises:
        image_decoding.BadImageError: more than `max_bad_files` files cannot be read.
        record_files.DamagedRecordError: a record is damaged and none may be skipped.
    """
    views: list[tuple[int, View]] = []
    bad = 0

    def batch() -> Batch:
        made = Batch(
            np.array([index for index, _ in views], np.int64),
            np.stack([view.pixels for _, view in views]),
            np.array([view.label for _, view in views], np.int64),
        )
        views.clear()
        return made

    with image_decoding.deep_images() as deep:
        for index, view in in_order(images, indices, batch_size):
            if isinstance(view, View):
                views.append((index, view))
            elif isinstance(view, image_decoding.BadImageError):
                check_bad_files(view, bad, max_bad_files)
                logging.warning("left out: %s", view)
                bad += 1
            if len(views) == batch_size:
                yield batch()
        if views:
            yield batch()
    if deep:
        progress.say(f"warning: {image_decoding.deep_summary(deep)}")


def check_bad_files(error: Exception, left_out: int, allowed: int) -> None:
    """Raises the error of a bad file if `left_out` were left out and no more are allowed.

    A damaged record is no file, and passes.
    """
    if isinstance(error, image_decoding.BadImageError) and left_out >= allowed:
        raise shards.too_many_bad_files(str(error)) from error


def in_order(
    images: ImageSet, indices: Sequence[int], ahead: int
) -> Iterator[tuple[int, View | Exception]]:
    """Reads images in threads, and yields (index, view or why there is none) in order.

    At most `ahead` images wait to be used, so memory does not grow with their number.
    """

    def attempt(index: int) -> View | Exception:
        try:
            view = images.read(index)
        except image_decoding.BadImageError as error:
            return error
        if view is None:
            return ValueError(f"record {index} of {images.where} is damaged")
        return view

    threads = cores.usable_cores()
    yield from read_ahead.in_order(indices, attempt, threads=threads, ahead=ahead)
