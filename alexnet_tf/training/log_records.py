"""Reads the log of a run, `log.jsonl`, which `run_log` writes and explains. No TensorFlow."""

import contextlib
import itertools
import json
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

FILE = "log.jsonl"  # in the run folder

Record = dict[str, Any]


def read(run_dir: str | os.PathLike[str]) -> list[Record]:
    """Returns the records of a run's log, in order; without a log there are none.

    A kill or a power failure may have cut off a line, or left any bytes: what is not a
    record is left out.
    """
    path = pathlib.Path(run_dir) / FILE
    found = []
    if path.exists():
        for line in path.read_text(errors="replace").splitlines():
            with contextlib.suppress(ValueError, RecursionError):
                record = json.loads(line)
                if (
                    isinstance(record, dict)
                    and isinstance(record.get("kind"), str)
                    and type(record.get("step")) is int
                ):
                    found.append(record)
    return found


def of_kind(kind: str, records: Iterable[Record]) -> list[Record]:
    """The records of one kind, such as "train"."""
    return [record for record in records if record["kind"] == kind]


def validation_split(records: Iterable[Record]) -> str:
    """The split of a run's validations; "validation" if the log does not have it."""
    found = [r["split"] for r in of_kind("validation", records) if "split" in r]
    return str(found[-1]) if found else "validation"


def training_s(training: Iterable[Mapping[str, Any]], batch_size: int) -> float:
    """The seconds that the steps of a run took, from its records of the kind "train".

    Steps that were taken twice, because the run was killed between, count once.
    """
    steps = itertools.pairwise([{"step": 0}, *training])
    return sum(
        (record["step"] - before["step"]) * batch_size / record["images_per_s"]
        for before, record in steps
    )
