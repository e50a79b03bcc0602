"""Mean image and color covariance of the training images."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Statistics:
    """Of the training pixels, 0-255.

    `mean` float32 [size, size, 3]; `covariance` float64 [3, 3] of RGB over all pixels;
    `eigenvectors` [3, 3], a column each, strongest first; `stdevs` [3], the square
    roots of the eigenvalues.
    """

    mean: np.ndarray
    covariance: np.ndarray
    eigenvectors: np.ndarray
    stdevs: np.ndarray

    def mean_crop(self, side: int) -> np.ndarray:
        """The mean's centre [side, side, 3]: the released program's `convdata_jpeg.py`."""
        margin = (self.mean.shape[0] - side) // 2
        return self.mean[margin : margin + side, margin : margin + side]


class StatisticsAccumulator:
    """Adds up pictures. Sums of integers: no order and no grouping changes a bit."""

    def __init__(self, size: int):
        self.count = 0
        self.sum = np.zeros((size, size, 3), np.int64)
        self.products = np.zeros((3, 3), np.int64)

    def add(self, image: np.ndarray) -> None:
        """`image` uint8 [size, size, 3]."""
        # Exact in float64 for one picture, and that multiplication is a fast one.
        pixels = image.reshape(-1, 3).astype(np.float64)
        self.count += 1
        self.sum += image
        self.products += (pixels.T @ pixels).astype(np.int64)

    def merge(self, other: "StatisticsAccumulator") -> None:
        """Adds what `other` has added up."""
        self.count += other.count
        self.sum += other.sum
        self.products += other.products

    def result(self) -> Statistics:
        if not self.count:
            raise ValueError("the training split has no pictures")
        mean = self.sum / self.count
        pixels = self.count * mean.shape[0] * mean.shape[1]
        channel = self.sum.sum((0, 1)) / pixels
        covariance = self.products / pixels - np.outer(channel, channel)
        values, vectors = np.linalg.eigh(covariance)
        values, vectors = values[::-1].clip(min=0), vectors[:, ::-1]
        vectors = vectors * np.where(vectors.sum(0) < 0, -1, 1)  # a sign that stays
        return Statistics(mean.astype(np.float32), covariance, vectors, np.sqrt(values))
