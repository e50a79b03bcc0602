"""The color behind transparent pixels."""

import numpy as np
import pytest

from alexnet_tf.models import background


@pytest.mark.parametrize(
    ("text", "color"),
    [
        ("white", (255, 255, 255)),
        ("black", (0, 0, 0)),
        ("gray", (128, 128, 128)),
        ("#0aFf01", (10, 255, 1)),
    ],
)
def test_a_color_is_a_name_or_hexadecimal(text, color):
    assert background.parse(text) == color


@pytest.mark.parametrize("text", ["", "green", "#fff", "#12345g", "#1234567", "123456"])
def test_what_is_no_color_is_refused(text):
    with pytest.raises(
        ValueError, match="white, black, gray or a color such as #ff8000"
    ):
        background.parse(text)


def test_a_recorded_background_is_three_levels():
    assert background.from_json([1, 2, 3], "model.json") == (1, 2, 3)


@pytest.mark.parametrize(
    "value", [None, "white", [1, 2], [1, 2, 256], [1, 2, -1], [1.0, 2, 3]]
)
def test_a_recorded_background_that_is_no_color_is_refused(value):
    with pytest.raises(ValueError, match="^model.json: background must be three"):
        background.from_json(value, "model.json")


def test_pixels_are_composed_in_whole_numbers_that_round_to_the_nearest():
    levels = np.arange(256)
    color, alpha = np.meshgrid(levels, levels)
    image = np.stack([color, color, color, alpha], axis=-1).astype(np.uint8)
    found = background.compose(image, (0, 77, 255)).astype(int)
    for channel, behind in enumerate((0, 77, 255)):
        exact = (color * alpha + behind * (255 - alpha)) / 255  # never half way
        np.testing.assert_array_equal(found[..., channel], np.round(exact))


def test_an_image_without_alpha_stays_as_it_is():
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert background.compose(image, (1, 2, 3)) is image
