"""Query images and the training images nearest to them: paper, figure 4, right."""

from collections.abc import Sequence

import numpy as np

from alexnet_tf.data import folder_listing
from alexnet_tf.drawing import canvas, sheet
from alexnet_tf.drawing.figure import Figure
from alexnet_tf.evaluation import image_sets, nearest

# In pixels.
_SIDE = 100
_GAP = 10
_HEADING = 320  # at least, for the heading of what was found
_WIDE = 30  # between the queries and what was found


@canvas.styled()
def draw(
    found: nearest.Found,
    pixels: np.ndarray,
    layer: str,
    classes: Sequence[str],
    checkpoint: str,
    *,
    where: str,
    searched: str,
    count: int,
    name: str = "nearest",
) -> Figure:
    """Draws queries in the first column and the images nearest to each in its row.

    Args:
        found: the search in the features of `layer`, and perhaps in the pixels.
        pixels: the images to show: what was found for the first queries, uint8 [rows,
            neighbors, side, side, 3].
        layer: whose features were compared.
        classes: the names that the labels count.
        checkpoint: the net.
        where, searched: the query images and those that were searched, for the caption.
        count: how many images there were to search.
        name: of the figure.

    Returns:
        A figure whose `data` has `queries` and `neighbors`, the images; `labels`,
        `neighbor_labels`, `neighbor_indices` and `distances` of all queries, and their
        `query_indices`; `classes`; and, if labels are known, the `precision` of each
        class by the features and `pixel_precision`, NaN for a class without queries.
    """
    rows, neighbors = pixels.shape[:2]
    best = found.by_layer[layer]
    labels = found.queries.labels
    height = _SIDE + 2 * sheet.LINE + _GAP
    heading = f"nearest by {layer}, with the distance"
    decimals = decimals_of(best.distances[:rows])
    first = _GAP + _SIDE + _WIDE
    width = max(neighbors * (_SIDE + _GAP), _HEADING)
    page = sheet.Sheet(first + width, _GAP + sheet.LINE + rows * height)
    page.add_text("query", left=_GAP, top=_GAP // 2, width=_SIDE, bold=True)
    page.add_text(heading, left=first, top=_GAP // 2, width=width, bold=True)
    for row in range(rows):
        top = _GAP + sheet.LINE + row * height
        page.add_image(found.queries.pixels[row], left=_GAP, top=top, side=_SIDE)
        label = int(labels[row])
        page.add_text(
            _class_name(label, classes), left=_GAP, top=top + _SIDE + 2, width=_SIDE
        )
        for column in range(neighbors):
            left = first + column * (_SIDE + _GAP)
            other = int(best.labels[row, column])
            page.add_image(
                pixels[row, column],
                left=left,
                top=top,
                side=_SIDE,
                frame=canvas.BAD if label not in (other, image_sets.UNKNOWN) else None,
            )
            distance = f"{best.distances[row, column]:,.{decimals}f}"
            lines = [_class_name(other, classes), distance]
            for line, text in enumerate(filter(None, lines)):
                page.add_text(
                    text,
                    left=left,
                    top=top + _SIDE + 2 + line * sheet.LINE,
                    width=_SIDE,
                )
    data = {
        "queries": found.queries.pixels[:rows],
        "neighbors": pixels,
        "query_indices": found.queries.indices,
        "labels": labels,
        "neighbor_indices": best.indices,
        "neighbor_labels": best.labels,
        "distances": best.distances,
        "classes": np.array(classes, np.str_),
    }
    text = ""
    if (labels != image_sets.UNKNOWN).any():
        spaces = {
            space: nearest.precision_by_class(labels, each.labels, len(classes))
            for space, each in found.by_layer.items()
        }
        data["precision"] = spaces[layer]
        if nearest.PIXELS in spaces:
            data["pixel_precision"] = spaces[nearest.PIXELS]
        text = _table(spaces, labels, classes, neighbors)
    return Figure(
        name,
        page.picture,
        _caption(layer, checkpoint, where, searched, count, found, neighbors, rows),
        _alternative(best, labels, classes, rows),
        data,
        text,
    )


def decimals_of(distances: np.ndarray) -> int:
    """The decimals with which all distances of a figure are written.

    The largest of them has three digits, if it is below 1,000.

    Example:
        >>> decimals_of(np.array([0.5, 9.1])), decimals_of(np.array([2.0, 40000.0]))
        (2, 0)
    """
    largest = float(distances.max(initial=0))
    return int(np.clip(2 - np.floor(np.log10(largest)), 0, 6)) if largest else 0


def _class_name(label: int, classes: Sequence[str]) -> str:
    return "" if label == image_sets.UNKNOWN else classes[label]


def _caption(
    layer: str,
    checkpoint: str,
    where: str,
    searched: str,
    count: int,
    found: nearest.Found,
    neighbors: int,
    rows: int,
) -> str:
    known = (found.queries.labels[:rows] != image_sets.UNKNOWN).any()
    frames = " An orange frame marks another class than the query's." if known else ""
    among = f"all {count:,} images of {searched}"
    if found.searched < count:
        among = f"{found.searched:,} of the {count:,} images of {searched}"
    return (
        f"{folder_listing.counted(rows, 'image')} of {where} in the first column, and the "
        f"{neighbors} images whose {layer} in {checkpoint} is nearest in Euclidean "
        f"distance, which is written below. {among[0].upper()}{among[1:]} were searched."
        f"{frames}"
    )


def _alternative(
    best: nearest.Nearest, labels: np.ndarray, classes: Sequence[str], rows: int
) -> str:
    texts = []
    for row in range(rows):
        names = [_class_name(int(label), classes) for label in best.labels[row]]
        query = _class_name(int(labels[row]), classes) or f"query {row + 1}"
        texts.append(f"{query}: {', '.join(name or 'unknown' for name in names)}.")
    return " ".join(texts)


def _table(
    spaces: dict[str, np.ndarray],
    labels: np.ndarray,
    classes: Sequence[str],
    neighbors: int,
) -> str:
    """Precision by class, and over all queries, in percent."""
    counts = np.array([(labels == label).sum() for label in range(len(classes))])
    asked = counts > 0
    listed = np.flatnonzero(asked).tolist()
    width = max(5, *(len(classes[label]) for label in listed)) + 2
    head = f"{'class':{width}}{'queries':>8}" + "".join(f"{s:>12}" for s in spaces)
    lines = [
        f"precision at {neighbors}: the share of the {neighbors} nearest images that have "
        "the query's class, %",
        head,
    ]
    for label in listed:
        values = "".join(f"{100 * each[label]:12.1f}" for each in spaces.values())
        lines.append(f"{classes[label]:{width}}{counts[label]:8,}{values}")
    means = "".join(
        f"{100 * np.average(each[asked], weights=counts[asked]):12.1f}"
        for each in spaces.values()
    )
    lines.append(f"{'all':{width}}{counts.sum():8,}{means}")
    return "\n".join(lines)
