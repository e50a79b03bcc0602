"""The errors and losses of a run by passes over its training split, from its log."""

import dataclasses
import itertools
import os
import pathlib
from typing import Any

import numpy as np

from alexnet_tf.training import log_records, schedule_changes


@dataclasses.dataclass(frozen=True)
class RateChange:
    """Where the learning rate changed, in passes, and its values before and after."""

    passes: float
    before: float
    after: float


@dataclasses.dataclass(frozen=True)
class Curve:
    """Numbers of a run at several points; all arrays have one length.

    Attributes:
        passes: over the training split.
        top1_error: in percent.
        loss: in nats.
        top5_error: in percent; None of training, where it is not measured, and of a net
            with so few classes that it says nothing.
    """

    passes: np.ndarray
    top1_error: np.ndarray
    loss: np.ndarray
    top5_error: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class LearningCurves:
    """The course of one run.

    Attributes:
        name: of the run.
        training: means over the steps between two lines of the log, of augmented images
            and with dropout.
        validation: of the center crop; without points if the run has not validated.
        learning_rates: at the points of `training`.
        rate_changes: at the first line of the log with the new learning rate.
        changes: the options that were changed in the middle of the run, each in words
            with the passes at which it was.
        split: what `validation` was measured on.
    """

    name: str
    training: Curve
    validation: Curve
    learning_rates: np.ndarray
    rate_changes: tuple[RateChange, ...]
    changes: tuple[tuple[float, str], ...]
    split: str = "validation"


def read_curves(run_dir: str | os.PathLike[str]) -> LearningCurves:
    """Reads the course of a run from its folder.

    Raises:
        ValueError: there is no log, or it has no lines of training, or a line lacks a
            number.
    """
    path = pathlib.Path(run_dir) / log_records.FILE
    records = log_records.read(run_dir)
    lines = log_records.of_kind("train", records)
    if not lines:
        raise ValueError(
            f"{path} has no lines of training yet"
            if path.exists()
            else f"{path} does not exist: only runs that alexnet_tf.train wrote have curves"
        )
    passes_per_step = _passes_per_step(lines[-1], path)
    measured = log_records.of_kind("validation", records)
    rates = _numbers(lines, "learning_rate", path)
    return LearningCurves(
        str(run_dir),
        _curve(lines, passes_per_step, path, "train"),
        _curve(measured, passes_per_step, path, "validation"),
        rates,
        tuple(
            RateChange(line["step"] * passes_per_step, before, after)
            for line, (before, after) in zip(
                lines[1:], itertools.pairwise(rates.tolist()), strict=True
            )
            if before != after
        ),
        tuple(
            (record["step"] * passes_per_step, _words(record, path))
            for record in log_records.of_kind("change", records)
        ),
        log_records.validation_split(records),
    )


def _passes_per_step(line: dict[str, Any], path: pathlib.Path) -> float:
    if line["step"] < 1:
        raise ValueError(f"{path} is damaged: it has a line of step {line['step']}")
    return _numbers([line], "epoch", path)[0] / line["step"]


def _curve(
    records: list[dict[str, Any]], passes_per_step: float, path: pathlib.Path, kind: str
) -> Curve:
    return Curve(
        np.array([record["step"] * passes_per_step for record in records]),
        _numbers(records, "top1_error", path),
        _numbers(records, "loss", path),
        None if kind == "train" else _numbers(records, "top5_error", path),
    )


def _numbers(
    records: list[dict[str, Any]], name: str, path: pathlib.Path
) -> np.ndarray:
    for record in records:
        if type(record.get(name)) not in (int, float):
            raise ValueError(
                f"{path} is damaged: its {record['kind']} line of step {record['step']} "
                f"has no number {name}"
            )
    return np.array([float(record[name]) for record in records])


def _words(record: dict[str, Any], path: pathlib.Path) -> str:
    """What a record of a changed option says, such as "--momentum=0 is now ..."."""
    try:
        return str(
            schedule_changes.Change(**{k: v for k, v in record.items() if k != "kind"})
        )
    except TypeError:
        raise ValueError(
            f"{path} is damaged: its change line of step {record['step']} is not one"
        ) from None
