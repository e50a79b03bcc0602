"""Encoded images to pixels, by Pillow."""

import io
import warnings
import zlib

import numpy as np
from PIL import Image, ImageChops, ImageOps

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")


MAX_PIXELS = 100_000_000


# Times as long as wide: the shorter side is scaled up to the records', and the longer
# one with it, before the square is cut out.
MAX_ASPECT = 100


_MAX_UNPACKED = 1 << 28  # bytes


# EXIF junk, and Pillow's own limit on size. Not around each call: that is no safe thing
# to do in threads.
warnings.filterwarnings("ignore", module=r"PIL\.")


class BadImageError(ValueError):
    """A picture that cannot be read; the message names it."""


def decode(data: bytes, name: str) -> np.ndarray:
    """An encoded picture to uint8 RGB [H, W, 3], upright; `name` is for the error.

    The first frame of an animation; grey, palette, CMYK and 16-bit become 8-bit RGB;
    an alpha channel is dropped.
    """
    try:
        image: Image.Image = Image.open(io.BytesIO(_unpacked(data)))
        longer, shorter = max(image.size), min(image.size)
        if longer * shorter > MAX_PIXELS:
            raise BadImageError(
                f"{name}: {image.width} x {image.height} is more than "
                f"{MAX_PIXELS} pixels"
            )
        if longer > MAX_ASPECT * shorter:
            raise BadImageError(
                f"{name}: {image.width} x {image.height} is more than {MAX_ASPECT} "
                "times as long as wide"
            )
        inverted = image.mode == "CMYK" and "adobe" not in image.info
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I"):  # 16-bit grey, which convert() would clip
            image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        if inverted:  # Pillow takes every CMYK JPEG for one of Adobe's, in negative
            image = ImageChops.invert(image)
        return np.asarray(image.convert("RGB"))
    except BadImageError:
        raise
    except Exception as error:  # Pillow raises a dozen kinds for a broken file
        raise BadImageError(f"{name}: not a readable image ({error})") from error


def _unpacked(data: bytes) -> bytes:
    """`data`, or what it holds where it is gzipped, as one of ImageNet's pictures is."""
    if data[:2] != b"\x1f\x8b":
        return data
    return zlib.decompressobj(wbits=31).decompress(data, _MAX_UNPACKED)
