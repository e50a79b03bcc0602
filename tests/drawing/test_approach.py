"""The figure of how fast the training error falls."""

from alexnet_tf.drawing import approach

SETTINGS = [
    ("relu", {0: [(0.5, 60.0), (1.0, 20.0)], 1: [(0.5, 62.0), (1.0, 22.0)]}),
    ("tanh", {0: [(0.5, 80.0), (1.0, 50.0)]}),
]


def test_every_seed_is_a_line_in_the_color_of_its_setting():
    picture = approach.draw(SETTINGS, 25.0).picture
    (axes,), (legend,) = picture.axes, picture.legends
    *curves, limit = axes.lines
    assert [list(line.get_ydata()) for line in curves] == [
        *([60.0, 20.0], [62.0, 22.0], [80.0, 50.0])
    ]
    colors = [line.get_color() for line in curves]
    assert colors[0] == colors[1] != colors[2]
    assert list(limit.get_ydata()) == [25.0, 25.0]
    assert [t.get_text() for t in legend.get_texts()] == ["relu", "tanh"]


def test_the_words_and_the_data_have_the_numbers():
    drawn = approach.draw(SETTINGS, 25.0)
    assert (
        drawn.alternative == "relu: 20.0, 22.0 % at the end; tanh: 50.0 % at the end."
    )
    assert drawn.data["settings"][1]["by_seed"] == {"0": [(0.5, 80.0), (1.0, 50.0)]}
