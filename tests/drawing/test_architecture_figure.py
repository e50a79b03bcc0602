"""The figure of a network: its picture is read back, and its numbers compared."""

import collections
import dataclasses
import re
from xml.etree import ElementTree

import pytest

from alexnet_tf.drawing import architecture
from alexnet_tf.models import architecture as architectures
from alexnet_tf.models import zoo
from tests.support import nets

SVG = "{http://www.w3.org/2000/svg}"


def groups(figure, kind):
    """The groups of one class in the picture, as (layer, tower, group)."""
    root = ElementTree.fromstring(figure.picture)
    return [
        (group.get("data-layer"), int(group.get("data-tower")), group)
        for group in root.iter(f"{SVG}g")
        if group.get("class") == kind
    ]


def places(figure, kind):
    """How many groups of one class each layer has, by tower."""
    return collections.Counter(
        (layer, tower) for layer, tower, _ in groups(figure, kind)
    )


def points_of(element):
    """All points (x, y) of polygons, lines and text below an element."""
    for part in element.iter():
        if part.tag == f"{SVG}polygon":
            for pair in part.get("points").split():
                yield tuple(map(float, pair.split(",")))
        elif part.tag == f"{SVG}line":
            yield float(part.get("x1")), float(part.get("y1"))
            yield float(part.get("x2")), float(part.get("y2"))
        elif part.tag == f"{SVG}text":
            yield float(part.get("x")), float(part.get("y"))


def grouped(towers):
    """A net of `towers` towers with all kinds of layers."""
    layers = [
        dataclasses.replace(layer, filters=towers * 4)
        if isinstance(layer, architectures.Convolution)
        else dataclasses.replace(layer, units=towers * 6)
        if isinstance(layer, architectures.Dense) and layer.split
        else layer
        for layer in nets.SMALL.layers
    ]
    local = architectures.UnsharedConvolution(
        "local", filters=towers * 2, kernel_size=3, inputs="both"
    )
    return dataclasses.replace(
        nets.SMALL, towers=towers, layers=(*layers[:2], local, *layers[2:])
    )


def test_the_picture_has_one_block_per_tower_and_exchanges_as_in_figure_2():
    figure = architecture.draw(zoo.PAPER)
    layers = ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7"]
    both = {(layer, tower): 1 for layer in layers for tower in (0, 1)}
    assert places(figure, "block") == both | {("image", 0): 1, ("fc8", 0): 1}
    crossing = {
        (layer, tower): 1 for layer in ("conv3", "fc6", "fc7") for tower in (0, 1)
    }
    assert places(figure, "exchange") == crossing | {("fc8", 0): 1}
    # Every block reads its own tower too, or the image.
    assert places(figure, "connection") == both | {("fc8", 0): 1}
    assert "2 towers that exchange at conv3, fc6, fc7, fc8;" in figure.caption


def test_the_first_tower_is_drawn_above_the_second():
    blocks = {
        (layer, tower): [y for _, y in points_of(group)]
        for layer, tower, group in groups(architecture.draw(zoo.PAPER), "block")
    }
    for layer in ("conv1", "conv5", "fc7"):
        assert max(blocks[layer, 0]) < min(blocks[layer, 1])


def test_the_table_has_the_papers_numbers():
    figure = architecture.draw(zoo.PAPER)
    lines = {line.split()[0]: line.split() for line in figure.text.splitlines()[2:]}
    assert "150,528" in lines["image"]
    for layer, kernel, output, neurons, parameters in (
        ("conv1", "11 x 11 x 3", "55 x 55 x 96", "290,400", "34,944"),
        ("conv2", "5 x 5 x 48", "27 x 27 x 256", "186,624", "307,456"),
        ("conv3", "3 x 3 x 256", "13 x 13 x 384", "64,896", "885,120"),
        ("conv5", "3 x 3 x 192", "13 x 13 x 256", "43,264", "442,624"),
    ):
        line = " ".join(lines[layer])
        assert f" {kernel} " in line
        assert f" {output} {neurons} {parameters} " in line
    assert lines["total"][-3:] == ["659,272", "60,965,224", "724,406,816"]
    assert (figure.data["neurons"], figure.data["parameters"]) == (659_272, 60_965_224)


def test_a_normalization_over_all_towers_is_named_and_drawn():
    figure = architecture.draw(zoo.CAFFENET)
    assert "exchange at the LRN of conv1, the LRN of conv2, conv3," in figure.caption
    assert set(places(figure, "normalization")) == {("conv1", 0), ("conv2", 0)}
    assert not places(architecture.draw(zoo.PAPER), "normalization")


def test_one_tower_exchanges_nothing():
    figure = architecture.draw(zoo.CIFAR10_11PCT)
    assert not places(figure, "exchange")
    assert ": 1 tower; " in figure.caption
    assert "3 x 3 x 64 unshared" in figure.text


def test_towers_that_never_meet_exchange_nothing():
    layers = (
        architectures.Convolution("conv1", filters=4, kernel_size=3),
        architectures.Dense("fc2", units=4),
    )
    net = dataclasses.replace(nets.SMALL, layers=layers)
    figure = architecture.draw(net)
    assert not places(figure, "exchange")
    assert "2 towers that exchange nothing;" in figure.caption


ALL = [*zoo.ARCHITECTURES.values(), *map(grouped, (2, 3, 8, 64))]


@pytest.mark.parametrize("net", ALL, ids=lambda net: f"{net.name}-{net.towers}")
def test_everything_that_is_drawn_lies_within_the_picture(net):
    figure = architecture.draw(net)
    root = ElementTree.fromstring(figure.picture)
    *_, width, height = map(float, root.get("viewBox").split())
    for x, y in points_of(root):
        assert 0 <= x <= width
        assert 0 <= y <= height
    # No text runs into the next column: a letter is at most 7 pixels wide.
    columns = collections.defaultdict(set)
    for text in root.findall(f"{SVG}text"):
        if text.get("font-style") == "italic":
            continue  # it stands below all columns
        columns[float(text.get("x"))].add(len(text.text))
    lefts = sorted(columns)
    for left, right in zip(lefts, [*lefts[1:], width], strict=True):
        assert left + 7 * max(columns[left]) <= right
    names = [layer["name"] for layer in figure.data["layers"]]
    assert all(name in figure.text and name in figure.alternative for name in names)


def test_of_very_many_towers_some_are_drawn_and_the_rest_counted():
    figure = architecture.draw(grouped(64))
    towers = {tower for _, tower in places(figure, "block")}
    assert towers == set(range(8))
    assert "and 56 more towers like these" in figure.picture
    assert "64 towers" in figure.caption


def test_odd_names_of_layers_are_text():
    names = ["<script>alert(1)</script>", "a\x1b[31m\x00b", "\u732b & $x$"]
    layers = [
        architectures.Convolution(
            name, filters=2, kernel_size=3, padding=(1, 1), inputs="both"
        )
        for name in names
    ]
    odd = {"name": "<b>\x07", "description": "\x1b[2J"}
    net = dataclasses.replace(nets.SMALL, layers=tuple(layers), **odd)
    figure = architecture.draw(net)
    root = ElementTree.fromstring(figure.picture)
    assert root.find(f".//{SVG}script") is None
    assert "<script>alert(1)</script>" in {
        text.text for text in root.iter(f"{SVG}text")
    }
    assert not re.search(
        r"[\x00\x1b]", figure.picture + figure.text + figure.alternative
    )


def test_the_picture_has_a_title_and_a_description():
    root = ElementTree.fromstring(architecture.draw(zoo.PAPER, of="RUN/step-3").picture)
    assert root.find(f"{SVG}title").text == "The network paper"
    assert "of RUN/step-3" in root.find(f"{SVG}desc").text
