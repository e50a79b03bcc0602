"""The statistics of images against numpy on all pixels."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from alexnet_tf.data import image_statistics
from tests.support import images


def statistics_of(all_images):
    accumulator = image_statistics.StatisticsAccumulator(all_images[0].shape[0])
    for image in all_images:
        accumulator.add(image)
    return accumulator.result()


@hypothesis.given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 99))
@hypothesis.settings(deadline=None, max_examples=20)
def test_statistics_equal_those_of_numpy_over_all_pixels(count, size, seed):
    random_images = [images.random_image(seed + i, size, size) for i in range(count)]
    found = statistics_of(random_images)
    every = np.stack(random_images).astype(np.float64)
    np.testing.assert_allclose(found.mean, every.mean(0), rtol=1e-6, atol=1e-6)
    assert found.mean.dtype == np.float32
    expected = np.cov(every.reshape(-1, 3), rowvar=False, bias=True)
    np.testing.assert_allclose(found.covariance, expected, rtol=1e-9, atol=1e-7)


def photograph_like(count=20):
    """Images whose three channels are correlated, as those of photographs are."""
    rng = np.random.default_rng(0)
    gray = rng.uniform(60, 200, (count, 6, 6, 1))
    pixels = gray + rng.normal(0, (5, 10, 25), (count, 6, 6, 3))
    return list(pixels.clip(0, 255).astype(np.uint8))


def test_eigenvectors_and_standard_deviations_reproduce_the_covariance():
    found = statistics_of(photograph_like())
    vectors, stdevs = found.eigenvectors, found.stdevs
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(3), atol=1e-12)
    again = vectors @ np.diag(stdevs**2) @ vectors.T
    np.testing.assert_allclose(again, found.covariance, rtol=1e-9)
    assert stdevs[0] > stdevs[1] > stdevs[2] > 0


def test_the_strongest_axis_of_photographs_is_brightness():
    axis = statistics_of(photograph_like()).eigenvectors[:, 0]
    np.testing.assert_allclose(axis, np.full(3, 3**-0.5), atol=0.05)


def test_the_order_of_the_images_changes_no_bit():
    photographs = photograph_like()
    forward = statistics_of(photographs)
    backward = statistics_of(photographs[::-1])
    for name in ("mean", "covariance", "eigenvectors", "stdevs"):
        np.testing.assert_array_equal(getattr(forward, name), getattr(backward, name))


@pytest.mark.parametrize("parts", [1, 2, 7])
def test_the_sums_of_parts_merge_into_those_of_all_images(parts):
    photographs = photograph_like()
    whole = image_statistics.StatisticsAccumulator(6)
    for start in range(parts):
        part = image_statistics.StatisticsAccumulator(6)
        for image in photographs[start::parts]:
            part.add(image)
        whole.merge(part)
    found, expected = whole.result(), statistics_of(photographs)
    for name in ("mean", "covariance", "eigenvectors", "stdevs"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_the_sign_of_an_axis_does_not_depend_on_the_solver(monkeypatch):
    plain = statistics_of(photograph_like())
    solve = np.linalg.eigh
    monkeypatch.setattr(
        np.linalg, "eigh", lambda matrix: (solve(matrix)[0], -solve(matrix)[1])
    )
    np.testing.assert_array_equal(
        statistics_of(photograph_like()).eigenvectors, plain.eigenvectors
    )


def test_gray_images_have_one_axis_and_no_negative_standard_deviation():
    gray = [np.repeat(image[..., :1], 3, axis=-1) for image in photograph_like()]
    found = statistics_of(gray)
    spread = np.stack(gray).std()
    np.testing.assert_allclose(
        found.stdevs, [3**0.5 * spread, 0, 0], rtol=1e-9, atol=1e-3
    )


def test_statistics_of_no_images_are_an_error():
    with pytest.raises(ValueError, match="training split has no images"):
        image_statistics.StatisticsAccumulator(4).result()


@pytest.mark.parametrize(("side", "first"), [(8, 0), (6, 1), (4, 2), (5, 1)])
def test_the_mean_is_cropped_to_its_center(side, first):
    found = statistics_of([images.random_image(0, 8, 8)]).mean_crop(side)
    expected = images.random_image(0, 8, 8)[first : first + side, first : first + side]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("size", [255, 256, 257, 600])
def test_the_sums_of_products_are_exact_where_float32_would_round(size):
    image = np.random.default_rng(0).integers(230, 256, (size, size, 3), np.uint8)
    accumulator = image_statistics.StatisticsAccumulator(size)
    accumulator.add(image)
    pixels = image.reshape(-1, 3).astype(np.int64)
    assert accumulator.products.tolist() == (pixels.T @ pixels).tolist()
