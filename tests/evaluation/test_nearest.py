"""The nearest images are those that a plain search over all pairs finds."""

import numpy as np
import pytest

from alexnet_tf.evaluation import features, image_sets, nearest
from alexnet_tf.models import trained
from tests.support import image_sets as sets
from tests.support import nets, runs


def all_distances(ones, others):
    """Euclidean distances of all pairs, as the definition is written."""
    differences = ones[:, None].astype(np.float64) - others[None]
    return np.sqrt((differences**2).sum(axis=-1))


@pytest.fixture(scope="module")
def restored(tmp_path_factory):
    run = runs.write_untrained(tmp_path_factory.mktemp("runs") / "net", nets.SMALL)
    return trained.restore(run, inputs="pixels")


@pytest.fixture(scope="module")
def gallery():
    return sets.noise(37, 99, seed=1)


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
@pytest.mark.parametrize("size", [3, 1024, 9001])
def test_squared_distances_are_those_of_the_definition(kind, size):
    rng = np.random.default_rng(size)
    ones, others = (rng.integers(0, 256, (n, size)).astype(kind) for n in (4, 5))
    found = nearest.squared_distances(ones, others)
    expected = all_distances(ones, others) ** 2
    if kind == np.uint8:
        exact = ((ones[:, None].astype(int) - others[None]) ** 2).sum(axis=-1)
        assert np.array_equal(found, exact)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_distances_of_uint8_vectors_are_exact_at_their_largest():
    dark, bright = np.zeros((1, 5000), np.uint8), np.full((1, 5000), 255, np.uint8)
    assert nearest.squared_distances(dark, bright) == [[5000 * 255**2]]
    assert nearest.squared_distances(bright, bright) == [[0]]
    # The sum of odd products, which is odd and too large for float32.
    low, high = np.full((1, 5001), 1, np.uint8), np.full((1, 5001), 255, np.uint8)
    assert nearest.squared_distances(low, high) == [[5001 * 254**2]]


def test_an_identical_float_vector_has_nearly_no_distance():
    vector = np.random.default_rng(0).normal(1000, 1, (1, 4096)).astype(np.float32)
    assert nearest.squared_distances(vector, vector)[0, 0] < 1e-3
    assert nearest.squared_distances(vector, vector)[0, 0] >= 0


@pytest.mark.parametrize("batch", [1, 4, 100])
def test_batches_give_what_one_search_over_all_vectors_gives(batch):
    rng = np.random.default_rng(0)
    queries, vectors = (rng.normal(size=(n, 8)).astype(np.float32) for n in (5, 30))
    labels = rng.integers(0, 3, 30)
    search = nearest.Search(queries, 6)
    for start in range(0, 30, batch):
        rows = slice(start, start + batch)
        search.add(vectors[rows], np.arange(30)[rows], labels[rows])
    distances = all_distances(queries, vectors)
    order = distances.argsort(axis=1)[:, :6]
    found = search.found()
    assert np.array_equal(found.indices, order)
    assert np.array_equal(found.labels, labels[order])
    np.testing.assert_allclose(
        found.distances, np.take_along_axis(distances, order, axis=1), rtol=1e-6
    )


def test_equal_distances_go_to_the_first_vector_across_batches():
    search = nearest.Search(np.zeros((1, 2), np.float32), 3)
    same = np.ones((2, 2), np.float32)
    for start in (0, 2, 4):
        search.add(same, [start, start + 1], [0, 0])
    assert search.found().indices.tolist() == [[0, 1, 2]]


def test_fewer_vectors_than_neighbors_are_all_found():
    search = nearest.Search(np.zeros((2, 1), np.float32), 6, own=[0, -1])
    search.add(np.array([[0], [2], [1]], np.float32), [0, 1, 2], [7, 8, 9])
    found = search.found()
    assert found.indices.tolist() == [[2, 1], [0, 2]]  # the first one is itself
    assert found.labels.tolist() == [[9, 8], [7, 9]]


@pytest.mark.parametrize("layer", ["fc7", "conv5"])
def test_the_features_compared_are_those_of_the_layer(restored, gallery, layer):
    queries = sets.noise(3, 99, seed=2)
    labels = np.arange(37) % 5
    found = nearest.search(
        restored,
        sets.of_pixels(queries, [0, 1, 2], identity="queries"),
        [2, 0],
        sets.of_pixels(gallery, labels),
        layers=[layer],
        batch_size=8,
    )
    model = features.feature_model(restored.model, [layer])
    ones, others = (
        model(pixels.astype(np.float32))[layer].numpy().reshape(len(pixels), -1)
        for pixels in (queries[[2, 0]], gallery)
    )
    for space, distances in (
        (layer, all_distances(ones, others)),
        (
            nearest.PIXELS,
            all_distances(queries[[2, 0]].reshape(2, -1), gallery.reshape(37, -1)),
        ),
    ):
        order = distances.argsort(axis=1, kind="stable")[:, :6]
        assert np.array_equal(found.by_layer[space].indices, order)
        assert np.array_equal(found.by_layer[space].labels, labels[order])
        np.testing.assert_allclose(
            found.by_layer[space].distances,
            np.take_along_axis(distances, order, axis=1),
            rtol=1e-4,
        )
    assert found.queries.indices.tolist() == [2, 0]
    assert found.searched == 37


def test_a_query_of_the_searched_images_does_not_find_itself(restored, gallery):
    images = sets.of_pixels(gallery, np.zeros(37, int))
    found = nearest.search(restored, images, [4, 9], images, layers=["fc7"])
    for space in found.by_layer.values():
        assert space.indices.shape == (2, 6)
        assert 4 not in space.indices[0]
        assert 9 not in space.indices[1]
    twins = sets.of_pixels(gallery, np.zeros(37, int), identity="a copy")
    found = nearest.search(restored, twins, [4], images, layers=["fc7"])
    assert found.by_layer["fc7"].indices[0, 0] == 4
    assert found.by_layer["pixels"].distances[0, 0] == 0


def test_only_the_images_to_search_among_are_found(restored, gallery):
    images = sets.of_pixels(gallery, np.zeros(37, int))
    found = nearest.search(
        restored,
        sets.of_pixels(sets.noise(1, 99), identity="queries"),
        [0],
        images,
        layers=["fc7"],
        among=[3, 5, 8],
        pixels=False,
    )
    assert sorted(found.by_layer["fc7"].indices[0]) == [3, 5, 8]
    assert list(found.by_layer) == ["fc7"]
    assert found.searched == 3


def test_features_of_a_diverged_net_are_refused(tmp_path, gallery):
    run = runs.write_untrained(tmp_path / "net", nets.SMALL)
    broken = trained.restore(run, inputs="pixels")
    for variable in broken.model.trainable_variables:
        variable.assign(variable * np.nan)
    images = sets.of_pixels(gallery)
    with pytest.raises(ValueError, match="fc7/linear of .* is NaN or infinite"):
        nearest.search(broken, images, [0], images, layers=["fc7/linear"])


def test_precision_by_class_counted_by_hand():
    queries = np.array([0, 0, 2, image_sets.UNKNOWN])
    found = np.array([[0, 1, 0, 2], [0, 0, 0, 0], [1, 1, 1, 2], [0, 0, 0, 0]])
    precision = nearest.precision_by_class(queries, found, 3)
    np.testing.assert_allclose(precision, [(2 + 4) / 8, np.nan, 1 / 4])
