"""The images whose features are nearest to those of query images (paper, figure 4).

    found = search(restored, queries, [3, 7], training, layers=["fc7"])
    found.by_layer["fc7"].indices  # int64 [2, 6]: the nearest training images

The training images are read once, in batches, and only the nearest are remembered. So
memory does not grow with their number, only with that of the queries. The 2012
program's `findsimilar.py` compares the same vectors by the same distance.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from alexnet_tf.evaluation import features, image_sets
from alexnet_tf.models import trained
from alexnet_tf.runtime import progress

PIXELS = "pixels"

# Products of whole numbers up to 128 have 14 bits. Sums of 1024 of them fit in the 24
# bits of float32, so matrix products in float32 are exact.
_EXACT_COLUMNS = 1024
_COLUMNS = 4096  # that are converted to float64 at once


class Nearest(NamedTuple):
    """The nearest vectors of each query, the nearest first.

    Attributes:
        distances: float64 [queries, neighbors], Euclidean.
        indices: int64 [queries, neighbors], of the vectors.
        labels: int64 [queries, neighbors], of the vectors.
    """

    distances: np.ndarray
    indices: np.ndarray
    labels: np.ndarray


class Search:
    """Finds the nearest of vectors that come batch by batch. Ties go to the first.

    Args:
        queries: [queries, size], uint8 or float.
        neighbors: how many to find.
        own: int64 [queries], the index of a vector that is the query itself and is left
            out; -1 for none.

    Example:
        >>> search = Search(np.array([[0.0, 0.0]]), 1)
        >>> search.add(np.array([[3.0, 4.0], [6.0, 8.0]]), [0, 1], [5, 5])
        >>> search.found().distances.tolist(), search.found().indices.tolist()
        ([[5.0]], [[0]])
    """

    def __init__(
        self,
        queries: np.ndarray,
        neighbors: int,
        own: Sequence[int] | np.ndarray | None = None,
    ):
        self._queries = queries
        self._neighbors = neighbors
        self._own = np.full(len(queries), -1) if own is None else np.asarray(own)
        nothing = np.zeros((len(queries), 0), np.int64)
        self._found = Nearest(nothing.astype(np.float64), nothing, nothing)

    def add(
        self,
        vectors: np.ndarray,
        indices: Sequence[int] | np.ndarray,
        labels: Sequence[int] | np.ndarray,
    ) -> None:
        """Compares vectors [N, size] with all queries; their indices must ascend."""
        squares = squared_distances(self._queries, vectors)
        squares[self._own[:, None] == np.asarray(indices)] = np.inf
        rows = [np.broadcast_to(each, squares.shape) for each in (indices, labels)]
        joined = [
            np.concatenate(pair, axis=1)
            for pair in zip(self._found, (squares, *rows), strict=True)
        ]
        # Stable, so that the first of equal distances stays.
        order = np.argsort(joined[0], axis=1, kind="stable")[:, : self._neighbors]
        self._found = Nearest(*(np.take_along_axis(a, order, axis=1) for a in joined))

    def found(self) -> Nearest:
        """The nearest of all vectors so far; fewer than `neighbors` if there are fewer."""
        squares, indices, labels = self._found
        there = int(np.isfinite(squares).sum(axis=1).min(initial=self._neighbors))
        return Nearest(
            np.sqrt(squares[:, :there]), indices[:, :there], labels[:, :there]
        )


def squared_distances(ones: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Returns the squared Euclidean distances of all pairs, float64 [N, M].

    Those of uint8 vectors are exact. Others are computed in float64, and differ from
    the exact ones by about 1e-16 of the vectors' squared lengths.

    Args:
        ones: [N, size], both uint8 or both float.
        others: [M, size].

    Example:
        >>> squared_distances(np.uint8([[0, 255]]), np.uint8([[0, 0], [1, 255]])).tolist()
        [[65025.0, 1.0]]
    """
    whole = ones.dtype == others.dtype == np.uint8
    kind: Any
    kind, columns = (np.float32, _EXACT_COLUMNS) if whole else (np.float64, _COLUMNS)
    total = np.zeros((len(ones), len(others)))
    for start in range(0, ones.shape[1], columns):
        one, other = (
            each[:, start : start + columns].astype(kind) for each in (ones, others)
        )
        if whole:
            one, other = one - 128, other - 128
        total -= 2 * (one @ other.T).astype(np.float64)
        for each, axis in ((one, 1), (other, 0)):
            squares = np.square(each, dtype=np.float64).sum(axis=1)
            total += np.expand_dims(squares, axis)
    return np.maximum(total, 0)


class Found(NamedTuple):
    """What was found for some query images.

    Attributes:
        queries: the query images, without those that could not be read.
        by_layer: the nearest images in the space of each layer, and of `PIXELS`.
        searched: how many images were searched.
    """

    queries: image_sets.Batch
    by_layer: dict[str, Nearest]
    searched: int


def search(
    restored: trained.Restored,
    queries: image_sets.ImageSet,
    chosen: Sequence[int],
    images: image_sets.ImageSet,
    *,
    layers: Sequence[str],
    neighbors: int = 6,
    among: Sequence[int] | None = None,
    pixels: bool = True,
    batch_size: int = 128,
    max_bad_files: int = 0,
) -> Found:
    """Finds the images nearest to query images, in the features of layers.

    Args:
        restored: the net, a model of pixels.
        queries, chosen: the query images, by their indices.
        images: the images to search, usually the training split. A query that is one
            of them does not find itself.
        layers: whose features are compared; see `layer_outputs`. Maps count as vectors.
        neighbors: how many images to find for each query.
        among: the indices of the images to search, ascending; by default all.
        pixels: whether to compare the pixels too, as the net sees them.
        batch_size, max_bad_files: as in `image_sets.batches`.

    Raises:
        ValueError: the net has no such layer, its features are NaN, or no query can be
            read.
        image_sets.NothingToShowError: there is no image to compare a query with.
    """
    model = features.feature_model(restored.model, layers)

    def vectors_of(batch: image_sets.Batch) -> dict[str, np.ndarray]:
        found = model(batch.pixels, training=False)
        vectors = {layer: _rows(array.numpy()) for layer, array in found.items()}
        for layer, array in vectors.items():
            if not np.isfinite(array).all():
                raise ValueError(
                    f"{layer} of {restored.checkpoint} is NaN or infinite: its training "
                    "diverged, so take an earlier checkpoint"
                )
        if pixels:
            vectors[PIXELS] = _rows(batch.pixels)
        return vectors

    asked = list(
        image_sets.batches(queries, chosen, batch_size, max_bad_files=max_bad_files)
    )
    if not asked:
        raise ValueError(f"no image of {queries.where} can be read")
    whole = image_sets.Batch(*map(np.concatenate, zip(*asked, strict=True)))
    computed = [vectors_of(batch) for batch in asked]
    own = whole.indices if queries.identity == images.identity else None
    searches = {
        layer: Search(
            np.concatenate([vectors[layer] for vectors in computed]), neighbors, own
        )
        for layer in computed[0]
    }
    del asked, computed  # the queries' vectors are in the searches
    looked_at = range(images.count) if among is None else among
    searched = 0
    with progress.bar(len(looked_at), "searching", "image") as bar:
        for batch in image_sets.batches(
            images, looked_at, batch_size, max_bad_files=max_bad_files
        ):
            for layer, vectors in vectors_of(batch).items():
                searches[layer].add(vectors, batch.indices, batch.labels)
            searched += len(batch.indices)
            bar.update(len(batch.indices))
    found = {layer: each.found() for layer, each in searches.items()}
    if not all(each.indices.size for each in found.values()):
        raise image_sets.NothingToShowError(
            f"{images.where} has no image to compare a query with"
        )
    return Found(whole, found, searched)


def _rows(array: np.ndarray) -> np.ndarray:
    return array.reshape(len(array), -1)


def precision_by_class(
    queries: np.ndarray, neighbors: np.ndarray, classes: int
) -> np.ndarray:
    """Returns the share of neighbors that have their query's class, by that class.

    It is the mean over the queries of a class, from 0 to 1; NaN for a class without
    queries.

    Args:
        queries: int [queries], their classes. Those of `image_sets.UNKNOWN` are left
            out.
        neighbors: int [queries, neighbors], the classes of what was found.
        classes: how many classes there are.

    Example:
        >>> found = np.array([[0, 0, 1], [1, 1, 0]])
        >>> precision_by_class(np.array([0, 0]), found, 1).round(3).tolist()
        [0.5]
    """
    return np.array(
        [
            (neighbors[queries == label] == label).mean()
            if neighbors[queries == label].size
            else np.nan
            for label in range(classes)
        ]
    )
