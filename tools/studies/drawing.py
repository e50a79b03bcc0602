"""The figures of docs/results.md. They need matplotlib."""

import itertools
import pathlib

import matplotlib
import numpy as np
import study_results
import study_runs

matplotlib.use("agg")

from matplotlib import pyplot

_HIGHEST_LOSS = 6  # higher losses are drawn as this one


def draw_curves(results: dict[str, dict], path: pathlib.Path) -> None:
    """Loss and top-1 error of both recipes over the whole run."""
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4))
    for name, result in results.items():
        steps, losses, errors = np.transpose(result["train"])
        left.plot(steps, losses, label=name)
        (line,) = right.plot(steps, errors, alpha=0.4)
        steps, _, errors = np.transpose(result["validation"])
        right.plot(steps, errors, "o", color=line.get_color(), label=f"{name}, test")
    left.set(xlabel="step", ylabel="loss, nats", yscale="log")
    right.set(xlabel="step", ylabel="top-1 error, %", ylim=(0, 100))
    for axes in (left, right):
        axes.legend()
    _save(figure, path)


def draw_start(results: dict[str, dict], path: pathlib.Path) -> None:
    """Draws the first losses: one row per recipe, one column per batch size."""
    figure, grid = pyplot.subplots(2, 2, figsize=(10, 7), sharex=True, sharey=True)
    charts = itertools.product(study_runs.RECIPES, study_runs.BATCH_SIZES)
    for axes, (recipe, batch_size) in zip(grid.flat, charts, strict=True):
        for color, dropout in (("C0", "original"), ("C3", "inverted")):
            setting = f"{recipe}-{dropout}-{batch_size}"
            _draw_losses(axes, results, setting, color, f"{dropout} dropout")
        axes.axhline(np.log(10), color="gray", linestyle=":")
        axes.set(title=f"{recipe}, batch {batch_size}", ylim=(0, _HIGHEST_LOSS))
    grid[0][0].legend()
    figure.supxlabel("step")
    figure.supylabel(f"loss, nats (cut at {_HIGHEST_LOSS}); dotted: ln 10")
    _save(figure, path)


def draw_precision(results: dict[str, dict], path: pathlib.Path) -> None:
    """The loss of the first steps by type and convolutions, one chart per recipe."""
    figure, row = pyplot.subplots(1, 2, figsize=(10, 4), sharey=True)
    ways = [
        f"{kind}-{convolutions}"
        for kind in study_runs.PRECISIONS
        for convolutions in study_results.CONVOLUTIONS
    ]
    for axes, recipe in zip(row, study_runs.RECIPES, strict=True):
        for number, way in enumerate(ways):
            label = way.replace("-", ", ")
            _draw_losses(axes, results, f"{recipe}-{way}", f"C{number}", label, 0.7)
        axes.set(title=f"{recipe}, batch 32", xlabel="step", ylim=(0, _HIGHEST_LOSS))
    row[0].legend()
    row[0].set_ylabel(f"loss, nats (cut at {_HIGHEST_LOSS})")
    _save(figure, path)


def draw_transfer(results: dict[str, dict], path: pathlib.Path) -> None:
    """The error on the test images by step, fine-tuned and from scratch."""
    figure, axes = pyplot.subplots(figsize=(6, 4))
    for number, (start, label) in enumerate(study_runs.STARTS.items()):
        for result in study_results.of_all_seeds(results, start):
            steps, _, errors = np.transpose(result["validation"])
            axes.plot(steps, errors, f"C{number}.-", label=label)
            label = None
    axes.axhline(75, color="gray", linestyle=":", label="random guessing")
    axes.set(xlabel="step of 32 images", ylabel="top-1 error, %", ylim=(0, 80))
    axes.legend()
    _save(figure, path)


def _draw_losses(axes, results, setting, color, label, alpha=1.0) -> None:
    """One line per seed of a setting; only the first one has a label."""
    for result in study_results.of_all_seeds(results, setting):
        steps, losses, _ = np.transpose(result["train"])
        losses = np.minimum(losses, _HIGHEST_LOSS)
        axes.plot(steps, losses, color, label=label, alpha=alpha)
        label = None


def _save(figure, path: pathlib.Path) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=100)
