"""Where checkpoints lie, and how the weights of one are read."""

import os
import pathlib
import re
import shutil

import keras
import tensorflow as tf

NEWEST = "checkpoints"


BEST = "best"


# What TensorFlow raises for a file that is cut off, altered, or none of its own.
UNREADABLE = (tf.errors.OpError, IndexError, RuntimeError, ValueError)


# How TensorFlow ends the name of a variable's value in a checkpoint.
_VALUE = ".ATTRIBUTES/VARIABLE_VALUE"


class CheckpointError(OSError):
    """A checkpoint that cannot be written, found, or restored."""


def named(model: keras.Model) -> dict[str, tf.Variable]:
    return {v.path: v.value for v in model.trainable_variables}


def first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0]


def refuse_another_net(prefix: str, model: keras.Model) -> None:
    """Raises CheckpointError where a weight is missing or has another shape there."""
    shapes = tf.train.load_checkpoint(prefix).get_variable_to_shape_map()
    for name, variable in named(model).items():
        there = shapes.get(f"weights/{name.replace('/', '.S')}/{_VALUE}")
        if there != variable.shape.as_list():
            raise CheckpointError(
                f"checkpoint {prefix} is of another net, or of another number of "
                f"classes: its {name} is {there or 'missing'}, and "
                f"{variable.shape.as_list()} is wanted"
            )


def files(prefix: str) -> list[pathlib.Path]:
    path = pathlib.Path(prefix)
    return list(path.parent.glob(f"{path.name}.*"))


def remove(prefix: str) -> None:
    for file in files(prefix):
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
        refuse_another_net(prefix, model)
        tf.train.Checkpoint(weights=named(model)).read(prefix).expect_partial()
    except UNREADABLE as error:
        raise CheckpointError(
            f"checkpoint {prefix} cannot be read: {first_line(error)}"
        ) from error
