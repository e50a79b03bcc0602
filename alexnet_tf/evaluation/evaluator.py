"""Centre-crop and ten-crop evaluation.

    python -m alexnet_tf.evaluate --checkpoint=runs/demo

Paper section 4.1: the ten crops' softmax outputs are averaged. Ties get fractional
credit, as in the released program (`layer_kernels.cu`). Errors are in percent.
"""

import dataclasses
import json
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from alexnet_tf import architecture as architectures
from alexnet_tf import (
    augment,
    checkpoint,
    config,
    data,
    model,
    prepare,
    progress,
    records,
    storage,
    towers,
)


def credit(scores: tf.Tensor, labels: tf.Tensor, k: int) -> tf.Tensor:
    """How far each row's label is among its `k` best: float32 [N], 0 to 1.

    `scores` [N, classes]. Where the label ties with others over the last of the `k`
    places, it gets its share of them; a row with NaN gets nothing.
    """
    scores = tf.cast(scores, tf.float32)
    own = tf.gather(scores, labels, axis=1, batch_dims=1)[:, None]
    above = tf.reduce_sum(tf.cast(scores > own, tf.float32), axis=1)
    equal = tf.reduce_sum(tf.cast(scores == own, tf.float32), axis=1)
    share = tf.clip_by_value((k - above) / tf.maximum(equal, 1), 0, 1)
    finite = tf.reduce_all(tf.math.is_finite(scores), axis=1)
    return tf.where(finite, share, tf.zeros_like(share))


def plain_inputs(images: tf.Tensor) -> dict[str, tf.Tensor]:
    """The inputs of a model with a mean, for pictures as they are: uint8 [N, H, W, 3]."""
    count = tf.shape(images)[0]
    return {
        "image": images,
        "mirror": tf.zeros([count], tf.bool),
        "shift": tf.zeros([count, 3]),
        "gain": tf.ones([count]),
    }


class Evaluation:
    """Errors of a net on the splits of datasets; traced once, used at any time.

    Args:
        net: a model of logits with a mean.
        ten_crop: whether the ten views are averaged, besides the centre alone.
    """

    def __init__(self, net: keras.Model, *, ten_crop: bool = True):
        self._net = net
        self._views = augment.VIEWS if ten_crop else 1
        self._ways = {"center_crop": 1}
        if ten_crop:
            self._ways["ten_crop"] = self._views
        self._sums = tf.function(self._measure, reduce_retracing=True)

    def _measure(self, images, labels):
        """Sums over a batch, a row a way: top-1 credit, top-5 credit, nats."""
        side = images.shape[2]
        flat = tf.reshape(images, [-1, side, side, 3])
        logits = tf.cast(self._net(plain_inputs(flat), training=False), tf.float32)
        probabilities = tf.reshape(
            tf.nn.softmax(logits), [-1, self._views, logits.shape[-1]]
        )
        sums = []
        for views in self._ways.values():
            mean = tf.reduce_mean(probabilities[:, :views], axis=1)
            own = tf.gather(mean, labels, axis=1, batch_dims=1)
            nats = -tf.math.log(tf.maximum(own, 1e-30))
            parts = (credit(mean, labels, 1), credit(mean, labels, 5), nats)
            sums.append([tf.reduce_sum(part) for part in parts])
        return tf.convert_to_tensor(sums)

    def __call__(
        self,
        dataset: records.Dataset,
        split: str,
        *,
        crop: int,
        batch_size: int = 128,
        damaged: records.Damaged = "stop",
        each_batch: Callable[[], None] = lambda: None,
    ) -> dict[str, Any]:
        """Errors in percent and loss in nats on `split`, from crops of `crop` pixels.

        Returns `center_crop`, and with `ten_crop` also `ten_crop`, each with
        `top1_error`, `top5_error` and `loss` (the mean cross-entropy); and `pictures`,
        how many they are of: with `damaged` "skip" those whose records are whole, and a
        warning where that is not all of them. `each_batch` is called after every batch;
        what it raises ends the evaluation.
        """
        batches = data.evaluation_batches(
            dataset,
            split,
            batch_size=max(1, batch_size // self._views),
            crop=crop,
            ten_crop=self._views > 1,
            damaged=damaged,
        )
        total = np.zeros((len(self._ways), 3))
        whole, count = dataset.counts[split], 0
        with progress.bar(whole, f"evaluating {split}", "picture") as bar:
            for images, labels in batches:
                total += self._sums(images, labels).numpy()
                count += len(labels)
                bar.update(len(labels))
                each_batch()
        if not count:
            raise storage.DamagedRecordError(f"no record of the {split} split is whole")
        if count < whole:
            logging.warning(
                "%d of %d %s pictures have damaged records: errors are of the other %d",
                *(whole - count, whole, split, count),
            )
        results: dict[str, Any] = {
            way: {
                "top1_error": 100 * (1 - top1 / count),
                "top5_error": 100 * (1 - top5 / count),
                "loss": nats / count,
            }
            for way, (top1, top5, nats) in zip(self._ways, total, strict=True)
        }
        return {**results, "pictures": count}


@dataclasses.dataclass(frozen=True)
class Restored:
    """What a checkpoint is, taken up again."""

    run_dir: pathlib.Path
    prefix: str
    architecture: architectures.Architecture
    dataset: records.Dataset
    net: keras.Model


def restore(
    which: str,
    *,
    precision: towers.Precision = "float32",
    tower_devices: Sequence[str] | None = None,
    stock: bool = False,
    with_preprocessing: bool = True,
) -> Restored:
    """The net of a run folder's newest checkpoint, or of one checkpoint.

    Args:
        which: as `--checkpoint`.
        precision, tower_devices: as the flags; no devices leave placement open.
        stock: TensorFlow's own operations only, uncompiled: what a server runs.
        with_preprocessing: True for a model of bytes to logits, as it was trained;
            False for a model of finished images to probabilities.
    """
    run_dir, prefix = checkpoint.locate(which)
    run = config.read(run_dir / "resolved.flags", "train")
    net = architectures.find(run.architecture)
    dataset = prepare.find_or_prepare(
        run.dataset,
        size=net.record_size,
        encoding=net.record_encoding,
        data_dir=run.data_dir,
    )
    net = net.with_classes(len(dataset.classes))
    mean = dataset.statistics().mean_crop(net.input_size)
    restored = model.build(
        net,
        mean=mean if with_preprocessing else None,
        devices=tower_devices and towers.resolve(tower_devices, net.towers),
        precision=towers.precision(precision),
        dropout=run.dropout,
        lrn="stock" if stock else run.lrn,
        jit=not stock,
        classifier_activation=None if with_preprocessing else "softmax",
    )
    checkpoint.load_weights(prefix, restored)
    return Restored(run_dir, prefix, net, dataset, restored)


def text(results: Mapping[str, Any], form: str) -> str:
    """The results as a table, JSON or CSV."""
    if form == "json":
        return json.dumps(results, indent=1)
    ways = ("center_crop", "ten_crop")
    measures = ("top1_error", "top5_error", "loss")
    if form == "csv":
        lines = [",".join(("", *measures))]
        lines += [
            ",".join((w, *(f"{results[w][m]:.6g}" for m in measures))) for w in ways
        ]
        return "\n".join(lines)
    count = f"{results['pictures']:,} pictures"
    lines = [f"{count:18}{'centre crop':>12}{'ten crops':>12}"]
    for name, measure, unit in (
        ("top-1 error", "top1_error", " %"),
        ("top-5 error", "top5_error", " %"),
        ("loss", "loss", "  "),
    ):
        cells = "".join(f"{results[way][measure]:10.2f}{unit}" for way in ways)
        lines.append(f"{name:18}{cells}")
    return "\n".join(lines)


def main(flags: config.Config, arguments: Sequence[str]) -> None:
    config.refuse_arguments(arguments)
    towers.configure(flags.logical_cpus, flags.logical_gpus, flags.logical_gpu_mib)
    towers.allow_tf32(flags.precision == "tf32")
    restored = restore(
        flags.checkpoint,
        precision=flags.precision,
        tower_devices=flags.tower_devices,
    )
    dataset = restored.dataset
    if flags.evaluate_dataset:
        other = records.read_description(flags.evaluate_dataset)
        if (other.size, other.classes) != (dataset.size, dataset.classes):
            raise ValueError(
                f"{other.path} has pictures of {other.size} pixels in "
                f"{len(other.classes)} classes; the run was trained on {dataset.size} "
                f"pixels and {len(dataset.classes)} classes, or other names"
            )
        dataset = other
    split = flags.split or dataset.evaluation_split
    results = Evaluation(restored.net)(
        dataset,
        split,
        crop=restored.architecture.input_size,
        batch_size=flags.batch_size,
        damaged=flags.damaged_records,
    )
    print(text(results, flags.format))
    described = {
        "checkpoint": restored.prefix,
        "dataset": str(dataset.path),
        "split": split,
        "precision": towers.precision(flags.precision),
    }
    output = restored.run_dir / "evaluation.json"
    output.write_text(json.dumps({**described, **results}, indent=1) + "\n")
    print(f"written to {output}", file=sys.stderr)


if __name__ == "__main__":
    config.run("evaluate", main)
