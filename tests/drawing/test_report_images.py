"""Images of a page are as large as their figures, and get smaller if they must."""

import io

import numpy as np
import PIL.Image
import pytest

from alexnet_tf.drawing import canvas
from alexnet_tf.drawing.figure import Figure
from alexnet_tf.drawing.report import images
from tests.support.images import random_image

SVG = '<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" {}/>'


def figure_of(picture):
    return Figure("bars", picture, "Two bars.", "One of 1, one of 2.", {"bars": [1, 2]})


def noise(width, height):
    """A figure of noise, which PNG cannot make smaller."""
    with canvas.styled():
        picture = canvas.new_pixel_picture(width, height)
        canvas.add_pixels(picture, random_image(0, height, width), 0, 0)
    return images.of_figure(figure_of(picture))


def test_a_figure_becomes_an_image_with_its_words():
    with canvas.styled():
        image = images.of_figure(figure_of(canvas.new_picture(3, 2)))
    assert (image.type, image.width, image.height) == ("image/png", 300, 200)
    assert (image.caption, image.alternative) == ("Two bars.", "One of 1, one of 2.")
    assert image.address.startswith("data:image/png;base64,iVBOR")


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ('width="300" height="20.4"', (300, 20)),
        ('width="300px" height="20px"', (300, 20)),
        ('height="36pt" width="72pt"', (96, 48)),
        ('viewBox="0 0 9 9" width="1in" height="1in"', (96, 96)),
    ],
)
def test_the_size_of_an_svg_file_is_in_pixels(size, expected):
    image = images.of_figure(figure_of(SVG.format(size)))
    assert (image.width, image.height) == expected
    assert image.type == "image/svg+xml"


@pytest.mark.parametrize("size", ['width="300"', 'width="100%" height="9"', ""])
def test_an_svg_file_without_a_size_is_refused(size):
    with pytest.raises(ValueError, match="the SVG file has no"):
        images.of_figure(figure_of(SVG.format(size)))


def test_images_that_fit_are_not_touched():
    shown = [
        noise(60, 40),
        images.of_figure(figure_of(SVG.format('width="1" height="1"'))),
    ]
    assert images.fit(shown, images.total(shown)) == shown
    assert images.total(shown) == sum(len(image.address) for image in shown)


def test_images_that_do_not_fit_lose_bytes_and_keep_their_size_on_the_page():
    shown = [
        noise(600, 400),
        images.of_figure(figure_of(SVG.format('width="1" height="1"'))),
    ]
    budget = images.total(shown) // 8
    smaller = images.fit(shown, budget)
    assert images.total(smaller) <= budget
    assert (smaller[0].width, smaller[0].height) == (600, 400)
    assert smaller[0].alternative == shown[0].alternative
    assert smaller[1] == shown[1]
    with PIL.Image.open(io.BytesIO(smaller[0].data)) as decoded:
        assert decoded.format == "WEBP"
        assert 300 <= decoded.width < 600


def test_an_image_is_still_the_same_picture_after_that():
    pixels = np.zeros((200, 300, 3), np.uint8)
    pixels[:, 150:] = [250, 20, 20]
    with canvas.styled():
        picture = canvas.new_pixel_picture(300, 200)
        canvas.add_pixels(picture, pixels, 0, 0)
    image = images.of_figure(figure_of(picture))
    (smaller,) = images.fit([image], images.total([image]) - 1)
    with PIL.Image.open(io.BytesIO(smaller.data)) as decoded:
        found = np.asarray(decoded.convert("RGB").resize((300, 200))).astype(int)
    assert np.abs(found[:, :140]).max() < 20
    assert np.abs(found[:, 160:] - [250, 20, 20]).max() < 20


def test_images_that_can_never_fit_are_refused():
    with pytest.raises(ValueError, match="name fewer runs"):
        images.fit([noise(60, 40)], 100)
