"""Crops and color noise against numbers by hand, and the statistics of random draws."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from alexnet_tf.data import augmentation

FEW = hypothesis.settings(deadline=None, max_examples=20)


MARGIN = 6  # images of 14 pixels, crops of 8: seven places in each direction


def corner(place):
    """(row, column) of the crop of 8 at `place` of an image of 14."""
    (found,) = augmentation.crop_corners(np.array([place], np.float32), 14, 8)
    assert found.dtype == np.int32
    return tuple(found.tolist())


def test_each_seventh_of_the_range_maps_to_one_of_seven_places():
    for place in range(7):
        assert corner([(place + 0.5) / 7, 0.5]) == (place, 3)
        assert corner([0.5, (place + 0.5) / 7]) == (3, place)


def test_a_crop_never_exceeds_the_image():
    most = np.nextafter(np.float32(1), np.float32(0))
    assert corner([0, 0]) == (0, 0)
    assert corner([most, most]) == (MARGIN, MARGIN)


@FEW
@hypothesis.given(st.integers(1, 2000))
def test_the_largest_random_number_gives_the_last_place(side):
    most = np.full([1, 2], np.nextafter(np.float32(1), np.float32(0)))
    assert augmentation.crop_corners(most, side, 1).max() == side - 1


def test_a_crop_of_the_whole_image_begins_at_its_corner():
    places = np.array([[0.99, 0.0]], np.float32)
    assert augmentation.crop_corners(places, 8, 8).tolist() == [[0, 0]]


def test_random_crops_cover_every_place_evenly():
    draws = augmentation.draw_epoch(0, 0, 33 * 33 * 40)
    rows, columns = (draws.place.numpy() * 33).astype(int).T
    seen = np.bincount(33 * rows + columns, minlength=33 * 33)
    # Each count has a Poisson distribution with mean 40. Chi-squared over the 1089
    # places must lie within five standard deviations of its mean.
    chi_squared = ((seen - 40) ** 2 / 40).sum()
    assert len(seen) == 1089
    assert abs(chi_squared - 1088) < 5 * np.sqrt(2 * 1088)
    assert seen.min() > 0


def test_random_numbers_have_their_distributions_and_are_independent():
    count = 40_000
    error = 5 / np.sqrt(count)
    columns = []
    for epoch in range(3):
        place, mirror, color = (
            part.numpy() for part in augmentation.draw_epoch(7, epoch, count)
        )
        np.testing.assert_allclose(place.mean(0), 0.5, atol=error)
        assert abs(mirror.mean() - 0.5) < error / 2
        np.testing.assert_allclose(color.mean(0), 0, atol=error)
        np.testing.assert_allclose(color.std(0), 1, atol=error)
        columns += [*place.T, mirror, *color.T]
    correlation = np.corrcoef(columns)
    np.testing.assert_allclose(correlation, np.eye(18), atol=error)


def arrays(draws):
    return [part.numpy() for part in draws]


def test_the_same_seed_and_epoch_give_the_same_random_numbers():
    first, again = augmentation.draw_epoch(3, 5, 50), augmentation.draw_epoch(3, 5, 50)
    for one, two in zip(arrays(first), arrays(again), strict=True):
        np.testing.assert_array_equal(one, two)


def test_different_epochs_and_seeds_give_different_random_numbers():
    drawn = [
        augmentation.draw_epoch(*key, 500) for key in ((0, 0), (0, 1), (1, 0), (1, 1))
    ]
    for i, one in enumerate(drawn):
        for two in drawn[i + 1 :]:
            # Among 500 random numbers of 23 bits, a few may be equal by chance.
            assert np.isin(one.place, two.place).mean() < 0.01
            assert np.isin(one.color, two.color).mean() < 0.01
            assert (one.mirror != two.mirror).numpy().any()


# The 2012 program's statistics of ILSVRC.
STDEVS = np.array([121.780, 37.094, 19.721])


EIGENVECTORS = np.array(
    [
        [-0.5635, -0.5762, -0.5920],
        [-0.7126, -0.0235, 0.7012],
        [0.4180, -0.8170, 0.3973],
    ]
).T


def test_cuda_convnet_noise_is_a_tenth_of_the_standard_deviation_along_each_axis():
    axes, gain = augmentation.color_axes("cuda_convnet", EIGENVECTORS, STDEVS)
    # 12.178, 3.7094 and 1.9721 times the vectors.
    by_hand = [
        [-6.8623, -2.6433, 0.8243],
        [-7.0170, -0.0872, -1.6112],
        [-7.2094, 2.6010, 0.7835],
    ]
    np.testing.assert_allclose(axes, by_hand, atol=1e-4)
    assert axes.dtype == np.float32
    assert gain == pytest.approx(1 / 1.1)


def test_the_papers_noise_is_a_tenth_of_the_eigenvalue_of_pixels_up_to_one():
    axes, gain = augmentation.color_axes("paper", EIGENVECTORS, STDEVS)
    # lambda .22807, .021161, .0059811; times 25.5: 5.8159, .53960, .15252.
    by_hand = [
        [-3.2773, -0.3845, 0.0638],
        [-3.3511, -0.0127, -0.1246],
        [-3.4430, 0.3784, 0.0606],
    ]
    np.testing.assert_allclose(axes, by_hand, atol=1e-4)
    assert gain == 1


def test_the_papers_noise_is_two_seven_and_thirteen_times_weaker():
    paper, _ = augmentation.color_axes("paper", EIGENVECTORS, STDEVS)
    cuda_convnet, _ = augmentation.color_axes("cuda_convnet", EIGENVECTORS, STDEVS)
    ratio = np.linalg.norm(cuda_convnet, axis=0) / np.linalg.norm(paper, axis=0)
    np.testing.assert_allclose(ratio, [2, 7, 13], rtol=0.05)


def test_noise_spreads_along_the_color_axes_of_the_images():
    axes, _ = augmentation.color_axes("cuda_convnet", EIGENVECTORS, STDEVS)
    shifts = augmentation.draw_epoch(0, 0, 100_000).color.numpy() @ axes.T
    spread = (shifts @ EIGENVECTORS).std(0)
    np.testing.assert_allclose(spread, 0.1 * STDEVS, rtol=0.02)


def test_no_color_noise_changes_nothing():
    axes, gain = augmentation.color_axes("none", EIGENVECTORS, STDEVS)
    assert (np.abs(axes).max(), gain) == (0, 1)


def test_unknown_color_noise_is_rejected():
    with pytest.raises(ValueError, match="paper, cuda_convnet or none, got 'hsv'"):
        augmentation.color_axes("hsv", EIGENVECTORS, STDEVS)
