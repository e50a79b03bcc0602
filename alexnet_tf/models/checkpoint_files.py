"""Finds the checkpoints of a run and reads their weights.

RUN/checkpoints/step-200.index ...    the newest ones
RUN/best/step-100.index ...           the one with the least validation error

A checkpoint is whole when its index is there, which is written last and removed first.
No checkpoint is ever overwritten: the second one of a step is step-200-2.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf.runtime import errors, files, paths

NEWEST = "checkpoints"
BEST = "best"

# What TensorFlow raises for a file that is cut off, altered, or not a checkpoint.
UNREADABLE = (tf.errors.OpError, IndexError, RuntimeError, ValueError)

_FILE_OF_A_CHECKPOINT = re.compile(r"\.(index|data-\d+-of-\d+)$")

# How TensorFlow ends the name of a variable's value in a checkpoint.
_VALUE = ".ATTRIBUTES/VARIABLE_VALUE"


class CheckpointError(OSError):
    """A checkpoint that cannot be written, found, or restored."""


def weights_by_path(model: keras.Model) -> dict[str, tf.Variable]:
    """Returns the weights of a model by path, frozen ones too, as checkpoints name them."""
    return {v.path: v.value for v in weights_of(model)}


def weights_of(model: keras.Model) -> list[keras.Variable]:
    """Returns the variables of a model that are trained, or frozen."""
    return [v for v in model.weights if v.name in ("kernel", "bias")]


def check_same_net(prefix: str, model: keras.Model) -> None:
    """Raises CheckpointError if a checkpoint lacks a weight or its shape differs."""
    shapes = tf.train.load_checkpoint(prefix).get_variable_to_shape_map()
    for name, variable in weights_by_path(model).items():
        found = shapes.get(f"weights/{name.replace('/', '.S')}/{_VALUE}")
        if found != variable.shape.as_list():
            raise CheckpointError(
                f"checkpoint {prefix} is of another net, or of another number of "
                f"classes: its {name} is {found or 'missing'}, expected "
                f"{variable.shape.as_list()}"
            )


def files_of(prefix: str | os.PathLike[str]) -> list[pathlib.Path]:
    """The files of one checkpoint; if it is whole, the first one is its index."""
    path = pathlib.Path(prefix)
    found = path.parent.glob(f"{path.name}.*")
    index = path.with_name(f"{path.name}.index")
    return sorted(
        (file for file in found if file.suffix != ".broken"),
        key=lambda file: (file != index, file.name),
    )


def remove_checkpoint(prefix: str) -> None:
    """Removes the files of a checkpoint; no reader ever finds a part of it."""
    for file in files_of(prefix):
        file.unlink()
        if file.suffix == ".index":
            files.sync(file.parent)


def remove_unfinished(folder: pathlib.Path) -> None:
    """Removes what writes that failed or were killed have left in a folder."""
    files.remove_leftovers(folder, locked=True)
    for path in folder.glob("step-*_temp"):  # of earlier versions
        shutil.rmtree(path)
    for path in folder.glob("step-*.data-*"):
        index = path.with_suffix(".index")
        if path.suffix != ".broken" and not index.exists():
            path.unlink()


def unused_name(folder: pathlib.Path, step: int) -> str:
    """The name for a new checkpoint of a step: step-200, or step-200-2 after that."""
    earlier = [again for other, again, _ in _found(folder) if other == step]
    return f"step-{step}-{max(earlier) + 1}" if earlier else f"step-{step}"


def list_checkpoints(folder: str | os.PathLike[str]) -> list[str]:
    """Returns the prefixes of the whole checkpoints in a folder, oldest first."""
    return [prefix for _, _, prefix in sorted(_found(pathlib.Path(folder)))]


def step_of(prefix: str) -> int:
    """The step of a checkpoint.

    Example:
        >>> step_of("runs/mine/checkpoints/step-200-2")
        200
    """
    return int(pathlib.Path(prefix).name.split("-")[1])


def _found(folder: pathlib.Path) -> list[tuple[int, int, str]]:
    """(step, which one of this step, prefix) of each whole checkpoint, in any order."""
    found = []
    for index in folder.glob("step-*.index"):
        if match := re.fullmatch(r"step-(\d+)(?:-(\d+))?\.index", index.name):
            again = int(match[2] or 1)
            found.append((int(match[1]), again, str(index.with_suffix(""))))
    return found


def newest_checkpoint(folder: str | os.PathLike[str]) -> str | None:
    """Returns the prefix of the newest whole checkpoint in a folder, or None."""
    found = list_checkpoints(folder)
    return found[-1] if found else None


def locate_checkpoint(checkpoint: str | os.PathLike[str]) -> tuple[pathlib.Path, str]:
    """Returns (run folder, checkpoint prefix) for a run folder or one checkpoint.

    Raises CheckpointError, which names what was expected, if there is no checkpoint.
    """
    path = pathlib.Path(checkpoint)
    expected = (
        "expected a run folder of alexnet_tf.train, or one checkpoint as "
        "RUN/checkpoints/step-200"
    )
    path = (
        path.with_name(_FILE_OF_A_CHECKPOINT.sub("", path.name)) if path.name else path
    )
    if path.is_dir():
        # A run may be called "best", and a path may be "." or end in "..".
        is_run = (path / NEWEST).is_dir() or _last_part(path) not in (NEWEST, BEST)
        run_dir = path if is_run else pathlib.Path(os.path.normpath(path / ".."))
        newest = newest_checkpoint(path / NEWEST if is_run else path)
        if newest is None:
            raise CheckpointError(
                f"{path} holds no checkpoint: {expected}{_hint(path)}"
            )
        return run_dir, newest
    # A step that was saved again has a new name, which the old one stands for.
    again = re.compile(rf"{re.escape(path.name)}(-\d+)?")
    found = [
        prefix
        for prefix in list_checkpoints(path.parent)
        if again.fullmatch(pathlib.Path(prefix).name)
    ]
    if not found:
        there = (
            f"{path} is not a checkpoint"
            if path.exists()
            else (f"there is no checkpoint {path}")
        )
        raise CheckpointError(f"{there}: {expected}{_hint(path)}")
    return pathlib.Path(os.path.normpath(path.parent / "..")), found[-1]


def named_checkpoints(named: str) -> list[str]:
    """The paths of --checkpoint, where commas separate several.

    A comma may also be a part of a path, if the whole is a run folder or a checkpoint.

    Raises ValueError if one cannot be a path, for example because it is empty.
    """
    if "," in named:
        with contextlib.suppress(OSError):
            locate_checkpoint(named)
            return [named]
    try:
        return [paths.local(part) for part in named.split(",")]
    except ValueError as error:
        raise ValueError(f"--checkpoint={named}: {error}") from None


def _hint(path: pathlib.Path) -> str:
    """What to type instead, if something else than a checkpoint is named."""
    if path.is_dir():
        exported = [*path.glob("saved_model.pb"), *path.glob("*/saved_model.pb")]
        return (
            ". This is an export: name the run folder that it was made of"
            if exported
            else ""
        )
    if not path.is_file():
        return ""
    if path.suffix in (".keras", ".h5"):
        return (
            ". A file of export is for alexnet_tf.load, AlexNet(weights=...) and train "
            "--weights; python -m alexnet_tf.import_weights makes a run folder of it"
        )
    return (
        ". If this is a file of another framework, python -m alexnet_tf.import_weights "
        f"--from={path} --output=RUN makes a run folder of it"
    )


def _last_part(path: pathlib.Path) -> str:
    return os.path.basename(os.path.abspath(path))


def read_state(prefix: str) -> dict[str, Any]:
    """Returns the state of a run that its checkpoint holds beside the weights."""
    reader = tf.train.load_checkpoint(prefix)
    return json.loads(reader.get_tensor(f"state/{_VALUE}"))


def write_weights(
    prefix: str, model: keras.Model, step: int, state: Mapping[str, Any]
) -> None:
    """Writes a checkpoint that has no velocities, for a net that was not trained here.

    It has everything else that a checkpoint of training has.
    """
    with tf.device("/CPU:0"):
        saved = tf.train.Checkpoint(
            weights=weights_by_path(model),
            step=tf.Variable(step, dtype=tf.int64),
            state=tf.Variable(json.dumps(state), dtype=tf.string),
        )
    pathlib.Path(prefix).parent.mkdir(parents=True, exist_ok=True)
    saved.write(prefix)


def read_weights(prefix: str) -> dict[str, np.ndarray]:
    """Returns the weights in a checkpoint by path, such as `conv1_tower0/kernel`."""
    reader = tf.train.load_checkpoint(prefix)
    return {
        match[1].replace(".S", "/"): reader.get_tensor(name)
        for name in sorted(reader.get_variable_to_shape_map())
        if (match := re.fullmatch(rf"weights/(.+)/{re.escape(_VALUE)}", name))
    }


def load_weights(prefix: str, model: keras.Model) -> None:
    """Restores the weights alone, without velocities and state.

    Raises CheckpointError for a checkpoint of another net, or a broken one.
    """
    with readable(prefix):
        check_same_net(prefix, model)
        weights = weights_by_path(model)
        tf.train.Checkpoint(weights=weights).read(prefix).expect_partial()


@contextlib.contextmanager
def readable(prefix: str) -> Iterator[None]:
    """Raises CheckpointError if the block cannot read a checkpoint."""
    try:
        yield
    except UNREADABLE as error:
        raise CheckpointError(
            f"checkpoint {prefix} cannot be read: {errors.first_line(error)}"
        ) from error
