"""Decodes image files with Pillow.

Pillow handles what TensorFlow's decoders do not: EXIF orientation, every kind of BMP,
and WebP. `image_parsing` first removes the metadata. What cannot be decoded raises
`BadImageError` with the name of the file.
"""

import contextlib
import io
import re
import struct
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
import simplejpeg
from PIL import Image, ImageChops

from alexnet_tf.data import image_parsing
from alexnet_tf.models import background as backgrounds
from alexnet_tf.models import image_limits
from alexnet_tf.runtime import names

# The extensions by which images are recognized in folders. The decoder itself looks at
# the contents of a file and not at its name.
SUFFIXES = (
    *(".bmp", ".dib", ".gif", ".jfif", ".jif", ".jpe", ".jpeg", ".jpg", ".pjp"),
    *(".pjpeg", ".png", ".webp"),
)

_GZIP_MAGIC = b"\x1f\x8b"
_EXIF_ORIENTATION = 0x0112

# Silences Pillow's warnings about malformed EXIF data. The filter is set once and not
# around each call, because `warnings.catch_warnings` is not safe in threads.
warnings.filterwarnings("ignore", module=r"PIL\.")


class BadImageError(ValueError):
    """An image that cannot be decoded; the message names it."""


class _SizeError(ValueError):
    """An image whose header announces a size that is not allowed."""


class _Decoded(NamedTuple):
    """A decoded image.

    Attributes:
        pixels: uint8 [H, W, 3] or [H, W, 4], as they are stored.
        exif: its EXIF data, or empty.
        in_graph: whether an exported graph decodes the file to the same pixels.
        deep: whether it has 16 bits per sample, of which the upper 8 are used.
    """

    pixels: np.ndarray
    exif: bytes = b""
    in_graph: bool = True
    deep: bool = False


def decode(
    data: bytes, name: str, background: backgrounds.Color = backgrounds.WHITE
) -> np.ndarray:
    """Decodes an image file to uint8 RGB [H, W, 3], 0-255, and applies EXIF orientation.

    The kinds are JPEG, PNG, GIF, BMP and WebP, and each of them gzipped. Of an animation,
    the first frame is used. Grayscale, palette, CMYK and 16-bit images become 8-bit RGB.
    Metadata is not read, except for the orientation.

    Args:
        data: the contents of the file.
        name: the name of the file, for the error message.
        background: the color behind transparent pixels.

    Raises:
        BadImageError: the data cannot be decoded, or the image is larger than
            `image_limits` allows.

    Example:
        >>> file = io.BytesIO()
        >>> Image.new("L", (4, 3), 200).save(file, "PNG")
        >>> decode(file.getvalue(), "gray.png").shape
        (3, 4, 3)
    """
    return backgrounds.compose(decode_with_alpha(data, name), background)


def decode_with_alpha(data: bytes, name: str) -> np.ndarray:
    """Like `decode`, but an image with transparent pixels is RGBA, uint8 [H, W, 4]."""
    found = _decode(_unpacked(data, name), name)
    return _upright(found.pixels, _orientation(found.exif))


def for_server(data: bytes, name: str) -> bytes:
    """Returns a file that an exported graph decodes to the pixels of `decode`.

    That is `data` itself if the graph reads it as preparation does, its contents if it
    is gzipped, and else a PNG of the upright image: for a WebP, a CMYK JPEG, an unusual
    BMP and an image whose EXIF orientation turns it.

    Raises:
        BadImageError: as `decode`, or the PNG has more than `image_limits.MAX_BYTES`.

    Example:
        >>> file = io.BytesIO()
        >>> Image.new("L", (4, 3), 200).save(file, "PNG")
        >>> for_server(file.getvalue(), "gray.png") == file.getvalue()
        True
    """
    data = _unpacked(data, name)
    found = _decode(data, name)
    orientation = _orientation(found.exif)
    if found.in_graph and orientation == 1:
        return data
    file = io.BytesIO()
    upright = Image.fromarray(_upright(found.pixels, orientation))
    upright.save(file, "PNG", compress_level=1)
    if file.tell() > image_limits.MAX_BYTES:
        raise BadImageError(
            f"{names.escaped(name)}: a server needs it as an upright PNG, which has "
            f"{file.tell()} bytes, more than {image_limits.MAX_BYTES}: make it smaller"
        )
    return file.getvalue()


# (name, dark) of a 16-bit image. `dark` says whether the upper 8 bits of all its samples
# are below 16, as those of 12 bits in 16 are.
Deep = tuple[str, bool]

_collecting: list[set[Deep]] = []


@contextlib.contextmanager
def deep_images() -> Iterator[set[Deep]]:
    """Collects the 16-bit images that are decoded in the block, by any thread."""
    found: set[Deep] = set()
    _collecting.append(found)
    try:
        yield found
    finally:
        # By its identity: an equal set may be another thread's.
        _collecting[:] = [each for each in _collecting if each is not found]


def deep_summary(found: Iterable[Deep]) -> str:
    """What a user should know of 16-bit images; the text is empty if there are none.

    Example:
        >>> deep_summary({("a.png", False), ("b.png", False)})
        '2 images have 16 bits per sample, of which the upper 8 are used, such as a.png'
    """
    texts = []
    for wanted, what in (
        (False, "16 bits per sample, of which the upper 8 are used"),
        (
            True,
            "16 bits per sample but no value above 4095, and become nearly black (if "
            "they hold 12 bits, scale these to 16 first)",
        ),
    ):
        files = sorted(name for name, dark in found if dark == wanted)
        if files:
            count = "1 image has" if len(files) == 1 else f"{len(files)} images have"
            texts.append(f"{count} {what}, such as {names.escaped(files[0])}")
    return "; ".join(texts)


def _unpacked(data: bytes, name: str) -> bytes:
    """`data`, or its contents if it is gzipped, as one image of ImageNet is."""
    try:
        if data.startswith(_GZIP_MAGIC):
            unpacker = zlib.decompressobj(wbits=31)
            data = unpacker.decompress(data, image_limits.MAX_BYTES + 1)
            if not unpacker.eof and len(data) <= image_limits.MAX_BYTES:
                raise ValueError("gzip archive that is cut off")
        if len(data) > image_limits.MAX_BYTES:
            raise ValueError(f"more than {image_limits.MAX_BYTES} bytes")
    except (ValueError, zlib.error) as error:
        raise _bad(name, error) from error
    return data


def _bad(name: str, reason: object) -> BadImageError:
    return BadImageError(f"{names.escaped(name)}: not a readable image ({reason})")


def _decode(data: bytes, name: str) -> _Decoded:
    decode_kind = next((d for start, d in _DECODERS if start.match(data)), None)
    if decode_kind is None:
        raise _bad(name, f"not a JPEG, PNG, GIF, BMP or WebP{_other_kind(data)}")
    try:
        found = decode_kind(data)
    except MemoryError:  # not the fault of the image
        raise
    except _SizeError as error:
        raise BadImageError(f"{names.escaped(name)}: {error}") from None
    except Exception as error:  # Pillow raises a dozen types of errors for broken files
        raise _bad(name, error) from error
    if found.deep:
        dark = bool(found.pixels[..., :3].max() < 16)
        for collected in list(_collecting):
            collected.add((name, dark))
    return found


def _other_kind(data: bytes) -> str:
    for place, start, kind in image_limits.OTHER_KINDS:
        if data[place : place + len(start)] == start:
            return f", but {kind}"
    return ""


def _open(data: bytes, kind: str, size: tuple[int, int]) -> Image.Image:
    """Opens an image of a known kind and size; raises ValueError for a larger one."""
    _check_size(size)
    image = Image.open(io.BytesIO(data), formats=[kind])
    if image.size != size:
        raise ValueError(f"{kind} whose header announces two sizes")
    image.load()
    return image


def _check_size(size: tuple[int, int]) -> None:
    longer, shorter = max(size), min(size)
    text = f"{size[0]} x {size[1]}"
    if shorter < 1:
        raise _SizeError(f"{text} has no pixels")
    if longer * shorter > image_limits.MAX_PIXELS:
        raise _SizeError(f"{text} is more than {image_limits.MAX_PIXELS} pixels")
    if longer > image_limits.MAX_ASPECT * shorter:
        raise _SizeError(
            f"{text} is more than {image_limits.MAX_ASPECT} times as long as wide"
        )


def _rgb(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"))


def _with_alpha(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """RGB [H, W, 3] and alpha [H, W]: RGBA, or RGB if every pixel is opaque."""
    if alpha.min() == 255:
        return rgb
    return np.concatenate([rgb, alpha[..., None]], axis=-1)


def _decode_jpeg(data: bytes) -> _Decoded:
    parsed = image_parsing.parse_jpeg(data)
    _check_size((parsed.width, parsed.height))
    if parsed.components < 4:
        # libjpeg-turbo without Pillow's copies, which gives the same pixels. What it
        # reads only with a warning is left to Pillow.
        with contextlib.suppress(ValueError):
            height, width, *_ = simplejpeg.decode_jpeg_header(parsed.data)
            if (height, width) == (parsed.height, parsed.width):
                pixels = simplejpeg.decode_jpeg(parsed.data, "RGB")
                return _Decoded(pixels, parsed.exif)
    image = _open(parsed.data, "JPEG", (parsed.width, parsed.height))
    cmyk = image.mode == "CMYK"
    if cmyk and "adobe" not in image.info:
        # Pillow treats every CMYK JPEG as one of Adobe's, which are negatives.
        image = ImageChops.invert(image)
    # TensorFlow converts CMYK with another rounding.
    return _Decoded(_rgb(image), parsed.exif, in_graph=not cmyk)


def _decode_png(data: bytes) -> _Decoded:
    parsed = image_parsing.parse_png(data)
    image = _open(parsed.data, "PNG", (parsed.width, parsed.height))
    deep = parsed.depth == 16
    if parsed.palette is not None:
        colors = parsed.palette[np.asarray(image)]
        pixels = _with_alpha(colors[..., :3], colors[..., 3])
    elif image.mode in ("LA", "RGBA"):
        rgba = np.asarray(image.convert("RGBA"))
        pixels = _with_alpha(rgba[..., :3], rgba[..., 3])
    else:
        samples = _png_samples(image, parsed)
        rgb = (samples >> 8 if deep else samples).astype(np.uint8)
        pixels = np.broadcast_to(rgb, (*rgb.shape[:2], 3))
        if parsed.key is not None:
            opaque = (samples != np.array(parsed.key, samples.dtype)).any(axis=-1)
            pixels = _with_alpha(pixels, np.where(opaque, 255, 0).astype(np.uint8))
    return _Decoded(pixels, parsed.exif, deep=deep)


def _png_samples(image: Image.Image, parsed: image_parsing.Parsed) -> np.ndarray:
    """The samples of a PNG without palette and alpha: uint8, or uint16 of 16 bits.

    Fewer bits than 8 are scaled to 8. Of 16-bit RGB the lower bytes are 0 unless the
    transparent color makes them matter.
    """
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))[..., None]
    if parsed.depth == 8:
        return np.asarray(image)
    if image.mode != "RGB":
        return np.asarray(image).astype(np.uint16)[..., None]
    samples = np.asarray(image).astype(np.uint16) << 8
    if parsed.key is not None:
        # Pillow reads upper bytes only, and "16L" takes the lower ones for the upper.
        again = Image.open(io.BytesIO(parsed.data), formats=["PNG"])
        again.tile = [again.tile[0]._replace(args="RGB;16L")]
        samples |= np.asarray(again)
    return samples


def _decode_gif(data: bytes) -> _Decoded:
    parsed = image_parsing.parse_gif(data)
    assert parsed.palette is not None
    _check_size((parsed.width, parsed.height))
    columns, rows = struct.unpack("<HH", parsed.data[6:10])
    indices = np.asarray(_open(parsed.data, "GIF", (columns, rows)))
    pixels = parsed.palette[indices]
    if (columns, rows) != (parsed.width, parsed.height):
        left, top = parsed.corner
        canvas = np.zeros((parsed.height, parsed.width, 4), np.uint8)
        canvas[top : top + rows, left : left + columns] = pixels
        pixels = canvas
    return _Decoded(_with_alpha(pixels[..., :3], pixels[..., 3]))


# What the exported graph reads of BMPs: (compression, bits), and for the compression
# "bit fields" these masks.
_GRAPH_BMPS = {(0, 8), (0, 24), (0, 32)}
_BIT_FIELDS = 3
_GRAPH_MASKS = (0xFF0000, 0xFF00, 0xFF)
_GRAPH_ALPHAS = (0, 0xFF000000)


def _decode_bmp(data: bytes) -> _Decoded:
    header = data[14:70].ljust(56, b"\0")
    length, width, height, _, bits, compression = struct.unpack("<IiiHHI", header[:20])
    if length == 12:  # of OS/2, without a compression
        width, height, _, bits = struct.unpack("<HHHH", header[4:12])
        compression = 0
    image = _open(data, "BMP", (width, abs(height)))
    if image.mode == "RGBA":
        rgba = np.asarray(image)
        pixels = _with_alpha(rgba[..., :3], rgba[..., 3])
    else:
        if bits == 8 and length >= 40:
            (colors,) = struct.unpack("<I", header[32:36])
            if np.asarray(image).max() >= (colors or 256):
                raise ValueError("BMP with a color outside its palette")
        pixels = _rgb(image)
    *masks, alpha = struct.unpack("<4I", header[40:56])
    plain = (compression, bits) in _GRAPH_BMPS
    fields = (compression, bits) == (_BIT_FIELDS, 32) and tuple(masks) == _GRAPH_MASKS
    fields &= length < 56 or alpha in _GRAPH_ALPHAS
    return _Decoded(pixels, in_graph=length >= 40 and (plain or fields))


def _decode_webp(data: bytes) -> _Decoded:
    # The header is read here, because Pillow allocates two canvases as it opens a WebP.
    image = _open(data, "WEBP", image_parsing.webp_size(data))
    exif = image.info.get("exif", b"").removeprefix(b"Exif\0\0")
    rgba = np.asarray(image.convert("RGBA"))
    return _Decoded(_with_alpha(rgba[..., :3], rgba[..., 3]), exif, in_graph=False)


# What each kind begins with, and its decoder.
_DECODERS: tuple[tuple[re.Pattern[bytes], Callable[[bytes], _Decoded]], ...] = (
    (re.compile(rb"\xff\xd8\xff"), _decode_jpeg),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), _decode_png),
    (re.compile(rb"GIF8[79]a"), _decode_gif),
    (re.compile(rb"BM"), _decode_bmp),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), _decode_webp),
)

# How each EXIF orientation other than 1 becomes upright.
_TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: pixels.swapaxes(0, 1)[::-1, ::-1],
    8: lambda pixels: np.rot90(pixels),
}


def _orientation(exif: bytes) -> int:
    """The orientation that EXIF data gives, 1 to 8; 1 if they are broken or lack it."""
    found = Image.Exif()
    try:
        found.load(exif)
        orientation = found.get(_EXIF_ORIENTATION, 1)
    except Exception:  # whatever is wrong with metadata, the pixels are sound
        return 1
    return orientation if orientation in _TURNS else 1


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    turn = _TURNS.get(orientation)
    return pixels if turn is None else np.ascontiguousarray(turn(pixels))
