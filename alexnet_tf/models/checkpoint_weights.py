"""Reads and writes the weights in a checkpoint, and the state of a run beside them."""

import contextlib
import json
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf.models import checkpoint_files
from alexnet_tf.runtime import errors

# What TensorFlow raises for a file that is cut off, altered, or not a checkpoint.
UNREADABLE = (tf.errors.OpError, IndexError, RuntimeError, ValueError)

# How TensorFlow ends the name of a variable's value in a checkpoint.
_VALUE = ".ATTRIBUTES/VARIABLE_VALUE"


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
            raise checkpoint_files.CheckpointError(
                f"checkpoint {prefix} is of another net, or of another number of "
                f"classes: its {name} is {found or 'missing'}, expected "
                f"{variable.shape.as_list()}"
            )


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
        raise checkpoint_files.CheckpointError(
            f"checkpoint {prefix} cannot be read: {errors.first_line(error)}"
        ) from error
