"""Every figure by its name, made from a run folder and a few choices.

The commands `figures` and `report` share it. Each figure's own module draws from data;
here is what reads that data from a run.
"""

import collections
import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from alexnet_tf.data import prepared_dataset, records
from alexnet_tf.drawing import (
    architecture,
    confusion,
    curves,
    filters,
    maps,
    nearest,
    predictions,
    saliency,
)
from alexnet_tf.drawing.figure import Figure
from alexnet_tf.evaluation import (
    answers,
    evaluator,
    features,
    image_sets,
    kernels,
    measures,
)
from alexnet_tf.evaluation import confusion as confusion_counts
from alexnet_tf.evaluation import nearest as nearest_images
from alexnet_tf.evaluation import saliency as saliency_gradients
from alexnet_tf.models import checkpoint_files, devices, layer_outputs, trained
from alexnet_tf.runtime import names, paths
from alexnet_tf.training import learning_curves

ALL = "all"


class NotDrawableError(ValueError):
    """A figure cannot be made of this run; the message says what to give."""


@dataclasses.dataclass(frozen=True)
class Choices:
    """What is to be drawn; None leaves it to the figure.

    Attributes:
        layer: name of a layer.
        channel: number of a channel.
        images: a folder of images.
        dataset: a prepared folder, in place of the one that the run was trained on.
        split: of the dataset.
        only_errors: whether to show only images that the net gets wrong.
        count: how many images.
        seed: of the choice of images.
        class_name: the class whose score `saliency` differentiates, by name or number.
        query_count: how many images `nearest` measures its precision on.
        search_count: how many training images `nearest` searches, at most.
        max_bad_files: how many unreadable image files are left out.
        damaged_records: what to do at a damaged record.
        batch_size: images that are computed at once.
    """

    layer: str | None = None
    channel: int | None = None
    images: str | None = None
    dataset: str | None = None
    split: str | None = None
    only_errors: bool = False
    count: int | None = None
    seed: int = 0
    class_name: str | None = None
    query_count: int = 200
    search_count: int = 1000
    max_bad_files: int = 0
    damaged_records: records.Damaged = "stop"
    batch_size: int = 128

    def name_of(self, figure: str) -> str:
        """The name of a figure of a layer: "filters", or "filters-conv2-channel3".

        Example:
            >>> Choices(layer="conv1/relu").name_of("maps")
            'maps-conv1-relu'
        """
        layer = "" if self.layer is None else f"-{self.layer.replace('/', '-')}"
        channel = "" if self.channel is None else f"-channel{self.channel}"
        return f"{figure}{layer}{channel}"


class Subject:
    """A run that is drawn; what a figure needs of it is read when it is first used.

    Args:
        checkpoint: a run folder, or one checkpoint, as `trained.restore` takes it.
        choices: what is to be drawn.
        precision: the compute type.
        tower_devices: one per tower, or one for all.
    """

    def __init__(
        self,
        checkpoint: str | os.PathLike[str],
        choices: Choices | None = None,
        *,
        precision: devices.Precision = "float32",
        tower_devices: Sequence[str] | None = None,
    ):
        self.choices = choices or Choices()
        self._given = checkpoint
        self._precision = precision
        self._tower_devices = tower_devices

    @functools.cached_property
    def run_dir(self) -> pathlib.Path:
        """The run folder."""
        given = pathlib.Path(self._given)
        if (given / trained.MODEL_FILE).exists():
            return given  # without a checkpoint yet, perhaps
        return checkpoint_files.locate_checkpoint(given)[0]

    @functools.cached_property
    def net(self) -> trained.TrainedNet:
        """The description of the net, which needs no weights."""
        return trained.read_trained_net(self.run_dir)

    @functools.cached_property
    def restored(self) -> trained.Restored:
        """The net with its weights: pixels 0-255 to probabilities."""
        return trained.restore(
            self._given,
            precision=self._precision,
            tower_devices=self._tower_devices,
            inputs="pixels",
        )

    @property
    def checkpoint(self) -> str:
        """The checkpoint as captions name it, without the place of the run."""
        return paths.public(self.restored.checkpoint)

    def shown(self, images: image_sets.ImageSet) -> str:
        """What some images are, as captions name them, without their place."""
        known = [self.choices.images or ""]
        if self.choices.images is None:
            known = [str(self.dataset.path)]
        return paths.without_places(images.where, known)

    @functools.cached_property
    def dataset(self) -> prepared_dataset.Dataset:
        """The prepared dataset: the one that was chosen, or else the run's own.

        Raises NotDrawableError if none was chosen and the run has none.
        """
        try:
            return evaluator.dataset_of(
                self.net, self.choices.dataset, any_classes=True
            )
        except (FileNotFoundError, ValueError) as error:
            raise NotDrawableError(str(error)) from error

    @functools.cached_property
    def images(self) -> image_sets.ImageSet:
        """The images to show: those of a folder or a file, or of a split of the dataset."""
        if self.choices.images is not None:
            return image_sets.images_for(self.net, images=self.choices.images)
        split = self.choices.split
        if split is None:
            try:
                split = self.dataset.evaluation_split
            except ValueError as error:
                raise NotDrawableError(
                    f"{self.dataset.path} has no validation or test split: name "
                    "another by --split, or a folder of images by --images"
                ) from error
        return self._split(split)

    def _split(self, split: str) -> image_sets.ImageSet:
        return image_sets.split_images(
            self.dataset,
            split,
            side=self.net.architecture.input_size,
            damaged=self.choices.damaged_records,
        )

    @functools.cached_property
    def training_images(self) -> image_sets.ImageSet:
        """The training split of the dataset."""
        if "train" not in self.dataset.counts:
            raise NotDrawableError(
                f"{self.dataset.path} has no train split to search: name a dataset that "
                "has one by --dataset"
            )
        return self._split("train")

    @functools.cached_property
    def labeled_images(self) -> image_sets.ImageSet:
        """The images to show, with the labels of the net's classes."""
        return image_sets.relabeled(self.images, self.net.class_names)

    @property
    def reading(self) -> dict[str, Any]:
        """How images are read: arguments of `image_sets.batches` and its callers."""
        choices = self.choices
        return {
            "batch_size": choices.batch_size,
            "max_bad_files": choices.max_bad_files,
        }

    def choose_answers(self, count: int) -> answers.Chosen:
        """The answers to `count` images, or to as many as were chosen."""
        choices = self.choices
        return answers.choose(
            self.restored,
            self.labeled_images,
            choices.count or count,
            seed=choices.seed,
            only_errors=choices.only_errors,
            **self.reading,
        )

    @functools.cached_property
    def learning_curves(self) -> learning_curves.LearningCurves:
        """The errors and losses of the run by passes over its images.

        Raises NotDrawableError if the run has no log.
        """
        try:
            found = learning_curves.read_curves(self.run_dir)
        except (OSError, ValueError) as error:
            raise NotDrawableError(str(error)) from error
        if "top5_error" in measures.shown(self.net.architecture.classes):
            return found
        validation = dataclasses.replace(found.validation, top5_error=None)
        return dataclasses.replace(found, validation=validation)


def _architecture(subject: Subject) -> Figure:
    return architecture.draw(subject.net.architecture, of=paths.public(subject.run_dir))


def _filters(subject: Subject) -> Figure:
    restored, choices = subject.restored, subject.choices
    layer = choices.layer
    try:
        found = kernels.read_kernels(restored.model, restored.architecture, layer)
    except ValueError as error:
        raise NotDrawableError(str(error)) from error
    return filters.draw(
        found,
        subject.checkpoint,
        channel=choices.channel,
        name=choices.name_of("filters"),
    )


def _curves(*subjects: Subject) -> Figure:
    shown: list[learning_curves.LearningCurves] = []
    seen: collections.Counter[str] = collections.Counter()
    for subject in subjects:
        name = paths.public(subject.run_dir)
        seen[name] += 1  # runs of two places may have one name
        shown.append(
            dataclasses.replace(
                subject.learning_curves,
                name=name if seen[name] == 1 else f"{name} ({seen[name]})",
            )
        )
    return curves.draw(shown)


def _predictions(subject: Subject) -> Figure:
    return predictions.draw(
        subject.choose_answers(8),
        subject.net.class_names,
        subject.checkpoint,
        subject.shown(subject.images),
        only_errors=subject.choices.only_errors,
    )


def _nearest(subject: Subject) -> Figure:
    restored, choices = subject.restored, subject.choices
    layer = choices.layer or _feature_layer(restored)
    classes = subject.dataset.classes
    queries = image_sets.relabeled(subject.images, classes)
    training = subject.training_images
    rows = choices.count or 6
    chosen = image_sets.shuffled(queries, choices.seed)
    order = image_sets.shuffled(training, choices.seed)
    found = nearest_images.search(
        restored,
        queries,
        chosen[: max(rows, choices.query_count)],
        training,
        layers=[layer],
        among=sorted(order[: choices.search_count]),
        **subject.reading,
    )
    neighbors = [
        [image_sets.pixels_of(training, index) for index in row]
        for row in found.by_layer[layer].indices[:rows].tolist()
    ]
    return nearest.draw(
        found,
        np.array(neighbors, np.uint8),
        layer,
        classes,
        subject.checkpoint,
        where=subject.shown(queries),
        searched=subject.shown(training),
        count=training.count,
        name=choices.name_of("nearest"),
    )


def _feature_layer(restored: trained.Restored) -> str:
    """fc7, or in nets without it the layer whose outputs the last one reads."""
    found = [n for n in layer_outputs.layer_names(restored.model) if "/" not in n]
    return "fc7" if "fc7" in found else found[-2:][0]


def _maps(subject: Subject) -> Figure:
    restored, choices, images = subject.restored, subject.choices, subject.images
    shapes = layer_outputs.layer_names(restored.model)
    layer = choices.layer or kernels.first_layer(restored.architecture)
    if len(shapes.get(layer, "HWC")) != 3:
        with_maps = [name for name, shape in shapes.items() if len(shape) == 3]
        raise NotDrawableError(
            f"{layer} has units and no maps: choose a --layer of {', '.join(with_maps)}"
        )
    model = features.feature_model(restored.model, [layer], "separate")
    order = image_sets.shuffled(images, choices.seed)
    reading = {**subject.reading, "batch_size": 1}
    image = next(image_sets.batches(images, order, **reading), None)
    if image is None:
        raise ValueError(f"no image of {images.where} can be read")
    (values,) = model(image.pixels, training=False)[layer].numpy()
    return maps.draw(
        values,
        image.pixels[0],
        layer,
        subject.checkpoint,
        names.escaped(images.name(int(image.indices[0]))),
        channel=choices.channel,
        name=choices.name_of("maps"),
    )


def _saliency(subject: Subject) -> Figure:
    restored, class_names = subject.restored, subject.net.class_names
    label = None
    if subject.choices.class_name is not None:
        label = evaluator.label_of(subject.choices.class_name, class_names)
    shown = subject.choose_answers(4).answers
    classes = [answer.best if label is None else label for answer in shown]
    scores, gradients = saliency_gradients.gradients(
        restored.model, np.stack([answer.pixels for answer in shown]), classes
    )
    return saliency.draw(
        shown,
        classes,
        scores,
        gradients,
        class_names,
        subject.checkpoint,
        subject.shown(subject.images),
    )


def _confusion(subject: Subject) -> Figure:
    images = subject.labeled_images
    counted = confusion_counts.measure(subject.restored, images, **subject.reading)
    mistakes = [mistake.image for mistake in counted.mistakes]
    return confusion.draw(
        counted,
        [image_sets.pixels_of(images, image) for image in mistakes[: confusion.IMAGES]],
        subject.net.class_names,
        subject.checkpoint,
        subject.shown(images),
        names=[names.escaped(images.name(image)) for image in mistakes],
    )


# Every figure by its name, in the order in which they are shown.
FIGURES: dict[str, Callable[..., Figure]] = {
    "architecture": _architecture,
    "filters": _filters,
    "predictions": _predictions,
    "nearest": _nearest,
    "curves": _curves,
    "maps": _maps,
    "saliency": _saliency,
    "confusion": _confusion,
}


# Those that show several runs at once; each of the others is of one net.
OF_SEVERAL = ("curves",)


def draw(name: str, *subjects: Subject) -> Figure:
    """Draws one figure of a run, or of several.

    Raises:
        NotDrawableError: it needs something that the run or the choices lack, or there
            are several runs and it is of one net.
        ValueError: there is no such figure, or a choice does not fit the net.
    """
    if name not in FIGURES:
        raise ValueError(f"no figure {name!r}: choose of {', '.join(FIGURES)}")
    if len(subjects) > 1 and name not in OF_SEVERAL:
        raise NotDrawableError(
            f"{name} is of one net, and {len(subjects)} checkpoints are named: name one "
            f"by --checkpoint ({', '.join(OF_SEVERAL)} shows several)"
        )
    try:
        return FIGURES[name](*subjects)
    except image_sets.NothingToShowError as error:
        raise NotDrawableError(str(error)) from error
