"""The figure of a study: a dot per seed and a line at each mean."""

import pytest

from alexnet_tf.drawing import figure, spread

SETTINGS = [("small", {0: 10.0, 1: 14.0}), ("no LRN", {0: 12.0, 1: None})]


def test_every_seed_is_a_dot_and_every_mean_a_line():
    drawn = spread.draw(SETTINGS, "top-1 error, %")
    (axes,) = drawn.picture.axes
    dots, mean, *_ = axes.lines
    assert list(dots.get_xdata()) == [10.0, 14.0]
    assert list(mean.get_xdata()) == [12.0, 12.0]
    assert (
        len(set(dots.get_ydata())) == 2
    )  # so that equal values do not hide each other
    assert [t.get_text() for t in axes.get_yticklabels()] == ["small", "no LRN"]
    assert axes.get_xlabel() == "top-1 error, %"


def test_the_words_have_the_numbers():
    drawn = spread.draw(SETTINGS, "top-1 error, %")
    assert "small: mean 12.00 of 2 seeds" in drawn.alternative
    assert "no LRN: 1 of 2 seeds never reached it" in drawn.alternative
    assert drawn.data["settings"][0]["by_seed"] == {"0": 10.0, "1": 14.0}


@pytest.mark.parametrize("by_seed", [{}, {0: None}])
def test_a_setting_without_a_value_has_an_empty_row(by_seed):
    drawn = spread.draw([*SETTINGS, ("never", by_seed)], "passes")
    assert drawn.picture.axes[0].get_ylim() == (2.5, -0.5)


def test_the_files_are_written(tmp_path):
    written = figure.write(spread.draw(SETTINGS, "passes"), tmp_path)
    assert [path.name for path in written] == [
        "spread.png",
        "spread.json",
        "spread.txt",
    ]
