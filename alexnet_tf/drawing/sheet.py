"""A sheet of images, bars and lines of text, placed in pixels from the upper left.

sheet = Sheet(300, 200)
sheet.add_image(pixels, left=10, top=10, side=100)
sheet.add_text("a sandal", left=10, top=115, width=100)
"""

import functools

import numpy as np
from matplotlib import font_manager, patches
from matplotlib.backends import backend_agg

from alexnet_tf.drawing import canvas

_HIGHEST = 65_000  # pixels
LINE = 16  # pixels from one line of text to the next
_BASELINE = 12  # pixels below the top of a line
_POINTS = 9
_FRAME = 3
# Begins every line, because a name may be written from right to left.
_LEFT_TO_RIGHT = "\N{LEFT-TO-RIGHT MARK}"


class Sheet:
    """A picture of a fixed size in pixels; use it inside `canvas.styled`.

    Attributes:
        picture: matplotlib's figure.

    Raises:
        ValueError: it is higher than a picture can be.
    """

    def __init__(self, width: int, height: int):
        if height > _HIGHEST:
            raise ValueError(
                f"a picture of {height:,} pixels is too high for a file, which has "
                f"{_HIGHEST:,} at most: choose a smaller --count"
            )
        self.picture = canvas.new_pixel_picture(width, height)
        self._axes = self.picture.add_axes((0, 0, 1, 1))
        self._axes.set_axis_off()
        self._limits = (-0.5, width - 0.5), (height - 0.5, -0.5)
        self._keep_limits()

    def _keep_limits(self) -> None:
        self._axes.set(xlim=self._limits[0], ylim=self._limits[1])

    def add_image(
        self,
        pixels: np.ndarray,
        *,
        left: int,
        top: int,
        side: int,
        frame: str | None = None,
    ) -> None:
        """Shows an image, uint8 [H, W, 3] or [H, W, 4], scaled to a square.

        Args:
            pixels: the image.
            left, top, side: its place.
            frame: the color of a frame around it.
        """
        box = (left - 0.5, left + side - 0.5, top + side - 0.5, top - 0.5)
        how = "nearest" if side % len(pixels) == 0 else "antialiased"
        self._axes.imshow(pixels, extent=box, aspect="auto", interpolation=how)
        if frame is not None:
            inset = _FRAME / 2
            self._axes.add_patch(
                patches.Rectangle(
                    (left - inset - 0.5, top - inset - 0.5),
                    *(side + 2 * inset, side + 2 * inset),
                    fill=False,
                    edgecolor=frame,
                    linewidth=_FRAME * 72 / canvas.DPI,
                )
            )
        self._keep_limits()  # which each image changes

    def add_bar(
        self, *, left: int, top: int, width: float, height: int, color: str
    ) -> None:
        """Draws a filled rectangle."""
        corner = (left - 0.5, top - 0.5)
        self._axes.add_patch(
            patches.Rectangle(corner, width, height, facecolor=color, linewidth=0)
        )

    def add_text(
        self,
        text: str,
        *,
        left: int,
        top: int,
        width: int,
        color: str = "black",
        bold: bool = False,
    ) -> None:
        """Writes a line, shortened to `width` pixels; its height is LINE."""
        self._axes.text(
            left,
            top + _BASELINE,
            _LEFT_TO_RIGHT + fitted(text, width, bold=bold),
            color=color,
            va="baseline",
            fontsize=_POINTS,
            fontweight="bold" if bold else "normal",
        )


def fitted(text: str, width: int, *, bold: bool = False) -> str:
    """Returns text that a line of `width` pixels has room for, in the canvas' font.

    What is too long ends in an ellipsis. Characters that the font lacks are written as
    Python escapes them, so that no two names look alike.

    Example:
        >>> fitted("sandal", 200), fitted("\\u732b", 200)
        ('sandal', '\\\\u732b')
    """
    text = printable(text)
    if _width(text, bold) <= width:
        return text
    least, most = 0, len(text) - 1  # characters before the ellipsis
    while least < most:
        middle = (least + most + 1) // 2
        if _width(f"{text[:middle].rstrip()}…", bold) <= width:
            least = middle
        else:
            most = middle - 1
    return f"{text[:least].rstrip()}…"


def printable(text: str) -> str:
    """Returns text in which characters that the canvas' font lacks are escaped."""
    font = _font(bold=False)
    return "".join(
        character
        if font.get_char_index(ord(character))
        else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def _properties(bold: bool) -> font_manager.FontProperties:
    return font_manager.FontProperties(
        family=canvas.FONT, size=_POINTS, weight="bold" if bold else "normal"
    )


@functools.cache
def _font(*, bold: bool):
    return font_manager.get_font(font_manager.findfont(_properties(bold)))


@functools.cache
def _renderer() -> backend_agg.RendererAgg:
    return backend_agg.RendererAgg(1, 1, canvas.DPI)


def _width(text: str, bold: bool) -> float:
    """The width of a line of text in pixels, as it is drawn."""
    width, _, _ = _renderer().get_text_width_height_descent(
        text, _properties(bold), ismath=False
    )
    return width
