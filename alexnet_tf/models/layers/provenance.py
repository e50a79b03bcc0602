"""A layer that records which net a saved model is."""

import json
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from alexnet_tf.models import resize_rule

ENTRY = "provenance"


@keras.saving.register_keras_serializable(package="alexnet_tf")
class Provenance(keras.layers.Layer):
    """Returns its input, and records in every file which net the weights belong to.

    Nets whose weights have the same shapes may differ in the order of their layers and
    in constants, so one net could load another's weights and compute wrong numbers.
    With this layer `load_weights` rejects them, from `.weights.h5` and `.keras` files.

    Args:
        architecture: the net as plain data, of `architecture_json.to_json`.
        dropout: its convention, "original" or "inverted".
        class_names: the names of the outputs; None if they have no names.
        resize: how an image of any shape becomes the square that the net's crop is from.

    Raises:
        ValueError: weights of another net are loaded.
    """

    def __init__(
        self,
        architecture: dict[str, Any],
        dropout: str,
        class_names: Sequence[str] | None = None,
        resize: resize_rule.Rule = resize_rule.DEFAULT,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.architecture = architecture
        self.dropout = dropout
        self.class_names = None if class_names is None else tuple(class_names)
        self.resize = resize_rule.from_json(resize, self.name)

    def call(self, inputs):
        return inputs

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "architecture": self.architecture,
            "dropout": self.dropout,
            "class_names": self.class_names,
            "resize": self.resize,
        }

    def save_own_variables(self, store) -> None:
        record = {
            "architecture": self.architecture,
            "dropout": self.dropout,
            "resize": self.resize,
        }
        store[ENTRY] = np.frombuffer(json.dumps(record).encode(), np.uint8)

    def load_own_variables(self, store) -> None:
        found = read_provenance(store)
        if found is not None:
            refuse_another_net(
                found["architecture"], self.architecture, found["dropout"], self.dropout
            )


def read_provenance(store) -> dict[str, Any] | None:
    """Reads what a layer recorded in its part of a weights file.

    It is the architecture, the dropout convention and the resize rule, or None if the
    file was written without a Provenance layer.
    """
    if ENTRY not in store:
        return None
    return json.loads(np.asarray(store[ENTRY]).tobytes())


def refuse_another_net(
    found: dict[str, Any],
    wanted: dict[str, Any],
    found_dropout: str,
    wanted_dropout: str,
) -> None:
    """Raises ValueError if weights are of another net than the wanted one; names both.

    The number of classes is compared by the shapes of the weights, not here.
    """
    if _without_classes(found) != _without_classes(wanted):
        if found["name"] == wanted["name"]:
            raise ValueError(
                f"the weights are of a net that is called {found['name']!r} too, but "
                "whose layers are others than this version's: leave the architecture out"
            )
        raise ValueError(
            f"the weights are of the architecture {found['name']!r}, and the net is "
            f"{wanted['name']!r}: build the net with architecture={found['name']!r}, or "
            "leave the architecture out"
        )
    if found_dropout != wanted_dropout:
        raise ValueError(
            f"the weights were trained with {found_dropout!r} dropout, and the net has "
            f"{wanted_dropout!r}, which scales its activations differently: build the "
            f"net with dropout={found_dropout!r}, or leave it out"
        )


def _without_classes(architecture: dict[str, Any]) -> dict[str, Any]:
    """An architecture as data, without what may differ between nets of one kind.

    The dropout convention that weights were trained with is recorded beside it; the
    architecture has only the one that is used by default.
    """
    *below, top = architecture["layers"]
    top = {key: value for key, value in top.items() if key != "units"}
    kept = {
        key: value
        for key, value in architecture.items()
        if key
        not in (
            *("name", "description", "input_size", "record_size"),
            *("dropout", "initialization"),
        )
    }
    return {**kept, "layers": [*below, top]}
