"""The figure of the kernels: the weights are read back from the pixels of the PNG."""

import io

import numpy as np
import pytest
from PIL import Image

from alexnet_tf.drawing import filters
from alexnet_tf.evaluation import kernels
from tests.support import arrays


def pixels_of(figure):
    return np.asarray(Image.open(io.BytesIO(figure.encoded())).convert("RGB"))


def weights_in(figure):
    """The weights that the pixels of a figure show, [towers, kernels, h, w, 3]."""
    pixels, data = pixels_of(figure), figure.data
    size = data["kernels"].shape[1:3]
    towers = []
    for boxes in data["boxes"]:
        found = []
        for left, top, right, bottom in boxes:
            box = pixels[top:bottom, left:right].astype(np.float64)
            zoom = len(box) // size[0]
            assert box.shape == (zoom * size[0], zoom * size[1], 3)
            blocks = box.reshape(size[0], zoom, size[1], zoom, 3)
            assert (blocks == blocks[:, :1, :, :1]).all()  # each weight is one square
            found.append(blocks[:, 0, :, 0])
        towers.append(found)
    return (np.array(towers) - 127.5) / 127.5 * data["scale"]


@pytest.mark.parametrize(
    "shape",
    [
        *((2, 11, 11, 3, 48), (1, 11, 11, 3, 64), (1, 5, 5, 3, 7), (4, 7, 7, 3, 3)),
        *((1, 1, 1, 3, 1), (1, 60, 40, 3, 2), (1, 3, 3, 3, 300)),
    ],
    ids=str,
)
def test_the_kernels_can_be_read_back_from_the_pixels(shape):
    values = arrays.noise(*shape)
    figure = filters.draw(kernels.Kernels("conv1", values), "RUN")
    expected = values.transpose(0, 4, 1, 2, 3)
    # A pixel is one of 256 steps between the largest magnitudes.
    step = np.abs(values).max() / 127.5
    np.testing.assert_allclose(weights_in(figure), expected, atol=0.51 * step)


def test_one_channel_of_another_layer_is_gray():
    values = arrays.noise(2, 5, 5, 48, 6)
    layer = kernels.Kernels("conv2", values)
    figure = filters.draw(layer, "RUN", channel=9)
    expected = values.transpose(0, 4, 1, 2, 3)[..., 9:10].repeat(3, axis=-1)
    step = np.abs(values).max() / 127.5
    np.testing.assert_allclose(weights_in(figure), expected, atol=0.51 * step)
    assert "channel 9 of the 48 that each kernel reads" in figure.caption
    assert "color_selectivity" not in figure.data
    assert figure.text == ""


def test_the_first_tower_stands_above_the_second():
    figure = filters.draw(kernels.Kernels("conv1", arrays.noise(2, 11, 11, 3, 48)), "")
    first, second = figure.data["boxes"]
    assert first[:, 3].max() < second[:, 1].min()
    assert "towers 0 to 1 from above" in figure.caption


def test_the_words_say_scale_and_color_selectivity():
    gray = np.full((11, 11, 3, 4), -0.25, np.float32)
    blue = gray * np.array([1.0, 1.0, -2.0]).reshape(3, 1)
    figure = filters.draw(
        kernels.Kernels("conv1", np.stack([gray, blue])), "RUN/step-7"
    )
    assert "RUN/step-7" in figure.caption
    assert "black is \N{MINUS SIGN}0.5 and white 0.5" in figure.caption
    for words in (figure.text, figure.alternative):
        assert "conv1, tower 0: color selectivity 0.00" in words
        assert "conv1, tower 1: color selectivity 1.00" in words
    assert filters.DEFINITION in figure.text
