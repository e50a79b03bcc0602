"""AlexNet, preprocess_input and decode_predictions, as in keras.applications."""

import os
import re
import warnings
from collections.abc import Sequence
from typing import Any

import h5py
import keras
import numpy as np

import alexnet_tf
from alexnet_tf.models import architecture as architectures
from alexnet_tf.models import (
    architecture_json,
    builder,
    layers,
    loaded_net,
    resize_rule,
    zoo,
)
from alexnet_tf.models.layers import provenance

# Red, green, blue: the center of the 2012 program's ILSVRC mean image, 0-255.
MEAN_RGB = (127.2, 118.6, 103.4)

DEFAULT_ARCHITECTURE = "paper"


def AlexNet(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_shape: tuple[int, int, int] | None = None,
    classes: int | None = None,
    classifier_activation: str | None = "softmax",
    name: str = "alexnet",
    *,
    architecture: str | None = None,
    lrn: layers.Implementation = "op",
    initialization: builder.Initialization | None = None,
    dropout: layers.DropoutConvention | None = None,
    seed: int = 0,
) -> keras.Model:
    """AlexNet in the manner of keras.applications.

    It computes in float32, with channels last, whatever Keras' global settings are.

    Args:
        include_top: False ends at the last pooling, [N, 6, 6, 256] at 224 pixels.
        weights: None for random initial weights, or a `.weights.h5` or `.keras` file of
            the same net (`python -m alexnet_tf.export --format=keras` writes one).
        input_shape: (side, side, 3); default the architecture's own, (224, 224, 3), and
            (227, 227, 3) for Caffe's two nets.
        classes: outputs of the last layer; default that of the weights, else 1000.
        classifier_activation: of the last layer; None gives logits.
        architecture: a name in `zoo.ARCHITECTURES`; default that of the weights, else
            "paper".
        dropout: "original" or "inverted"; default that of the weights, else that of the
            architecture's original ("inverted" for Caffe's nets and torchvision's).
        lrn, initialization, seed: see `builder.build`.

    Returns: a model of float images [N, side, side, 3], as `preprocess_input` makes
    them.

    Raises:
        ValueError: for an input shape that the net cannot take, or weights of another
            net; the message names both.
        FileNotFoundError: for weights that do not exist.

    Example:
        >>> images = np.full((2, 224, 224, 3), 128, np.uint8)
        >>> AlexNet(classes=10)(preprocess_input(images)).shape
        TensorShape([2, 10])
    """
    found = None if weights is None else _Weights(weights)
    net = _choose_net(found, architecture, classes)
    if input_shape is not None:
        net = net.with_input_size(input_shape)
    if dropout is None:
        dropout = found.dropout if found and found.dropout else net.dropout
    model = builder.build(
        net,
        lrn=lrn,
        initialization=initialization,
        dropout=dropout,
        seed=seed,
        include_top=include_top,
        classifier_activation=classifier_activation,
        name=name,
    )
    class_names = found.class_names if found and include_top else None
    described = layers.Provenance(
        architecture_json.to_json(net),
        dropout,
        class_names if class_names and len(class_names) == net.classes else None,
        found.resize if found else resize_rule.DEFAULT,
        name="provenance",
        dtype="float32",
    )
    model = keras.Model(model.input, described(model.output), name=name)
    if found is not None:
        found.load_into(model)
    return model


class _Weights:
    """A file of weights, and its record of the net that they belong to.

    Attributes:
        architecture, dropout, class_names: those of the net; None if the file does not
            record them.
        resize: how the net's images became squares.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = os.fspath(path)
        if not self.path.endswith((".weights.h5", ".keras")):
            raise ValueError(
                f"weights must be a .weights.h5 or a .keras file, got {self.path!r}; "
                "python -m alexnet_tf.export --format=keras makes one of a checkpoint"
            )
        self._model = None
        found: dict[str, Any] = {}
        if self.path.endswith(".keras"):
            self._model = loaded_net.load_keras_file(self.path)
            described = loaded_net.provenance_of(self._model)
            if described is not None:
                found = {
                    "architecture": described.architecture,
                    "dropout": described.dropout,
                    "class_names": described.class_names,
                    "resize": described.resize,
                }
        else:
            found = _provenance_in(self.path) or {}
        self.architecture: dict[str, Any] | None = found.get("architecture")
        self.dropout: layers.DropoutConvention | None = found.get("dropout")
        self.class_names: Sequence[str] | None = found.get("class_names")
        self.resize = resize_rule.from_json(found.get("resize"), self.path)

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
            self._check_classes(model)
        if self._model is not None:
            copy_weights(self._model, model)
            return
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Keras' count of what the error names
                model.load_weights(self.path)
        except ValueError as error:
            # Keras' message holds the values of the weights.
            named = re.findall(r"<\w+ name=(\w+), built=", str(error))
            raise ValueError(
                f"{self.path} does not hold the weights of this net, {model.name}, at "
                f"its input size {model.input_shape[1]}: they are missing or of another "
                f"shape in {', '.join(dict.fromkeys(named)) or 'some layers'}"
            ) from error

    def _check_classes(self, model: keras.Model) -> None:
        found = self.net().classes
        has_top = len(model.output_shape) == 2
        if has_top and model.output_shape[-1] != found:
            raise ValueError(
                f"{self.path} has {found} classes, and the net {model.output_shape[-1]}: "
                f"build it with classes={found}, or without its top (include_top=False)"
            )


def _provenance_in(path: str) -> dict[str, Any] | None:
    """Returns what a `.weights.h5` file records of its net, or None."""
    if not os.path.isfile(path):
        raise FileNotFoundError(f"there is no file {path}")
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


def _choose_net(
    weights: _Weights | None, architecture: str | None, classes: int | None
) -> architectures.Architecture:
    """Returns the net that the arguments name, or else that of the weights."""
    if weights is None:
        net = zoo.find(architecture or DEFAULT_ARCHITECTURE)
        return net if classes is None else net.with_classes(classes)
    if architecture is not None:
        net = zoo.find(architecture)
    elif weights.architecture is not None:
        net = weights.net()
    else:
        raise ValueError(
            f"{weights.path} does not say which architecture its weights belong to: "
            f"name it, as architecture={DEFAULT_ARCHITECTURE!r}"
        )
    if classes is None and weights.architecture is not None:
        classes = weights.net().classes
    return net if classes is None else net.with_classes(classes)


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


def preprocess_input(x, mean: Sequence[float] | np.ndarray = MEAN_RGB):
    """Subtracts the mean from RGB pixels 0-255, [..., H, W, 3]; returns float32.

    `mean` is three channel means or a mean image; the default is that of ILSVRC.
    The pixels are not rescaled, because AlexNet does not start to learn with pixels in
    [0, 1].

    Example:
        >>> preprocess_input(np.full((1, 224, 224, 3), 128, np.uint8))[0, 0, 0].round(1)
        array([ 0.8,  9.4, 24.6], dtype=float32)
    """
    if isinstance(x, np.ndarray):
        return x.astype(np.float32) - np.asarray(mean, np.float32)
    return keras.ops.cast(x, "float32") - np.asarray(mean, np.float32)


def decode_predictions(
    preds,
    top: int = 5,
    class_names: "Sequence[str] | keras.Model | loaded_net.LoadedNet | None" = None,
) -> list[list[tuple[int, str, float]]]:
    """Returns the `top` classes of each row of `preds` [N, classes], best first.

    Args:
        preds: the scores.
        top: how many classes of each row.
        class_names: the names of the classes, or the net that computed `preds`: what
            `load` returns, or a model that holds its class names, as one of a `.keras`
            file does. Without it a class is called by its index.

    Returns:
        One list per image of (class index, class name, score).

    Raises:
        ValueError: the number of names is another than that of the classes, or the net
            does not hold its class names.

    Example:
        >>> decode_predictions([[0.1, 0.9]], top=1, class_names=["cat", "dog"])
        [[(1, 'dog', 0.9)]]
    """
    preds = np.asarray(preds)
    if preds.ndim != 2:
        raise ValueError(f"preds must be [N, classes], got shape {preds.shape}")
    if isinstance(class_names, keras.Model):
        class_names = loaded_net.LoadedNet(class_names)
    if isinstance(class_names, loaded_net.LoadedNet):
        class_names = class_names.class_names
    if class_names is not None and len(class_names) != preds.shape[1]:
        raise ValueError(
            f"class_names has {len(class_names)} names for {preds.shape[1]} classes"
        )
    if class_names is None:
        class_names = [str(index) for index in range(preds.shape[1])]
    return [
        [
            (int(i), class_names[i], float(row[i]))
            for i in loaded_net.best_classes(row, top)
        ]
        for row in preds
    ]
