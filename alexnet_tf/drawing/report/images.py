"""Figures as images of a page, and images that are made smaller until a page can hold them."""

import dataclasses
import io
import re
from collections.abc import Sequence

import PIL.Image

from alexnet_tf.drawing.figure import Figure
from alexnet_tf.drawing.report.page import Image

_PNG, _WEBP, _SVG = "image/png", "image/webp", "image/svg+xml"
_QUALITY = 85  # of WebP, from 0 to 100
# Text of about ten pixels in a figure of 900 can just be read at half its width.
_SMALLER = (1.0, 0.8, 0.64, 0.5)

_PIXELS = {"": 1.0, "px": 1.0, "pt": 96 / 72, "in": 96.0}
_LENGTH = re.compile(r"([0-9.]+)(px|pt|in)?")


def of_figure(figure: Figure) -> Image:
    """Returns a figure as an image, which is as large as the figure.

    Raises ValueError for an SVG file that does not say how large it is.
    """
    data = figure.encoded()
    if figure.suffix == ".svg":
        width, height = _svg_size(data.decode())
        kind = _SVG
    else:
        with PIL.Image.open(io.BytesIO(data)) as decoded:
            width, height = decoded.size
        kind = _PNG
    return Image(
        data,
        kind,
        width,
        height,
        figure.alternative,
        figure.caption,
        figure.text,
    )


def _svg_size(text: str) -> tuple[int, int]:
    """The width and height of an SVG file in pixels."""
    root = re.search(r"<svg\b[^>]*>", text)
    found = {}
    for name in ("width", "height"):
        value = re.search(rf'\b{name}="([^"]*)"', root[0]) if root else None
        length = _LENGTH.fullmatch(value[1]) if value else None
        if length is None:
            raise ValueError(f"the SVG file has no {name}")
        found[name] = round(float(length[1]) * _PIXELS[length[2] or ""])
    return found["width"], found["height"]


def total(images: Sequence[Image]) -> int:
    """The bytes that images take in a page, where three become four characters."""
    return sum(len(image.address) for image in images)


def fit(images: Sequence[Image], budget: int) -> list[Image]:
    """Returns images that take at most so many bytes in a page, in their order.

    If they take more, those that shrink by it become WebP, which loses a little; after
    that all of them get fewer pixels, down to half as many in a row. Their size on the
    page stays. SVG files are not changed.

    Raises:
        ValueError: even that is not enough.
    """
    if total(images) <= budget:
        return list(images)
    for share in _SMALLER:
        smaller = [_smaller(image, share) for image in images]
        if total(smaller) <= budget:
            return smaller
    raise ValueError(
        f"the figures take {total(smaller) / 1e6:.1f} MB, and a page has "
        f"{budget / 1e6:.1f} MB for them: name fewer runs"
    )


def _smaller(image: Image, share: float) -> Image:
    """Returns a PNG image as WebP with a share of its pixels in a row, if that is less."""
    if image.type != _PNG:
        return image
    with PIL.Image.open(io.BytesIO(image.data)) as decoded:
        pixels = decoded.convert("RGB")
    if share < 1:
        size = [max(1, round(side * share)) for side in pixels.size]
        pixels = pixels.resize((size[0], size[1]), PIL.Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    pixels.save(buffer, format="WEBP", quality=_QUALITY, method=6)
    if len(buffer.getvalue()) >= len(image.data):
        return image
    return dataclasses.replace(image, data=buffer.getvalue(), type=_WEBP)
