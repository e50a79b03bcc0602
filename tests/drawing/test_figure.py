"""The files of a figure."""

import json

import numpy as np
import pytest
from PIL import Image

from alexnet_tf.drawing import canvas
from alexnet_tf.drawing.figure import Figure, write


def figure_of(data, picture=None):
    with canvas.styled():
        picture = picture or canvas.new_picture(3, 2)
    return Figure("bars", picture, "Two bars.", "One of 1 and one of 2.", data, "1 2")


def test_a_figure_is_a_picture_its_data_and_its_words(tmp_path):
    folder = tmp_path / "new" / "folder"
    picture, data, words = write(figure_of({"bars": np.array([1, 2])}), folder)
    with Image.open(picture) as image:
        assert image.size == (300, 200)
        assert image.text == {"Title": "bars", "Description": "Two bars."}
    with np.load(data) as found:
        assert found["bars"].tolist() == [1, 2]
    assert words.read_text() == "Two bars.\n\nOne of 1 and one of 2.\n\n1 2\n"
    assert sorted(p.name for p in folder.iterdir()) == [
        "bars.npz",
        "bars.png",
        "bars.txt",
    ]


def test_data_that_are_no_arrays_and_a_picture_of_text(tmp_path):
    found = figure_of({"bars": [1, 2], "name": "x"}, "<svg/>")
    picture, data, _ = write(found, tmp_path)
    assert picture == tmp_path / "bars.svg"
    assert picture.read_text() == "<svg/>"
    assert json.loads(data.read_text()) == {"bars": [1, 2], "name": "x"}


def test_the_same_figure_has_the_same_bytes(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        write(figure_of({"bars": np.arange(5)}), folder)
    for path in one.iterdir():
        assert path.read_bytes() == (other / path.name).read_bytes()


def test_files_of_the_same_names_are_replaced(tmp_path):
    write(figure_of({"bars": np.array([1, 2])}), tmp_path)
    write(figure_of({"bars": np.array([3])}), tmp_path)
    with np.load(tmp_path / "bars.npz") as found:
        assert found["bars"].tolist() == [3]


def test_a_figure_that_cannot_be_encoded_leaves_the_earlier_files(tmp_path):
    write(figure_of({"bars": [1]}, "<svg/>"), tmp_path)
    with pytest.raises(TypeError):
        write(figure_of({"bars": object()}, "<svg/>"), tmp_path)
    assert json.loads((tmp_path / "bars.json").read_text()) == {"bars": [1]}


def test_names_in_any_script_and_with_dollar_signs_are_drawn():
    with canvas.styled():
        picture = canvas.new_picture(3, 2)
        picture.text(0.1, 0.5, "$100 \N{SNOWMAN} \u732b $")
    assert canvas.png(picture, "t", "a \u732b").startswith(b"\x89PNG")
