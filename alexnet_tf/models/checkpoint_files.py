"""Finds the checkpoints of a run and reads their weights.

RUN/checkpoints/step-200.index ...    the newest ones
RUN/best/step-100.index ...           the one with the least validation error
"""

import os
import pathlib
import re
import shutil

import keras
import tensorflow as tf

from alexnet_tf.runtime import errors

NEWEST = "checkpoints"
BEST = "best"

# What TensorFlow raises for a file that is cut off, altered, or not a checkpoint.
UNREADABLE = (tf.errors.OpError, IndexError, RuntimeError, ValueError)

# How TensorFlow ends the name of a variable's value in a checkpoint.
_VALUE = ".ATTRIBUTES/VARIABLE_VALUE"


class CheckpointError(OSError):
    """A checkpoint that cannot be written, found, or restored."""


def weights_by_path(model: keras.Model) -> dict[str, tf.Variable]:
    """Returns the trainable weights of a model by path, as checkpoints name them."""
    return {v.path: v.value for v in model.trainable_variables}


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


def files_of(prefix: str) -> list[pathlib.Path]:
    """The files of one checkpoint."""
    path = pathlib.Path(prefix)
    return list(path.parent.glob(f"{path.name}.*"))


def remove_checkpoint(prefix: str) -> None:
    """Removes the files of a checkpoint, even if its write failed halfway."""
    for file in files_of(prefix):
        file.unlink()
    shutil.rmtree(f"{prefix}_temp", ignore_errors=True)


def list_checkpoints(folder: str | os.PathLike[str]) -> list[str]:
    """Returns the prefixes of the whole checkpoints in a folder, oldest first."""
    steps = []
    for index in pathlib.Path(folder).glob("step-*.index"):
        if match := re.fullmatch(r"step-(\d+)\.index", index.name):
            steps.append((int(match[1]), str(index.with_suffix(""))))
    return [prefix for _, prefix in sorted(steps)]


def step_of(prefix: str) -> int:
    """The step of a checkpoint.

    Example:
        >>> step_of("runs/mine/checkpoints/step-200-2")
        200
    """
    return int(pathlib.Path(prefix).name.split("-")[1])


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
    if path.suffix == ".index":
        path = path.with_suffix("")
    if path.is_dir():
        run_dir = path.parent if path.name in (NEWEST, BEST) else path
        found = newest_checkpoint(path if path != run_dir else path / NEWEST)
        if found is None:
            raise CheckpointError(f"{path} holds no checkpoint: {expected}")
        return run_dir, found
    if not path.with_name(path.name + ".index").exists():
        raise CheckpointError(f"there is no checkpoint {path}: {expected}")
    return pathlib.Path(os.path.normpath(path.parent / "..")), str(path)


def load_weights(prefix: str, model: keras.Model) -> None:
    """Restores the weights alone, without velocities and state.

    Raises CheckpointError for a checkpoint of another net, or a broken one.
    """
    try:
        check_same_net(prefix, model)
        weights = weights_by_path(model)
        tf.train.Checkpoint(weights=weights).read(prefix).expect_partial()
    except UNREADABLE as error:
        raise CheckpointError(
            f"checkpoint {prefix} cannot be read: {errors.first_line(error)}"
        ) from error
