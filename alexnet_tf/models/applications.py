"""AlexNet, preprocess_input and decode_predictions in the manner of keras.applications."""

import os
from collections.abc import Sequence

import keras
import numpy as np

from alexnet_tf.models import builder, layers, zoo

# Red, green, blue: the centre of the 2012 program's ILSVRC mean image, 0-255.
MEAN_RGB = (127.2, 118.6, 103.4)


def AlexNet(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_shape: tuple[int, int, int] | None = None,
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    name: str = "alexnet",
    *,
    architecture: str = "paper",
    lrn: layers.Implementation = "op",
    initialization: builder.Initialization = "cuda_convnet",
    dropout: layers.DropoutConvention = "original",
    seed: int = 0,
) -> keras.Model:
    """AlexNet in the manner of keras.applications.

    Args:
        include_top: False ends at the last pooling, [N, 6, 6, 256] at 224 pixels.
        weights: None for a random start, or a `.weights.h5` or `.keras` file of the
            same net (`python -m alexnet_tf.export --format=keras` writes one).
        input_shape: (side, side, 3); default the architecture's own, (224, 224, 3).
        classes: outputs of the last layer.
        classifier_activation: of the last layer; None gives logits.
        architecture: a name in `architecture.ARCHITECTURES`.
        lrn, initialization, dropout, seed: see `build`.

    Returns: a model of float images [N, side, side, 3], as `preprocess_input` makes them.

    Raises:
        ValueError: for an input shape the net cannot take, or weights of another net.
        FileNotFoundError: for weights that are not there.
    """
    net = zoo.find(architecture).with_classes(classes)
    if input_shape is not None:
        net = net.with_input_size(input_shape)
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
    if weights is not None:
        _load_weights(model, weights)
    return model


def _load_weights(model: keras.Model, path: str | os.PathLike[str]) -> None:
    path = os.fspath(path)
    if not path.endswith((".weights.h5", ".keras")):
        raise ValueError(
            f"weights must be a .weights.h5 or a .keras file, got {path!r}; "
            "python -m alexnet_tf.export --format=keras makes one of a checkpoint"
        )
    if not os.path.isfile(path):
        raise FileNotFoundError(f"weights: no file {path!r}")
    if path.endswith(".weights.h5"):
        try:
            model.load_weights(path)
        except ValueError as error:
            raise ValueError(
                f"{path} does not hold the weights of this net, {model.name}"
            ) from error
    else:
        copy_weights(keras.saving.load_model(path, compile=False), model)


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
    """RGB pixels 0-255, [..., H, W, 3], to the net's input: float32 less the mean.

    `mean` is three channel means or a mean image; the default is that of ILSVRC.
    The pixels are not rescaled: a net scaled to [0, 1] does not start to learn.
    """
    if isinstance(x, np.ndarray):
        return x.astype(np.float32) - np.asarray(mean, np.float32)
    return keras.ops.cast(x, "float32") - np.asarray(mean, np.float32)


def decode_predictions(
    preds, top: int = 5, class_names: Sequence[str] | None = None
) -> list[list[tuple[int, str, float]]]:
    """The `top` classes of each row of `preds` [N, classes], best first.

    Returns a list an image of (class index, class name, score). Without `class_names`
    a class is called by its index.
    """
    preds = np.asarray(preds)
    if preds.ndim != 2:
        raise ValueError(f"preds must be [N, classes], got shape {preds.shape}")
    if class_names is not None and len(class_names) != preds.shape[1]:
        raise ValueError(
            f"class_names has {len(class_names)} names for {preds.shape[1]} classes"
        )
    if class_names is None:
        class_names = [str(index) for index in range(preds.shape[1])]
    return [
        [
            (int(i), class_names[i], float(row[i]))
            for i in np.argsort(-row, kind="stable")[:top]
        ]
        for row in preds
    ]
