"""Checks the answers of a server, which may come from anything that has the address."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from alexnet_tf.serving.client import errors
from alexnet_tf.serving.client.transport import Scored


def checked(
    outputs: Mapping[str, np.ndarray], rows: int, tables: Mapping[str, type]
) -> dict[str, np.ndarray]:
    """Returns the outputs of a request with `rows` images.

    Args:
        outputs: arrays by name.
        rows: how many rows each must have.
        tables: outputs that must be there, [rows, K] with the same K, of strings
            (`str`) or numbers (`float`).

    Raises:
        ServerError: an output is missing, has another shape or type, or contains NaN
            or infinite values.
    """
    if not outputs:
        raise errors.ServerError("the answer has no outputs")
    for name, value in outputs.items():
        if value.shape[:1] != (rows,):
            raise errors.ServerError(
                f"the answer's {name} has the shape {list(value.shape)}, which is not "
                f"one row for each of {rows} inputs"
            )
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise errors.ServerError(
                f"the answer's {name} contains NaN or infinite values: check the export "
                "with python -m alexnet_tf.export --check"
            )
    for name, kind in tables.items():
        _require_table(outputs, name, kind)
    columns = {name: outputs[name].shape[1] for name in tables}
    if len(set(columns.values())) > 1:
        raise errors.ServerError(f"the answer's outputs differ in length: {columns}")
    return dict(outputs)


def _require_table(outputs: Mapping[str, np.ndarray], name: str, kind: type) -> None:
    if name not in outputs:
        raise errors.ServerError(
            f"the answer has no {name}, it has {', '.join(sorted(outputs))}"
        )
    value = outputs[name]
    if value.ndim != 2 or value.dtype.kind not in ("OSU" if kind is str else "fiu"):
        raise errors.ServerError(
            f"the answer's {name} must be a table of "
            f"{'strings' if kind is str else 'numbers'}, got {value.dtype} "
            f"{list(value.shape)}"
        )


def scored(classes: Iterable[Any], scores: Iterable[Any]) -> Scored:
    """Returns the classes and scores of one image.

    Raises:
        ServerError: they are not strings and finite numbers, or of different number.
    """
    names, numbers = [_text(name) for name in classes], list(scores)
    if len(names) != len(numbers):
        raise errors.ServerError(
            f"the answer has {len(names)} classes and {len(numbers)} scores"
        )
    if not all(is_number(score) and np.isfinite(score) for score in numbers):
        raise errors.ServerError(f"the answer's scores must be numbers, got {numbers}")
    return Scored(names, [float(score) for score in numbers])


def concatenated(parts: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Returns the outputs of a request that was sent in parts.

    Raises:
        ServerError: the parts do not fit together, because another model version
            answered in between.
    """
    try:
        return {
            name: np.concatenate([part[name] for part in parts]) for name in parts[0]
        }
    except (KeyError, ValueError):
        raise errors.ServerError(
            "the parts of a large request were answered by different model versions"
        ) from None


def is_number(value: Any) -> bool:
    """Whether a value is a number, and not a truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    if isinstance(value, str):
        return str(value)
    raise errors.ServerError(f"the answer's classes must be strings, got {value!r}")
