"""A trained net on disk, which can be used without the dataset it was trained on.

    RUN/model.json    architecture, class names, dropout convention, dataset
    RUN/mean.npy      the mean image that is subtracted, float32 [side, side, 3]
    RUN/checkpoints/  the weights

`train` writes the first two before its first step, and `import_weights` writes all of
it. Everything that uses a trained net reads them. Only evaluation needs a dataset.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any, Literal

import keras
import numpy as np

import alexnet_tf
from alexnet_tf.models import architecture as architectures
from alexnet_tf.models import (
    architecture_json,
    builder,
    checkpoint_files,
    checkpoint_weights,
    devices,
    layers,
    resize_rule,
    run_description,
)
from alexnet_tf.models import background as backgrounds
from alexnet_tf.runtime import array_files, files, names

MODEL_FILE = run_description.MODEL_FILE
MEAN_FILE = "mean.npy"

Inputs = Literal["pipeline", "finished", "pixels"]


@dataclasses.dataclass(frozen=True)
class Imported:
    """The file of another framework that the weights of a net are from.

    Attributes:
        file: its name, without the folder.
        format: in words, as "Caffe model".
        sha256: its digest.
        known_as: what was published under that digest, or "".
    """

    file: str
    format: str
    sha256: str
    known_as: str = ""


@dataclasses.dataclass(frozen=True)
class StartedFrom:
    """The weights that the training of a net began with.

    Attributes:
        path: the absolute path of their checkpoint or file.
        digest: its SHA-256 digest; for a checkpoint, that of its index.
    """

    path: str
    digest: str


@dataclasses.dataclass(frozen=True)
class TrainedNet:
    """Everything that is needed to use the weights of a net.

    Attributes:
        architecture: the net, with its number of classes and its input size.
        class_names: of the outputs, in order.
        mean: float32 [side, side, 3], in pixel values 0-255.
        dropout: the convention it was trained with, which decides how it is evaluated.
        precision: the compute type it was trained in.
        dataset_path: the absolute path of the dataset in training; None if the net was
            imported.
        dataset_digest: of `prepared_dataset.Dataset.digest`; None if it was imported.
        version: of the package that wrote it.
        background: the color behind transparent pixels in training.
        imported: the file that the weights are from; None if the net was trained here.
        started_from: the weights that training began with; None if they were random.
        resize: how an image of any shape becomes the square that the net's crop is from.
        normalization: what computed its normalizations in training, see
            `layers.normalization_of`; None if that is not known.
    """

    architecture: architectures.Architecture
    class_names: tuple[str, ...]
    mean: np.ndarray
    dropout: layers.DropoutConvention
    precision: str
    dataset_path: str | None
    dataset_digest: str | None
    version: str = alexnet_tf.__version__
    background: backgrounds.Color = backgrounds.WHITE
    imported: Imported | None = None
    started_from: StartedFrom | None = None
    resize: resize_rule.Rule = resize_rule.DEFAULT
    normalization: str | None = None

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


def identity(net: TrainedNet) -> dict[str, Any]:
    """What a checkpoint records of its net: what the shapes of its weights do not tell."""
    mean = net.mean.astype(np.float32).tobytes()
    return {
        "architecture": architecture_json.to_json(net.architecture),
        "dropout": net.dropout,
        "mean": hashlib.sha256(mean).hexdigest(),
    }


def check_identity(prefix: str, net: TrainedNet) -> None:
    """Raises CheckpointError unless a checkpoint records that it is of this net."""
    try:
        recorded = checkpoint_weights.read_state(prefix)["net"]
        found = architecture_json.from_json(recorded["architecture"])
        dropout, mean = recorded["dropout"], recorded["mean"]
    except (KeyError, TypeError) as error:
        raise checkpoint_files.CheckpointError(
            f"checkpoint {prefix} does not record which net it is of, as those of "
            "alexnet_tf.train do: use another checkpoint, or train again"
        ) from error
    differs = difference_of_architectures(found, net.architecture)
    if not differs and dropout != net.dropout:
        differs = f"its dropout is {dropout}, expected {net.dropout}"
    if not differs and mean != identity(net)["mean"]:
        differs = "it was trained with another mean image, and so on other images"
    if differs:
        raise checkpoint_files.CheckpointError(
            f"checkpoint {prefix} is of another run: {differs}. Use it in its own run "
            "folder"
        )


def difference_of_architectures(
    found: architectures.Architecture, expected: architectures.Architecture
) -> str:
    """Returns the first difference that changes what a net computes, or ""."""
    name = f"its architecture is {found.name}, expected {expected.name}"
    if len(found.layers) != len(expected.layers):
        return f"{name}: it has {len(found.layers)} layers, not {len(expected.layers)}"
    for one, other in zip(found.layers, expected.layers, strict=True):
        if one != other:
            return f"{name}: it has {one} in place of {other}"
    for field in ("towers", "input_size", "record_size"):
        ours, theirs = getattr(found, field), getattr(expected, field)
        if ours != theirs:
            return f"{name}: its {field} is {ours}, not {theirs}"
    return ""


def write_trained_net(run_dir: str | os.PathLike[str], net: TrainedNet) -> None:
    """Writes `model.json` and `mean.npy` into a run folder."""
    folder = pathlib.Path(run_dir)
    mean = array_files.npy_bytes(net.mean.astype(np.float32))
    with files.written_aside(folder / MEAN_FILE) as temporary:
        temporary.write_bytes(mean)
    described = {
        "format": run_description.FORMAT,
        "alexnet_tf": net.version,
        "architecture": architecture_json.to_json(net.architecture),
        "class_names": list(net.class_names),
        "input_size": net.architecture.input_size,
        "dropout": net.dropout,
        "precision": net.precision,
        "background": list(net.background),
        "resize": net.resize,
        "mean": {"file": MEAN_FILE, "sha256": hashlib.sha256(mean).hexdigest()},
        "dataset": None
        if net.dataset_path is None
        else {"path": os.path.abspath(net.dataset_path), "digest": net.dataset_digest},
    }
    if net.imported is not None:
        described["imported"] = dataclasses.asdict(net.imported)
    if net.normalization is not None:
        described["normalization"] = net.normalization
    if net.started_from is not None:
        described["started_from"] = dataclasses.asdict(net.started_from)
    files.write_json(folder / MODEL_FILE, described)


def read_trained_net(run_dir: str | os.PathLike[str]) -> TrainedNet:
    """Reads the trained net of a run folder, without its weights.

    Raises:
        FileNotFoundError: the folder has no `model.json`.
        ValueError: a file is damaged, or of a later version.

    Example:
        >>> net = read_trained_net("runs/mine")
        >>> net.architecture.name, net.class_names
        ('cifar10_11pct', ('class0', 'class1', 'class2'))
    """
    folder = pathlib.Path(run_dir)
    path, described = folder / MODEL_FILE, run_description.read(folder)
    try:
        mean_path = folder / described["mean"]["file"]
        if files.sha256(mean_path) != described["mean"]["sha256"]:
            raise ValueError(f"{mean_path} is damaged, or of another net than {path}")
        return _trained_net_of(described, np.load(mean_path), path)
    except FileNotFoundError as error:
        raise run_description.missing(folder, error) from None
    except (KeyError, TypeError) as error:
        raise run_description.damaged(path, error) from error


def _trained_net_of(
    described: dict[str, Any], mean: np.ndarray, path: pathlib.Path
) -> TrainedNet:
    dataset = described["dataset"] or {"path": None, "digest": None}
    imported = described.get("imported")
    started_from = described.get("started_from")
    try:
        return TrainedNet(
            architecture_json.from_json(described["architecture"]),
            names.checked_all(described["class_names"], path.name),
            mean,
            described["dropout"],
            described["precision"],
            dataset["path"],
            dataset["digest"],
            described["alexnet_tf"],
            backgrounds.from_json(described["background"], str(path)),
            None if imported is None else Imported(**imported),
            None if started_from is None else StartedFrom(**started_from),
            resize_rule.from_json(described["resize"], str(path)),
            described.get("normalization"),
        )
    except ValueError as error:
        raise run_description.unknown(path, error) from error


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


def fingerprint(restored: Restored) -> dict[str, str]:
    """What decides the answers of a restored net, each as text or as a SHA-256 digest.

    The index of a checkpoint holds checksums of all its values, by the layers' names.
    """
    net = restored.trained
    class_names = json.dumps(net.class_names).encode()
    return {
        "weights": files.sha256(f"{restored.checkpoint}.index"),
        "class names": hashlib.sha256(class_names).hexdigest(),
        "mean image": hashlib.sha256(net.mean.tobytes()).hexdigest(),
        "dropout convention": net.dropout,
        "background": backgrounds.to_text(net.background),
        "resize rule": net.resize,
        "dataset digest": net.dataset_digest or "",  # "" of an imported net
    }


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
        CheckpointError: there is no checkpoint, or it is broken, or of another net or
            another run.
        FileNotFoundError: the run folder has no `model.json`.

    Example:
        >>> restored = restore("runs/mine", inputs="pixels")
        >>> restored.model(np.zeros((2, 24, 24, 3), np.uint8)).shape
        TensorShape([2, 3])
    """
    run_dir, prefix = checkpoint_files.locate_checkpoint(which)
    trained = read_trained_net(run_dir)
    with checkpoint_weights.readable(prefix):
        check_identity(prefix, trained)
    model = builder.build(
        trained.architecture,
        mean=None if inputs == "finished" else trained.mean,
        pixels=inputs == "pixels",
        devices=tower_devices
        and devices.resolve(tower_devices, trained.architecture.towers),
        precision=devices.precision(precision),
        dropout=trained.dropout,
        lrn="stock" if stock else "auto",
        jit=not stock,
        classifier_activation=None if inputs == "pipeline" else "softmax",
    )
    checkpoint_weights.load_weights(prefix, model)
    if inputs == "pixels":
        provenance = layers.Provenance(
            architecture_json.to_json(trained.architecture),
            trained.dropout,
            trained.class_names,
            trained.resize,
            name="provenance",
            dtype="float32",
        )
        model = keras.Model(model.input, provenance(model.output), name=model.name)
    return Restored(run_dir, prefix, trained, model)
