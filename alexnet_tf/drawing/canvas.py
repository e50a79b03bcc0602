"""Where matplotlib is used: the look of all pictures, and how they become files.

Only matplotlib's objects are used and not `pyplot`, so that nothing global changes in a
program that draws with this package.
"""

import contextlib
import io
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

try:
    import matplotlib
    from matplotlib import figure as matplotlib_figure
    from matplotlib import rcsetup
except ModuleNotFoundError as error:
    raise OSError(
        f"figures need the package {error.name}, which is not installed: "
        "pip install 'alexnet_tf[figures]'"
    ) from None

Picture = matplotlib_figure.Figure

DPI = 100
FONT = "DejaVu Sans"  # which matplotlib brings along
# Colors that people with any color vision can tell apart: Okabe and Ito, 2008.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GRAY = "#666666"
GOOD, BAD = COLORS[2], COLORS[1]

_STYLE: dict[Any, Any] = {
    "font.family": FONT,
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": rcsetup.cycler(color=COLORS),
    "figure.facecolor": "white",
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "legend.frameon": False,
    "text.parse_math": False,  # class names may have dollar signs
    "image.interpolation": "nearest",
}


@contextlib.contextmanager
def styled() -> Iterator[None]:
    """Sets the fonts and colors of this package while figures are drawn.

    It can be used as a context manager or as a decorator.
    """
    with matplotlib.rc_context(_STYLE):
        yield


def new_picture(width: float, height: float, **options: Any) -> Picture:
    """Returns an empty picture of so many inches; use it inside `styled`."""
    return Picture(figsize=(width, height), layout="constrained", **options)


def new_pixel_picture(width: int, height: int) -> Picture:
    """Returns an empty picture of exactly so many pixels, for `add_pixels`."""
    return Picture(figsize=(width / DPI, height / DPI))


def add_pixels(picture: Picture, pixels: np.ndarray, left: int, top: int) -> None:
    """Shows pixels, uint8 [H, W, 3], one for one at a place of a pixel picture."""
    width, height = np.rint(picture.get_size_inches() * DPI).astype(int)
    rows, columns = pixels.shape[:2]
    box = left / width, 1 - (top + rows) / height, columns / width, rows / height
    axes = picture.add_axes(box)
    axes.imshow(pixels, aspect="auto", interpolation="none")
    axes.set_axis_off()


def png(picture: Picture, title: str, description: str) -> bytes:
    """Returns a picture as the bytes of a PNG, which holds its title and description."""
    buffer = io.BytesIO()
    metadata = {"Title": title, "Description": description, "Software": None}
    with styled(), warnings.catch_warnings():
        # Class names may be in any script, and the font lacks some.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        picture.savefig(buffer, format="png", metadata=metadata)
    return buffer.getvalue()
