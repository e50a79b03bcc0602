"""Every figure by its name, made from a run folder and a few choices.

The commands `figures` and `report` share it. Each figure's own module draws from data;
here is what reads that data from a run.
"""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Sequence

from alexnet_tf.data import input_pipeline, prepared_dataset
from alexnet_tf.drawing import architecture, curves, filters
from alexnet_tf.drawing.figure import Figure
from alexnet_tf.evaluation import evaluator, image_sets, kernels
from alexnet_tf.models import checkpoint_files, devices, trained
from alexnet_tf.training import learning_curves, train_options

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

    @functools.cached_property
    def dataset(self) -> prepared_dataset.Dataset:
        """The prepared dataset: the one that was chosen, or else the run's own.

        Raises NotDrawableError if none was chosen and the run has none.
        """
        try:
            return evaluator.dataset_of(self.net, self.choices.dataset)
        except (FileNotFoundError, ValueError) as error:
            raise NotDrawableError(str(error)) from error

    @functools.cached_property
    def images(self) -> image_sets.ImageSet:
        """The images to show: those of a folder, or of a split of the dataset."""
        net, choices = self.net, self.choices
        side = net.architecture.input_size
        if choices.images is not None:
            return image_sets.folder_images(
                choices.images,
                size=net.architecture.record_size,
                side=side,
                background=net.background,
                resize=net.resize,
            )
        split = choices.split or self.dataset.evaluation_split
        return image_sets.split_images(self.dataset, split, side=side)

    @functools.cached_property
    def learning_curves(self) -> learning_curves.LearningCurves:
        """The errors and losses of the run by passes over its images.

        Raises NotDrawableError if the run has no log.
        """
        try:
            return learning_curves.read_curves(self.run_dir, self._steps_per_epoch)
        except (OSError, ValueError) as error:
            raise NotDrawableError(str(error)) from error

    def _steps_per_epoch(self) -> int:
        batch_size = train_options.read_record(self.run_dir).recipe.batch_size
        return input_pipeline.steps_per_epoch(self.dataset, batch_size)


def _architecture(subject: Subject) -> Figure:
    return architecture.draw(subject.net.architecture, of=str(subject.run_dir))


def _filters(subject: Subject) -> Figure:
    restored, choices = subject.restored, subject.choices
    return filters.draw(
        kernels.read_kernels(restored.model, restored.architecture, choices.layer),
        restored.checkpoint,
        channel=choices.channel,
        name=choices.name_of("filters"),
    )


def _curves(*subjects: Subject) -> Figure:
    return curves.draw([subject.learning_curves for subject in subjects])


# Every figure by its name, in the order in which they are shown.
FIGURES: dict[str, Callable[..., Figure]] = {
    "architecture": _architecture,
    "filters": _filters,
    "curves": _curves,
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
    return FIGURES[name](*subjects)
