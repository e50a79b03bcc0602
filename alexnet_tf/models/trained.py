"""A trained net on disk, which can be used without the dataset it was trained on.

    RUN/model.json    architecture, class names, dropout convention, dataset
    RUN/mean.npy      the mean image that is subtracted, float32 [side, side, 3]
    RUN/checkpoints/  the weights

`train` writes the first two before its first step. Everything that uses a trained net
reads them. Only evaluation needs a dataset.
"""

import dataclasses
import json
import os
import pathlib
import zipfile
from collections.abc import Sequence
from typing import Any, Literal

import keras
import numpy as np

import alexnet_tf
from alexnet_tf.models import architecture as architectures
from alexnet_tf.models import builder, checkpoint_files, devices, layers, resizing
from alexnet_tf.runtime import files

MODEL_FILE = "model.json"
MEAN_FILE = "mean.npy"
_FORMAT = 1

Inputs = Literal["pipeline", "finished", "pixels"]

# Images that LoadedNet computes at the same time.
_BATCH = 128


@dataclasses.dataclass(frozen=True)
class TrainedNet:
    """Everything that is needed to use the weights of a net.

    Attributes:
        architecture: the net, with its number of classes and its input size.
        class_names: of the outputs, in order.
        mean: float32 [side, side, 3], in pixel values 0-255.
        dropout: the convention it was trained with, which decides how it is evaluated.
        precision: the compute type it was trained in.
        dataset_path: the absolute path of the dataset in training.
        dataset_digest: of `prepared_dataset.Dataset.digest`.
        version: of the package that wrote it.
    """

    architecture: architectures.Architecture
    class_names: tuple[str, ...]
    mean: np.ndarray
    dropout: layers.DropoutConvention
    precision: str
    dataset_path: str
    dataset_digest: str
    version: str = alexnet_tf.__version__

    def __post_init__(self):
        side, classes = self.architecture.input_size, self.architecture.classes
        if self.mean.shape != (side, side, 3):
            raise ValueError(
                f"the mean must be [{side}, {side}, 3], got {self.mean.shape}"
            )
        if len(self.class_names) != classes:
            raise ValueError(
                f"{len(self.class_names)} class names for {classes} classes"
            )


def write_trained_net(run_dir: str | os.PathLike[str], net: TrainedNet) -> None:
    """Writes `model.json` and `mean.npy` into a run folder."""
    folder = pathlib.Path(run_dir)
    with files.written_aside(folder / MEAN_FILE) as aside:
        np.save(aside, net.mean.astype(np.float32))
    described = {
        "format": _FORMAT,
        "alexnet_tf": net.version,
        "architecture": architectures.to_json(net.architecture),
        "class_names": list(net.class_names),
        "input_size": net.architecture.input_size,
        "dropout": net.dropout,
        "precision": net.precision,
        "mean": {"file": MEAN_FILE, "sha256": files.sha256(folder / MEAN_FILE)},
        "dataset": {
            "path": os.path.abspath(net.dataset_path),
            "digest": net.dataset_digest,
        },
    }
    files.write_text(folder / MODEL_FILE, json.dumps(described, indent=1) + "\n")


def read_trained_net(run_dir: str | os.PathLike[str]) -> TrainedNet:
    """Reads the trained net of a run folder, without its weights.

    Raises:
        FileNotFoundError: the folder has no `model.json`.
        ValueError: a file is damaged, or of a later version.
    """
    folder = pathlib.Path(run_dir)
    path = folder / MODEL_FILE
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
        if described["format"] != _FORMAT:
            raise ValueError(
                f"{path} has format {described['format']}, and this alexnet_tf "
                f"{alexnet_tf.__version__} reads format {_FORMAT}: it was written by "
                f"alexnet_tf {described['alexnet_tf']}, use that version"
            )
        mean_path = folder / described["mean"]["file"]
        if files.sha256(mean_path) != described["mean"]["sha256"]:
            raise ValueError(f"{mean_path} is damaged, or of another net than {path}")
        return _trained_net_of(described, np.load(mean_path), path)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{folder} is not a run folder of a trained net: {error.filename} does not "
            "exist. alexnet_tf.train writes it beside the checkpoints; if the folder was "
            "copied, copy that file too"
        ) from None
    except (
        json.JSONDecodeError,
        UnicodeDecodeError,
        KeyError,
        TypeError,
    ) as error:
        raise ValueError(f"{path} is damaged: {error!r}") from error


def _trained_net_of(
    described: dict[str, Any], mean: np.ndarray, path: pathlib.Path
) -> TrainedNet:
    try:
        return TrainedNet(
            architectures.from_json(described["architecture"]),
            tuple(described["class_names"]),
            mean,
            described["dropout"],
            described["precision"],
            described["dataset"]["path"],
            described["dataset"]["digest"],
            described["alexnet_tf"],
        )
    except ValueError as error:
        raise ValueError(
            f"{path} does not describe a net that alexnet_tf {alexnet_tf.__version__} "
            f"knows: {error}"
        ) from error


@dataclasses.dataclass(frozen=True)
class Restored:
    """A trained net with its weights, as a Keras model.

    Attributes:
        run_dir, checkpoint: the run folder, and the prefix of the checkpoint.
        trained: the description of the net.
        model: with its weights; see `restore` for its inputs and outputs.
    """

    run_dir: pathlib.Path
    checkpoint: str
    trained: TrainedNet
    model: keras.Model

    @property
    def architecture(self) -> architectures.Architecture:
        return self.trained.architecture


def restore(
    which: str | os.PathLike[str],
    *,
    precision: devices.Precision = "float32",
    tower_devices: Sequence[str] | None = None,
    stock: bool = False,
    inputs: Inputs = "pipeline",
) -> Restored:
    """Restores the net of a run folder's newest checkpoint, or of one checkpoint.

    Args:
        which: a run folder, or a checkpoint such as RUN/checkpoints/step-200.
        precision: the compute type.
        tower_devices: one per tower, or one for all; None leaves placement open.
        stock: whether the model has TensorFlow's own operations only and nothing that
            XLA compiles, as a server needs it.
        inputs: what the model reads, which also decides what it returns.
            "pipeline": it reads what the input pipeline yields (uint8 images with
            mirror, shift and gain) and returns logits.
            "finished": it reads images less the mean, float32 [N, side, side, 3], and
            returns probabilities.
            "pixels": it reads RGB pixels 0-255, [N, side, side, 3], and returns
            probabilities. This model holds its mean and, in a `Provenance` layer, its
            class names.

    Raises:
        CheckpointError: there is no checkpoint, or it is of another net.
        FileNotFoundError: the run folder has no `model.json`.
    """
    run_dir, prefix = checkpoint_files.locate_checkpoint(which)
    trained = read_trained_net(run_dir)
    model = builder.build(
        trained.architecture,
        mean=None if inputs == "finished" else trained.mean,
        pixels=inputs == "pixels",
        devices=tower_devices
        and devices.resolve(tower_devices, trained.architecture.towers),
        precision=devices.precision(precision),
        dropout=trained.dropout,
        lrn="stock" if stock else "op",
        jit=not stock,
        classifier_activation=None if inputs == "pipeline" else "softmax",
    )
    checkpoint_files.load_weights(prefix, model)
    if inputs == "pixels":
        provenance = layers.Provenance(
            architectures.to_json(trained.architecture),
            trained.dropout,
            trained.class_names,
            name="provenance",
            dtype="float32",
        )
        model = keras.Model(model.input, provenance(model.output), name=model.name)
    return Restored(run_dir, prefix, trained, model)


class LoadedNet:
    """A trained net to use in Python, which turns pixels into classes or features.

    Attributes:
        model: a Keras model of RGB pixels 0-255, [N, side, side, 3], to probabilities,
            float32 [N, classes].
        class_names: the names of the classes, in the order of the outputs.
        architecture: the net as data.

    Example:
        >>> net = load("runs/mine")
        >>> net.predict([np.zeros((40, 30, 3), np.uint8)], top=1)
        [[('class0', ...)]]
    """

    def __init__(self, model: keras.Model):
        provenance = provenance_of(model)
        if provenance is None or provenance.class_names is None:
            raise ValueError(
                f"the model {model.name!r} does not hold its class names: "
                "python -m alexnet_tf.export --format=keras writes one that does"
            )
        self.model = model
        self.class_names = provenance.class_names
        self.architecture = architectures.from_json(provenance.architecture)
        self._feature_models: dict[str, keras.Model] = {}

    def predict(
        self, images: Sequence[np.ndarray] | np.ndarray, top: int = 5
    ) -> list[list[tuple[str, float]]]:
        """Returns each image's `top` classes, best first, as (class name, probability).

        Args:
            images: RGB images of any sizes, [H, W, 3] each, pixels 0-255. They are
                resized and cropped as in evaluation.
            top: how many classes.
        """
        return [
            [
                (self.class_names[index], float(row[index]))
                for index in best_classes(row, top)
            ]
            for row in self._run(self.model, images)
        ]

    def features(
        self, images: Sequence[np.ndarray] | np.ndarray, layer: str = "fc7"
    ) -> np.ndarray:
        """Returns the activations of `layer` as the next layer reads them.

        They come after ReLU, normalization, pooling and dropout, from both towers:
        float32 [N, 4096] for fc7, the vector of paper section 6.1, and [N, 6, 6, 256]
        for conv5.

        Args:
            images: as in `predict`.
            layer: a layer with weights, "conv1" to "fc8" in AlexNet.

        Raises:
            ValueError: the net has no such layer; the message names its layers.
        """
        if layer not in self._feature_models:
            output = _stage_output(self.model, self.architecture, layer)
            self._feature_models[layer] = keras.Model(self.model.input, output)
        return self._run(self._feature_models[layer], images)

    def _run(self, model: keras.Model, images) -> np.ndarray:
        size, side = self.architecture.record_size, self.architecture.input_size
        views = [resizing.center_view(image, size, side) for image in images]
        if not views:
            return np.zeros((0, *model.output_shape[1:]), np.float32)
        parts = [
            model(np.stack(views[start : start + _BATCH]), training=False).numpy()
            for start in range(0, len(views), _BATCH)
        ]
        return np.concatenate(parts)


def best_classes(scores: np.ndarray, top: int) -> np.ndarray:
    """The indices of the `top` highest scores, best first; ties in their order.

    Example:
        >>> best_classes(np.array([0.2, 0.4, 0.4]), 2).tolist()
        [1, 2]
    """
    return np.argsort(-scores, kind="stable")[:top]


def _stage_output(
    model: keras.Model, architecture: architectures.Architecture, layer: str
) -> keras.KerasTensor:
    """Returns the output of the stage that begins with `layer`, towers concatenated."""
    stages: dict[str, str] = {}  # layer with weights -> the last layer that follows it
    weighted = ""
    for extent in architectures.extents(architecture):
        if isinstance(extent.layer, architectures.Weighted):
            weighted = extent.name
        stages[weighted] = extent.name
    if layer not in stages:
        raise ValueError(
            f"{architecture.name} has no layer {layer!r}: choose one of "
            f"{', '.join(stages)}"
        )
    name = stages[layer]
    towers = [
        model.get_layer(found)
        for found in (name, *(f"{name}_tower{n}" for n in range(architecture.towers)))
        if any(each.name == found for each in model.layers)
    ]
    outputs = [tower.output for tower in towers]
    joined = outputs[0] if len(outputs) == 1 else keras.ops.concatenate(outputs, -1)
    return keras.ops.cast(joined, "float32")


def provenance_of(model: keras.Model) -> layers.Provenance | None:
    """Returns the layer that records which net a model is, or None."""
    found = [each for each in model.layers if isinstance(each, layers.Provenance)]
    return found[0] if found else None


def load_keras_file(path: str) -> keras.Model:
    """The model in a `.keras` file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"there is no file {path}")
    if not zipfile.is_zipfile(path):
        raise ValueError(
            f"{path} is damaged, or not a .keras file: write it again with "
            "python -m alexnet_tf.export --format=keras"
        )
    return keras.saving.load_model(path, compile=False)


def load(path: str | os.PathLike[str]) -> LoadedNet:
    """Loads a trained net from a run folder, a checkpoint in it, or a `.keras` file.

    Raises:
        FileNotFoundError: there is no such file, or the run folder has no `model.json`.
        CheckpointError: there is no checkpoint.
        ValueError: what is there is not a trained net of this package.

    Example:
        >>> load("runs/mine").class_names
        ('class0', 'class1', 'class2')
    """
    name = os.fspath(path)
    if name.endswith(".keras"):
        return LoadedNet(load_keras_file(name))
    return LoadedNet(restore(name, inputs="pixels").model)
