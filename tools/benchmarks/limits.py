# Copyright 2026 The alexnet_tf authors. Apache-2.0.
"""The limits that a benchmark must meet."""

from collections.abc import Sequence
from typing import NamedTuple


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
