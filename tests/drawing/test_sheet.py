"""A sheet shows images and lines of text where it is told to."""

import io

import numpy as np
import pytest
from PIL import Image

from alexnet_tf.drawing import canvas, sheet
from tests.support import image_sets as sets


def pixels_of(page):
    encoded = canvas.png(page.picture, "sheet", "")
    return np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"))


def test_an_image_covers_exactly_its_place():
    (image,) = sets.noise(1, 20)
    with canvas.styled():
        page = sheet.Sheet(100, 80)
        page.add_image(image, left=30, top=7, side=60)
    found = pixels_of(page)
    assert found.shape == (80, 100, 3)
    enlarged = image.repeat(3, axis=0).repeat(3, axis=1)
    np.testing.assert_array_equal(found[7:67, 30:90], enlarged)
    outside = np.ones((80, 100), bool)
    outside[7:67, 30:90] = False
    assert (found[outside] == 255).all()


def test_later_images_do_not_move_earlier_ones():
    one, other = sets.noise(2, 10)
    with canvas.styled():
        page = sheet.Sheet(50, 20)
        page.add_image(one, left=0, top=0, side=10)
        page.add_image(other, left=40, top=10, side=10)
    found = pixels_of(page)
    np.testing.assert_array_equal(found[:10, :10], one)
    np.testing.assert_array_equal(found[10:, 40:], other)


def test_a_bar_has_its_width():
    with canvas.styled():
        page = sheet.Sheet(60, 20)
        page.add_bar(left=5, top=4, width=31, height=9, color="#ff0000")
    red = (pixels_of(page) == (255, 0, 0)).all(axis=2)
    expected = np.zeros((20, 60), bool)
    expected[4:13, 5:36] = True
    np.testing.assert_array_equal(red, expected)


@pytest.mark.parametrize("bold", [False, True])
@pytest.mark.parametrize("text", ["i" * 90, "W" * 90, "кошка " * 9, "猫" * 30])
def test_a_line_stays_within_its_width(text, bold):
    for width in (30, 100, 170):
        fitted = sheet.fitted(text, width, bold=bold)
        assert fitted.endswith("…")
        with canvas.styled():
            page = sheet.Sheet(200, 30)
            page.add_text(text, left=5, top=5, width=width, bold=bold)
        ink = (pixels_of(page) < 200).any(axis=(0, 2)).nonzero()[0]
        assert ink.max() <= 5 + width
        # It is not shortened more than it must be.
        assert ink.max() > 5 + width - 30


def test_short_text_is_not_shortened():
    assert sheet.fitted("t-shirt", 200) == "t-shirt"


def test_names_in_scripts_that_the_font_lacks_stay_apart():
    assert sheet.printable("кошка") == "кошка"
    assert sheet.printable("猫") == "\\u732b"
    assert sheet.printable("犬") != sheet.printable("猫")


def test_a_name_from_right_to_left_stands_behind_its_number():
    def ink(text):
        with canvas.styled():
            page = sheet.Sheet(120, 20)
            page.add_text(text, left=0, top=2, width=120)
        return (pixels_of(page) < 128).any(axis=2)

    number = ink("35 %")
    width = number.any(axis=0).nonzero()[0].max() + 1
    np.testing.assert_array_equal(ink("35 % قطة")[:, :width], number[:, :width])


def test_a_picture_that_no_file_can_hold_is_refused():
    with pytest.raises(ValueError, match="choose a smaller --count"):
        sheet.Sheet(100, 70_000)
