"""The weights of a net in a run folder or a file, to start another model from."""

import os
import re
import warnings
from collections.abc import Sequence
from typing import Any

import h5py
import keras

import alexnet_tf
from alexnet_tf.models import architecture as architectures
from alexnet_tf.models import (
    architecture_json,
    checkpoint_files,
    checkpoint_weights,
    layers,
    loaded_net,
    resize_rule,
    trained,
)
from alexnet_tf.models.layers import provenance
from alexnet_tf.runtime import suggestions

_KINDS = "a run folder, a checkpoint, a .weights.h5 file or a .keras file"

# Files of other frameworks that `import_weights` reads.
_FOREIGN = (".caffemodel", ".onnx", ".pth", ".pt", ".tar", ".safetensors", ".npy")

_NO_WEIGHTS_INCLUDED = (
    "no weights come with this package. Download one of the published files, for example "
    "bvlc_alexnet.caffemodel of the Caffe model zoo or torchvision's "
    "alexnet-owt-7be5be79.pth, import it by python -m alexnet_tf.import_weights "
    "--from=FILE --output=runs/imagenet, and pass weights='runs/imagenet' (docs/weights.md)"
)


class SavedWeights:
    """The weights of a net, and the record of which net they belong to.

    Attributes:
        path: of a run folder, of one checkpoint, or of a `.weights.h5` or `.keras` file.
        architecture, dropout, class_names: those of the net; None if a file does not
            record them.
        resize: how the net's images became squares.
    """

    def __init__(self, path: str | os.PathLike[str]):
        """Reads the record, and the weights only if they are in a `.keras` file.

        Raises:
            ValueError: `path` is of another kind, or the file is damaged.
            FileNotFoundError: there is no such file, or a run folder lacks one.
            CheckpointError: a run folder has no checkpoint, or one of another run.
        """
        self.path = os.fspath(path)
        self.architecture: dict[str, Any] | None = None
        self.dropout: layers.DropoutConvention | None = None
        self.class_names: Sequence[str] | None = None
        self.resize = resize_rule.DEFAULT
        self._model: keras.Model | None = None
        self._checkpoint: str | None = None
        if self.path.endswith(".keras"):
            self._model = loaded_net.load_keras_file(self.path)
            described = loaded_net.provenance_of(self._model)
            if described is not None:
                self.architecture = described.architecture
                self.dropout = described.dropout  # type: ignore[assignment]
                self.class_names = described.class_names
                self.resize = described.resize
        elif self.path.endswith(".weights.h5"):
            recorded = _provenance_in(self.path)
            if recorded is not None:
                self._take(recorded)
        else:
            self._open_run()

    def _take(self, recorded: dict[str, Any]) -> None:
        """Takes what a `.weights.h5` file records."""
        try:
            self.architecture = recorded["architecture"]
            self.dropout = recorded["dropout"]
            self.resize = resize_rule.from_json(recorded["resize"], self.path)
        except KeyError as error:
            raise ValueError(
                f"{self.path} is damaged: its record of the net has no {error.args[0]}. "
                "Save the weights again"
            ) from error

    def _open_run(self) -> None:
        if self.path == "imagenet":
            raise ValueError(
                f"weights must be {_KINDS}, got 'imagenet': {_NO_WEIGHTS_INCLUDED}"
            )
        if self.path.lower().endswith(_FOREIGN):
            raise ValueError(
                f"weights must be {_KINDS}, got {self.path!r}: import it first, by "
                f"python -m alexnet_tf.import_weights --from={self.path} "
                "--output=runs/imported, and pass weights='runs/imported'"
            )
        try:
            run_dir, self._checkpoint = checkpoint_files.locate_checkpoint(self.path)
        except checkpoint_files.CheckpointError as error:
            if os.path.isdir(self.path):
                raise
            state = "is none of them" if os.path.exists(self.path) else "does not exist"
            raise ValueError(
                f"weights must be {_KINDS}, got {self.path!r}, which {state}"
                f"{suggestions.did_you_mean_path(self.path)}"
            ) from error
        net = trained.read_trained_net(run_dir)
        with checkpoint_weights.readable(self._checkpoint):
            trained.check_identity(self._checkpoint, net)
        self.architecture = architecture_json.to_json(net.architecture)
        self.dropout = net.dropout
        self.class_names = net.class_names
        self.resize = net.resize

    def net(self) -> architectures.Architecture:
        """The net that the weights belong to; ValueError if this version lacks it."""
        assert self.architecture is not None
        try:
            return architecture_json.from_json(self.architecture)
        except ValueError as error:
            raise ValueError(
                f"{self.path} holds a net that alexnet_tf {alexnet_tf.__version__} does "
                f"not know: {error}"
            ) from error

    def load_into(self, model: keras.Model) -> None:
        """Sets the weights of `model`; ValueError if they are of another net."""
        described = loaded_net.provenance_of(model)
        if self.architecture is not None and described is not None:
            provenance.refuse_another_net(
                self.architecture,
                described.architecture,
                self.dropout or described.dropout,
                described.dropout,
            )
            self._check_sizes(
                model, architecture_json.from_json(described.architecture)
            )
        if self._model is not None:
            copy_weights(self._model, model)
        elif self._checkpoint is not None:
            checkpoint_weights.load_weights(self._checkpoint, model)
        else:
            self._load_h5_into(model)

    def _load_h5_into(self, model: keras.Model) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Keras' count of what the error names
                model.load_weights(self.path)
        except ValueError as error:
            # Keras' message holds the values of the weights.
            named = re.findall(r"<\w+ name=(\w+), built=", str(error))
            raise self._other_shapes(model, list(dict.fromkeys(named))) from error

    def _check_sizes(self, model: keras.Model, net: architectures.Architecture) -> None:
        """Raises ValueError if classes or the input size give weights other shapes."""
        saved, present = self.net(), {layer.name for layer in model.layers}
        if net.classes != saved.classes:
            raise ValueError(
                f"{self.path} has {saved.classes} classes, and the net {net.classes}: "
                f"build it with classes={saved.classes}, or without its top "
                "(include_top=False) and add your own; or fine-tune with another last "
                f"layer by python -m alexnet_tf.train --weights={self.path}"
            )
        differ = [
            ours.name
            for ours, theirs in zip(
                architectures.extents(net), architectures.extents(saved), strict=True
            )
            if ours.parameters != theirs.parameters
            and present & {ours.name, f"{ours.name}_tower0"}
        ]
        if differ:
            raise self._other_shapes(model, differ)

    def _other_shapes(self, model: keras.Model, names: Sequence[str]) -> ValueError:
        height, width = model.input_shape[1:3]
        size = height if height == width else f"{height}x{width}"
        return ValueError(
            f"{self.path} does not hold the weights of this net, {model.name}, at its "
            f"input size {size}: they are missing or of another shape in "
            f"{', '.join(names) or 'some layers'}"
        )


def _provenance_in(path: str) -> dict[str, Any] | None:
    """Returns what a `.weights.h5` file records of its net, or None."""
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"there is no file {path}{suggestions.did_you_mean_path(path)}"
        )
    if not h5py.is_hdf5(path):
        raise ValueError(f"{path} is damaged, or not a .weights.h5 file")
    with h5py.File(path) as file:
        found: list[dict[str, Any] | None] = []
        file.visititems(
            lambda name, item: (
                found.append(provenance.read_provenance(item.parent))
                if isinstance(item, h5py.Dataset)
                and name.endswith(f"/{provenance.ENTRY}")
                else None
            )
        )
    return found[0] if found else None


def copy_weights(source: keras.Model, target: keras.Model) -> None:
    """Sets every weight of `target` from the layer of the same name in `source`.

    Raises ValueError naming the first layer that `source` lacks or whose shapes differ.
    """
    for layer in target.layers:
        if not layer.weights:
            continue
        try:
            found = source.get_layer(layer.name).weights
        except ValueError:
            raise ValueError(
                f"the weights have no layer {layer.name}: they are of another net"
            ) from None
        for mine, theirs in zip(layer.weights, found, strict=True):
            if mine.shape != theirs.shape:
                raise ValueError(
                    f"layer {layer.name}: the net's {mine.name} is {mine.shape}, "
                    f"the weights' {theirs.shape}"
                )
            mine.assign(theirs)
