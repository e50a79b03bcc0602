"""Which classes a net takes for which: a matrix, errors by class, confident errors."""

from collections.abc import Sequence

import matplotlib.colors
import numpy as np

from alexnet_tf.drawing import canvas, sheet
from alexnet_tf.drawing.figure import Figure
from alexnet_tf.evaluation import confusion

IMAGES = 8  # of confident errors

_NUMBERS = 20  # classes up to which cells hold their counts
_NAMES = 50  # classes up to which rows have names
_CELLS = 1000  # rows that a drawn matrix has at most
_LISTED = 20  # classes, those with the largest errors
_PAIRS = 10  # of classes, in text
_PLAIN = {"facecolor": "white", "linewidth": 0, "pad": 1}  # behind a number
_LABEL = 150  # pixels of a class name


def blocks(matrix: np.ndarray, most: int = _CELLS) -> np.ndarray:
    """Returns a matrix of at most `most` rows: each value is the largest of a block.

    Example:
        >>> blocks(np.arange(9).reshape(3, 3), 2).tolist()
        [[4, 5], [7, 8]]
    """
    side = -(-len(matrix) // most)
    if side == 1:
        return matrix
    starts = np.arange(0, len(matrix), side)
    rows = np.maximum.reduceat(matrix, starts, axis=0)
    return np.maximum.reduceat(rows, starts, axis=1)


@canvas.styled()
def draw(
    counted: confusion.Confusion,
    mistakes: Sequence[np.ndarray],
    class_names: Sequence[str],
    checkpoint: str,
    where: str,
    *,
    names: Sequence[str],
    name: str = "confusion",
) -> Figure:
    """Draws the matrix, the error of each class, and the most confident errors.

    Args:
        counted: the answers.
        mistakes: the images of `counted.mistakes`, or of the first of them, uint8
            [side, side, 3] each.
        class_names: of the net.
        checkpoint, where: the net and the images, for the caption.
        names: of the images of `counted.mistakes`.
        name: of the figure.

    Returns:
        A figure whose `data` has `matrix`, int64 [classes, classes] (true class, answer);
        `class_errors` in percent, NaN for a class without images; `mistakes` [n] (their
        names) with `mistake_labels`, `mistake_answers` and `mistake_confidences`; and
        `classes`.
    """
    count = len(class_names)
    cells = min(count, _CELLS)
    # Inches. A cell has more than a pixel, so that none is lost.
    side = max(4.0, min(0.34 * count, 7.0), 1.25 * cells / canvas.DPI)
    listed = _worst(counted)
    bars = max(1.5, 0.2 * len(listed) + 0.8)
    below = 2.1 if len(mistakes) else 0.0
    height = max(side + 1.6, bars) + below
    picture = canvas.new_picture(side + 5.4, height)
    above, *rest = picture.subfigures(
        *(2 if below else 1, 1),
        squeeze=False,
        height_ratios=[height - below, below][: 2 if below else 1],
    )[:, 0]
    left, right = above.subplots(1, 2, width_ratios=[side + 1.6, 3.4])
    _draw_matrix(left, counted.matrix, class_names)
    _draw_errors(right, counted, listed, class_names)
    if rest:
        _draw_mistakes(rest[0], counted, mistakes, class_names)
    return Figure(
        name,
        picture,
        _caption(counted, checkpoint, where, count, len(mistakes) > 0),
        _alternative(counted, class_names),
        {
            "matrix": counted.matrix,
            "class_errors": counted.class_errors,
            "mistakes": np.array(names, np.str_),
            "mistake_labels": np.array([m.label for m in counted.mistakes], np.int64),
            "mistake_answers": np.array([m.answer for m in counted.mistakes], np.int64),
            "mistake_confidences": np.array([m.confidence for m in counted.mistakes]),
            "classes": np.array(class_names, np.str_),
        },
        _text(counted, class_names, names),
    )


def _worst(counted: confusion.Confusion, most: int = _LISTED) -> list[int]:
    """The classes with the largest errors, the largest first, of those with images."""
    errors = counted.class_errors
    order = np.argsort(-np.nan_to_num(errors, nan=-1.0), kind="stable")
    return [int(label) for label in order if not np.isnan(errors[label])][:most]


def _draw_matrix(axes, matrix: np.ndarray, class_names: Sequence[str]) -> None:
    totals = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(
        matrix, totals, out=np.full(matrix.shape, np.nan), where=totals > 0
    )
    axes.set_facecolor("#E0E0E0")  # of a class without images
    image = axes.imshow(
        blocks(shares),
        cmap="Blues",
        norm=matplotlib.colors.PowerNorm(0.5, 0, 1),
        interpolation="nearest",
    )
    bar = axes.figure.colorbar(image, ax=axes, location="bottom", shrink=0.6, aspect=30)
    ticks = [0, 0.01, 0.05, 0.2, 0.5, 1]
    bar.set_ticks(ticks, labels=["0", *(f"{100 * tick:.0f} %" for tick in ticks[1:])])
    bar.set_label("share of the images of the true class")
    axes.set(xlabel="answer", ylabel="true class")
    axes.spines[["top", "right"]].set_visible(True)
    count = len(class_names)
    if count <= _NAMES:
        shown = [sheet.fitted(each, _LABEL) for each in class_names]
        axes.set_xticks(range(count), labels=shown, rotation=90)
        axes.set_yticks(range(count), labels=shown)
        axes.tick_params(length=0)
    elif count > _CELLS:
        axes.set(xticks=[], yticks=[])
    if count <= _NUMBERS:
        for row, column in zip(*np.nonzero(matrix), strict=True):
            dark = shares[row, column] > 0.3
            axes.text(
                *(column, row, f"{matrix[row, column]}"),
                **{"ha": "center", "va": "center", "fontsize": 8},
                color="white" if dark else "black",
            )


def _draw_errors(
    axes,
    counted: confusion.Confusion,
    listed: Sequence[int],
    class_names: Sequence[str],
) -> None:
    errors = counted.class_errors[list(listed)]
    axes.barh(range(len(listed)), errors, color=canvas.COLORS[0])
    shown = [sheet.fitted(class_names[label], _LABEL) for label in listed]
    axes.set_yticks(range(len(listed)), labels=shown)
    axes.set(xlim=(0, 100), ylim=(max(len(listed), 6) - 0.4, -0.6))
    axes.axvline(counted.error, color=canvas.BAD, linestyle="--", linewidth=1)
    few = len(listed) < int((~np.isnan(counted.class_errors)).sum())
    title = (
        f"the {len(listed)} largest errors by class, %" if few else "error by class, %"
    )
    axes.set_title(title, loc="left", fontweight="bold", pad=10)
    axes.set_xlabel(f"dashed: all images, {counted.error:.1f} %")
    for number, error in enumerate(errors):
        axes.text(
            error + 1, number, f"{error:.1f}", va="center", fontsize=8, bbox=_PLAIN
        )


def _draw_mistakes(
    figure,
    counted: confusion.Confusion,
    mistakes: Sequence[np.ndarray],
    class_names: Sequence[str],
) -> None:
    # The empty line keeps the heading apart from those of the images.
    figure.suptitle(
        "most confident errors: the answer with its probability, and the true class\n",
        **{"fontsize": 9, "fontweight": "bold", "x": 0.01, "ha": "left"},
    )
    all_axes = figure.subplots(1, IMAGES)
    for axes in all_axes:
        axes.set_axis_off()
    for axes, pixels, mistake in zip(
        all_axes, mistakes, counted.mistakes, strict=False
    ):
        axes.imshow(pixels, interpolation="antialiased")
        answer = sheet.fitted(class_names[mistake.answer], 84)
        true = sheet.fitted(class_names[mistake.label], 64)
        axes.set_title(f"{answer}\n{100 * mistake.confidence:.0f} %", fontsize=8)
        axes.text(
            *(0.5, -0.06, f"true: {true}"),
            **{"transform": axes.transAxes, "ha": "center", "va": "top", "fontsize": 8},
        )


def _caption(
    counted: confusion.Confusion, checkpoint: str, where: str, count: int, images: bool
) -> str:
    blocked = ""
    if count > _CELLS:
        side = -(-count // _CELLS)
        blocked = f" Each cell is the largest of {side} x {side}."
    shown = ", and the errors that the net is most confident of" if images else ""
    return (
        f"What {checkpoint} answers to the {counted.images:,} images of {where} (center "
        "crop): the share of each true class, in the rows, that gets each answer, with "
        f"shades by the square root of the share; the errors by class{shown}. Where "
        "several classes have the highest probability, the first of them is the "
        f"answer.{blocked}"
    )


def _alternative(counted: confusion.Confusion, class_names: Sequence[str]) -> str:
    text = f"{counted.error:.2f} % of {counted.images:,} images are answered wrong."
    worst = [
        f"{class_names[label]} {counted.class_errors[label]:.1f} %"
        for label in _worst(counted, 5)
    ]
    text += f" The largest errors by class: {', '.join(worst)}."
    pairs = [
        f"{class_names[label]} for {class_names[answer]}, {count} times"
        for label, answer, count in counted.confused_pairs()[:5]
    ]
    if pairs:
        text += f" Taken most often for another class: {'; '.join(pairs)}."
    return text


def _text(
    counted: confusion.Confusion, class_names: Sequence[str], names: Sequence[str]
) -> str:
    """The errors by class, the pairs confused most, and the most confident errors."""
    totals = counted.matrix.sum(axis=1)
    lines = [f"error, {counted.images:,} images, center crop: {counted.error:.2f} %"]
    listed = _worst(counted)
    width = max(len(class_names[label]) for label in listed) + 2
    lines.append(f"{'class':{width}}{'images':>8}{'error, %':>10}")
    for label in listed:
        lines.append(
            f"{class_names[label]:{width}}{totals[label]:8,}"
            f"{counted.class_errors[label]:10.1f}"
        )
    for label, answer, count in counted.confused_pairs()[:_PAIRS]:
        lines.append(f"{class_names[label]} taken for {class_names[answer]}: {count:,}")
    for mistake, name in zip(counted.mistakes, names, strict=True):
        lines.append(
            f"{name}: {class_names[mistake.answer]} {100 * mistake.confidence:.1f} %, "
            f"but {class_names[mistake.label]}"
        )
    return "\n".join(lines)
