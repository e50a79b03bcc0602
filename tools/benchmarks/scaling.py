"""Measures how costs grow with the work: the numbers of docs/scaling.md.

    python tools/benchmarks/scaling.py --part=train
    python tools/benchmarks/scaling_report.py

Each part takes at most five minutes on two idle cores. A part writes each point as it
is measured to docs/results/scaling-PART.json, and a point that is there is not measured
again: a part that was interrupted continues, and --again measures it anew. What a point
does is in scaling_points.py, and it runs in a process of its own.
"""

import datetime
import json
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any, NamedTuple

import scaling_report
import stand_in
import timing
from absl import app, flags

from alexnet_tf.models import zoo

_PART = flags.DEFINE_enum("part", None, list(scaling_report.PARTS), "What to measure.")
_FOLDER = flags.DEFINE_string(
    "folder", str(scaling_report.FOLDER), "Folder of the JSON files."
)
_AGAIN = flags.DEFINE_bool("again", False, "Measure the points anew that are there.")


class Point(NamedTuple):
    """One measurement: its series, its place on the axis, and how it is made."""

    series: str
    x: int
    measure: str
    arguments: dict[str, Any]


def points(part: str, scratch: pathlib.Path) -> Iterator[Point]:
    """The points of a part, the quick ones first."""
    if part == "train":
        for batch_size in (1, 2, 8, 32, 128, 512):
            for cores in (2, 1):
                yield Point(
                    _counted(cores, "core"),
                    batch_size,
                    "train",
                    {"batch_size": batch_size, "cores": cores},
                )
    elif part in ("prepare", "prepare_tiny"):
        counts = {
            "prepare": (250, 1000, 4000, 16000),
            "prepare_tiny": (10_000, 40_000, 160_000, 640_000, 1_280_000),
        }
        for images in counts[part]:
            for workers in (2, 1) if part == "prepare" else (2,):
                yield Point(
                    _counted(workers, "worker"),
                    images,
                    part,
                    {"images": images, "workers": workers},
                )
    elif part == "predict":
        export = str(_export(scratch))
        for images in (1, 32, 128, 512, 2048):
            for cores in (2, 1):
                arguments = {"images": images, "export": export, "cores": cores}
                yield Point(_counted(cores, "core"), images, "predict", arguments)
    elif part == "storage":
        for units in (256, 1024, 2048, 4096, 8192):
            for what in ("checkpoint", "export"):
                yield Point(what, units, what, {"units": units})
    elif part == "resume":
        for records in (10_000, 40_000, 160_000, 640_000, 1_280_000):
            arguments = {"records": records, "shards": 32}
            yield Point("raw records", records, "resume", arguments)
    elif part == "serve":
        with stand_in.server(_export(scratch)) as (address, process):
            for batch_size in (1, 2, 4, 8, 16, 32, 64, 128):
                arguments = {
                    "batch_size": batch_size,
                    "address": address,
                    "process": process,
                }
                yield Point("stand-in server", batch_size, "serve", arguments)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count > 1)}"


def _export(scratch: pathlib.Path) -> pathlib.Path:
    """An export of the paper's net with its initial weights."""
    import untrained

    from alexnet_tf.serving import exporting

    untrained.write_run(scratch, zoo.PAPER)
    exporting.export(scratch)
    return scratch / "export"


def measured(point: Point) -> dict[str, float]:
    """Makes one point in a process of its own."""
    worker = pathlib.Path(__file__).with_name("scaling_points.py")
    done = subprocess.run(
        [sys.executable, str(worker), point.measure, json.dumps(point.arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{point} failed: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def measure_part(part: str, path: pathlib.Path, *, again: bool = False) -> None:
    """Measures the points of a part that the file at `path` lacks, one after the other."""
    report: dict[str, Any] = {"series": {}}
    if path.exists() and not again:
        report = json.loads(path.read_text())
    report["machine"] = f"{timing.cores()} cores, {timing.processor()}"
    report["date"] = datetime.date.today().isoformat()
    with tempfile.TemporaryDirectory() as scratch:
        for point in points(part, pathlib.Path(scratch)):
            series = report["series"].setdefault(point.series, {})
            if str(point.x) in series:
                continue
            series[str(point.x)] = found = measured(point)
            print(point.series, point.x, found, flush=True)
            path.write_text(json.dumps(report, indent=1) + "\n")


def main(arguments):
    if len(arguments) > 1:
        raise app.UsageError(f"unexpected argument {arguments[1]!r}")
    if _PART.value is None:
        raise app.UsageError(f"name a --part: {', '.join(scaling_report.PARTS)}")
    path = pathlib.Path(_FOLDER.value, f"scaling-{_PART.value}.json")
    measure_part(_PART.value, path, again=_AGAIN.value)


if __name__ == "__main__":
    app.run(main)
