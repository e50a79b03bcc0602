"""Which pixels the score of a class depends on: gradients as images."""

from collections.abc import Sequence

import numpy as np

from alexnet_tf.data import folder_listing
from alexnet_tf.drawing import canvas, sheet
from alexnet_tf.drawing.figure import Figure
from alexnet_tf.evaluation import answers, image_sets
from alexnet_tf.evaluation import saliency as gradients

# In pixels.
_SIDE = 200
_GAP = 14
# The part of an image's values that are within its scale.
_SHOWN = 99.5


def gradient_pixels(gradient: np.ndarray) -> np.ndarray:
    """Returns a gradient [side, side, 3] as colors, uint8: 0 is gray.

    Example:
        >>> gradient_pixels(np.zeros([1, 1, 3]))
        array([[[128, 128, 128]]], dtype=uint8)
    """
    shown = gradient / _scale(np.abs(gradient))
    return np.rint(np.clip(127.5 + 127.5 * shown, 0, 255)).astype(np.uint8)


def saliency_pixels(gradient: np.ndarray) -> np.ndarray:
    """Returns the saliency of a gradient [side, side, 3] in gray, uint8: 0 is black."""
    found = gradients.saliency(gradient)
    gray = np.rint(np.clip(255 * found / _scale(found), 0, 255)).astype(np.uint8)
    return np.repeat(gray[..., None], 3, axis=-1)


def _scale(magnitudes: np.ndarray) -> float:
    return float(np.percentile(magnitudes, _SHOWN)) or float(magnitudes.max()) or 1.0


@canvas.styled()
def draw(
    shown: Sequence[answers.Answer],
    classes: Sequence[int],
    scores: np.ndarray,
    found: np.ndarray,
    class_names: Sequence[str],
    checkpoint: str,
    where: str,
    *,
    name: str = "saliency",
) -> Figure:
    """Draws one image per row, with the gradient of a class score by its pixels.

    Args:
        shown: the images, one or more.
        classes: of each image, the class whose score was differentiated.
        scores, found: the scores and their gradients, of `saliency.gradients`.
        class_names: of the net.
        checkpoint, where: the net and the images, for the caption.
        name: of the figure.

    Returns:
        A figure whose `data` has `pixels`, uint8 [images, side, side, 3]; `gradients`,
        float32 of the same shape; `scores` and `labels` [images], the classes whose
        score it is; `names` [images] and `classes`, the names of all classes.
    """
    row = sheet.LINE + 2 + _SIDE + _GAP
    page = sheet.Sheet(_GAP + 3 * (_SIDE + _GAP), _GAP + len(shown) * row)
    texts = []
    for number, (answer, label) in enumerate(zip(shown, classes, strict=True)):
        top = _GAP + number * row
        score, share = float(scores[number]), float(answer.probabilities[label])
        what = f"{class_names[label]}: score {score:.3g}, {100 * share:.1f} %"
        heading = answer.name.rpartition("/")[2]
        if answer.label != image_sets.UNKNOWN:
            heading = f"{class_names[answer.label]} ({heading})"
        columns = (
            (heading, answer.pixels),
            (what, gradient_pixels(found[number])),
            ("saliency", saliency_pixels(found[number])),
        )
        for column, (text, pixels) in enumerate(columns):
            left = _GAP + column * (_SIDE + _GAP)
            page.add_text(text, left=left, top=top, width=_SIDE)
            page.add_image(pixels, left=left, top=top + sheet.LINE + 2, side=_SIDE)
        texts.append(f"{heading}, {what}, {_where_it_is(found[number])}")
    return Figure(
        name,
        page.picture,
        f"{folder_listing.counted(len(shown), 'image')} of {where}; the gradient of the score of a class (before "
        f"the softmax) by the pixels in {checkpoint}, where gray is 0; and its largest "
        "magnitude over red, green and blue, where black is 0. Each image has its own "
        f"scale, which {_SHOWN} % of its values are within.",
        " ".join(f"{text}." for text in texts),
        {
            "pixels": np.stack([answer.pixels for answer in shown]),
            "gradients": found,
            "scores": scores,
            "labels": np.array(classes, np.int64),
            "names": np.array([answer.name for answer in shown], np.str_),
            "classes": np.array(class_names, np.str_),
        },
        "\n".join(texts),
    )


def _where_it_is(gradient: np.ndarray) -> str:
    """How much of the saliency the middle of the image has, in words."""
    found = gradients.saliency(gradient)
    quarter = len(found) // 4
    middle = found[quarter : len(found) - quarter, quarter : len(found) - quarter]
    total = found.sum()
    share = middle.sum() / total if total else 0.0
    return (
        f"{100 * share:.0f} % of the saliency in the middle of the image, which is "
        f"{100 * middle.size / found.size:.0f} % of its area"
    )
