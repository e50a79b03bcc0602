"""Images with the classes that a net finds most probable: paper, figure 4, left."""

from collections.abc import Sequence

import numpy as np

from alexnet_tf.data import folder_listing
from alexnet_tf.drawing import canvas, sheet
from alexnet_tf.drawing.figure import Figure
from alexnet_tf.evaluation import answers, image_sets
from alexnet_tf.models import loaded_net

BARS = 5
RIGHT, WRONG = "\N{CHECK MARK}", "\N{BALLOT X}"

# In pixels.
_COLUMNS = 4
_SIDE = 192
_GAP = 16
_BAR = 15

# Light, because names are written on them.
_TRUE, _OTHER = "#F3BD9A", "#BBD8EC"


@canvas.styled()
def draw(
    chosen: answers.Chosen,
    class_names: Sequence[str],
    checkpoint: str,
    where: str,
    *,
    only_errors: bool = False,
    name: str = "predictions",
) -> Figure:
    """Draws images, each with its true class above and its five best classes below.

    Args:
        chosen: the images and the net's answers, one or more.
        class_names: of the net.
        checkpoint, where: the net and the images, for the caption.
        only_errors: whether only wrong answers were chosen.
        name: of the figure.

    Returns:
        A figure whose `data` has `pixels`, uint8 [images, side, side, 3];
        `probabilities`, float32 [images, classes]; `labels`, int64 [images] (-1 if the
        true class is not known); `names` [images] and `classes` [classes].
    """
    found = chosen.answers
    bars = min(BARS, len(class_names))
    columns = min(_COLUMNS, len(found))
    rows = -(-len(found) // columns)
    height = sheet.LINE + _SIDE + bars * (_BAR + 2)
    page = sheet.Sheet(
        _GAP + columns * (_SIDE + _GAP), _GAP + rows * (height + 2 * _GAP) - _GAP
    )
    for number, answer in enumerate(found):
        left = _GAP + number % columns * (_SIDE + _GAP)
        top = _GAP + number // columns * (height + 2 * _GAP)
        page.add_text(
            _heading(answer, class_names), left=left, top=top, width=_SIDE, bold=True
        )
        top += sheet.LINE + 2
        page.add_image(answer.pixels, left=left, top=top, side=_SIDE)
        top += _SIDE + 4
        for label in loaded_net.best_classes(answer.probabilities, bars).tolist():
            share = float(answer.probabilities[label])
            is_true = label == answer.label
            page.add_bar(
                left=left,
                top=top,
                width=_SIDE * share,
                height=_BAR,
                color=_TRUE if is_true else _OTHER,
            )
            mark = f"{RIGHT} " if is_true else ""
            page.add_text(
                f"{_percent(share)} {mark}{class_names[label]}",
                left=left + 2,
                top=top - 1,
                width=_SIDE - 4,
                bold=is_true,
            )
            top += _BAR + 2
    lines = [_line(answer, class_names, bars) for answer in found]
    return Figure(
        name,
        page.picture,
        _caption(chosen, checkpoint, where, bars, only_errors),
        " ".join(f"{line}." for line in lines),
        {
            "pixels": np.stack([answer.pixels for answer in found]),
            "probabilities": np.stack([answer.probabilities for answer in found]),
            "labels": np.array([answer.label for answer in found], np.int64),
            "names": np.array([answer.name for answer in found], np.str_),
            "classes": np.array(class_names, np.str_),
        },
        "\n".join(lines),
    )


def _heading(answer: answers.Answer, class_names: Sequence[str]) -> str:
    if answer.label == image_sets.UNKNOWN:
        return answer.name.rpartition("/")[2]
    mark = RIGHT if answer.label == answer.best else WRONG
    return f"{mark} {class_names[answer.label]}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 or not share else "<1 %"


def _line(answer: answers.Answer, class_names: Sequence[str], bars: int) -> str:
    """The answer to one image in words."""
    best = ", ".join(
        f"{class_names[label]} {_percent(float(answer.probabilities[label]))}"
        for label in loaded_net.best_classes(answer.probabilities, bars)
    )
    if answer.label == image_sets.UNKNOWN:
        return f"{answer.name}: {best}"
    right = "right" if answer.label == answer.best else "wrong"
    return f"{answer.name}, {class_names[answer.label]} ({right}): {best}"


def _caption(
    chosen: answers.Chosen, checkpoint: str, where: str, bars: int, only_errors: bool
) -> str:
    count, known = (
        folder_listing.counted(len(chosen.answers), "image"),
        [answer for answer in chosen.answers if answer.label != image_sets.UNKNOWN],
    )
    of = f"{count} of {where}, chosen at random"
    if only_errors:
        of = (
            f"{count} of {where} that the net gets wrong, the first of "
            f"{chosen.looked_at:,} looked at in random order"
        )
    true = (
        f"The true class stands above each image; its bar is orange and marked {RIGHT}"
        if known
        else "The true classes are not known"
    )
    return (
        f"{of}, and the {bars} classes that {checkpoint} finds most probable (center "
        f"crop). {true}. A bar as long as the image is a probability of 1."
    )
