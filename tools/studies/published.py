"""Draws the tables and pictures of docs/results.md whose runs docs/results records.

    python tools/studies/published.py

docs/results/STUDY.json has the runs of a study by their names: flags, machine, and
`train` and `validation`, lists of [step, loss, top-1 error in percent]. Runs that were
evaluated also have `center_crop` and `ten_crop`. docs/results.md has the commands that
make such runs. A study's table stands between two comments there, with its picture
behind it. Pictures need matplotlib.
"""

import functools
import itertools
import json
import pathlib
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from absl import app

from alexnet_tf.evaluation import measures
from alexnet_tf.runtime import files, tables

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "results.md"

RECIPES = ("paper", "cuda_convnet")
DROPOUTS = ("original", "inverted")
BATCH_SIZES = (32, 128)
WAYS = list(itertools.product(("float32", "bfloat16"), ("direct", "fastest")))
SMALL_NETS = ("cifar10_11pct", "cifar10_11pct_no_lrn")
STARTS = {"tuned": "pre-trained on other classes", "scratch": "from scratch"}
TRANSFER_ERRORS = (50, 45, 42)  # percent

_LAST_RECORDS = 5  # one record per ten steps: the last 50 steps
_HIGHEST_LOSS = 6  # higher losses are drawn as this one

Runs = dict[str, dict[str, Any]]


@functools.cache
def read(study: str) -> Runs:
    """The runs of a study."""
    return json.loads((DOCS / "results" / f"{study}.json").read_text())


def seeds(runs: Runs, setting: str) -> list[dict[str, Any]]:
    """The runs of one setting, one per seed."""
    return [run for name, run in runs.items() if name.startswith(f"{setting}-seed")]


def starts() -> Runs:
    """The first 300 steps, by "RECIPE-DROPOUT-BATCH-seedN".

    Those of seed 0 with the original dropout and batches of 128 are the beginnings of
    the curves.
    """
    found = dict(read("start"))
    for recipe, run in read("curves").items():
        train = [record for record in run["train"] if record[0] <= 300]
        found[f"{recipe}-original-128-seed0"] = {"train": train}
    return dict(sorted(found.items()))


def precisions() -> Runs:
    """The starts with batches of 32, by "RECIPE-PRECISION-CONVOLUTIONS-seedN"."""
    found = {}
    for recipe, seed in itertools.product(RECIPES, ("seed0", "seed1", "seed2")):
        name = f"{recipe}-original-32-{seed}"
        found[f"{recipe}-float32-direct-{seed}"] = read("precision")[name]
        found[f"{recipe}-bfloat16-direct-{seed}"] = read("start")[name]
        for kind in ("float32", "bfloat16"):
            run = read("kernels")[f"{recipe}-{kind}-{seed}"]
            found[f"{recipe}-{kind}-fastest-{seed}"] = run
    return found


def lrn_table() -> str:
    rows = []
    for net in SMALL_NETS:
        runs = seeds(read("lrn"), net)
        errors = ([run[way]["top1_error"] for run in runs] for way in measures.METHODS)
        rows.append((net, str(len(runs)), *(_mean(each, 2) for each in errors)))
    return _table(("net", "seeds", "center crop, top-1 %", "ten crops, top-1 %"), rows)


def start_table() -> str:
    rows = []
    for recipe, dropout, batch in itertools.product(RECIPES, DROPOUTS, BATCH_SIZES):
        last = _last_steps(starts(), f"{recipe}-{dropout}-{batch}")
        losses = ", ".join(f"{loss:.2f}" for loss, _ in last)
        errors = ", ".join(f"{error:.0f}" for _, error in last)
        rows.append((recipe, dropout, str(batch), losses, errors))
    return _table(("recipe", "dropout", "batch", "loss", "top-1 error %"), rows)


def precision_table() -> str:
    rows = []
    for recipe, way in itertools.product(RECIPES, WAYS):
        losses = [x for x, _ in _last_steps(precisions(), "-".join((recipe, *way)))]
        each = ", ".join(f"{loss:.3f}" for loss in losses)
        rows.append((recipe, *way, each, _mean(losses, 3)))
    header = ("recipe", "precision", "convolutions", "loss of each seed")
    return _table((*header, "mean ± standard deviation"), rows)


def curves_table() -> str:
    rows = []
    for recipe, run in read("curves").items():
        errors = (
            f"{run[way]['top1_error']:.2f} / {run[way]['top5_error']:.2f}"
            for way in measures.METHODS
        )
        rows.append((recipe, str(run["train"][-1][0]), *errors))
    header = ("recipe", "steps", "center crop, top-1 / top-5 %", "ten crops")
    return _table(header, rows)


def transfer_table() -> str:
    """When each seed's error was low enough for the first time, and the last error."""
    rows = []
    for start in STARTS:
        errors = [run["validation"] for run in seeds(read("transfer"), start)]
        reached = (
            ", ".join(str(next(s for s, _, e in each if e <= limit)) for each in errors)
            for limit in TRANSFER_ERRORS
        )
        last = ", ".join(f"{each[-1][2]:.1f}" for each in errors)
        rows.append((start, *reached, last))
    below = (f"steps to {limit} %" for limit in TRANSFER_ERRORS)
    return _table(("start", *below, "top-1 error % at the end"), rows)


def _last_steps(runs: Runs, setting: str) -> list[np.ndarray]:
    """Each seed's loss and top-1 error, means over the last 50 steps of training."""
    return [
        np.mean(run["train"][-_LAST_RECORDS:], axis=0)[1:]
        for run in seeds(runs, setting)
    ]


def _mean(values: Sequence[float], digits: int) -> str:
    mean, deviation = statistics.mean(values), statistics.stdev(values)
    return f"{mean:.{digits}f} ± {deviation:.{digits}f}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return tables.typeset("markdown", header, rows) + "\n"


def start_picture(pyplot: Any) -> Any:
    """The first losses: one row per recipe, one column per batch size."""
    figure, grid = pyplot.subplots(2, 2, figsize=(10, 7), sharex=True, sharey=True)
    charts = itertools.product(RECIPES, BATCH_SIZES)
    for axes, (recipe, batch) in zip(grid.flat, charts, strict=True):
        for color, dropout in (("C0", "original"), ("C3", "inverted")):
            runs = seeds(starts(), f"{recipe}-{dropout}-{batch}")
            _draw_losses(axes, runs, color, f"{dropout} dropout")
        axes.axhline(np.log(10), color="gray", linestyle=":")
        axes.set(title=f"{recipe}, batch {batch}", ylim=(0, _HIGHEST_LOSS))
    grid[0][0].legend()
    figure.supxlabel("step")
    figure.supylabel(f"loss, nats (cut at {_HIGHEST_LOSS}); dotted: ln 10")
    return figure


def precision_picture(pyplot: Any) -> Any:
    """The first losses by type and convolutions, one chart per recipe."""
    figure, row = pyplot.subplots(1, 2, figsize=(10, 4), sharey=True)
    for axes, recipe in zip(row, RECIPES, strict=True):
        for number, way in enumerate(WAYS):
            runs = seeds(precisions(), "-".join((recipe, *way)))
            _draw_losses(axes, runs, f"C{number}", ", ".join(way), alpha=0.7)
        axes.set(title=f"{recipe}, batch 32", xlabel="step", ylim=(0, _HIGHEST_LOSS))
    row[0].legend()
    row[0].set_ylabel(f"loss, nats (cut at {_HIGHEST_LOSS})")
    return figure


def curves_picture(pyplot: Any) -> Any:
    """Loss and top-1 error of both recipes over the whole run."""
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4))
    for recipe, run in read("curves").items():
        steps, losses, errors = np.transpose(run["train"])
        left.plot(steps, losses, label=recipe)
        (line,) = right.plot(steps, errors, alpha=0.4)
        steps, _, errors = np.transpose(run["validation"])
        right.plot(steps, errors, "o", color=line.get_color(), label=f"{recipe}, test")
    left.set(xlabel="step", ylabel="loss, nats", yscale="log")
    right.set(xlabel="step", ylabel="top-1 error, %", ylim=(0, 100))
    left.legend()
    right.legend()
    return figure


def transfer_picture(pyplot: Any) -> Any:
    """The error on the test images by step, fine-tuned and from scratch."""
    figure, axes = pyplot.subplots(figsize=(6, 4))
    for number, (start, label) in enumerate(STARTS.items()):
        for run, shown in _labeled(seeds(read("transfer"), start), label):
            steps, _, errors = np.transpose(run["validation"])
            axes.plot(steps, errors, f"C{number}.-", label=shown)
    axes.axhline(75, color="gray", linestyle=":", label="random guessing")
    axes.set(xlabel="step of 32 images", ylabel="top-1 error, %", ylim=(0, 80))
    axes.legend()
    return figure


def _draw_losses(axes, runs: Iterable[Any], color: str, label: str, alpha=1.0) -> None:
    for run, shown in _labeled(runs, label):
        steps, losses, _ = np.transpose(run["train"])
        losses = np.minimum(losses, _HIGHEST_LOSS)
        axes.plot(steps, losses, color, label=shown, alpha=alpha)


def _labeled(runs: Iterable[Any], label: str) -> Iterable[tuple[Any, str | None]]:
    """Pairs each run with what the legend says of it: only the first has a label."""
    return zip(runs, itertools.chain([label], itertools.repeat(None)), strict=False)


STUDIES = {
    "lrn": (lrn_table, None),
    "start": (start_table, start_picture),
    "precision": (precision_table, precision_picture),
    "curves": (curves_table, curves_picture),
    "transfer": (transfer_table, transfer_picture),
}


def main(arguments: Sequence[str]) -> None:
    if arguments[1:]:
        raise app.UsageError(f"there are no arguments, got {' '.join(arguments[1:])}")
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    for study, (table, picture) in STUDIES.items():
        shown = table()
        if picture is not None:
            figure = picture(pyplot)
            figure.tight_layout()
            figure.savefig(DOCS / "results" / f"{study}.png", dpi=100)
            shown += f"\n![{study}](results/{study}.png)\n"
        begin, end = f"<!-- {study} -->\n", f"<!-- end of {study} -->\n"
        before, rest = PAGE.read_text().split(begin)
        files.write_text(PAGE, before + begin + shown + end + rest.split(end)[1])


if __name__ == "__main__":
    app.run(main)
