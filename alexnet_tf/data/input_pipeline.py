"""Batches for training and evaluation from prepared records.

The order of an epoch is a permutation drawn from (seed, epoch), and what is random
about an image is drawn from (seed, epoch, index). The batch of step k therefore follows
from arithmetic, and a run resumes at any step by asking for that step. The host decodes
and crops, and passes on uint8; the rest is done by `layers.Preprocessing` on the device
of each tower.
"""

import ctypes
import functools
import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import tensorflow as tf

from alexnet_tf.data import augmentation, prepared_dataset, record_files, records

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from malloc.h
_TENSOR_ALIGNMENT = 64  # bytes


class Recipe(NamedTuple):
    """What a training batch consists of.

    Attributes:
        batch_size: images per step, of all replicas together.
        crop: side of the crops in pixels.
        seed: decides the order of the images and all random numbers.
        color_noise: the variant of the color noise, see `augmentation.color_axes`.
        color_noise_end_epoch: the epoch from which there is no color noise; inf for
            never.
        crop_sharing: how many consecutive images share the place of their crop and
            whether they are mirrored.
        crops: whether each crop is at a random place or in the center.
        mirror: whether every second image, on average, is mirrored.
    """

    batch_size: int
    crop: int
    seed: int
    color_noise: augmentation.ColorNoise
    color_noise_end_epoch: float
    crop_sharing: int
    crops: Literal["random", "center"] = "random"
    mirror: bool = True


def steps_per_epoch(dataset: prepared_dataset.Dataset, batch_size: int) -> int:
    """The number of whole batches in an epoch.

    The images left over differ from epoch to epoch, because the order does.

    Raises:
        ValueError: the training split is smaller than a batch.
    """
    steps = dataset.counts["train"] // batch_size
    if not steps:
        raise ValueError(
            f"{dataset.path} has {dataset.counts['train']} training images, fewer than "
            f"--batch_size={batch_size}: choose a smaller batch, such as "
            f"--batch_size={max(dataset.counts['train'] // 2, 1)}"
        )
    return steps


def training_batches(
    dataset: prepared_dataset.Dataset,
    recipe: Recipe,
    *,
    first_step: int,
    last_step: int,
    rows: tuple[int, int] | None = None,
    damaged: records.Damaged = "stop",
) -> tf.data.Dataset:
    """The batches of steps `first_step` to `last_step` - 1.

    Args:
        dataset: the prepared dataset; its training split is read.
        recipe: what a batch consists of.
        first_step: the first step, counted from the beginning of the run.
        last_step: one more than the last step.
        rows: (start, stop) of the rows of each batch that are returned, bit for bit as
            in the whole batch; the others are not read. This is what one of several
            workers asks for.
        damaged: with "skip", a damaged record is replaced by the next image in the
            order of the epoch. That image then appears twice, each time with the random
            numbers of its place.

    Returns:
        A dataset of pairs: a dict of the model's inputs (`image` uint8 [N, crop, crop,
        3], `mirror` bool [N], `shift` float32 [N, 3], `gain` float32 [N]), and the
        labels, int32 [N]. N is the batch size of the recipe, or the number of `rows`.

    Raises:
        ValueError: `rows` do not lie within the batch, or the training split is smaller
            than a batch.
        record_files.DamagedRecordError: a shard is damaged or missing. A damaged record
            raises `tf.errors.OpError` when it is read.

    Example:
        >>> dataset = prepared_dataset.read_description("data/mine")
        >>> recipe = Recipe(8, 24, 0, "none", 0, crop_sharing=1)
        >>> batches = training_batches(dataset, recipe, first_step=100, last_step=101)
        >>> [(inputs["image"].shape, labels.shape) for inputs, labels in batches]
        [(TensorShape([8, 24, 24, 3]), TensorShape([8]))]
    """
    start, stop = rows or (0, recipe.batch_size)
    if not 0 <= start < stop <= recipe.batch_size:
        raise ValueError(
            f"rows must be (start, stop) within a batch of {recipe.batch_size}, got "
            f"{rows}"
        )
    keep_freed_memory()
    plan = _Plan(dataset, recipe, slice(start, stop), damaged)
    count, side = stop - start, recipe.crop
    types = [tf.uint8, tf.bool, tf.float32, tf.float32, tf.int32]
    shapes = ([count, side, side, 3], [count], [count, 3], [count], [count])

    @tf.autograph.experimental.do_not_convert
    def batch(step):
        parts = tf.numpy_function(plan.batch, [step], types, stateful=False)
        image, mirror, shift, gain, label = (
            tf.ensure_shape(part, shape)
            for part, shape in zip(parts, shapes, strict=True)
        )
        inputs = {"image": image, "mirror": mirror, "shift": shift, "gain": gain}
        return inputs, label

    steps = tf.data.Dataset.range(first_step, last_step)
    return steps.map(batch, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)


def keep_freed_memory() -> None:
    """Makes glibc keep the memory that a batch frees for the next one.

    By default glibc returns tens of megabytes to the system after each batch and maps
    them again, with one page fault per page. That costs a tenth of the time that
    reading JPEGs takes. Other C libraries are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 1 << 25)  # the largest value that glibc allows
        mallopt(_M_TRIM_THRESHOLD, 1 << 30)


class _Plan:
    """Which records each step reads, and the random numbers for each."""

    def __init__(
        self,
        dataset: prepared_dataset.Dataset,
        recipe: Recipe,
        rows: slice,
        damaged: records.Damaged,
    ):
        statistics = dataset.statistics()
        self._recipe = recipe
        self._rows = rows
        self._size, self._encoding = dataset.size, dataset.encoding
        self._count = dataset.counts["train"]
        self._steps = steps_per_epoch(dataset, recipe.batch_size)
        self._records = records.open_records(dataset, "train", damaged)
        self._axes, self._gain = augmentation.color_axes(
            recipe.color_noise, statistics.eigenvectors, statistics.stdevs
        )
        self._epoch = functools.lru_cache(maxsize=2)(self._draw_epoch)

    def _draw_epoch(self, epoch: int) -> tuple[np.ndarray, augmentation.Draws]:
        """The order of an epoch's images, and the random numbers of each image."""
        order = np.random.Generator(
            np.random.Philox(key=[self._recipe.seed, epoch])
        ).permutation(self._count)
        with tf.device("/CPU:0"):
            draws = augmentation.draw_epoch(self._recipe.seed, epoch, self._count)
        return order, augmentation.Draws(*(part.numpy() for part in draws))

    def batch(self, step: np.ndarray):
        """(images, mirror, shift, gain, labels) of one step, one row per image."""
        recipe = self._recipe
        epoch, step_in_epoch = divmod(int(step), self._steps)
        order, draws = self._epoch(epoch)
        start = step_in_epoch * recipe.batch_size
        chosen = order[start : start + recipe.batch_size]
        # Images that share a crop use the random numbers of the first one among them.
        numbers = np.arange(recipe.batch_size)
        leaders = chosen[numbers - numbers % recipe.crop_sharing][self._rows]
        corners = (
            augmentation.crop_corners(draws.place[leaders], self._size, recipe.crop)
            if recipe.crops == "random"
            else np.full((len(leaders), 2), (self._size - recipe.crop) // 2)
        )
        mirror = draws.mirror[leaders] & recipe.mirror
        places = range(start, start + recipe.batch_size)[self._rows]
        images, labels = self._read_crops(order, places, corners)
        shift, gain = self._color_noise(int(step), draws.color[chosen])
        return images, mirror, shift, gain, labels

    def _color_noise(
        self, step: int, alpha: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns (shift, gain) of a batch, float32 [N, 3] and [N], from its numbers."""
        end = self._recipe.color_noise_end_epoch
        colored = step < end * self._steps
        # The whole product is computed first and then cut to the rows, because its bits
        # may depend on its shape.
        shift = (alpha @ self._axes.T * np.float32(colored))[self._rows]
        return shift, np.full(len(shift), self._gain if colored else 1.0, np.float32)

    def _read_crops(
        self, order: np.ndarray, places: Sequence[int], corners: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """(crops at `corners`, labels) of the records at `places` of the order."""
        side, labels = self._recipe.crop, np.empty(len(places), np.int32)
        crops = _aligned_bytes(len(places), side, side, 3)
        buffer = np.empty((self._size, self._size, 3), np.uint8)
        for row, (place, (top, left)) in enumerate(
            zip(places, corners.tolist(), strict=True)
        ):
            encoded, labels[row] = self._read(order, place)
            image = records.decode_image(
                encoded, self._size, self._encoding, into=buffer
            )
            crops[row] = image[top : top + side, left : left + side]
        return crops, labels

    def _read(self, order: np.ndarray, place: int) -> record_files.Record:
        """The record at `place` of the order, or the next one that is not damaged."""
        for offset in range(len(order)):
            record = self._records.read(int(order[(place + offset) % len(order)]))
            if record is not None:
                return record
        raise record_files.DamagedRecordError(
            "every record of the training split is damaged: prepare the dataset again"
        )


def _aligned_bytes(*shape: int) -> np.ndarray:
    """An uninitialized uint8 array whose address is a multiple of 64.

    TensorFlow uses such an array as it is, and copies any other.
    """
    size = math.prod(shape)
    memory = np.empty(size + _TENSOR_ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _TENSOR_ALIGNMENT
    return memory[start : start + size].reshape(shape)


def evaluation_batches(
    dataset: prepared_dataset.Dataset,
    split: str,
    *,
    batch_size: int,
    damaged: records.Damaged = "stop",
) -> tf.data.Dataset:
    """Every image of a split, in order.

    The images are whole: the device that computes cuts the crops, so that the host
    copies each image once and not once per crop.

    Args:
        dataset: the prepared dataset.
        split: the split to read.
        batch_size: images per batch; the last batch may be smaller.
        damaged: with "skip", damaged records are left out of their batches; count the
            rows to find out how many.

    Returns:
        A dataset of pairs: images uint8 [N, size, size, 3] and labels int32 [N]. No
        batch is empty.

    Raises:
        ValueError: the dataset has no such split.
        record_files.DamagedRecordError: a shard is damaged or missing. A damaged record
            raises `tf.errors.OpError` when it is read.

    Example:
        >>> dataset = prepared_dataset.read_description("data/mine")
        >>> batches = evaluation_batches(dataset, "validation", batch_size=8)
        >>> [images.shape.as_list() for images, labels in batches]
        [[8, 32, 32, 3], [4, 32, 32, 3]]
    """
    source = records.open_records(dataset, split, damaged)
    size, encoding = dataset.size, dataset.encoding

    def read(start):
        stop = min(int(start) + batch_size, len(source))
        found = map(source.read, range(int(start), stop))
        readable = [record for record in found if record is not None]
        images = _aligned_bytes(len(readable), size, size, 3)
        for image, record in zip(images, readable, strict=True):
            decoded = records.decode_image(record.encoded, size, encoding, into=image)
            if encoding == "raw":
                image[...] = decoded
        return images, np.array([record.label for record in readable], np.int32)

    @tf.autograph.experimental.do_not_convert
    def batch(start):
        images, labels = tf.numpy_function(
            read, [start], [tf.uint8, tf.int32], stateful=False
        )
        images = tf.ensure_shape(images, [None, size, size, 3])
        return images, tf.ensure_shape(labels, [None])

    @tf.autograph.experimental.do_not_convert
    def is_not_empty(_, labels):
        return tf.size(labels) > 0

    batches = tf.data.Dataset.range(0, len(source), batch_size)
    batches = batches.map(batch, num_parallel_calls=tf.data.AUTOTUNE)
    return batches.filter(is_not_empty).prefetch(2)
