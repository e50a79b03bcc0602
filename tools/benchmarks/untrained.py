"""Run folders of nets with their initial weights, for benchmarks that need a net."""

import os
import pathlib

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf.models import architecture as architectures
from alexnet_tf.models import builder, trained
from alexnet_tf.runtime import files
from alexnet_tf.training import checkpoint


def build(net: architectures.Architecture) -> keras.Model:
    """The model of a net whose mean is gray, in float32."""
    return builder.build(net, mean=_gray(net), dropout=net.dropout)


def write_checkpoint(
    folder: str | os.PathLike[str], model: keras.Model, net: architectures.Architecture
) -> str:
    """Writes the weights of a model, and velocities of zero; returns the prefix."""
    velocities = [
        tf.Variable(tf.zeros(variable.shape)) for variable in model.trainable_variables
    ]
    described = _described(net)
    return checkpoint.Checkpoints(folder, model, velocities, described).save(1, {})


def write_run(
    folder: str | os.PathLike[str], net: architectures.Architecture
) -> keras.Model:
    """Writes a run folder; returns the model that is in it."""
    files.make_folder(pathlib.Path(folder))
    trained.write_trained_net(folder, _described(net))
    model = build(net)
    write_checkpoint(folder, model, net)
    return model


def _described(net: architectures.Architecture) -> trained.TrainedNet:
    names = tuple(f"class {number:04}" for number in range(net.classes))
    return trained.TrainedNet(
        net, names, _gray(net), *(net.dropout, "float32", None, None)
    )


def _gray(net: architectures.Architecture) -> np.ndarray:
    return np.full((net.input_size, net.input_size, 3), 118, np.float32)
