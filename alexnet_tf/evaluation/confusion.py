"""Which classes a net takes for which: counts by true class and answer.

    confusion = Confusion(classes=10)
    for indices, labels, probabilities in batches:
        confusion.add(indices, labels, probabilities)
    confusion.matrix[label, answer]

An answer is the class with the highest probability, the first one if several tie. The
errors of `evaluator.Evaluation` differ only for ties, which it gives fractional credit.
"""

import heapq
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from alexnet_tf.evaluation import image_sets
from alexnet_tf.models import trained
from alexnet_tf.runtime import progress


class Mistake(NamedTuple):
    """An image that a net is wrong about.

    Attributes:
        image: its index in its set.
        label, answer: the true class, and the class that the net takes it for.
        confidence: the probability of that answer.
    """

    image: int
    label: int
    answer: int
    confidence: float


class Confusion:
    """Counts answers, image by image.

    Args:
        classes: how many there are.
        kept: how many of the most confident mistakes are kept.

    Attributes:
        matrix: int64 [classes, classes], the number of images by true class and answer.

    Example:
        >>> counted = Confusion(2)
        >>> counted.add([0, 1], [0, 0], np.array([[0.9, 0.1], [0.2, 0.8]]))
        >>> counted.matrix.tolist()
        [[1, 1], [0, 0]]
        >>> counted.mistakes
        [Mistake(image=1, label=0, answer=1, confidence=0.8)]
    """

    def __init__(self, classes: int, kept: int = 20):
        self.matrix = np.zeros((classes, classes), np.int64)
        self._kept = kept
        self._mistakes: list[tuple[float, int, Mistake]] = []  # a heap: the least first

    def add(
        self,
        indices: Sequence[int] | np.ndarray,
        labels: Sequence[int] | np.ndarray,
        probabilities: np.ndarray,
    ) -> None:
        """Counts images.

        Args:
            indices: of the images in their set.
            labels: their true classes.
            probabilities: float [images, classes].

        Raises:
            ValueError: a probability is NaN, so there is no answer.
        """
        if np.isnan(probabilities).any():
            bad = indices[int(np.isnan(probabilities).any(axis=1).argmax())]
            raise ValueError(
                f"the net answers NaN for image {bad}: its training diverged, so take "
                "an earlier checkpoint"
            )
        answers = probabilities.argmax(axis=1)
        np.add.at(self.matrix, (np.asarray(labels), answers), 1)
        for index, label, answer, row in zip(
            indices, labels, answers, probabilities, strict=True
        ):
            if label != answer:
                mistake = Mistake(
                    int(index), int(label), int(answer), float(row[answer])
                )
                entry = (mistake.confidence, -mistake.image, mistake)
                heapq.heappush(self._mistakes, entry)
                if len(self._mistakes) > self._kept:
                    heapq.heappop(self._mistakes)

    @property
    def mistakes(self) -> list[Mistake]:
        """The most confident mistakes, the most confident first; ties by index."""
        return [mistake for *_, mistake in sorted(self._mistakes, reverse=True)]

    @property
    def images(self) -> int:
        """How many images were counted."""
        return int(self.matrix.sum())

    @property
    def error(self) -> float:
        """The share of wrong answers, in percent; NaN without images."""
        right = int(self.matrix.trace())
        return 100 * (1 - right / self.images) if self.images else float("nan")

    @property
    def class_errors(self) -> np.ndarray:
        """The share of wrong answers by true class, in percent; NaN without images."""
        counts = self.matrix.sum(axis=1)
        wrong = counts - self.matrix.diagonal()
        return 100 * np.divide(
            wrong, counts, out=np.full(len(counts), np.nan), where=counts > 0
        )

    def confused_pairs(self) -> list[tuple[int, int, int]]:
        """(true class, answer, number of images), most images first, without zeros."""
        wrong = self.matrix.copy()
        np.fill_diagonal(wrong, 0)
        labels, answers = np.nonzero(wrong)
        counts = wrong[labels, answers]
        order = np.argsort(-counts, kind="stable")
        return [
            (int(labels[n]), int(answers[n]), int(counts[n])) for n in order.tolist()
        ]


def measure(
    restored: trained.Restored,
    images: image_sets.ImageSet,
    *,
    batch_size: int = 128,
    max_bad_files: int = 0,
    kept: int = 20,
) -> Confusion:
    """Counts what a net answers to the center crops of images.

    Images whose class the net does not have are left out.

    Args:
        restored: the net, a model of pixels.
        images: with the net's labels, see `image_sets.relabeled`.
        batch_size, max_bad_files: as in `image_sets.batches`.
        kept: how many of the most confident mistakes are kept.

    Raises:
        ValueError: the net answers NaN.
        image_sets.NothingToShowError: no image has a class of the net.
    """
    counted = Confusion(restored.architecture.classes, kept)
    with progress.bar(images.count, "counting answers", "image") as bar:
        for batch in image_sets.batches(
            images, range(images.count), batch_size, max_bad_files=max_bad_files
        ):
            probabilities = restored.model(batch.pixels, training=False).numpy()
            known = batch.labels != image_sets.UNKNOWN
            counted.add(batch.indices[known], batch.labels[known], probabilities[known])
            bar.update(len(known))
    if not counted.images:
        raise image_sets.NothingToShowError(
            f"no image of {images.where} has a class of the net: put the images of each "
            "class into a folder with the name of the class"
        )
    return counted
