"""The limits that a benchmark must meet, and how it ends."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Limit(NamedTuple):
    """A measured value beside what was asked of it, such as ">= 1.2"."""

    name: str
    value: float
    limit: str
    met: bool


def at_least(name: str, value: float, least: float) -> Limit:
    return Limit(name, value, f">= {least}", bool(value >= least))


def at_most(name: str, value: float, most: float) -> Limit:
    return Limit(name, value, f"<= {most}", bool(value <= most))


def more_than(name: str, value: float, bound: float) -> Limit:
    return Limit(name, value, f"> {bound}", bool(value > bound))


def table(judged: Sequence[Limit]) -> str:
    """One line per limit, which ends with "met" or "MISSED"."""
    width = max((len(limit.name) for limit in judged), default=0)
    return "\n".join(
        f"{limit.name:{width}} {limit.value:9.2f}  {limit.limit:10} "
        f"{'met' if limit.met else 'MISSED'}"
        for limit in judged
    )


def conclude(
    judged: Sequence[Limit], report: Mapping[str, Any], file: str | None
) -> int:
    """Prints the limits, writes the report with them, and returns the exit status.

    Args:
        judged: every limit.
        report: what was measured.
        file: the JSON file to write; None for none.
    """
    print(table(judged))
    if file is not None:
        described = {**report, "limits": [limit._asdict() for limit in judged]}
        pathlib.Path(file).write_text(json.dumps(described, indent=2) + "\n")
    return 0 if all(limit.met for limit in judged) else 1
