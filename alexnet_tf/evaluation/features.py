"""Computes the outputs of a trained net's layers for many images, and writes them.

The numbers are those of a Keras model that ends at the layers, called with the same
batches. A batch has `batch_size` images that could be read, one after the other, so a
work that is interrupted and continued gives the same bytes as one that is not.
"""

import os
import pathlib
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import keras
import numpy as np
import PIL
import tensorflow as tf
from absl import logging

import alexnet_tf
from alexnet_tf.data import image_decoding
from alexnet_tf.evaluation import feature_files, image_sets
from alexnet_tf.models import checkpoint_files, layer_outputs, trained
from alexnet_tf.runtime import progress

Towers = Literal["joined", "separate"]


class Written(NamedTuple):
    """A file of features.

    Attributes:
        path: the file.
        shapes: of each layer's array; the first number is that of the images.
        left_out: the reason for each image that has no features.
    """

    path: pathlib.Path
    shapes: dict[str, tuple[int, ...]]
    left_out: tuple[str, ...]


class StoppedError(RuntimeError):
    """A signal has stopped the work, which the same command continues."""


def feature_model(
    model: keras.Model, layers: Sequence[str], towers: Towers = "joined"
) -> keras.Model:
    """Returns a model of the same inputs whose outputs are a dict of layers, float32.

    Args:
        model: a net.
        layers: names that `layer_outputs` explains.
        towers: "joined" joins both towers along the channels, [N, ..., channels].
            "separate" puts them one after the other on an axis of their own, [N,
            towers, ..., channels / towers]; a layer on one tower has 1 there.

    Raises:
        ValueError: the net has no such layer; the message names its layers.
    """

    def output(layer: str) -> keras.KerasTensor:
        if towers == "joined":
            found = layer_outputs.layer_output(model, layer)
        else:
            found = keras.ops.stack(layer_outputs.tower_outputs(model, layer), axis=1)
        return keras.ops.cast(found, "float32")

    return keras.Model(model.input, {layer: output(layer) for layer in layers})


def write_features(
    restored: trained.Restored,
    images: image_sets.ImageSet,
    output: pathlib.Path,
    *,
    layers: Sequence[str],
    towers: Towers = "joined",
    batch_size: int = 128,
    max_bad_files: int = 0,
    settings: Mapping[str, Any],
    stop_signal: Callable[[], int | None] = lambda: None,
) -> Written:
    """Writes the features of all images, or continues where a process was interrupted.

    Args:
        restored: the net, a model of pixels.
        images: the images.
        output: the file, as `feature_files.check_output` returns it.
        layers, towers: see `feature_model`.
        batch_size: images that are computed at once.
        max_bad_files: how many unreadable images are left out, with a warning, before
            one is an error.
        settings: what else decides the numbers, by name, so that work that was begun
            with others is not continued.
        stop_signal: the number of the signal that asks to stop, if one has come.

    Raises:
        image_decoding.BadImageError: more than `max_bad_files` images cannot be read.
        ValueError: the net has no such layer, work with other settings was begun, or no
            image can be read.
        StoppedError: a signal came; what was computed is kept.
        KeyboardInterrupt: likewise, for Ctrl-C.
    """
    model = feature_model(restored.model, layers, towers)
    shapes = {layer: tensor.shape[1:] for layer, tensor in model.output.items()}
    plan = {
        "layers": list(layers),
        "towers": towers,
        "images": images.identity,
        "batch size": batch_size,
        **trained.fingerprint(restored),
        "background": list(restored.trained.background),
        **settings,
        "alexnet_tf": alexnet_tf.__version__,
        "tensorflow": tf.__version__,
        "pillow": PIL.__version__,
    }
    with feature_files.unfinished(output, shapes, plan, images.count) as work:
        with image_decoding.deep_images() as deep:
            _append_missing(work, model, images, batch_size, max_bad_files, stop_signal)
        if deep:
            progress.say(f"warning: {image_decoding.deep_summary(deep)}")
        done = work.progress
        if not done.rows:
            raise ValueError(f"no image of {images.where} can be read")
        left_out = dict(done.left_out)
        kept = [index for index in range(images.count) if index not in left_out]
        arrays = {layer: (done.rows, *shape) for layer, shape in shapes.items()}
        work.finish(
            [images.name(index) for index in kept],
            images.classes,
            {
                "checkpoint": os.path.abspath(restored.checkpoint),
                "step": checkpoint_files.step_of(restored.checkpoint),
                "architecture": restored.architecture.name,
                "layers": list(layers),
                "towers": towers,
                "images": images.where,
                "shapes": {layer: list(shape) for layer, shape in arrays.items()},
                "left_out": list(left_out.values()),
            },
        )
    return Written(output, arrays, tuple(left_out.values()))


def _traced(model: keras.Model) -> Callable[[np.ndarray], dict[str, tf.Tensor]]:
    """Returns the model as one graph for any number of images.

    In float32 the numbers are those of the model called without a graph, bit for bit.
    """
    pixels = tf.TensorSpec([None, *model.input.shape[1:]], tf.uint8)

    def outputs(images):
        return model(images, training=False)

    return tf.function(outputs, input_signature=[pixels], autograph=False)


def _append_missing(
    work: feature_files.UnfinishedFeatures,
    model: keras.Model,
    images: image_sets.ImageSet,
    batch_size: int,
    max_bad_files: int,
    stop_signal: Callable[[], int | None],
) -> None:
    """Computes what is missing of the features, batch by batch."""
    batch: list[image_sets.View] = []
    traced = _traced(model)

    def compute(next_image: int) -> None:
        found = traced(np.stack([view.pixels for view in batch]))
        features = {layer: array.numpy() for layer, array in found.items()}
        work.append(features, [view.label for view in batch], next_image)
        batch.clear()

    first = work.progress.next_image
    names = " and ".join(model.output)
    left_out = work.progress.left_out
    with progress.bar(images.count, f"computing {names}", "image", first) as bar:
        for index, view in image_sets.in_order(
            images, range(first, images.count), batch_size
        ):
            if (number := stop_signal()) is not None:
                work.save()
                raise _stopped(number, work.progress.next_image, images.count)
            if isinstance(view, image_sets.View):
                batch.append(view)
                if len(batch) == batch_size:
                    compute(index + 1)
            else:
                image_sets.check_bad_files(view, len(left_out), max_bad_files)
                left_out.append((index, str(view)))
            bar.update()
        if batch:
            compute(images.count)
        work.progress.next_image = images.count
    for _, reason in left_out:
        logging.warning("left out: %s", reason)


def _stopped(number: int, done: int, count: int) -> BaseException:
    text = (
        f"{signal.Signals(number).name}: stopped after {done:,} of {count:,} images, "
        "which are kept: run the same command again to continue"
    )
    if number == signal.SIGINT:
        progress.say(text)
        return KeyboardInterrupt()
    return StoppedError(text)
