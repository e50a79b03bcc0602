"""The maps of a layer for one image, as the 2012 program's `shownet.py --show-maps`."""

import numpy as np

from alexnet_tf.drawing import canvas, mosaics
from alexnet_tf.drawing.figure import Figure
from alexnet_tf.evaluation import kernels as layer_kernels

# In pixels.
_SIDE = 60  # at most, of a drawn map that is not larger itself
_WIDTH = 1000  # at most, of a row of maps that are not wider themselves
_ONE_SIDE = 330  # of a map that is drawn alone
_IMAGE = 112
_ABOVE = 142  # the mosaics, for the image

# The part of the values that one scale shows. The few largest would darken all others.
_SHOWN = 99.5


def scale_of(values: np.ndarray) -> float:
    """The magnitude that is drawn white: 99.5 percent of the values that are not 0 are less.

    Example:
        >>> scale_of(np.zeros(3)), round(scale_of(np.arange(1001.0)), 1)
        (1.0, 995.0)
    """
    magnitudes = np.abs(values[values != 0])
    return float(np.percentile(magnitudes, _SHOWN)) if magnitudes.size else 1.0


def tiles(values: np.ndarray) -> np.ndarray:
    """Returns maps as gray images, uint8 [towers, maps, height, width, 3].

    If no value is negative, 0 is black, and otherwise 0 is gray.

    Args:
        values: [towers, height, width, maps].
    """
    shown = values / scale_of(values)
    gray = 127.5 + 127.5 * shown if values.min() < 0 else 255 * shown
    pixels = np.rint(np.clip(gray, 0, 255)).astype(np.uint8)
    return np.repeat(pixels.transpose(0, 3, 1, 2)[..., None], 3, axis=-1)


@canvas.styled()
def draw(
    values: np.ndarray,
    pixels: np.ndarray,
    layer: str,
    checkpoint: str,
    image: str,
    *,
    channel: int | None = None,
    name: str = "maps",
) -> Figure:
    """Draws the maps of a layer, the first tower's above the second's.

    Args:
        values: float32 [towers, height, width, maps of a tower].
        pixels: what the net sees of the image, uint8 [side, side, 3].
        layer: the name of the layer.
        checkpoint, image: the net, and the name of the image, for the caption.
        channel: the map to draw alone, counted over all towers; None draws all.
        name: of the figure.

    Returns:
        A figure whose `data` has `maps`, the values of all maps; `pixels`; `scale`, the
        value that is white; and `boxes`, where each map is in the picture, [towers,
        maps, 4] as (left, top, right, bottom) in pixels.

    Raises:
        ValueError: the layer has no such map.
    """
    towers, _, _, count = values.shape
    images, headings = tiles(values), _headings(values, layer)
    side = min(_SIDE, _WIDTH // layer_kernels.columns_of(count))
    if channel is not None:
        if not 0 <= channel < towers * count:
            raise ValueError(
                f"--channel={channel}: {layer} has {towers * count} maps, so name one of "
                f"0 to {towers * count - 1}"
            )
        tower, number = divmod(channel, count)
        images, side = images[tower : tower + 1, number : number + 1], _ONE_SIDE
        headings = [f"{layer}, map {channel}"]
    picture, boxes = mosaics.draw(images, headings, side=side, above=_ABOVE)
    width, height = picture.get_size_inches() * canvas.DPI
    axes = picture.add_axes(
        (
            mosaics.MARGIN / width,
            1 - (mosaics.MARGIN + _IMAGE) / height,
            _IMAGE / width,
            _IMAGE / height,
        )
    )
    axes.imshow(pixels, aspect="auto", interpolation="antialiased")
    axes.set_axis_off()
    return Figure(
        name,
        picture,
        _caption(values, layer, checkpoint, image, channel),
        f"{_what(values, layer)} for {image}. {'. '.join(headings)}.",
        {
            "maps": values,
            "pixels": pixels,
            "scale": np.array(scale_of(values)),
            "boxes": boxes,
        },
        "\n".join(headings),
    )


def _what(values: np.ndarray, layer: str) -> str:
    towers, height, width, count = values.shape
    return f"The {towers * count} maps of {layer}, {height} x {width} each"


def _headings(values: np.ndarray, layer: str) -> list[str]:
    towers, *_, count = values.shape
    found = []
    for tower, maps in enumerate(values):
        silent = int((maps == 0).all(axis=(0, 1)).sum())
        of = f", tower {tower}" if towers > 1 else ""
        found.append(f"{layer}{of}: {silent} of {count} maps are 0 everywhere")
    return found


def _caption(
    values: np.ndarray, layer: str, checkpoint: str, image: str, channel: int | None
) -> str:
    which = "" if channel is None else f", of which map {channel} is shown"
    towers = len(values)
    order = ""
    if towers > 1 and channel is None:
        order = f" (towers 0 to {towers - 1} from above)"
    scale = scale_of(values)
    signed = f"0 is gray, \N{MINUS SIGN}{scale:.3g} black"
    black = signed if values.min() < 0 else "0 is black"
    return (
        f"{_what(values, layer)}{which}, of {checkpoint}{order}, for the image {image}, "
        f"which is above. All maps share one scale: {black} and {scale:.3g} white; "
        f"{_SHOWN} % of the values that are not 0 are within it."
    )
