"""The errors of a network on a split, with the center crop and with ten crops.

Paper, section 4.1: the softmax outputs of the ten crops are averaged. Ties get
fractional credit, as in the 2012 program (`layer_kernels.cu`). Errors are in percent.
"""

import os
import re
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from alexnet_tf.data import input_pipeline, prepared_dataset, record_files, records
from alexnet_tf.evaluation import metrics
from alexnet_tf.models import layers, resizing, trained
from alexnet_tf.runtime import progress, suggestions


class Evaluation:
    """Measures the errors of a network on splits of datasets.

    The computation is traced once and can be used at any time during training.

    Args:
        net: a model with a mean, whose outputs are logits; see `builder.build`.
        ten_crop: whether to average the ten views too, besides the center crop.

    Example:
        errors = Evaluation(net)(dataset, "validation", crop=224)
        errors["ten_crop"]["top5_error"]
    """

    def __init__(self, net: keras.Model, *, ten_crop: bool = True):
        self._net = net
        self._ten_crop = ten_crop
        self._views = resizing.VIEWS if ten_crop else 1
        self._methods = {"center_crop": 1}
        if ten_crop:
            self._methods["ten_crop"] = self._views
        self._measure = tf.function(self._measured, autograph=False)

    def _view_inputs(self, images: tf.Tensor, side: int) -> dict[str, tf.Tensor]:
        """The net's inputs for all views of images [N, S, S, 3], an image's in a row.

        The net's preprocessing mirrors views on its device, in the pass over the pixels
        that it makes anyway.
        """
        if not self._ten_crop:
            return layers.plain_inputs(resizing.center_crop(images, side))
        five = resizing.five_crops(images, side)
        views = tf.reshape(tf.concat([five, five], axis=1), [-1, side, side, 3])
        mirrored = tf.repeat([False, True], five.shape[1])
        inputs = layers.plain_inputs(views)
        return inputs | {"mirror": tf.tile(mirrored, [tf.shape(images)[0]])}

    def _measured(self, images, labels, side: int):
        """(sums, probabilities) of a batch, each with one row per method.

        `images` are [N, S, S, 3], `labels` [N], and `side` that of the crops. The sums
        are of top-1 credit, top-5 credit and loss; the probabilities are [methods, N,
        classes].
        """
        inputs = self._view_inputs(images, side)
        logits = tf.cast(self._net(inputs, training=False), tf.float32)
        probabilities = tf.reshape(
            tf.nn.softmax(logits), [-1, self._views, logits.shape[-1]]
        )
        sums, means = [], []
        for views in self._methods.values():
            mean = tf.reduce_mean(probabilities[:, :views], axis=1)
            own = tf.gather(mean, labels, axis=1, batch_dims=1)
            loss = -tf.math.log(tf.maximum(own, 1e-30))
            parts = (
                metrics.credit(mean, labels, 1),
                metrics.credit(mean, labels, 5),
                loss,
            )
            sums.append([tf.reduce_sum(part) for part in parts])
            means.append(mean)
        return tf.convert_to_tensor(sums), tf.stack(means)

    def __call__(
        self,
        dataset: prepared_dataset.Dataset,
        split: str,
        *,
        crop: int,
        batch_size: int = 128,
        damaged: records.Damaged = "stop",
        each_batch: Callable[[], None] = lambda: None,
        keep: Callable[[np.ndarray, np.ndarray], None] | None = None,
    ) -> dict[str, Any]:
        """Returns the errors of the network on a split.

        Args:
            dataset, split: what to measure on.
            crop: side of the crops in pixels.
            batch_size: the number of crops that are computed at once.
            damaged: "stop" raises an error at a damaged record, "skip" leaves it out
                and logs a warning.
            each_batch: is called after every batch. An error that it raises ends the
                evaluation.
            keep: is called with the probabilities of every batch, float32 [methods, N,
                classes] in the order of the results, and its labels, int32 [N].

        Returns:
            `center_crop` and, if asked for, `ten_crop`. Both have `top1_error` and
            `top5_error` in percent and `loss`, the mean cross-entropy in nats. `images`
            is the number of images measured.

        Raises:
            record_files.DamagedRecordError: every record is damaged.
        """
        batches = input_pipeline.evaluation_batches(
            dataset,
            split,
            batch_size=max(1, batch_size // self._views),
            damaged=damaged,
        )
        # Traced for any number of images, because the last batch may be smaller.
        measure = self._measure.get_concrete_function(*batches.element_spec, crop)
        total = np.zeros((len(self._methods), 3))
        expected, count = dataset.counts[split], 0
        with progress.bar(expected, f"evaluating {split}", "image") as bar:
            for images, labels in batches:
                sums, probabilities = measure(images, labels)
                total += sums.numpy()
                if keep is not None:
                    keep(probabilities.numpy(), labels.numpy())
                count += len(labels)
                bar.update(len(labels))
                each_batch()
        if not count:
            raise record_files.DamagedRecordError(
                f"every record of the {split} split is damaged"
            )
        if count < expected:
            logging.warning(
                "%d of %d %s images have damaged records; the errors are those of the "
                "other %d",
                *(expected - count, expected, split, count),
            )
        return self._results(total, count)

    def _results(self, total: np.ndarray, count: int) -> dict[str, Any]:
        """The means of `count` images, from the sums over all of them."""
        results: dict[str, Any] = {
            method: {
                "top1_error": 100 * (1 - top1 / count),
                "top5_error": 100 * (1 - top5 / count),
                "loss": loss / count,
            }
            for method, (top1, top5, loss) in zip(self._methods, total, strict=True)
        }
        return {**results, "images": count}


def dataset_of(
    net: trained.TrainedNet,
    path: str | os.PathLike[str] | None = None,
    *,
    called: str = "the net",
    any_classes: bool = False,
) -> prepared_dataset.Dataset:
    """Returns the dataset to evaluate a net on: that at `path`, or the net's own.

    Warns if its images were resized by another rule than the net's.

    Args:
        net: the net.
        path: a prepared folder; None for the one that the net was trained on.
        called: the net in messages.
        any_classes: whether the classes of the dataset at `path` need not be the net's.

    Raises:
        FileNotFoundError: the net's own dataset no longer exists.
        ValueError: the images have another size, or the classes differ.
    """
    dataset = prepared_dataset.read_description(
        _own_path(net, called) if path is None else path
    )
    size = net.architecture.record_size
    if dataset.size != size:
        raise ValueError(
            f"{dataset.path} has images of {dataset.size} pixels, and {called} was "
            f"trained on {size}: prepare them with --size={size}"
        )
    fixed = path is None or not any_classes
    if fixed and not same_classes(dataset.classes, net.class_names):
        raise ValueError(
            f"{dataset.path} has other classes than {called} was trained on: "
            f"{first_difference(dataset.classes, net.class_names)}"
        )
    if path is None and dataset.digest() != net.dataset_digest:
        before = net.dataset_digest or ""
        raise ValueError(
            f"{dataset.path} holds other images than those that {called} was trained on: "
            f"its digest is {dataset.digest()[:12]}, and it was {before[:12]}. "
            "To evaluate on them nevertheless, name them by "
            f"--dataset={dataset.path}"
        )
    if dataset.resize != net.resize:  # both are legitimate
        logging.warning(
            "%s was prepared with --resize=%s, and %s is of images with --resize=%s, "
            "which may cost accuracy",
            *(dataset.path, dataset.resize, called, net.resize),
        )
    return dataset


def _own_path(net: trained.TrainedNet, called: str) -> str:
    """The dataset that a net was trained on."""
    if net.dataset_path is None:
        raise ValueError(
            f"{called} was imported and has no dataset of its own: name the images to "
            "evaluate it on by --dataset=FOLDER"
        )
    if not os.path.isdir(net.dataset_path):
        raise FileNotFoundError(
            f"{called} was trained on {net.dataset_path}, which is not there: say where "
            "the images are now by --dataset=FOLDER"
        )
    return net.dataset_path


def same_classes(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether two lists name the same classes in the same order.

    The words that may follow the number of an ImageNet synset do not matter.

    Example:
        >>> same_classes(["n01440764 tench"], ["n01440764 tench, Tinca tinca"])
        True
        >>> same_classes(["tench"], ["goldfish"])
        False
    """
    return list(map(class_key, one)) == list(map(class_key, other))


def synset_of(name: str) -> str | None:
    """Returns the number of the ImageNet synset that a class name begins with, or None.

    Example:
        >>> synset_of("n01440764 tench, Tinca tinca")
        'n01440764'
    """
    synset = re.match(r"n[0-9]{8}(?= |$)", name)
    return synset[0] if synset else None


def class_key(name: str) -> str:
    """What decides whether two names are of the same class: the synset, or the name."""
    return synset_of(name) or name


def label_of(name: str, classes: Sequence[str]) -> int:
    """Returns the label of a class that a user names: by its name, synset or number.

    Raises:
        ValueError: there is no such class, or several.

    Example:
        >>> label_of("cat", ["dog", "cat"]), label_of("0", ["dog", "cat"])
        (1, 0)
    """
    found = [n for n, each in enumerate(classes) if class_key(each) == class_key(name)]
    if found:
        return found[0]
    if name.isdecimal() and int(name) < len(classes):
        return int(name)
    raise ValueError(
        f"the net has no class {name!r}, only {len(classes)} classes such as "
        f"{classes[0]!r} and the numbers 0 to {len(classes) - 1}"
        f"{suggestions.did_you_mean(name, classes)}"
    )


def first_difference(found: Sequence[str], wanted: Sequence[str]) -> str:
    """Says in what two lists of classes that are not the same differ first."""
    if len(found) != len(wanted):
        return f"{len(found)} classes, expected {len(wanted)}"
    number = next(
        n
        for n, (one, other) in enumerate(zip(found, wanted, strict=True))
        if not same_classes([one], [other])
    )
    return f"class {number} is {found[number]!r}, expected {wanted[number]!r}"
