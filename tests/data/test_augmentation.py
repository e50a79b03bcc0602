"""Resizing, crops, views and colour against Pillow, numpy and numbers by hand."""

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st
from PIL import Image

from alexnet_tf.data import augmentation
from alexnet_tf.models import resizing

FEW = hypothesis.settings(deadline=None, max_examples=20)


def picture(height, width, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3))
    return pixels.astype(np.uint8)


def resized(image, size):
    return resizing.resize(tf.constant(image), size).numpy()


def triangle_weights(old, new):
    """[new, old]: each new pixel's weights, a triangle as wide as the scale."""
    scale = old / new
    width = max(scale, 1)
    centres = (np.arange(new) + 0.5) * scale
    distance = np.abs(np.arange(old) + 0.5 - centres[:, None]) / width
    weights = np.clip(1 - distance, 0, None)
    return weights / weights.sum(1, keepdims=True)


def resized_by_hand(image, size):
    """Shorter side to `size`, rounded half up; then the middle. In double precision."""
    height, width = image.shape[:2]
    shorter = min(height, width)
    rows = int(np.floor(height * size / shorter + 0.5))
    columns = int(np.floor(width * size / shorter + 0.5))
    down, across = triangle_weights(height, rows), triangle_weights(width, columns)
    whole = np.einsum("rh,hwc,kw->rkc", down, image.astype(np.float64), across)
    top, left = (rows - size) // 2, (columns - size) // 2
    return whole[top : top + size, left : left + size]


@FEW
@hypothesis.given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 40))
@hypothesis.example(31, 17, 8)
@hypothesis.example(3, 200, 16)
def test_resizing_is_a_triangle_filter_and_a_centre_crop(height, width, size):
    image = picture(height, width)
    found = resized(image, size)
    assert (found.shape, found.dtype) == ((size, size, 3), np.uint8)
    error = np.abs(found - resized_by_hand(image, size))
    assert error.max() <= 0.51  # a rounding to the nearest level


@pytest.mark.parametrize(
    ("height", "width"), [(64, 64), (64, 96), (75, 50), (40, 24), (20, 20), (12, 16)]
)
def test_resizing_is_pillows_bilinear_to_a_level(height, width):
    image = picture(height, width)
    scale = 32 / min(height, width)
    sides = (round(width * scale), round(height * scale))
    whole = Image.fromarray(image).resize(sides, Image.Resampling.BILINEAR)
    left, top = (sides[0] - 32) // 2, (sides[1] - 32) // 2
    expected = np.asarray(whole.crop((left, top, left + 32, top + 32)))
    difference = np.abs(resized(image, 32).astype(int) - expected)
    assert difference.max() <= 1
    assert difference.mean() < 0.25  # Pillow rounds twice


def test_a_picture_of_the_size_stays_as_it_is():
    image = picture(32, 32)
    np.testing.assert_array_equal(resized(image, 32), image)


@pytest.mark.parametrize(("height", "width"), [(32, 47), (47, 32)])
def test_a_picture_whose_shorter_side_fits_is_only_cropped(height, width):
    image = picture(height, width)
    middle = image[(height - 32) // 2 :, (width - 32) // 2 :][:32, :32]
    np.testing.assert_array_equal(resized(image, 32), middle)


@FEW
@hypothesis.given(st.integers(1, 50), st.integers(1, 50), st.integers(0, 255))
def test_one_colour_stays_that_colour(height, width, level):
    image = np.full((height, width, 3), level, np.uint8)
    np.testing.assert_array_equal(resized(image, 24), level)


def test_the_aspect_ratio_is_kept():
    # A square in the middle of a picture twice as wide stays a square.
    image = np.zeros((40, 80, 3), np.uint8)
    image[10:30, 30:50] = 255
    found = resized(image, 20)[..., 0]
    expected = np.zeros((20, 20), np.uint8)
    expected[5:15, 5:15] = 255
    inside = np.s_[6:14, 6:14]
    np.testing.assert_array_equal(found[inside], expected[inside])
    assert found[:4].max() == found[16:].max() == found[:, :4].max() == 0
    np.testing.assert_array_equal(found, found.T)


def test_what_is_left_and_right_of_the_centre_square_is_cut_off():
    image = np.zeros((20, 60, 3), np.uint8)
    image[:, :19] = (255, 0, 0)
    image[:, 41:] = (0, 0, 255)
    assert resized(image, 20).max() == 0


def test_downscaling_averages_and_does_not_skip():
    # A chequerboard of pixels: a filter without antialiasing keeps black or white.
    image = np.indices((64, 64)).sum(0) % 2 * 255
    image = np.repeat(image[..., None], 3, axis=-1).astype(np.uint8)
    inner = resized(image, 8)[1:-1, 1:-1]
    assert (np.abs(inner.astype(int) - 128) <= 4).all()


def test_float_pixels_are_resized_as_bytes_are():
    image = picture(50, 40)
    np.testing.assert_array_equal(
        resized(image.astype(np.float32), 24), resized(image, 24)
    )


MARGIN = 6  # pictures of 14, crops of 8: seven places each way
COORDINATES = np.stack([*np.mgrid[:14, :14], np.zeros((14, 14))], axis=-1).astype(
    np.uint8
)


def corner(place):
    """(row, column) of the crop of 8 at `place` of a picture of 14."""
    (found,) = augmentation.crop_corners(np.array([place], np.float32), 14, 8)
    assert found.dtype == np.int32
    return tuple(found.tolist())


def test_every_seventh_of_the_range_is_one_of_seven_places():
    for place in range(7):
        assert corner([(place + 0.5) / 7, 0.5]) == (place, 3)
        assert corner([0.5, (place + 0.5) / 7]) == (3, place)


def test_a_crop_never_hangs_over():
    most = np.nextafter(np.float32(1), np.float32(0))
    assert corner([0, 0]) == (0, 0)
    assert corner([most, most]) == (MARGIN, MARGIN)


@FEW
@hypothesis.given(st.integers(1, 2000))
def test_the_largest_draw_is_the_last_place_of_any_picture(side):
    most = np.full([1, 2], np.nextafter(np.float32(1), np.float32(0)))
    assert augmentation.crop_corners(most, side, 1).max() == side - 1


def test_a_crop_of_the_whole_picture_begins_where_it_does():
    places = np.array([[0.99, 0.0]], np.float32)
    assert augmentation.crop_corners(places, 8, 8).tolist() == [[0, 0]]


def test_draws_cover_every_place_evenly():
    draws = augmentation.draw(0, 0, 33 * 33 * 40)
    rows, columns = (draws.place.numpy() * 33).astype(int).T
    seen = np.bincount(33 * rows + columns, minlength=33 * 33)
    # Poisson of mean 40: chi-squared over 1089 places, five deviations from its mean.
    chi_squared = ((seen - 40) ** 2 / 40).sum()
    assert len(seen) == 1089
    assert abs(chi_squared - 1088) < 5 * np.sqrt(2 * 1088)
    assert seen.min() > 0


def test_draws_are_uniform_half_mirrored_and_normal_and_all_independent():
    count = 40_000
    error = 5 / np.sqrt(count)
    columns = []
    for epoch in range(3):
        place, mirror, color = (
            part.numpy() for part in augmentation.draw(7, epoch, count)
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


def test_draws_are_the_same_for_the_same_seed_and_epoch():
    first, again = augmentation.draw(3, 5, 50), augmentation.draw(3, 5, 50)
    for one, two in zip(arrays(first), arrays(again), strict=True):
        np.testing.assert_array_equal(one, two)


def test_draws_of_two_epochs_or_seeds_have_nothing_in_common():
    drawn = [augmentation.draw(*key, 500) for key in ((0, 0), (0, 1), (1, 0), (1, 1))]
    for i, one in enumerate(drawn):
        for two in drawn[i + 1 :]:
            # Of 500 draws of 23 bits a few may meet by chance.
            assert np.isin(one.place, two.place).mean() < 0.01
            assert np.isin(one.color, two.color).mean() < 0.01
            assert (one.mirror != two.mirror).numpy().any()


@pytest.mark.parametrize(("side", "first"), [(14, 0), (8, 3), (7, 3), (13, 0)])
def test_the_centre_crop_is_the_middle(side, first):
    expected = COORDINATES[first : first + side, first : first + side]
    np.testing.assert_array_equal(
        resizing.center_crop(tf.constant(COORDINATES), side), expected
    )
    batch = resizing.center_crop(tf.constant(COORDINATES)[None], side)
    np.testing.assert_array_equal(batch, expected[None])


def test_the_ten_views_are_centre_corners_and_their_mirror_images():
    image = picture(14, 14)
    found = resizing.views(tf.constant(image), 8).numpy()
    five = [
        image[3:11, 3:11],
        image[:8, :8],
        image[:8, 6:],
        image[6:, :8],
        image[6:, 6:],
    ]
    assert resizing.VIEWS == len(found) == 10
    np.testing.assert_array_equal(found, five + [view[:, ::-1] for view in five])


def test_the_first_view_is_the_centre_crop_whatever_the_margin():
    for side in (7, 8, 13, 14):
        image = tf.constant(picture(14, 14))
        centre = resizing.center_crop(image, side)
        np.testing.assert_array_equal(resizing.views(image, side)[0], centre)


# The 2012 program's own statistics of ILSVRC: PAPER.md, section 4.
STDEVS = np.array([121.780, 37.094, 19.721])
EIGENVECTORS = np.array(
    [
        [-0.5635, -0.5762, -0.5920],
        [-0.7126, -0.0235, 0.7012],
        [0.4180, -0.8170, 0.3973],
    ]
).T


def test_the_programs_colour_is_a_tenth_of_the_deviation_along_each_axis():
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


def test_the_papers_colour_is_a_tenth_of_the_eigenvalue_of_pixels_up_to_one():
    axes, gain = augmentation.color_axes("paper", EIGENVECTORS, STDEVS)
    # lambda .22807, .021161, .0059811; times 25.5: 5.8159, .53960, .15252.
    by_hand = [
        [-3.2773, -0.3845, 0.0638],
        [-3.3511, -0.0127, -0.1246],
        [-3.4430, 0.3784, 0.0606],
    ]
    np.testing.assert_allclose(axes, by_hand, atol=1e-4)
    assert gain == 1


def test_the_papers_reading_is_two_seven_and_thirteen_times_weaker():
    paper, _ = augmentation.color_axes("paper", EIGENVECTORS, STDEVS)
    code, _ = augmentation.color_axes("cuda_convnet", EIGENVECTORS, STDEVS)
    ratio = np.linalg.norm(code, axis=0) / np.linalg.norm(paper, axis=0)
    np.testing.assert_allclose(ratio, [2, 7, 13], rtol=0.05)


def test_shifts_spread_along_the_colour_axes_of_the_pictures():
    axes, _ = augmentation.color_axes("cuda_convnet", EIGENVECTORS, STDEVS)
    shifts = augmentation.draw(0, 0, 100_000).color.numpy() @ axes.T
    spread = (shifts @ EIGENVECTORS).std(0)
    np.testing.assert_allclose(spread, 0.1 * STDEVS, rtol=0.02)


def test_no_colour_noise_is_none():
    axes, gain = augmentation.color_axes("none", EIGENVECTORS, STDEVS)
    assert (np.abs(axes).max(), gain) == (0, 1)


def test_an_unknown_reading_is_refused():
    with pytest.raises(ValueError, match="paper, cuda_convnet or none, got 'hsv'"):
        augmentation.color_axes("hsv", EIGENVECTORS, STDEVS)
