"""Prepared records -> batches.

The order of an epoch is a permutation drawn from (seed, epoch); what is random about a
picture is drawn from (seed, epoch, index). So step k's batch is arithmetic, and a run
resumes at any step by asking for it. The host decodes and crops, and hands on bytes; the
rest is `layers.Preprocessing`, on each tower's device.
"""

import functools
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from alexnet_tf import augment, records


class Recipe(NamedTuple):
    """What a training batch is made of."""

    batch_size: int
    crop: int  # side in pixels
    seed: int
    color_noise: augment.ColorNoise
    color_noise_end_epoch: float  # 0: never
    crop_sharing: int  # consecutive pictures with one crop and mirror


def steps_per_epoch(dataset: records.Dataset, batch_size: int) -> int:
    """Whole batches in a pass; what is left over is another picture each epoch."""
    steps = dataset.counts["train"] // batch_size
    if not steps:
        raise ValueError(
            f"{dataset.path} has {dataset.counts['train']} training pictures, fewer "
            f"than --batch_size={batch_size}"
        )
    return steps


def training_batches(
    dataset: records.Dataset,
    recipe: Recipe,
    *,
    first_step: int,
    last_step: int,
    rows: tuple[int, int] | None = None,
) -> tf.data.Dataset:
    """The batches of steps `first_step` to `last_step` - 1.

    Each is a pair: a dict of the model's inputs (`image` uint8 [N, crop, crop, 3],
    `mirror` bool [N], `shift` float32 [N, 3], `gain` float32 [N]), and the labels,
    int32 [N]. N is the recipe's batch size; with `rows`, (start, stop), each batch is
    those rows of the whole one, bit for bit, and the others are not read: what one of
    several workers asks for.
    """
    start, stop = rows or (0, recipe.batch_size)
    if not 0 <= start < stop <= recipe.batch_size:
        raise ValueError(
            f"rows must be (start, stop) within a batch of {recipe.batch_size}, got "
            f"{rows}"
        )
    plan = _Plan(dataset, recipe, slice(start, stop))
    size = stop - start

    def fetch(step):
        *parts, examples = tf.numpy_function(
            plan.batch,
            [step],
            [tf.float32, tf.bool, tf.float32, tf.float32, tf.string],
            stateful=False,
        )
        shapes = ([size, 2], [size], [size, 3], [size])
        place, mirror, shift, gain = (
            tf.ensure_shape(part, shape)
            for part, shape in zip(parts, shapes, strict=True)
        )
        encoded, label = records.parse(tf.ensure_shape(examples, [size]))
        return encoded, place, mirror, shift, gain, label

    def crop(encoded, place, mirror, shift, gain, label):
        image = records.decode_image(encoded, dataset.size, dataset.encoding)
        inputs = {
            "image": augment.random_crop(image, place, recipe.crop),
            "mirror": mirror,
            "shift": shift,
            "gain": gain,
        }
        return inputs, label

    batches = tf.data.Dataset.range(first_step, last_step).map(fetch).unbatch()
    batches = batches.map(crop, num_parallel_calls=tf.data.AUTOTUNE)
    return batches.batch(size, drop_remainder=True).prefetch(2)


class _Plan:
    """Which records step k reads, and what is drawn for each."""

    def __init__(self, dataset: records.Dataset, recipe: Recipe, rows: slice):
        statistics = dataset.statistics()
        self._recipe = recipe
        self._part = rows
        self._count = dataset.counts["train"]
        self._steps = steps_per_epoch(dataset, recipe.batch_size)
        self._records = records.open_records(dataset.shards("train"))
        self._axes, self._gain = augment.color_axes(
            recipe.color_noise, statistics.eigenvectors, statistics.stdevs
        )
        self._epoch = functools.lru_cache(maxsize=2)(self._draw_epoch)

    def _draw_epoch(self, epoch: int):
        order = np.random.Generator(
            np.random.Philox(key=[self._recipe.seed, epoch])
        ).permutation(self._count)
        with tf.device("/CPU:0"):
            draws = augment.draw(self._recipe.seed, epoch, self._count)
        return order, augment.Draws(*(part.numpy() for part in draws))

    def batch(self, step: np.ndarray):
        """(place, mirror, shift, gain, examples) of one step, a row a picture."""
        recipe = self._recipe
        epoch, place_in_epoch = divmod(int(step), self._steps)
        order, draws = self._epoch(epoch)
        start = place_in_epoch * recipe.batch_size
        chosen = order[start : start + recipe.batch_size]
        rows = np.arange(recipe.batch_size)
        leaders = chosen[rows - rows % recipe.crop_sharing]
        end = recipe.color_noise_end_epoch
        colored = not end or int(step) < end * self._steps
        shift = draws.color[chosen] @ self._axes.T * np.float32(colored)
        gain = np.full(len(chosen), self._gain if colored else 1.0, np.float32)
        part = self._part
        examples = self._records.__getitems__(chosen[part].tolist())
        return (
            draws.place[leaders[part]],
            draws.mirror[leaders[part]],
            shift[part],  # the whole product first: its bits may hang on its shape
            gain[part],
            np.array(examples, dtype=object),
        )


def evaluation_batches(
    dataset: records.Dataset, split: str, *, batch_size: int, crop: int, ten_crop: bool
) -> tf.data.Dataset:
    """Every picture of `split` in order: (views uint8 [N, V, crop, crop, 3], labels).

    V is ten with `ten_crop`, the centre first, else the centre alone. The last batch
    may be smaller.
    """
    source = records.open_records(dataset.shards(split))

    def read(start):
        stop = min(int(start) + batch_size, len(source))
        return np.array(
            source.__getitems__(list(range(int(start), stop))), dtype=object
        )

    def fetch(start):
        examples = tf.numpy_function(read, [start], tf.string, stateful=False)
        return records.parse(tf.ensure_shape(examples, [None]))

    def cut(encoded, label):
        image = records.decode_image(encoded, dataset.size, dataset.encoding)
        if ten_crop:
            return augment.views(image, crop), label
        return augment.center_crop(image, crop)[None], label

    batches = tf.data.Dataset.range(0, len(source), batch_size).map(fetch).unbatch()
    batches = batches.map(cut, num_parallel_calls=tf.data.AUTOTUNE)
    return batches.batch(batch_size).prefetch(2)
