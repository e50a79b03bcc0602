"""The mean image and the color covariance of the training images.

The mean is subtracted from every input (paper, section 2), and the principal components
of the covariance give the color augmentation (paper, section 4.1).
"""

import dataclasses
import itertools

import numpy as np

# The products of so many pixels add up to less than 2**24, so float32 sums are exact.
_EXACT_PIXELS = 256


@dataclasses.dataclass(frozen=True)
class Statistics:
    """Statistics of the training pixels, which range from 0 to 255.

    Attributes:
        mean: float32 [size, size, 3], the mean image.
        covariance: float64 [3, 3], the covariance of RGB over all pixels.
        eigenvectors: float64 [3, 3], one eigenvector of the covariance per column,
            strongest first.
        stdevs: float64 [3], the standard deviations along the eigenvectors, which are
            the square roots of the eigenvalues.
    """

    mean: np.ndarray
    covariance: np.ndarray
    eigenvectors: np.ndarray
    stdevs: np.ndarray

    def mean_crop(self, side: int) -> np.ndarray:
        """The center of the mean image, float32 [side, side, 3].

        The 2012 program crops its mean the same way (`convdata_jpeg.py`).
        """
        margin = (self.mean.shape[0] - side) // 2
        return self.mean[margin : margin + side, margin : margin + side]


class StatisticsAccumulator:
    """Sums up images one by one, for their `Statistics`.

    The sums are integers, so neither the order of the images nor how they are grouped
    into accumulators changes a single bit of the result.

    Example:
        >>> accumulator = StatisticsAccumulator(2)
        >>> accumulator.add(np.full((2, 2, 3), 10, np.uint8))
        >>> accumulator.add(np.full((2, 2, 3), 20, np.uint8))
        >>> accumulator.result().mean[0, 0].tolist()
        [15.0, 15.0, 15.0]
    """

    def __init__(self, size: int):
        self.count = 0
        self.sum = np.zeros((size, size, 3), np.int64)
        self.products = np.zeros((3, 3), np.int64)

    def add(self, image: np.ndarray) -> None:
        """Adds one image, uint8 [size, size, 3]."""
        self.count += 1
        self.sum += image
        # `einsum` stays in this thread, where `dot` would start others.
        for start in range(0, image.shape[1], _EXACT_PIXELS):
            strip = image[:, start : start + _EXACT_PIXELS]
            channels = [strip[..., channel].astype(np.float32) for channel in range(3)]
            for row, column in itertools.combinations_with_replacement(range(3), 2):
                by_line = np.einsum("hw,hw->h", channels[row], channels[column])
                product = int(by_line.sum(dtype=np.float64))
                self.products[row, column] += product
                if row != column:
                    self.products[column, row] += product

    def merge(self, other: "StatisticsAccumulator") -> None:
        """Adds all images that `other` has summed up."""
        self.count += other.count
        self.sum += other.sum
        self.products += other.products

    def result(self) -> Statistics:
        """The statistics of all images so far. Raises ValueError if there are none."""
        if not self.count:
            raise ValueError(
                "the training split has no images, so it has no mean image: add images "
                "to the source's training split"
            )
        mean = self.sum / self.count
        pixels = self.count * mean.shape[0] * mean.shape[1]
        channel_means = self.sum.sum((0, 1)) / pixels
        covariance = self.products / pixels - np.outer(channel_means, channel_means)
        values, vectors = np.linalg.eigh(covariance)
        values, vectors = values[::-1].clip(min=0), vectors[:, ::-1]
        # The solver may return either sign; this one does not depend on the solver.
        vectors = vectors * np.where(vectors.sum(0) < 0, -1, 1)
        return Statistics(mean.astype(np.float32), covariance, vectors, np.sqrt(values))
