"""What a net answers to a few images that are chosen at random, or that it gets wrong."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from alexnet_tf.evaluation import image_sets
from alexnet_tf.models import trained
from alexnet_tf.runtime import names


class Answer(NamedTuple):
    """A net's answer to an image.

    Attributes:
        image: its index in its set.
        name: of the image, as it is shown: see `names.escaped`.
        pixels: what the net sees, uint8 [side, side, 3].
        label: the true class, or `image_sets.UNKNOWN`.
        probabilities: float32 [classes].
    """

    image: int
    name: str
    pixels: np.ndarray
    label: int
    probabilities: np.ndarray

    @property
    def best(self) -> int:
        """The class with the highest probability, the first one if several tie."""
        return int(self.probabilities.argmax())


class Chosen(NamedTuple):
    """Some answers of a net.

    Attributes:
        answers: in the order in which the images were looked at.
        looked_at: how many images were looked at to find them.
    """

    answers: list[Answer]
    looked_at: int


def choose(
    restored: trained.Restored,
    images: image_sets.ImageSet,
    count: int,
    *,
    seed: int = 0,
    only_errors: bool = False,
    batch_size: int = 128,
    max_bad_files: int = 0,
) -> Chosen:
    """Returns a net's answers to `count` images, or to all if there are fewer.

    The images are looked at in a random order, until there are enough.

    Args:
        restored: the net, a model of pixels.
        images: with the net's labels, see `image_sets.relabeled`.
        count: how many answers to return.
        seed: decides the order.
        only_errors: whether to return only answers that are wrong. Images whose class is
            not known are then left out.
        batch_size, max_bad_files: as in `image_sets.batches`.

    Raises:
        ValueError: the net answers NaN, or no image can be read.
        image_sets.NothingToShowError: there are no errors to show.
    """
    order = image_sets.shuffled(images, seed)
    chosen: list[Answer] = []
    looked_at = known = 0
    size = batch_size if only_errors else min(batch_size, count)
    for answer in _answers(restored, images, order, size, max_bad_files):
        looked_at += 1
        known += answer.label != image_sets.UNKNOWN
        if only_errors and answer.label in (image_sets.UNKNOWN, answer.best):
            continue
        chosen.append(answer)
        if len(chosen) == count:
            break
    if not looked_at:
        raise ValueError(f"no image of {images.where} can be read")
    if only_errors and not known:
        raise image_sets.NothingToShowError(
            f"the classes of {images.where} are not known, so errors cannot be told from "
            "right answers: put the images of each class into a folder with the name of "
            "the class, or leave --only_errors out"
        )
    if not chosen:
        raise image_sets.NothingToShowError(
            f"the net answers all {known:,} images of {images.where} right: leave "
            "--only_errors out"
        )
    return Chosen(chosen, looked_at)


def _answers(
    restored: trained.Restored,
    images: image_sets.ImageSet,
    order: Sequence[int],
    batch_size: int,
    max_bad_files: int,
) -> Iterator[Answer]:
    for batch in image_sets.batches(
        images, order, batch_size, max_bad_files=max_bad_files
    ):
        probabilities = restored.model(batch.pixels, training=False).numpy()
        if np.isnan(probabilities).any():
            raise ValueError(
                f"{restored.checkpoint} answers NaN: its training diverged, so take an "
                "earlier checkpoint"
            )
        for index, pixels, label, row in zip(*batch, probabilities, strict=True):
            yield Answer(
                int(index),
                names.escaped(images.name(int(index))),
                pixels,
                int(label),
                row,
            )
