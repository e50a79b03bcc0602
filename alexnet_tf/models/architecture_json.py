"""An architecture as plain JSON data, as `model.json` and saved models hold it."""

import dataclasses
import re
from typing import Any

from alexnet_tf.models import architecture as architectures


def _kind(layer_type: type) -> str:
    """The name of a layer type in JSON: 'max_pool' for `MaxPool`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", layer_type.__name__).lower()


_KINDS: dict[str, type] = {
    _kind(layer_type): layer_type
    for layer_type in (
        architectures.Convolution,
        architectures.UnsharedConvolution,
        architectures.Dense,
        architectures.Relu,
        architectures.Tanh,
        architectures.ResponseNormalization,
        architectures.SpatialNormalization,
        architectures.MaxPool,
        architectures.Dropout,
    )
}


def to_json(architecture: architectures.Architecture) -> dict[str, Any]:
    """Returns `architecture` as plain JSON data, which `from_json` reads back.

    Every field is written under its own name. A layer is an object whose `kind` names
    its type in lower case, for example `max_pool` for `MaxPool`.

    Example:
        >>> types = architectures
        >>> layers = (types.Dense("fc", units=2), types.Relu())
        >>> net = types.Architecture("one", "", 8, 8, 1, layers)
        >>> to_json(net)["layers"][1]
        {'kind': 'relu'}
        >>> from_json(to_json(net)) == net
        True
    """

    return {
        **_fields(architecture),
        "layers": [
            {"kind": _kind(type(layer)), **_fields(layer)}
            for layer in architecture.layers
        ],
    }


def _fields(instance: Any) -> dict[str, Any]:
    """The fields of a dataclass as JSON has them, with tuples as lists."""
    values = {f.name: getattr(instance, f.name) for f in dataclasses.fields(instance)}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in values.items()
    }


def from_json(data: dict[str, Any]) -> architectures.Architecture:
    """Returns the architecture that `to_json` wrote as `data`.

    Raises:
        ValueError: a layer has an unknown kind, a field is unknown or missing, or a
            value is invalid. The message names it.
    """
    values = _fields_of(architectures.Architecture, data, "the architecture")
    if not isinstance(values["layers"], list):
        raise ValueError(
            f"the architecture: layers must be a list, got {values['layers']!r}"
        )
    layers = tuple(
        _layer_from_json(layer, f"layer {number} of the architecture")
        for number, layer in enumerate(values["layers"])
    )
    return architectures.Architecture(**{**values, "layers": layers})


def _layer_from_json(data: Any, where: str) -> architectures.Layer:
    kind = data.get("kind") if isinstance(data, dict) else None
    if kind not in _KINDS:
        raise ValueError(
            f"{where}: kind must be one of {', '.join(_KINDS)}, got "
            f"{data if kind is None else kind!r}"
        )
    values = {name: value for name, value in data.items() if name != "kind"}
    found = _fields_of(_KINDS[kind], values, f"{where}, {kind}")
    return _KINDS[kind](
        **{
            name: tuple(value) if isinstance(value, list) else value
            for name, value in found.items()
        }
    )


def _fields_of(dataclass: type, data: Any, where: str) -> dict[str, Any]:
    """`data`, after a check that it has the fields of `dataclass` and no others."""
    if not isinstance(data, dict):
        raise ValueError(f"{where} must be a JSON object, got {data!r}")
    known = {field.name: field for field in dataclasses.fields(dataclass)}
    for name in data:
        if name not in known:
            raise ValueError(
                f"{where}: unknown field {name!r}, expected only {', '.join(known)}"
            )
    for name, field in known.items():
        if field.default is dataclasses.MISSING and name not in data:
            raise ValueError(f"{where}: the field {name!r} is missing")
    return data
