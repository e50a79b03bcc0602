"""Decodes image files with Pillow.

Pillow handles what TensorFlow's decoders do not: EXIF orientation, CMYK without Adobe's
marker, palettes and WebP. What cannot be decoded raises `BadImageError` with the name
of the file.
"""

import io
import warnings
import zlib

import numpy as np
from PIL import Image, ImageChops, ImageOps

from alexnet_tf.models import image_limits

# The extensions by which images are recognized in folders. The decoder itself looks at
# the contents of a file and not at its name.
SUFFIXES = (
    *(".bmp", ".dib", ".gif", ".jfif", ".jif", ".jpe", ".jpeg", ".jpg", ".pjp"),
    *(".pjpeg", ".png", ".webp"),
)

_MAX_UNPACKED = 1 << 28  # bytes
_GZIP_MAGIC = b"\x1f\x8b"

# Silences warnings about malformed EXIF data, and Pillow's own limit on the size. The
# filter is set once and not around each call, because `warnings.catch_warnings` is not
# safe in threads.
warnings.filterwarnings("ignore", module=r"PIL\.")


class BadImageError(ValueError):
    """An image that cannot be decoded; the message names it."""


def decode(data: bytes, name: str) -> np.ndarray:
    """Decodes an image file to uint8 RGB [H, W, 3], 0-255, and applies EXIF orientation.

    Of an animation, the first frame is used. Grayscale, palette, CMYK and 16-bit images
    become 8-bit RGB, and an alpha channel is dropped. Gzipped data is unpacked first.

    Args:
        data: the contents of the file.
        name: the name of the file, for the error message.

    Raises:
        BadImageError: the data cannot be decoded, or the image is larger than
            `image_limits` allows.

    Example:
        >>> file = io.BytesIO()
        >>> Image.new("L", (4, 3), 200).save(file, "PNG")
        >>> decode(file.getvalue(), "gray.png").shape
        (3, 4, 3)
    """
    try:
        image = Image.open(io.BytesIO(_unpacked(data)))
        _check_size(image, name)
        return np.asarray(_upright_rgb(image))
    except BadImageError:
        raise
    except Exception as error:  # Pillow raises a dozen types of errors for broken files
        raise BadImageError(f"{name}: not a readable image ({error})") from error


def _unpacked(data: bytes) -> bytes:
    """`data`, or its contents if it is gzipped, as one image of ImageNet is."""
    if not data.startswith(_GZIP_MAGIC):
        return data
    return zlib.decompressobj(wbits=31).decompress(data, _MAX_UNPACKED)


def _check_size(image: Image.Image, name: str) -> None:
    """Raises BadImageError if the header announces a larger image than is allowed."""
    longer, shorter = max(image.size), min(image.size)
    size = f"{name}: {image.width} x {image.height}"
    if longer * shorter > image_limits.MAX_PIXELS_PREPARED:
        raise BadImageError(
            f"{size} is more than {image_limits.MAX_PIXELS_PREPARED} pixels"
        )
    if longer > image_limits.MAX_ASPECT * shorter:
        raise BadImageError(
            f"{size} is more than {image_limits.MAX_ASPECT} times as long as wide"
        )


def _upright_rgb(image: Image.Image) -> Image.Image:
    """Decodes an opened image, applies its EXIF orientation and converts it to RGB."""
    inverted = image.mode == "CMYK" and "adobe" not in image.info
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16-bit grayscale, which convert() would clip
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if inverted:  # Pillow treats every CMYK JPEG as one of Adobe's, which are negatives
        image = ImageChops.invert(image)
    return image.convert("RGB")
