"""A network as the paper's figure 2 draws it: its towers, maps, kernels and exchanges.

The picture is an SVG: text that can be searched, and sharp at any size.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

from alexnet_tf.drawing.figure import Figure
from alexnet_tf.models import architecture as architectures
from alexnet_tf.models import stages
from alexnet_tf.models.stages import Stage
from alexnet_tf.runtime import names

# In pixels.
_MARGIN = 16
_LETTER = 6.4  # width of a letter, generously
_LINE = 15  # height of a line of text
_SIDE = 96  # of the largest map
_WIDTH = 36  # of the most channels
_LEAN = 0.34, 0.22  # how far a map leans to the right and up, in parts of its side
_DENSE = 14.0, 110.0  # width of a dense layer, and height of the largest
_MOST_TOWERS = 8  # that are drawn

_TOWER_COLORS = ("#9ecae1", "#fdbe85", "#a1d99b", "#bcbddc")
_IMAGE_COLOR = "#d9d9d9"
_LINE_COLOR = "#333333"
_EXCHANGE_COLOR = "#D55E00"


def draw(net: architectures.Architecture, *, of: str = "") -> Figure:
    """Draws any network.

    Args:
        net: the network.
        of: the checkpoint that it is from, for the caption; may be "".

    Returns:
        A figure whose `picture` is SVG, whose `text` is a table of the layers, and whose
        `data` are the numbers of that table.
    """
    found = stages.stages_of(net)
    neurons = stages.neurons(found)
    parameters = sum(stage.parameters for stage in found)
    multiply_adds = sum(stage.multiply_adds for stage in found)
    exchanging = [
        where
        for stage in found
        for where, there in (
            (_name(stage), stage.exchanges),
            (f"the LRN of {_name(stage)}", _normalizes_all_towers(stage)),
        )
        if there
    ]
    towers = f"{net.towers} tower" + ("s" if net.towers > 1 else "")
    exchange = ""
    if net.towers > 1:
        exchange = " that exchange " + (
            f"at {', '.join(exchanging)}" if exchanging else "nothing"
        )
    totals = (
        f"{neurons:,} neurons, {parameters:,} parameters and {multiply_adds:,} "
        "multiply-adds per image"
    )
    what = f"The network {names.escaped(net.name)}{f' of {of}' if of else ''}"
    caption = (
        f"{what}: {towers}{exchange}; {totals}. Each block is a layer's output in one "
        "tower; the small area on the block before it is what one kernel reads, and "
        "orange lines cross between towers."
    )
    layers = "; ".join(map(_in_words, found))
    table = _table(found)
    return Figure(
        "architecture",
        _svg(net, found, caption),
        caption,
        f"{what} has {towers}{exchange}. From the image on: {layers}. Together {totals}.",
        {
            "name": net.name,
            "description": net.description,
            "towers": net.towers,
            "neurons": neurons,
            "parameters": parameters,
            "multiply_adds": multiply_adds,
            "layers": [_numbers(stage) for stage in found],
        },
        f"{names.escaped(net.name)}: {names.escaped(net.description)}\n\n{table}",
    )


def _name(stage: Stage) -> str:
    return names.escaped(stage.name)


def _normalizes_all_towers(stage: Stage) -> bool:
    """Whether a normalization after the stage reads the channels of all towers."""
    return stage.towers > 1 and any(
        isinstance(step, architectures.ResponseNormalization) and step.inputs == "both"
        for step in stage.steps
    )


def _numbers(stage: Stage) -> dict[str, Any]:
    layer = stage.layer
    return {
        "name": stage.name,
        "kind": "image" if layer is None else type(layer).__name__.lower(),
        "towers": stage.towers,
        "sources": [list(read) for read in stage.sources],
        "exchanges": stage.exchanges,
        "shape": list(stage.shape),
        "kernel": list(stage.kernel),
        "stride": _stride(stage),
        "padding": list(getattr(layer, "padding", ())) or None,
        "steps": [stages.step_text(step) for step in stage.steps],
        "final_shape": list(stage.final_shape),
        "neurons": stage.neurons,
        "parameters": stage.parameters,
        "multiply_adds": stage.multiply_adds,
    }


def _stride(stage: Stage) -> int | None:
    """The stride of a convolution, and None of other layers."""
    if isinstance(stage.layer, architectures.UnsharedConvolution):
        return 1
    return getattr(stage.layer, "stride", None)


def _table(found: Sequence[Stage]) -> str:
    """The layers as a table, with totals in its last line."""
    header = ["layer", "towers", "reads", "kernel", "stride", "padding", "output"]
    rows = [[*header, "neurons", "parameters", "multiply-adds", "then"]]
    for stage in found:
        is_image = stage.layer is None
        padding = getattr(stage.layer, "padding", None)
        rows.append(
            [
                _name(stage),
                "" if is_image else str(stage.towers),
                "" if is_image else _reads(stage),
                stages.shape_text(stage.kernel) + _unshared(stage),
                str(_stride(stage) or ""),
                "" if padding is None else ", ".join(map(str, padding)),
                stages.shape_text(stage.shape),
                f"{stage.neurons:,}",
                *(["", ""] if is_image else map("{:,}".format, _costs(stage))),
                ", ".join(map(stages.step_text, stage.steps)),
            ]
        )
    costs = [sum(column) for column in zip(*map(_costs, found), strict=True)]
    total = [stages.neurons(found), *costs]
    rows.append(["total", *[""] * 6, *map("{:,}".format, total), ""])
    rows[-1][6] = "without the image:"
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    right = {1, 4, 7, 8, 9}
    return "\n".join(
        "  ".join(
            text.rjust(width) if number in right else text.ljust(width)
            for number, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _costs(stage: Stage) -> tuple[int, int]:
    return stage.parameters, stage.multiply_adds


def _reads(stage: Stage) -> str:
    if stage.exchanges:
        return "all towers" if len(stage.sources[0]) > 1 else "tower 0"
    if not stage.sources[0]:
        return "image"
    return "own tower" if stage.towers > 1 else "all"


def _unshared(stage: Stage) -> str:
    unshared = isinstance(stage.layer, architectures.UnsharedConvolution)
    return " unshared" if unshared else ""


def _in_words(stage: Stage) -> str:
    """Describes a stage in one phrase, for readers who cannot see the figure."""
    name = _name(stage)
    then = "".join(f", {stages.step_text(step)}" for step in stage.steps)
    if stage.layer is None:
        return f"{name}, {stages.shape_text(stage.shape)}{then}"
    kernels = f"kernels of {stages.shape_text(stage.kernel)}{_unshared(stage)}"
    stride = _stride(stage)
    return (
        f"{name}, {stages.shape_text(stage.shape)}, "
        f"{f'{kernels} with stride {stride}' if stride else 'dense'}, "
        f"{stage.parameters:,} parameters{', reads other towers' * stage.exchanges}{then}"
    )


@dataclasses.dataclass(frozen=True)
class _Block:
    """A layer's output in one tower, as it is drawn: its front face, and its lean."""

    left: float
    middle: float  # from the top
    width: float
    height: float
    lean: tuple[float, float] = (0.0, 0.0)

    @property
    def right(self) -> float:
        return self.left + self.width

    def side(self, scale: float = 1.0) -> list[tuple[float, float]]:
        """The corners of the face at the right, or of a smaller one in its middle."""
        across, up = self.lean
        x, y = self.right + across / 2, self.middle - up / 2
        corners = ((-1, -1), (1, -1), (1, 1), (-1, 1))
        return [
            (
                x + scale * right * across / 2,
                y + scale * (down * self.height / 2 - right * up / 2),
            )
            for right, down in corners
        ]

    def front(self) -> list[tuple[float, float]]:
        top, bottom = self.middle - self.height / 2, self.middle + self.height / 2
        left, right = self.left, self.right
        return [(left, top), (right, top), (right, bottom), (left, bottom)]

    def top(self) -> list[tuple[float, float]]:
        across, up = self.lean
        left, right = self.front()[:2]
        moved = [(x + across, y - up) for x, y in (right, left)]
        return [left, right, *moved]


class _Scale:
    """How large a layer is drawn: its area grows with its number of maps or units."""

    def __init__(self, found: Sequence[Stage]):
        maps = [stage.shape for stage in found if len(stage.shape) == 3]
        self._side = max(shape[0] for shape in maps)
        self._channels = max(
            stage.shape[2] / stage.towers for stage in found if len(stage.shape) == 3
        )
        units = [
            stage.shape[0] / stage.towers for stage in found if len(stage.shape) == 1
        ]
        self._units = max(units, default=1)

    def block(self, stage: Stage, left: float, middle: float) -> _Block:
        if len(stage.shape) == 1:
            width, most = _DENSE
            part = math.sqrt(stage.shape[0] / stage.towers / self._units)
            return _Block(left, middle, width, max(4, most * part))
        side, _, channels = stage.shape
        height = max(6, _SIDE * math.sqrt(side / self._side))
        width = max(3, _WIDTH * math.sqrt(channels / stage.towers / self._channels))
        return _Block(
            left, middle, width, height, (_LEAN[0] * height, _LEAN[1] * height)
        )


def _svg(net: architectures.Architecture, found: Sequence[Stage], caption: str) -> str:
    rows = min(net.towers, _MOST_TOWERS)
    footers = [_footer(stage) for stage in found]
    letters = [max(map(len, footer)) for footer in footers]
    widths = [max(_LETTER * count, 96) + _MARGIN for count in letters]
    lefts = [_MARGIN + sum(widths[:number]) for number in range(len(found))]
    row = max(_SIDE * (1 + _LEAN[1]), _DENSE[1]) + 2 * _LINE
    body = rows * row
    note = _LINE if net.towers > rows else 0
    lines = max(map(len, footers))
    width = lefts[-1] + widths[-1] + _MARGIN
    height = 2 * _MARGIN + body + note + _LINE * (lines + 2)
    svg = ElementTree.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {width:.0f} {height:.0f}",
            "width": f"{width:.0f}",
            "height": f"{height:.0f}",
            "role": "img",
            "font-family": "Helvetica, Arial, 'DejaVu Sans', sans-serif",
            "font-size": "11",
        },
    )
    ElementTree.SubElement(svg, "title").text = f"The network {names.escaped(net.name)}"
    ElementTree.SubElement(svg, "desc").text = caption
    ElementTree.SubElement(
        svg, "rect", {"width": "100%", "height": "100%", "fill": "#fff"}
    )
    scale = _Scale(found)
    blocks: list[list[_Block]] = []
    for stage, left in zip(found, lefts, strict=True):
        middles = [_MARGIN + row * (tower + 0.55) for tower in range(rows)]
        if stage.layer is None:
            middles = [sum(middles) / rows]
        blocks.append([scale.block(stage, left, y) for y in middles[: stage.towers]])
    for stage, own in zip(found, blocks, strict=True):
        _draw_blocks(svg, stage, own)
        if _normalizes_all_towers(stage):
            group = _group(svg, "normalization", stage, 0)
            group.set("stroke", _EXCHANGE_COLOR)
            group.set("stroke-dasharray", "3 3")
            x = own[0].side()[1][0] + 5
            _line(group, (x, own[0].middle), (x, own[-1].middle))
    for stage, before, own, read in zip(
        found[1:], found, blocks[1:], blocks, strict=False
    ):
        _draw_connections(svg, stage, before, own, read)
        _draw_kernels(svg, stage, before, own, read)
    foot = _MARGIN + body + note + 2 * _LINE
    if note:
        more = f"and {net.towers - rows} more towers like these"
        _text(svg, _MARGIN, foot - _LINE, more, {"font-style": "italic"})
    for left, footer in zip(lefts, footers, strict=True):
        for number, line in enumerate(footer):
            bold = {"font-weight": "bold"} if number == 0 else {}
            _text(svg, left, foot + number * _LINE, line, bold)
    ElementTree.indent(svg)
    return ElementTree.tostring(svg, encoding="unicode") + "\n"


def _footer(stage: Stage) -> list[str]:
    """The lines below a stage."""
    name, steps = _name(stage), list(map(stages.step_text, stage.steps))
    if stage.layer is None:
        return [
            name,
            stages.shape_text(stage.shape),
            f"{stage.neurons:,} values",
            *steps,
        ]
    stride = _stride(stage)
    if stride:
        count = stage.shape[-1]
        reads = [
            f"{count} kernels" + _unshared(stage),
            stages.shape_text(stage.kernel),
            f"stride {stride}",
        ]
    else:
        reads = ["dense", f"{stage.kernel[0]:,} inputs"]
    counts = [f"{stage.neurons:,} neurons", f"{stage.parameters:,} parameters"]
    return [name, *reads, *counts, *steps]


def _draw_blocks(svg: ElementTree.Element, stage: Stage, blocks: list[_Block]) -> None:
    for tower, block in enumerate(blocks):
        color = _TOWER_COLORS[tower % len(_TOWER_COLORS)]
        group = _group(svg, "block", stage, tower)
        group.set("fill", _IMAGE_COLOR if stage.layer is None else color)
        group.set("stroke", _LINE_COLOR)
        if block.lean != (0.0, 0.0):
            _polygon(group, block.top(), {"fill-opacity": "0.6"})
            _polygon(group, block.side(), {"fill-opacity": "0.8"})
        _polygon(group, block.front(), {})
        *sides, channels = stage.shape
        label = stages.shape_text([*sides, channels // stage.towers])
        bottom = block.middle + block.height / 2 + _LINE - 3
        style = {"fill": "#000", "stroke": "none"}
        _text(group, block.left, bottom, label, style)


def _pairs(stage: Stage, blocks: list[_Block], read: list[_Block]):
    """Yields (tower, its block, block that it reads, whether it is another tower's)."""
    for tower, block in enumerate(blocks):
        if not stage.sources[tower]:
            yield tower, block, read[0], False
        for source in stage.sources[tower]:
            if source < len(read):  # it is drawn
                yield tower, block, read[source], source != tower


def _draw_connections(svg, stage, before, blocks, read) -> None:
    """The lines from what each tower reads to its block."""
    for tower, block, source, crosses in _pairs(stage, blocks, read):
        group = _group(svg, "exchange" if crosses else "connection", stage, tower)
        group.set("stroke", _EXCHANGE_COLOR if crosses else "#888888")
        for start in _area(stage, before, source):
            _line(group, start, (block.left, block.middle))


def _draw_kernels(svg, stage, before, blocks, read) -> None:
    """What one kernel reads, on the block that it reads."""
    drawn = set()
    for tower, _, source, _ in _pairs(stage, blocks, read):
        if source not in drawn and source.lean != (0.0, 0.0):
            drawn.add(source)
            group = _group(svg, "kernel", stage, tower)
            group.set("fill", "none")
            group.set("stroke", _LINE_COLOR)
            corners = source.side(_part(stage, before))
            _polygon(group, corners, {"stroke-width": "1.4"})


def _part(stage: Stage, before: Stage) -> float:
    """The side of a kernel in parts of the side of the map that it reads."""
    if len(stage.kernel) != 3:
        return 1.0
    # Pooling is not drawn: the kernel covers so many pixels of the block before it.
    return min(1.0, max(stage.kernel[0] / before.final_shape[0], 0.08))


def _area(stage: Stage, before: Stage, source: _Block) -> list[tuple[float, float]]:
    """The points at which the lines of a kernel begin."""
    if source.lean == (0.0, 0.0):
        return [(source.right, source.middle)]
    corners = source.side(_part(stage, before))
    return [corners[1], corners[2]]


def _group(
    parent: ElementTree.Element, kind: str, stage: Stage, tower: int
) -> ElementTree.Element:
    where = {"data-layer": _name(stage), "data-tower": str(tower)}
    return ElementTree.SubElement(parent, "g", {"class": kind, **where})


def _polygon(
    parent: ElementTree.Element,
    corners: Sequence[tuple[float, float]],
    style: dict[str, str],
) -> None:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
    ElementTree.SubElement(parent, "polygon", {"points": points, **style})


def _line(
    parent: ElementTree.Element, start: tuple[float, float], end: tuple[float, float]
) -> None:
    (x1, y1), (x2, y2) = start, end
    places = {"x1": x1, "y1": y1, "x2": x2, "y2": y2}
    ElementTree.SubElement(
        parent, "line", {name: f"{value:.1f}" for name, value in places.items()}
    )


def _text(
    parent: ElementTree.Element, x: float, y: float, text: str, style: dict[str, str]
) -> None:
    found = ElementTree.SubElement(
        parent, "text", {"x": f"{x:.1f}", "y": f"{y:.1f}", **style}
    )
    found.text = text
