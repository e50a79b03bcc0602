"""Reads the weights in the files that this package itself exports."""

import dataclasses

import keras
import numpy as np

from alexnet_tf.importing.source import WeightsError
from alexnet_tf.models import (
    applications,
    architecture_json,
    layers,
    loaded_net,
    resize_rule,
)
from alexnet_tf.models import architecture as architectures

FORMAT = "alexnet_tf"  # as the record of an import names it


@dataclasses.dataclass(frozen=True)
class OwnNet:
    """What a `.keras` or a `.weights.h5` file holds.

    Attributes:
        architecture, dropout: of the net.
        weights: by path, as a checkpoint names them.
        class_names: None if the file does not hold them.
        mean: float32 [side, side, 3]; None if the file does not hold it.
        resize: how an image of any shape becomes a square.
    """

    architecture: architectures.Architecture
    dropout: layers.DropoutConvention
    weights: dict[str, np.ndarray]
    class_names: tuple[str, ...] | None
    mean: np.ndarray | None
    resize: resize_rule.Rule


def read(path: str, architecture: str | None = None) -> OwnNet:
    """Returns what a file of this package holds.

    Args:
        path: the file.
        architecture: a name in `zoo.ARCHITECTURES`, for a `.weights.h5` file that
            does not record its own.

    Raises:
        WeightsError: the file does not say which net it is of.
        ValueError: the file is damaged.
    """
    model = (
        loaded_net.load_keras_file(path)
        if path.lower().endswith(".keras")
        else applications.AlexNet(weights=path, architecture=architecture)
    )
    described = loaded_net.provenance_of(model)
    if described is None:
        raise WeightsError(
            f"{path} is not a file of this package: it does not say which net it is of"
        )
    weights = {v.path: np.asarray(v.value) for v in model.trainable_variables}
    for name, values in weights.items():
        if not np.isfinite(values).all():
            raise WeightsError(
                f"{path}: the tensor {name} has numbers that are NaN or infinite"
            )
    return OwnNet(
        architecture_json.from_json(described.architecture),
        described.dropout,  # type: ignore[arg-type]
        weights,
        described.class_names,
        _mean_of(model),
        described.resize,
    )


def _mean_of(model: keras.Model) -> np.ndarray | None:
    for layer in model.layers:
        if isinstance(layer, layers.MeanSubtraction):
            return np.asarray(layer.mean.value)
    return None
