"""The tables and the charts of docs/scaling.md, from the JSON files of scaling.py.

    python tools/benchmarks/scaling_report.py

draws docs/results/scaling-PART.png for every part that was measured, and prints the
tables in Markdown.
"""

import json
import math
import pathlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "docs/results"

Points = dict[float, float]


class Chart(NamedTuple):
    """One measured value of a part: its key in the JSON file, its name and digits."""

    key: str
    name: str
    digits: int


class Part(NamedTuple):
    """What a part is measured against, and what is shown of it.

    `x` is the key of the points' place on the axis, if it is not what they are filed
    under.
    """

    axis: str
    charts: tuple[Chart, ...]
    x: str | None = None


SECONDS = Chart("seconds", "seconds", 2)
MEMORY = Chart("memory_mib", "memory, MiB", 0)
PARTS: dict[str, Part] = {
    "train": Part(
        "images per batch", (Chart("seconds", "seconds per step", 3), MEMORY)
    ),
    "prepare": Part("images", (SECONDS, MEMORY)),
    "prepare_tiny": Part(
        "images",
        (
            SECONDS,
            Chart("parent_mib", "memory of the parent, MiB", 0),
            Chart("worker_mib", "memory of a worker, MiB", 0),
        ),
    ),
    "predict": Part("images", (SECONDS, MEMORY)),
    "storage": Part(
        "parameters", (SECONDS, Chart("mb", "size, MB", 0), MEMORY), "parameters"
    ),
    "resume": Part(
        "records",
        (Chart("seconds", "seconds", 3), Chart("memory_mib", "memory, MiB", 0)),
    ),
    "serve": Part(
        "images per request", (Chart("seconds", "seconds per request", 3), MEMORY)
    ),
}


def read(part: str, folder: pathlib.Path = FOLDER) -> dict | None:
    """The JSON file of a part; None if it was not measured."""
    path = folder / f"scaling-{part}.json"
    return json.loads(path.read_text()) if path.exists() else None


def series_of(part: str, report: Mapping, key: str) -> dict[str, Points]:
    """The measured values by series and place on the axis, in ascending order."""
    x = PARTS[part].x
    return {
        name: dict(
            sorted(
                (float(found[x] if x else place), found[key])
                for place, found in points.items()
            )
        )
        for name, points in report["series"].items()
    }


def exponent(points: Mapping[float, float]) -> float:
    """The power of x that a cost grows with: least squares of logarithms.

    Example:
        >>> round(exponent({1: 3.0, 10: 30.0, 100: 300.0}), 6)
        1.0
    """
    x, y = (np.log(list(values)) for values in (points.keys(), points.values()))
    slope, _ = np.polyfit(x, y, 1)
    return float(slope)


def last_exponent(points: Mapping[float, float]) -> float:
    """The same power between the two largest places alone."""
    return exponent(dict(sorted(points.items())[-2:]))


def table(part: str, report: Mapping) -> str:
    """One row per place on the axis, and the fitted exponents below."""
    described = PARTS[part]
    columns = [
        (
            f"{chart.name}, {series}" if len(report["series"]) > 1 else chart.name,
            points,
            chart,
        )
        for chart in described.charts
        for series, points in series_of(part, report, chart.key).items()
    ]
    places = sorted({place for _, points, _ in columns for place in points})
    rows = [[described.axis, *(name for name, _, _ in columns)]]
    rows.append(["---:"] * len(rows[0]))
    for place in places:
        cells = (_cell(points.get(place), chart) for _, points, chart in columns)
        rows.append([f"{place:,.0f}", *cells])
    for title, fit in (
        ("exponent", exponent),
        ("exponent of the last two", last_exponent),
    ):
        rows.append(
            [title, *(f"{round(fit(points), 2) + 0:.2f}" for _, points, _ in columns)]
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def _cell(value: float | None, chart: Chart) -> str:
    return "" if value is None else f"{value:,.{chart.digits}f}"


def draw(part: str, report: Mapping, path: pathlib.Path) -> None:
    """Draws every value of a part against its axis; dotted lines grow linearly."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    described = PARTS[part]
    figure, row = pyplot.subplots(
        1,
        len(described.charts),
        figsize=(4.2 * len(described.charts), 3.4),
        layout="constrained",
        squeeze=False,
    )
    for axes, chart in zip(row[0], described.charts, strict=True):
        for number, (name, points) in enumerate(
            series_of(part, report, chart.key).items()
        ):
            x, y = np.array(list(points)), np.array(list(points.values()))
            label = f"{name}, exponent {exponent(points):.2f}"
            axes.plot(x, y, "o-", color=f"C{number}", label=label)
            axes.plot(x, y[-1] * x / x[-1], ":", color=f"C{number}", linewidth=1)
        low = min(min(p.values()) for p in series_of(part, report, chart.key).values())
        axes.set(xlabel=described.axis, ylabel=chart.name, xscale="log", yscale="log")
        axes.set_ylim(bottom=10 ** math.floor(math.log10(low)))
        axes.legend(fontsize="small")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main() -> None:
    for part in PARTS:
        report = read(part)
        if report is None:
            print(f"{part}: not measured")
            continue
        draw(part, report, FOLDER / f"scaling-{part}.png")
        print(
            f"{part}, {report['machine']}, {report['date']}:\n\n{table(part, report)}"
        )


if __name__ == "__main__":
    main()
