"""Errors of a net on a split, with the center crop and with ten crops.

Paper section 4.1: the softmax outputs of the ten crops are averaged. Ties get fractional
credit, as in the 2012 program (`layer_kernels.cu`). Errors are in percent.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from alexnet_tf.data import input_pipeline, prepared_dataset, record_files, records
from alexnet_tf.evaluation import metrics
from alexnet_tf.models import layers, resizing, trained
from alexnet_tf.runtime import progress


class Evaluation:
    """Errors of a net on the splits of datasets; traced once, used at any time.

    Args:
        net: a model of logits with a mean.
        ten_crop: whether the ten views are averaged, besides the centre alone.
    """

    def __init__(self, net: keras.Model, *, ten_crop: bool = True):
        self._net = net
        self._views = resizing.VIEWS if ten_crop else 1
        self._ways = {"center_crop": 1}
        if ten_crop:
            self._ways["ten_crop"] = self._views
        self._sums = tf.function(self._measure, reduce_retracing=True)

    def _measure(self, images, labels):
        """Sums over a batch, a row a way: top-1 credit, top-5 credit, nats."""
        side = images.shape[2]
        flat = tf.reshape(images, [-1, side, side, 3])
        logits = tf.cast(
            self._net(layers.plain_inputs(flat), training=False), tf.float32
        )
        probabilities = tf.reshape(
            tf.nn.softmax(logits), [-1, self._views, logits.shape[-1]]
        )
        sums = []
        for views in self._ways.values():
            mean = tf.reduce_mean(probabilities[:, :views], axis=1)
            own = tf.gather(mean, labels, axis=1, batch_dims=1)
            nats = -tf.math.log(tf.maximum(own, 1e-30))
            parts = (
                metrics.credit(mean, labels, 1),
                metrics.credit(mean, labels, 5),
                nats,
            )
            sums.append([tf.reduce_sum(part) for part in parts])
        return tf.convert_to_tensor(sums)

    def __call__(
        self,
        dataset: prepared_dataset.Dataset,
        split: str,
        *,
        crop: int,
        batch_size: int = 128,
        damaged: records.Damaged = "stop",
        each_batch: Callable[[], None] = lambda: None,
    ) -> dict[str, Any]:
        """Errors in percent and loss in nats on `split`, from crops of `crop` pixels.

        Returns `center_crop`, and with `ten_crop` also `ten_crop`, each with
        `top1_error`, `top5_error` and `loss` (the mean cross-entropy); and `images`,
        how many they are of: with `damaged` "skip" those whose records are whole, and a
        warning where that is not all of them. `each_batch` is called after every batch;
        what it raises ends the evaluation.
        """
        batches = input_pipeline.evaluation_batches(
            dataset,
            split,
            batch_size=max(1, batch_size // self._views),
            crop=crop,
            ten_crop=self._views > 1,
            damaged=damaged,
        )
        total = np.zeros((len(self._ways), 3))
        whole, count = dataset.counts[split], 0
        with progress.bar(whole, f"evaluating {split}", "image") as bar:
            for images, labels in batches:
                total += self._sums(images, labels).numpy()
                count += len(labels)
                bar.update(len(labels))
                each_batch()
        if not count:
            raise record_files.DamagedRecordError(
                f"no record of the {split} split is whole"
            )
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
        return {**results, "images": count}


def dataset_of(
    net: trained.TrainedNet, path: str | None = None
) -> prepared_dataset.Dataset:
    """The dataset to evaluate a trained net on: at `path`, or where its own was.

    Raises:
        FileNotFoundError: the net's own dataset is not there any more.
        ValueError: the images have another size, or the classes are others.
    """
    if path is None and not os.path.isdir(net.dataset_path):
        raise FileNotFoundError(
            f"the net was trained on {net.dataset_path}, which is not there: say where "
            "the images are now by --dataset=FOLDER"
        )
    dataset = prepared_dataset.read_description(path or net.dataset_path)
    size = net.architecture.record_size
    if dataset.size != size:
        raise ValueError(
            f"{dataset.path} has images of {dataset.size} pixels, and the net was "
            f"trained on {size}"
        )
    if dataset.classes != net.class_names:
        raise ValueError(
            f"{dataset.path} has other classes than the net was trained on: "
            f"{_first_difference(dataset.classes, net.class_names)}"
        )
    if path is None and dataset.digest() != net.dataset_digest:
        raise ValueError(
            f"{dataset.path} holds other images than those that the net was trained on "
            "(the digests differ): to evaluate on them nevertheless, name them by "
            f"--dataset={dataset.path}"
        )
    return dataset


def _first_difference(found: Sequence[str], wanted: Sequence[str]) -> str:
    if len(found) != len(wanted):
        return f"{len(found)} classes, expected {len(wanted)}"
    number = next(
        n
        for n, pair in enumerate(zip(found, wanted, strict=True))
        if pair[0] != pair[1]
    )
    return f"class {number} is {found[number]!r}, expected {wanted[number]!r}"
