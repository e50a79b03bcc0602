"""What the folder of a run tells about it, and why it cannot tell the rest.

Run folders are copied, thinned out, imported and damaged. So a fact that cannot be read
is `Missing`, with the reason, and stops nothing. Only the net itself must be there.
"""

import dataclasses
import itertools
import json
import math
import os
import pathlib
import shlex
import statistics
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from alexnet_tf.data import prepared_dataset
from alexnet_tf.drawing.report.missing import Missing
from alexnet_tf.evaluation import evaluator, measures
from alexnet_tf.models import checkpoint_files, trained
from alexnet_tf.runtime import errors, options, paths
from alexnet_tf.training import environment, log_records, run_folder, train_options

Fact = TypeVar("Fact")


_MOST = 1 << 53  # whole numbers below it are floats too


@dataclasses.dataclass(frozen=True)
class Log:
    """What `log.jsonl` says.

    Attributes:
        steps: the number of the last step that it has.
        validations: its lines of validations; each has `step` and `measures.MEASURES`.
        split: what they were measured on.
        images_per_s: the median speed of training; None without lines of training.
        training_s: the seconds in the steps of training, without validations and
            checkpoints; None likewise, or if the batch size is not known.
        unreadable: the number of lines that cannot be read.
    """

    steps: int
    validations: list[dict[str, Any]]
    split: str
    images_per_s: float | None
    training_s: float | None
    unreadable: int


@dataclasses.dataclass(frozen=True)
class Run:
    """The facts of one run.

    Attributes:
        named: how the user named the run, or one of its checkpoints.
        folder: the run folder.
        net: the description of the trained net.
        checkpoint: the prefix of the checkpoint that is reported.
        best: the prefix of the one with the least validation error.
        flags: the options it was trained with.
        changes: of the schedule, in words, as (step, change).
        training_data: the dataset it was trained on.
        data: the dataset that its answers are shown on.
        environment: software and processor, by item.
        log: what was logged in training.
        evaluation: the contents of `evaluation.json`, if it is of this checkpoint.
    """

    named: str
    folder: pathlib.Path
    net: trained.TrainedNet
    checkpoint: str | Missing
    best: str | Missing
    flags: train_options.TrainOptions | Missing
    changes: list[tuple[int, str]] | Missing
    training_data: prepared_dataset.Dataset | Missing
    data: prepared_dataset.Dataset | Missing
    environment: Mapping[str, str] | Missing
    log: Log | Missing
    evaluation: Mapping[str, Any] | Missing

    @property
    def measures(self) -> tuple[str, ...]:
        """What is shown of its errors, by the names in `measures.MEASURES`."""
        return measures.shown(self.net.architecture.classes)

    @property
    def name(self) -> str:
        """The name of the run folder; "run" if that is somebody's home."""
        shown = paths.public(self.folder.absolute()).removeprefix("…/").lstrip("/")
        return "run" if shown == "~" else shown

    @property
    def places(self) -> set[str]:
        """The absolute paths that its facts have, which are nobody else's business."""
        found: list[Any] = [self.net.dataset_path]
        for each in (self.named, self.folder, self.folder.resolve()):
            found.append(os.path.abspath(each))
        if self.net.started_from is not None:
            found.append(self.net.started_from.path)
        for data in (self.training_data, self.data):
            if not isinstance(data, Missing):
                found.append(os.path.abspath(data.path))
                found.append(data.source.removeprefix("folder:"))
        if not isinstance(self.flags, Missing):
            for value in options.values_of(self.flags).values():
                found.append(str(value).removeprefix("folder:"))
        if not isinstance(self.evaluation, Missing):
            found += [self.evaluation["dataset"], self.evaluation.get("checkpoint")]
        return {
            each for each in found if isinstance(each, str) and each.startswith("/")
        }

    @property
    def validation(self) -> dict[str, Any] | None:
        """What training measured of the checkpoint, or last; None if nothing."""
        if isinstance(self.log, Missing) or not self.log.validations:
            return None
        own = [v for v in self.log.validations if v["step"] == self.step]
        return (own or self.log.validations)[-1]

    @property
    def validation_split(self) -> str:
        """The split that training validated on."""
        return "validation" if isinstance(self.log, Missing) else self.log.split

    @property
    def step(self) -> int | None:
        """The step of the checkpoint; None without one."""
        if isinstance(self.checkpoint, Missing):
            return None
        return checkpoint_files.step_of(self.checkpoint)

    @property
    def epochs(self) -> float | None:
        """The passes over the training images until the checkpoint; None if unknown."""
        flags, data = self.flags, self.training_data
        if self.step is None or isinstance(flags, Missing) or isinstance(data, Missing):
            return None
        images = data.counts.get("train", 0)
        steps_per_epoch = images // flags.recipe.batch_size
        return self.step / steps_per_epoch if steps_per_epoch else None


def read(named: str, dataset: str | None = None) -> Run:
    """Reads the facts of a run.

    Args:
        named: a run folder, or one checkpoint of it.
        dataset: the dataset to show answers on; None takes the one of the training.

    Raises:
        CheckpointError: there is neither a run folder nor a checkpoint.
        FileNotFoundError, ValueError: the folder does not describe a net.
    """
    checkpoint: str | Missing
    try:
        folder, checkpoint = checkpoint_files.locate_checkpoint(named)
    except checkpoint_files.CheckpointError as error:
        folder = pathlib.Path(named)
        if not (folder / trained.MODEL_FILE).exists():
            raise
        checkpoint = Missing(errors.one_line(error))
    net = trained.read_trained_net(folder)
    imported = _not_recorded(net)

    def recorded(read: Callable[[], Fact]) -> Fact | Missing:
        return _fact(read) if imported is None else imported

    flags = recorded(lambda: train_options.read_record(folder))
    batch_size = None if isinstance(flags, Missing) else flags.recipe.batch_size
    training_data = _fact(lambda: evaluator.dataset_of(net))
    return Run(
        named=named,
        folder=folder,
        net=net,
        checkpoint=checkpoint,
        best=recorded(lambda: _best(folder)),
        flags=flags,
        changes=recorded(lambda: _changes(folder)),
        training_data=training_data,
        data=training_data
        if dataset is None
        else _fact(lambda: evaluator.dataset_of(net, dataset)),
        environment=recorded(lambda: _environment(folder)),
        log=recorded(lambda: read_log(folder, batch_size)),
        evaluation=_fact(lambda: _evaluation(folder, named, checkpoint)),
    )


def _fact(read: Callable[[], Fact]) -> Fact | Missing:
    try:
        return read()
    except (OSError, ValueError) as error:
        return Missing(errors.one_line(error).rstrip("."))


def _not_recorded(net: trained.TrainedNet) -> Missing | None:
    """Why an imported net has nothing that training writes; None for one of ours."""
    if net.imported is None:
        return None
    return Missing(
        f"the weights were imported from {net.imported.file} "
        f"({net.imported.format}), and such a file does not record the training"
    )


def _best(folder: pathlib.Path) -> str:
    best = checkpoint_files.newest_checkpoint(folder / checkpoint_files.BEST)
    if best is None:
        raise ValueError(f"no validation has chosen one in {folder}")
    return best


def _changes(folder: pathlib.Path) -> list[tuple[int, str]]:
    """What each stage of the schedule changes from the one before it."""
    stages = run_folder.stages(str(folder))
    return [
        (after.step, f"--{name}={after.texts[name]} instead of {before.texts[name]}")
        for before, after in itertools.pairwise(stages)
        for name in after.texts
        if after.texts[name] != before.texts[name]
    ]


def _object(path: pathlib.Path) -> dict[str, Any]:
    """Reads a JSON object. Raises ValueError if the file holds something else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} is damaged: it is not a JSON object")
    return found


def _environment(folder: pathlib.Path) -> dict[str, str]:
    found = _object(folder / environment.FILE)
    return {item: str(found[item]) for item in environment.ITEMS if item in found}


def _evaluation(
    folder: pathlib.Path, named: str, checkpoint: str | Missing
) -> dict[str, Any]:
    """What `evaluate` wrote, if it is about the checkpoint or there is none."""
    path = folder / measures.FILE
    if not path.exists():
        raise ValueError(
            f"the net was not evaluated. python -m alexnet_tf.evaluate "
            f"--checkpoint={folder} writes {path}"
        )
    found = _object(path)
    kinds = (("step", int), ("dataset", str), ("split", str), ("images", int))
    lacking = [name for name, kind in kinds if not isinstance(found.get(name), kind)]
    lacking += [
        f"{method}/{measure}"
        for method in measures.METHODS
        for measure in measures.MEASURES
        if not _is_number(found.get(method), measure)
    ]
    if lacking:
        raise ValueError(f"{path} is damaged: it lacks {', '.join(lacking)}")
    if not isinstance(checkpoint, Missing):
        step = checkpoint_files.step_of(checkpoint)
        if found["step"] != step:
            raise ValueError(
                f"{path} has the errors of step {found['step']:,}, and this page shows "
                f"step {step:,}. python -m alexnet_tf.evaluate "
                f"--checkpoint={shlex.quote(named)} measures those"
            )
    return found


def _is_number(record: Any, name: str) -> bool:
    value = record.get(name) if isinstance(record, dict) else None
    if isinstance(value, float):
        return True  # also NaN, of a training that diverged
    return type(value) is int and abs(value) < _MOST


def read_log(folder: pathlib.Path, batch_size: int | None) -> Log:
    """Reads the log of a run.

    A line that is cut off or altered is counted and left out.

    Raises:
        OSError: there is no log.
        ValueError: no line of it can be read.
    """
    path = folder / log_records.FILE
    lines = len(path.read_text(encoding="utf-8", errors="replace").splitlines())
    records = list(filter(_is_whole, log_records.read(folder)))
    if not records:
        raise ValueError(f"{path} has no line that can be read")
    training = log_records.of_kind("train", records)
    return Log(
        steps=max(record["step"] for record in records),
        validations=log_records.of_kind("validation", records),
        split=log_records.validation_split(records),
        images_per_s=statistics.median(r["images_per_s"] for r in training)
        if training
        else None,
        training_s=log_records.training_s(training, batch_size)
        if batch_size and training
        else None,
        unreadable=lines - len(records),
    )


def _is_whole(record: Mapping[str, Any]) -> bool:
    """Whether a record of the log has the numbers that the page shows."""
    kind = record["kind"]
    needed = {"train": ("images_per_s",), "validation": measures.MEASURES}.get(kind, ())
    if not all(_is_number(record, name) for name in ("step", *needed)):
        return False
    return kind != "train" or 0 < record["images_per_s"] < math.inf
