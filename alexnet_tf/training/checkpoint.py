"""What is saved, and in which order it is restored.

A checkpoint holds, by name, every weight and its velocity, the step, and the loop's
state as JSON; all else (order, crops, colour, dropout masks) is a function of the seed
and the step. Names say nothing of devices, so a checkpoint moves between one device and
two.

    RUN/checkpoints/step-200.index ...    the newest, `keep` of them
    RUN/best/step-100.index ...           the one with the least validation error
"""

import json
import os
import pathlib
import re
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf
from absl import logging

NEWEST = "checkpoints"
BEST = "best"

# What TensorFlow raises for a file that is cut off, altered, or none of its own.
_UNREADABLE = (tf.errors.OpError, IndexError, RuntimeError, ValueError)

# How TensorFlow ends the name of a variable's value in a checkpoint.
_VALUE = ".ATTRIBUTES/VARIABLE_VALUE"


class CheckpointError(OSError):
    """A checkpoint that cannot be written, found, or restored."""


def _named(model: keras.Model) -> dict[str, tf.Variable]:
    return {v.path: v.value for v in model.trainable_variables}


class Checkpoints:
    """Saves and restores one run in `run_dir`.

    Attributes:
        variables: the weights and velocities that are saved.
    """

    def __init__(
        self,
        run_dir: str | os.PathLike[str],
        model: keras.Model,
        velocities: Sequence[tf.Variable],
        keep: int = 2,
    ):
        self._run_dir = pathlib.Path(run_dir)
        self._keep = keep
        self._model = model
        weights = _named(model)
        self.variables = [*weights.values(), *velocities]
        with tf.device("/CPU:0"):
            self._step = tf.Variable(0, dtype=tf.int64)
            self._state = tf.Variable("{}", dtype=tf.string)
        self._saved = tf.train.Checkpoint(
            weights=weights,
            velocities=dict(zip(weights, velocities, strict=True)),
            step=self._step,
            state=self._state,
        )

    def save(self, step: int, state: Mapping[str, Any], folder: str = NEWEST) -> str:
        """Writes a checkpoint, then removes the oldest ones; returns its prefix.

        Raises CheckpointError where the disk is full; what was there stays.
        """
        self._step.assign(step)
        self._state.assign(json.dumps(state))
        where = self._run_dir / folder
        where.mkdir(parents=True, exist_ok=True)
        prefix = str(where / f"step-{step}")
        for left in where.glob("step-*_temp"):  # by a kill in the middle of a write
            shutil.rmtree(left, ignore_errors=True)
        try:
            # The index is written last and renamed: with it the checkpoint is whole.
            self._saved.write(prefix)
        except tf.errors.OpError as error:
            _remove(prefix)
            last = newest(self._run_dir / NEWEST)
            raise CheckpointError(
                f"cannot write checkpoint {prefix} ({error.message}); the run can be "
                f"resumed from {last or 'its start'}: free the disk, then --resume"
            ) from error
        for old in prefixes(where)[: -(1 if folder == BEST else self._keep)]:
            _remove(old)
        return prefix

    def restore(self) -> tuple[int, dict[str, Any]] | None:
        """(step, state) of the newest whole checkpoint, restored; None without any.

        Broken ones are passed over with a warning that names them and the one taken,
        and renamed, `step-200.index.broken`: nobody takes them for the newest again.
        Raises CheckpointError for one of another net, or where all are broken.
        """
        found = prefixes(self._run_dir / NEWEST)
        broken: dict[str, str] = {}
        for prefix in reversed(found):
            try:
                _refuse_another_net(prefix, self._model)
                self._saved.read(prefix).assert_consumed()
            except _UNREADABLE as error:
                broken[prefix] = _first_line(error)
                continue
            except AssertionError as error:
                raise CheckpointError(
                    f"checkpoint {prefix} is of another net: {_first_line(error)}"
                ) from error
            for bad, why in broken.items():
                logging.warning("%s is broken (%s): going on from %s", bad, why, prefix)
                for file in _files(bad):
                    file.rename(f"{file}.broken")
            return int(self._step), json.loads(self._state.numpy())
        if found:
            raise CheckpointError(
                f"no checkpoint in {self._run_dir / NEWEST} can be read: "
                + ", ".join(f"{prefix} ({why})" for prefix, why in broken.items())
            )
        return None


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0]


def _refuse_another_net(prefix: str, model: keras.Model) -> None:
    """Raises CheckpointError where a weight is missing or has another shape there."""
    shapes = tf.train.load_checkpoint(prefix).get_variable_to_shape_map()
    for name, variable in _named(model).items():
        there = shapes.get(f"weights/{name.replace('/', '.S')}/{_VALUE}")
        if there != variable.shape.as_list():
            raise CheckpointError(
                f"checkpoint {prefix} is of another net, or of another number of "
                f"classes: its {name} is {there or 'missing'}, and "
                f"{variable.shape.as_list()} is wanted"
            )


def _files(prefix: str) -> list[pathlib.Path]:
    path = pathlib.Path(prefix)
    return list(path.parent.glob(f"{path.name}.*"))


def _remove(prefix: str) -> None:
    for file in _files(prefix):
        file.unlink()
    shutil.rmtree(f"{prefix}_temp", ignore_errors=True)  # left by a write that failed


def prefixes(folder: str | os.PathLike[str]) -> list[str]:
    """The whole checkpoints of a folder, oldest first."""
    steps = []
    for index in pathlib.Path(folder).glob("step-*.index"):
        if match := re.fullmatch(r"step-(\d+)\.index", index.name):
            steps.append((int(match[1]), str(index.with_suffix(""))))
    return [prefix for _, prefix in sorted(steps)]


def newest(folder: str | os.PathLike[str]) -> str | None:
    found = prefixes(folder)
    return found[-1] if found else None


def locate(checkpoint: str | os.PathLike[str]) -> tuple[pathlib.Path, str]:
    """(run folder, checkpoint prefix) of a run folder or of one checkpoint.

    Raises CheckpointError, saying what was looked for, where there is none.
    """
    path = pathlib.Path(checkpoint)
    if path.suffix == ".index":
        path = path.with_suffix("")
    if path.is_dir():
        run_dir = path.parent if path.name in (NEWEST, BEST) else path
        found = newest(path if path != run_dir else path / NEWEST)
        if found is None:
            raise CheckpointError(
                f"{path} holds no checkpoint: --checkpoint takes a run folder of "
                "alexnet_tf.train, or one checkpoint as RUN/checkpoints/step-200"
            )
        return run_dir, found
    if not path.with_name(path.name + ".index").exists():
        raise CheckpointError(
            f"there is no checkpoint {path}: --checkpoint takes a run folder of "
            "alexnet_tf.train, or one checkpoint as RUN/checkpoints/step-200"
        )
    return path.parent.parent, str(path)


def load_weights(prefix: str, model: keras.Model) -> None:
    """Restores the weights alone, for evaluation and export.

    Raises CheckpointError for a checkpoint of another net, or a broken one.
    """
    try:
        _refuse_another_net(prefix, model)
        tf.train.Checkpoint(weights=_named(model)).read(prefix).expect_partial()
    except _UNREADABLE as error:
        raise CheckpointError(
            f"checkpoint {prefix} cannot be read: {_first_line(error)}"
        ) from error
