"""The kernels of a layer: paper, figure 3."""

import numpy as np

from alexnet_tf.drawing import canvas, mosaics
from alexnet_tf.drawing.figure import Figure
from alexnet_tf.evaluation import kernels as layer_kernels

_KERNEL_SIDE = 44  # at most, of a drawn kernel that is not larger itself, in pixels

DEFINITION = (
    "Color selectivity: the share of the kernels' squared weights that is left when each "
    "position's mean over red, green and blue is subtracted; 0 is gray, 1 is color "
    "alone, and random weights have 0.67."
)


@canvas.styled()
def draw(
    kernels: layer_kernels.Kernels,
    checkpoint: str,
    *,
    channel: int | None = None,
    name: str = "filters",
) -> Figure:
    """Draws all kernels of a layer, the first tower's above the second's.

    Args:
        kernels: of any layer.
        checkpoint: where they are from, for the caption.
        channel: the channel to show; see `kernels.tiles`.
        name: of the figure.

    Returns:
        A figure whose `data` has `kernels`, float32 [towers, height, width, channels,
        kernels]; `boxes`, where each kernel is in the picture, [towers, kernels, 4] as
        (left, top, right, bottom) in pixels; `scale`, the weight that is white; and for
        kernels that read colors `color_selectivity` [towers] and
        `color_selectivity_of_kernels` [towers, kernels].

    Raises:
        ValueError: the kernels have no such channel.
    """
    tiles = layer_kernels.tiles(kernels, channel)
    towers = len(tiles)
    data = {"kernels": kernels.values, "scale": np.array(kernels.scale)}
    headings = [
        kernels.layer + (f", tower {tower}" if towers > 1 else "")
        for tower in range(towers)
    ]
    text = ""
    if kernels.are_colored:
        of_towers, of_kernels = layer_kernels.color_selectivity(kernels.values)
        data["color_selectivity"] = of_towers
        data["color_selectivity_of_kernels"] = of_kernels
        headings = [
            f"{heading}: color selectivity {number:.2f}"
            for heading, number in zip(headings, of_towers, strict=True)
        ]
        text = "\n".join([*headings, DEFINITION])
    picture, boxes = mosaics.draw(tiles, headings, side=_KERNEL_SIDE)
    return Figure(
        name,
        picture,
        _caption(kernels, checkpoint, channel),
        f"{_what(kernels)}. {'. '.join(headings)}.",
        data | {"boxes": boxes},
        text,
    )


def _what(kernels: layer_kernels.Kernels) -> str:
    towers, height, width, channels, count = kernels.values.shape
    what = f"The {towers * count} kernels of {kernels.layer}"
    if kernels.place:
        what += " at row {} and column {}".format(*kernels.place)
    return f"{what}, {height} x {width} weights in {channels} channels"


def _caption(
    kernels: layer_kernels.Kernels, checkpoint: str, channel: int | None
) -> str:
    towers = len(kernels.values)
    order = "" if towers == 1 else f" (towers 0 to {towers - 1} from above)"
    if kernels.are_colored and channel is None:
        shown = "the three channels are red, green and blue"
    else:
        shown = (
            f"channel {channel or 0} of the {kernels.channels} that each kernel reads is "
            "shown"
        )
    return (
        f"{_what(kernels)}, of {checkpoint}{order}; {shown}. All share one scale: gray is "
        f"a weight of 0, black is \N{MINUS SIGN}{kernels.scale:.3g} and white "
        f"{kernels.scale:.3g}, the largest magnitude of a weight in the layer."
    )
