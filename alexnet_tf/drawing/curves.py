"""Errors, losses and learning rates of runs by passes over the training images: paper, figure 1's form."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from alexnet_tf.drawing import canvas, sheet
from alexnet_tf.drawing.figure import Figure
from alexnet_tf.training.learning_curves import Curve, LearningCurves

_SMOOTHED = 40  # a training curve is drawn as the mean of so many parts
_LEGEND_ROW = 0.2  # inches
_LONGEST_NAME = 240  # pixels
_RATES = 4  # learning rates that are written, about


@canvas.styled()
def draw(runs: Sequence[LearningCurves]) -> Figure:
    """Draws the training and validation errors and losses of one or several runs.

    Args:
        runs: at least one.

    Returns:
        A figure whose `data` are the curves of every run with its changes of the learning
        rate, and whose `text` is a table of their last and best validation errors.
    """
    picture = canvas.new_picture(8, 7 + _LEGEND_ROW * len(runs))
    charts = picture.subplots(3, 1, sharex=True, height_ratios=[3, 3, 1])
    errors, losses, rates = charts
    trainings, validations = [], []
    for number, run in enumerate(runs):
        color = canvas.COLORS[number % len(canvas.COLORS)]
        # With more runs than colors the lines differ too.
        style = ("-", "--", ":", "-.")[number // len(canvas.COLORS) % 4]
        prefix = "top-1"
        if len(runs) > 1:
            prefix = sheet.fitted(run.name, _LONGEST_NAME)
        line, points = _draw_run(errors, run, "top1_error", color, style)
        _draw_run(losses, run, "loss", color, style)
        rates.step(
            *(run.training.passes, run.learning_rates),
            **{"where": "post", "color": color, "linestyle": style},
        )
        trainings.append((line, f"{prefix}, training"))
        there = len(run.validation.passes) > 0
        validations.append((points, f"{prefix}, {run.split}" if there else ""))
        _mark_changes(charts, run, canvas.GRAY if len(runs) == 1 else color)
    top5 = runs[0].validation.top5_error
    if len(runs) == 1 and top5 is not None and len(top5):
        (line,) = errors.plot(
            runs[0].validation.passes,
            *(top5, "s--"),
            **{"color": canvas.COLORS[1], "markersize": 4},
        )
        validations.append((line, f"top-5, {runs[0].split}"))
    errors.set(
        ylabel="error, %" if len(runs) == 1 else "top-1 error, %", ylim=(0, None)
    )
    losses.set(ylabel="loss, nats", ylim=(0, None))
    rates.set(ylabel="learning\nrate", xlim=(0, None))
    _scale_rates(rates, np.concatenate([run.learning_rates for run in runs]))
    rates.set_xlabel("passes over the training images")
    for axes in charts:
        axes.grid(alpha=0.25)
    _add_legend(picture, [*trainings, *validations], columns=3 if len(runs) == 1 else 2)
    return Figure(
        "curves",
        picture,
        _caption(runs),
        " ".join(map(_in_words, runs)),
        {"runs": list(map(_data, runs))},
        "\n".join([_table(runs), *_changes(runs)]),
    )


def _draw_run(axes, run: LearningCurves, name: str, color: str, style: str):
    """Draws one number of a run; returns the lines of training and of validation."""
    training, validation = run.training, run.validation
    values = getattr(training, name)
    axes.plot(training.passes, values, color=color, alpha=0.2, linewidth=0.8)
    smoothed = smooth(values, math.ceil(len(values) / _SMOOTHED))
    (line,) = axes.plot(
        training.passes,
        smoothed,
        color=color,
        alpha=0.6,
        linewidth=1.2,
        linestyle=style,
    )
    (points,) = axes.plot(
        validation.passes,
        getattr(validation, name),
        color=color,
        linewidth=1.8,
        linestyle=style,
        marker="o",
        markersize=4,
    )
    return line, points


def smooth(values: np.ndarray, width: int) -> np.ndarray:
    """Returns the mean of up to `width` values around every value.

    Example:
        >>> smooth(np.array([0.0, 3.0, 6.0, 0.0]), 3)
        array([1.5, 3. , 3. , 3. ])
    """
    half = width // 2
    sums = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    first, last = (
        np.maximum(places - half, 0),
        np.minimum(places + half + 1, len(values)),
    )
    return (sums[last] - sums[first]) / (last - first)


def _scale_rates(axes, rates: np.ndarray) -> None:
    """Gives learning rates a logarithmic scale with as many numbers as there is room for."""
    rates = np.unique(rates[rates > 0])
    if not rates.size:
        return
    apart = max((rates[-1] / rates[0]) ** (1 / _RATES), 1.5)
    ticks: list[float] = []
    for rate in rates[::-1].tolist():
        if not ticks or ticks[-1] / rate >= apart:
            ticks.append(rate)
    axes.set(yscale="log", ylim=(rates[0] / 2, 2 * rates[-1]))
    axes.set_yticks(ticks, labels=[f"{rate:g}" for rate in ticks])
    axes.minorticks_off()


def _add_legend(picture, entries, *, columns: int) -> None:
    """Puts the legend above the charts, where no curve is.

    An entry without a label keeps its place, so that each run has a row.
    """
    found = picture.legend(
        [handle for handle, _ in entries],
        [f" {label}" for _, label in entries],  # one that begins with "_" is left out
        loc="outside upper left",
        ncols=columns,
        handlelength=3,
    )
    for (_, label), handle in zip(entries, found.legend_handles, strict=True):
        handle.set_visible(bool(label))


def _mark_changes(charts, run: LearningCurves, color: str) -> None:
    """Marks where the learning rate changed, and where a person changed the schedule."""
    for axes in charts:
        for change in run.rate_changes:
            axes.axvline(change.passes, color=color, linestyle=":", linewidth=1)
        for passes in sorted({passes for passes, _ in run.changes}):
            axes.axvline(passes, color=color, linestyle="-.", linewidth=1)


def _caption(runs: Sequence[LearningCurves]) -> str:
    marks = ""
    if any(run.rate_changes for run in runs):
        marks = (
            "; dotted lines mark the first line of the log with another learning rate"
        )
    if any(run.changes for run in runs):
        marks += "; dash-dotted lines mark where the schedule was changed by hand"
    names = ", ".join(run.name for run in runs)
    text = (
        f"Errors, losses and learning rates of {names} by passes over the training images{marks}. "
        "Training is measured on augmented images and with dropout, between two lines of "
        f"the log (pale) and as a running mean over 1/{_SMOOTHED} of the run"
    )
    splits = dict.fromkeys(run.split for run in runs if len(run.validation.passes))
    if not splits:
        return f"{text}. Nothing was validated during training."
    measured = " or ".join(f"{split} split" for split in splits)
    return f"{text}; the {measured} on center crops without dropout."


def _in_words(run: LearningCurves) -> str:
    training, validation = run.training, run.validation
    text = (
        f"{run.name}: the training error goes from {training.top1_error[0]:.1f} % at "
        f"{training.passes[0]:.2f} passes to {training.top1_error[-1]:.1f} % at "
        f"{training.passes[-1]:.2f}, and the loss from {training.loss[0]:.2f} to "
        f"{training.loss[-1]:.2f} nats."
    )
    if len(validation.passes):
        best = int(np.argmin(validation.top1_error))
        text += (
            f" The error on the {run.split} split begins with "
            f"{validation.top1_error[0]:.2f} %, is least with {validation.top1_error[best]:.2f} % at "
            f"{validation.passes[best]:.2f} passes, and ends with "
            f"{validation.top1_error[-1]:.2f} %."
        )
    for change in run.rate_changes:
        text += (
            f" The learning rate goes from {change.before:g} to {change.after:g} at "
            f"{change.passes:.2f} passes."
        )
    return text


def _table(runs: Sequence[LearningCurves]) -> str:
    splits = list(dict.fromkeys(run.split for run in runs))
    measured = splits[0] if len(splits) == 1 else "validation"
    top5 = any(run.validation.top5_error is not None for run in runs)
    header = ("run", "passes", "training", measured)
    header += (*(("top-5",) if top5 else ()), "best", "at pass")
    rows: list[tuple[str, ...]] = [header]
    for run in runs:
        validation = run.validation
        found = [f"{run.training.passes[-1]:.2f}", f"{run.training.top1_error[-1]:.2f}"]
        if len(validation.passes):
            best = int(np.argmin(validation.top1_error))
            found.append(f"{validation.top1_error[-1]:.2f}")
            if top5:
                last = validation.top5_error
                found.append("" if last is None else f"{last[-1]:.2f}")
            found += [
                f"{validation.top1_error[best]:.2f}",
                f"{validation.passes[best]:.2f}",
            ]
        else:
            found += [""] * (len(header) - len(found) - 1)
        rows.append((run.name, *found))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["top-1 errors in percent, last of the run and best"]
    for name, *numbers in rows:
        cells = [text.rjust(w) for text, w in zip(numbers, widths[1:], strict=True)]
        lines.append("  ".join([name.ljust(widths[0]), *cells]).rstrip())
    return "\n".join(lines)


def _changes(runs: Sequence[LearningCurves]) -> list[str]:
    return [
        f"{run.name}, after {passes:.2f} passes: {words}"
        for run in runs
        for passes, words in run.changes
    ]


def _data(run: LearningCurves) -> dict[str, Any]:
    return {
        "name": run.name,
        "split": run.split,
        "training": _curve_data(run.training),
        "validation": _curve_data(run.validation),
        "learning_rates": run.learning_rates.tolist(),
        "rate_changes": [
            {"passes": change.passes, "before": change.before, "after": change.after}
            for change in run.rate_changes
        ],
        "changes": [
            {"passes": passes, "change": words} for passes, words in run.changes
        ],
    }


def _curve_data(curve: Curve) -> dict[str, list[float | None]]:
    """The arrays of a curve as JSON has them, which knows neither NaN nor infinity."""
    return {
        name: [number if math.isfinite(number) else None for number in values.tolist()]
        for name, values in vars(curve).items()
        if values is not None
    }
