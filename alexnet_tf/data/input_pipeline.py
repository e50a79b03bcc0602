"""Prepared records -> batches.

The order of an epoch is a permutation drawn from (seed, epoch); what is random about a
picture is drawn from (seed, epoch, index). So step k's batch is arithmetic, and a run
resumes at any step by asking for it. The host decodes and crops, and hands on bytes; the
rest is `layers.Preprocessing`, on each tower's device.
"""

import ctypes
import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from alexnet_tf.data import augmentation, prepared_dataset, record_files, records
from alexnet_tf.models import resizing

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


class Recipe(NamedTuple):
    """What a training batch is made of."""

    batch_size: int
    crop: int  # side in pixels
    seed: int
    color_noise: augmentation.ColorNoise
    color_noise_end_epoch: float  # 0: never
    crop_sharing: int  # consecutive pictures with one crop and mirror


def steps_per_epoch(dataset: prepared_dataset.Dataset, batch_size: int) -> int:
    """Whole batches in a pass; what is left over is another picture each epoch."""
    steps = dataset.counts["train"] // batch_size
    if not steps:
        raise ValueError(
            f"{dataset.path} has {dataset.counts['train']} training pictures, fewer "
            f"than --batch_size={batch_size}"
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

    Each is a pair: a dict of the model's inputs (`image` uint8 [N, crop, crop, 3],
    `mirror` bool [N], `shift` float32 [N, 3], `gain` float32 [N]), and the labels,
    int32 [N]. N is the recipe's batch size; with `rows`, (start, stop), each batch is
    those rows of the whole one, bit for bit, and the others are not read: what one of
    several workers asks for. With `damaged` "skip", a damaged record's place is taken by
    the next picture in the epoch's order, which so comes twice, each time with the draws
    of its place.
    """
    start, stop = rows or (0, recipe.batch_size)
    if not 0 <= start < stop <= recipe.batch_size:
        raise ValueError(
            f"rows must be (start, stop) within a batch of {recipe.batch_size}, got "
            f"{rows}"
        )
    keep_freed_memory()
    plan = _Plan(dataset, recipe, slice(start, stop), damaged)
    size, side = stop - start, recipe.crop

    def batch(step):
        parts = tf.numpy_function(
            plan.batch,
            [step],
            [tf.uint8, tf.bool, tf.float32, tf.float32, tf.int32],
            stateful=False,
        )
        shapes = ([size, side, side, 3], [size], [size, 3], [size], [size])
        pictures, mirror, shift, gain, label = (
            tf.ensure_shape(part, shape)
            for part, shape in zip(parts, shapes, strict=True)
        )
        inputs = {
            "image": pictures,
            "mirror": mirror,
            "shift": shift,
            "gain": gain,
        }
        return inputs, label

    steps = tf.data.Dataset.range(first_step, last_step)
    return steps.map(batch, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)


def keep_freed_memory() -> None:
    """Lets this process keep what a batch frees for the next one.

    glibc gives tens of megabytes back to the system, and takes their pages anew, one
    fault each: a tenth of the time that JPEGs take. Other C libraries stay as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 1 << 25)  # the most that glibc allows
        mallopt(_M_TRIM_THRESHOLD, 1 << 30)


class _Plan:
    """Which records step k reads, and what is drawn for each."""

    def __init__(
        self,
        dataset: prepared_dataset.Dataset,
        recipe: Recipe,
        rows: slice,
        damaged: records.Damaged,
    ):
        statistics = dataset.statistics()
        self._recipe = recipe
        self._part = rows
        self._size, self._encoding = dataset.size, dataset.encoding
        self._count = dataset.counts["train"]
        self._steps = steps_per_epoch(dataset, recipe.batch_size)
        self._records = records.open_records(dataset, "train", damaged)
        self._axes, self._gain = augmentation.color_axes(
            recipe.color_noise, statistics.eigenvectors, statistics.stdevs
        )
        self._epoch = functools.lru_cache(maxsize=2)(self._draw_epoch)

    def _draw_epoch(self, epoch: int):
        order = np.random.Generator(
            np.random.Philox(key=[self._recipe.seed, epoch])
        ).permutation(self._count)
        with tf.device("/CPU:0"):
            draws = augmentation.draw(self._recipe.seed, epoch, self._count)
        return order, augmentation.Draws(*(part.numpy() for part in draws))

    def batch(self, step: np.ndarray):
        """(pictures, mirror, shift, gain, label) of one step, a row a picture."""
        recipe, part = self._recipe, self._part
        epoch, place_in_epoch = divmod(int(step), self._steps)
        order, draws = self._epoch(epoch)
        start = place_in_epoch * recipe.batch_size
        chosen = order[start : start + recipe.batch_size]
        rows = np.arange(recipe.batch_size)
        leaders = chosen[rows - rows % recipe.crop_sharing][part]
        end = recipe.color_noise_end_epoch
        colored = not end or int(step) < end * self._steps
        # The whole product, then its part: its bits may hang on its shape.
        shift = (draws.color[chosen] @ self._axes.T * np.float32(colored))[part]
        gain = np.full(len(shift), self._gain if colored else 1.0, np.float32)
        corner = augmentation.crop_corners(
            draws.place[leaders], self._size, recipe.crop
        )
        places = range(start, start + recipe.batch_size)[part]
        pictures, label = self._cut(order, places, corner)
        return pictures, draws.mirror[leaders], shift, gain, label

    def _cut(self, order: np.ndarray, places: Sequence[int], corner: np.ndarray):
        """(squares at `corner`, labels) of the records at `places` of the order."""
        side, label = self._recipe.crop, np.empty(len(places), np.int32)
        pictures = _aligned_bytes(len(places), side, side, 3)
        whole = np.empty((self._size, self._size, 3), np.uint8)
        for row, (place, (top, left)) in enumerate(
            zip(places, corner.tolist(), strict=True)
        ):
            encoded, label[row] = self._read(order, place)
            picture = records.decode(encoded, self._size, self._encoding, into=whole)
            pictures[row] = picture[top : top + side, left : left + side]
        return pictures, label

    def _read(self, order: np.ndarray, place: int) -> record_files.Record:
        """The record at `place` of the order, or the next one that is whole."""
        for after in range(len(order)):
            record = self._records.read(int(order[(place + after) % len(order)]))
            if record is not None:
                return record
        raise record_files.DamagedRecordError(
            "no record of the training split is whole"
        )


def _aligned_bytes(*shape: int) -> np.ndarray:
    """An uninitialised uint8 array at a multiple of 64: TensorFlow copies any other."""
    size = math.prod(shape)
    whole = np.empty(size + 64, np.uint8)
    start = -whole.ctypes.data % 64
    return whole[start : start + size].reshape(shape)


def evaluation_batches(
    dataset: prepared_dataset.Dataset,
    split: str,
    *,
    batch_size: int,
    crop: int,
    ten_crop: bool,
    damaged: records.Damaged = "stop",
) -> tf.data.Dataset:
    """Every picture of `split` in order: (views uint8 [N, V, crop, crop, 3], labels).

    V is ten with `ten_crop`, the centre first, else the centre alone. The last batch
    may be smaller. With `damaged` "skip", damaged records are left out: count the rows.
    """
    source = records.open_records(dataset, split, damaged)
    size, encoding = dataset.size, dataset.encoding

    def read(start):
        stop = min(int(start) + batch_size, len(source))
        found = map(source.read, range(int(start), stop))
        whole = [record for record in found if record is not None]
        images = np.empty((len(whole), size, size, 3), np.uint8)
        for image, record in zip(images, whole, strict=True):
            image[...] = records.decode(record.encoded, size, encoding)
        return images, np.array([record.label for record in whole], np.int32)

    def fetch(start):
        images, labels = tf.numpy_function(
            read, [start], [tf.uint8, tf.int32], stateful=False
        )
        images = tf.ensure_shape(images, [None, size, size, 3])
        return images, tf.ensure_shape(labels, [None])

    def cut(image, label):
        if ten_crop:
            return resizing.views(image, crop), label
        return resizing.center_crop(image, crop)[None], label

    batches = tf.data.Dataset.range(0, len(source), batch_size)
    batches = batches.map(fetch, num_parallel_calls=tf.data.AUTOTUNE).unbatch()
    batches = batches.map(cut, num_parallel_calls=tf.data.AUTOTUNE)
    return batches.batch(batch_size).prefetch(2)
