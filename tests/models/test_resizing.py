"""Resizing, crops and views against Pillow, numpy and numbers by hand."""

import math
import tracemalloc
import warnings

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st
from PIL import Image

from alexnet_tf.data import input_pipeline, preparation, sources
from alexnet_tf.evaluation import image_sets
from alexnet_tf.importing import means
from alexnet_tf.models import image_resizing, resizing
from tests.support import images

FEW = hypothesis.settings(deadline=None, max_examples=20)


def in_graph(image, size, rule="crop"):
    return resizing.resize(tf.constant(image), size, rule).numpy()


# Each of them follows the rule on its own.
BOTH = pytest.mark.parametrize(
    "resized", [in_graph, image_resizing.square], ids=["graph", "memory"]
)


def triangle_weights(old, new):
    """[new, old]: the weights of each new pixel, a triangle as wide as the scale."""
    scale = old / new
    width = max(scale, 1)
    centers = (np.arange(new) + 0.5) * scale
    distance = np.abs(np.arange(old) + 0.5 - centers[:, None]) / width
    weights = np.clip(1 - distance, 0, None)
    return weights / weights.sum(1, keepdims=True)


def resized_by_hand(image, size):
    """Scales the shorter side to `size`, rounding half up, and crops the center."""
    height, width = image.shape[:2]
    shorter = min(height, width)
    rows = int(np.floor(height * size / shorter + 0.5))
    columns = int(np.floor(width * size / shorter + 0.5))
    down, across = triangle_weights(height, rows), triangle_weights(width, columns)
    whole = np.einsum("rh,hwc,kw->rkc", down, image.astype(np.float64), across)
    top, left = (rows - size) // 2, (columns - size) // 2
    return whole[top : top + size, left : left + size]


@BOTH
@FEW
@hypothesis.given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 40))
@hypothesis.example(31, 17, 8)
@hypothesis.example(3, 200, 16)
def test_resizing_is_a_triangle_filter_and_a_center_crop(resized, height, width, size):
    image = images.random_image(0, height, width)
    found = resized(image, size)
    assert (found.shape, found.dtype) == ((size, size, 3), np.uint8)
    error = np.abs(found - resized_by_hand(image, size))
    assert error.max() <= 0.51  # a rounding to the nearest level


@BOTH
@FEW
@hypothesis.given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 40))
@hypothesis.example(3, 200, 16)
def test_squashing_is_a_triangle_filter_along_both_sides(resized, height, width, size):
    image = images.random_image(0, height, width)
    found = resized(image, size, "squash")
    assert (found.shape, found.dtype) == ((size, size, 3), np.uint8)
    down, across = triangle_weights(height, size), triangle_weights(width, size)
    whole = np.einsum("rh,hwc,kw->rkc", down, image.astype(np.float64), across)
    assert np.abs(found - whole).max() <= 0.51


@BOTH
@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        # Half of a pixel of the boundary is that of its other side: 255 / 8 = 31.875.
        ("squash", [0, 0, 32, 223, 255, 255]),
        ("crop", [0, 0, 0, 255, 255, 255]),
    ],
)
def test_an_image_of_two_to_one_is_squashed_or_cropped(resized, rule, expected):
    halves = np.zeros((6, 12, 3), np.uint8)
    halves[:, 6:] = 255
    assert (resized(halves, 6, rule) == np.array(expected)[None, :, None]).all()
    upright = resized(halves.swapaxes(0, 1), 6, rule)
    assert (upright == np.array(expected)[:, None, None]).all()


@BOTH
def test_the_rules_agree_on_a_square(resized):
    image = images.random_image(0, 30, 30)
    for size in (8, 30, 64):
        np.testing.assert_array_equal(
            resized(image, size, "squash"), resized(image, size, "crop")
        )


@BOTH
@pytest.mark.parametrize(
    ("height", "width"), [(64, 64), (64, 96), (75, 50), (40, 24), (20, 20), (12, 16)]
)
def test_resizing_equals_pillows_bilinear_within_one_level(resized, height, width):
    image = images.random_image(0, height, width)
    scale = 32 / min(height, width)
    sides = (round(width * scale), round(height * scale))
    whole = Image.fromarray(image).resize(sides, Image.Resampling.BILINEAR)
    left, top = (sides[0] - 32) // 2, (sides[1] - 32) // 2
    expected = np.asarray(whole.crop((left, top, left + 32, top + 32)))
    difference = np.abs(resized(image, 32).astype(int) - expected)
    assert difference.max() <= 1
    assert difference.mean() < 0.25  # Pillow rounds twice


@BOTH
def test_an_image_of_the_target_size_is_unchanged(resized):
    image = images.random_image(0, 32, 32)
    np.testing.assert_array_equal(resized(image, 32), image)


@BOTH
@pytest.mark.parametrize(("height", "width"), [(32, 47), (47, 32)])
def test_an_image_whose_shorter_side_fits_is_only_cropped(resized, height, width):
    image = images.random_image(0, height, width)
    middle = image[(height - 32) // 2 :, (width - 32) // 2 :][:32, :32]
    np.testing.assert_array_equal(resized(image, 32), middle)


@BOTH
@FEW
@hypothesis.given(st.integers(1, 50), st.integers(1, 50), st.integers(0, 255))
def test_a_single_color_is_unchanged(resized, height, width, level):
    image = np.full((height, width, 3), level, np.uint8)
    np.testing.assert_array_equal(resized(image, 24), level)


@BOTH
def test_the_aspect_ratio_is_kept(resized):
    # A square in the middle of an image twice as wide stays a square.
    image = np.zeros((40, 80, 3), np.uint8)
    image[10:30, 30:50] = 255
    found = resized(image, 20)[..., 0]
    expected = np.zeros((20, 20), np.uint8)
    expected[5:15, 5:15] = 255
    inside = np.s_[6:14, 6:14]
    np.testing.assert_array_equal(found[inside], expected[inside])
    assert found[:4].max() == found[16:].max() == found[:, :4].max() == 0
    np.testing.assert_array_equal(found, found.T)


@BOTH
def test_everything_outside_the_center_square_is_cut_off(resized):
    image = np.zeros((20, 60, 3), np.uint8)
    image[:, :19] = (255, 0, 0)
    image[:, 41:] = (0, 0, 255)
    assert resized(image, 20).max() == 0


@BOTH
def test_downscaling_averages_pixels_instead_of_skipping_them(resized):
    # A chequerboard of pixels: a filter without antialiasing keeps black or white.
    image = np.indices((64, 64)).sum(0) % 2 * 255
    image = np.repeat(image[..., None], 3, axis=-1).astype(np.uint8)
    inner = resized(image, 8)[1:-1, 1:-1]
    assert (np.abs(inner.astype(int) - 128) <= 4).all()


@BOTH
def test_float_and_byte_images_are_resized_alike(resized):
    image = images.random_image(0, 50, 40)
    np.testing.assert_array_equal(
        resized(image.astype(np.float32), 24), resized(image, 24)
    )


@FEW
@hypothesis.given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.integers(1, 70),
    st.sampled_from(["crop", "squash"]),
    st.sampled_from([np.uint8, np.float32]),
)
@hypothesis.example(500, 375, 256, "crop", np.uint8)
@hypothesis.example(1, 3000, 16, "crop", np.uint8)
def test_the_graph_and_memory_agree_but_for_roundings(height, width, size, rule, kind):
    image = images.random_image(0, height, width).astype(kind)
    graph, memory = (
        in_graph(image, size, rule),
        image_resizing.square(image, size, rule),
    )
    difference = np.abs(graph.astype(int) - memory)
    assert difference.max() <= 1
    assert difference.mean() < 1e-4 + 3 / difference.size


COORDINATES = np.stack([*np.mgrid[:14, :14], np.zeros((14, 14))], axis=-1).astype(
    np.uint8
)


@pytest.mark.parametrize(("side", "first"), [(14, 0), (8, 3), (7, 3), (13, 0)])
def test_the_center_crop_is_the_middle(side, first):
    expected = COORDINATES[first : first + side, first : first + side]
    np.testing.assert_array_equal(
        resizing.center_crop(tf.constant(COORDINATES), side), expected
    )
    batch = resizing.center_crop(tf.constant(COORDINATES)[None], side)
    np.testing.assert_array_equal(batch, expected[None])


def test_the_ten_views_are_center_corners_and_their_mirror_images():
    image = images.random_image(0, 14, 14)
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


def test_the_five_crops_of_a_batch_are_the_views_of_each_image_before_they_are_mirrored():
    two = np.stack([images.random_image(seed, 14, 14) for seed in (0, 1)])
    found = resizing.five_crops(tf.constant(two), 8).numpy()
    views = [resizing.views(tf.constant(image), 8)[:5] for image in two]
    np.testing.assert_array_equal(found, views)


def test_the_first_view_is_the_center_crop_for_every_margin():
    for side in (7, 8, 13, 14):
        image = tf.constant(images.random_image(0, 14, 14))
        center = resizing.center_crop(image, side)
        np.testing.assert_array_equal(resizing.views(image, side)[0], center)


@pytest.mark.parametrize("side", [7, 8, 13, 14])
def test_every_center_is_the_same_one(side, tmp_path):
    """Of training, validation, prediction, the mean image and an imported mean image.

    With an odd margin, two crops have an equal claim to be the center.
    """
    image = images.random_image(0, 14, 14)
    expected = resizing.center_crop(image, side)
    source = sources.open_source(f"folder:{_written(image, tmp_path)}")
    dataset = preparation.prepare_dataset(
        source, tmp_path / "data", size=14, encoding="raw"
    )
    recipe = input_pipeline.Recipe(
        2, side, 0, "none", math.inf, crop_sharing=1, crops="center", mirror=False
    )
    (inputs, _), *_ = input_pipeline.training_batches(
        dataset, recipe, first_step=0, last_step=1
    )
    found = {
        "training": inputs["image"][0],
        "validation": image_sets.split_images(dataset, "train", side=side)
        .read(0)
        .pixels,
        "prediction": image_resizing.center_view(image, 14, side),
        "ten views": resizing.views(image, side)[0],
        "mean image": dataset.statistics().mean_crop(side),
        "imported mean": means.of_array(image, side, where=""),
    }
    for what, crop in found.items():
        np.testing.assert_array_equal(crop, expected, err_msg=what)


def _written(image, folder):
    """A folder of two classes whose only images are `image`."""
    for name in ("a", "b"):
        (folder / "images" / name).mkdir(parents=True)
        Image.fromarray(image).save(folder / "images" / name / "0.png")
    return folder / "images"


@pytest.mark.parametrize(
    ("pixels", "warned"),
    [
        (np.full((4, 4, 3), 0.5, np.float32), True),
        (np.ones((4, 4, 3)), True),
        (np.zeros((4, 4, 3), np.float32), False),
        (np.full((4, 4, 3), 1.5, np.float32), False),
        (np.ones((4, 4, 3), np.uint8), False),
    ],
)
def test_pixels_from_0_to_1_are_warned_of(pixels, warned):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        image_resizing.center_view(pixels, 4, 4)
    assert [str(each.message)[:36] for each in caught] == (
        ["all pixels are numbers from 0 to 1, "] if warned else []
    )


@pytest.mark.parametrize(("level", "expected"), [(300.0, 255), (-20.0, 0)])
def test_a_level_beyond_the_scale_becomes_its_end(level, expected):
    image = np.full((5, 7, 3), level, np.float32)
    assert (image_resizing.square(image, 4) == expected).all()


def test_a_large_image_is_not_converted_to_float32_as_a_whole():
    image = np.zeros((2000, 3000, 3), np.uint8)
    tracemalloc.start()
    try:
        image_resizing.square(image, 256)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The rows of the result, before its columns, take 256 * 9000 * 4 bytes.
    assert peak < 2 * 256 * 9000 * 4 < image.size * 4 / 3
