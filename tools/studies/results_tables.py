"""The tables of docs/results.md, in Markdown."""

import itertools
import statistics
from collections.abc import Sequence

import numpy as np
import study_results
import study_runs

from alexnet_tf.evaluation import measures
from alexnet_tf.runtime import tables

_LAST_RECORDS = 5  # one record per ten steps: the last 50 steps


def curves_table(results: dict[str, dict]) -> str:
    """One row per recipe: how long it trained, and its errors on the test images."""
    rows = [
        (
            name,
            str(result["train"][-1][0]),
            *(_errors(result[way]) for way in measures.METHODS),
        )
        for name, result in results.items()
    ]
    header = ("recipe", "steps", "center crop, top-1 / top-5 %", "ten crops")
    return _markdown(header, rows)


def start_table(results: dict[str, dict]) -> str:
    """One row per setting: each seed's training loss and error in the last 50 steps."""
    rows = []
    for recipe, dropout, batch_size in itertools.product(
        study_runs.RECIPES, study_runs.DROPOUTS, study_runs.BATCH_SIZES
    ):
        seeds = study_results.of_all_seeds(results, f"{recipe}-{dropout}-{batch_size}")
        if seeds:
            last = [_last_steps(result) for result in seeds]
            losses = ", ".join(f"{loss:.2f}" for _, loss, _ in last)
            errors = ", ".join(f"{error:.0f}" for _, _, error in last)
            rows.append((recipe, dropout, str(batch_size), losses, errors))
    return _markdown(("recipe", "dropout", "batch", "loss", "top-1 error %"), rows)


def precision_table(results: dict[str, dict]) -> str:
    """One row per recipe and way to compute it, for those that have several seeds."""
    rows = []
    for recipe, precision, convolutions in itertools.product(
        study_runs.RECIPES, study_runs.PRECISIONS, study_results.CONVOLUTIONS
    ):
        setting = f"{recipe}-{precision}-{convolutions}"
        seeds = study_results.of_all_seeds(results, setting)
        losses = [_last_steps(result)[1] for result in seeds]
        if len(losses) > 1:
            each = ", ".join(f"{loss:.3f}" for loss in losses)
            rows.append(
                (recipe, precision, convolutions, each, _mean_and_stdev(losses, 3))
            )
    header = ("recipe", "precision", "convolutions", "loss of each seed")
    return _markdown((*header, "mean ± standard deviation"), rows)


def lrn_table(results: dict[str, dict]) -> str:
    """One row per net: mean and standard deviation of its errors over the seeds."""
    rows = []
    for net in study_runs.SMALL_NETS:
        seeds = study_results.of_all_seeds(results, net)
        if len(seeds) > 1:
            errors = (
                [seed[way]["top1_error"] for seed in seeds] for way in measures.METHODS
            )
            cells = (_mean_and_stdev(values, 2) for values in errors)
            rows.append((net, str(len(seeds)), *cells))
    return _markdown(
        ("net", "seeds", "center crop, top-1 %", "ten crops, top-1 %"), rows
    )


def transfer_table(results: dict[str, dict]) -> str:
    """One row per start: when each seed's error was low enough, and the last error."""
    rows = []
    for start in study_runs.STARTS:
        seeds = study_results.of_all_seeds(results, start)
        if seeds:
            validations = [seed["validation"] for seed in seeds]
            counts = (
                ", ".join(_first_step_below(each, limit) for each in validations)
                for limit in study_runs.TRANSFER_ERRORS
            )
            last = ", ".join(f"{each[-1][2]:.1f}" for each in validations)
            rows.append((start, *counts, last))
    below = (f"steps to {limit} %" for limit in study_runs.TRANSFER_ERRORS)
    return _markdown(("start", *below, "top-1 error % at the end"), rows)


def _first_step_below(validations: Sequence[Sequence[float]], limit: float) -> str:
    """The step of the first validation with at most this top-1 error, or "never"."""
    reached = (int(step) for step, _, error in validations if error <= limit)
    return str(next(reached, "never"))


def _errors(evaluation: dict) -> str:
    return f"{evaluation['top1_error']:.2f} / {evaluation['top5_error']:.2f}"


def _last_steps(result: dict) -> np.ndarray:
    """Means of step, loss and top-1 error over the last 50 steps of training."""
    return np.mean(result["train"][-_LAST_RECORDS:], axis=0)


def _mean_and_stdev(values: Sequence[float], digits: int) -> str:
    mean, stdev = statistics.mean(values), statistics.stdev(values)
    return f"{mean:.{digits}f} ± {stdev:.{digits}f}"


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return tables.typeset("markdown", header, rows) + "\n"
