"""Finds in an encoded image what its pixels depend on, and leaves out the rest.

Metadata never decides whether an image can be read: text, color profiles, thumbnails,
comments and whatever follows the image are removed before a decoder sees the file. The
exported graph reads files by the same rules; see `serving.graph_parsing`.
"""

import itertools
import re
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from alexnet_tf.models import image_limits

PNG_START = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"
_PNG_HEADER = 33  # bytes, with the length, the name and the checksum of IHDR
_GRAY, _RGB, _PALETTE = 0, 2, 3  # color types of a PNG

# The markers of a JPEG at which something happens. After ff, the data of a scan has only
# 0 and the markers of restarts, d0 to d7.
_JPEG_MARKER = re.compile(rb"\xff([\xc0-\xcf\xd8-\xfe])")
_EOI, _SOS, _COM = 0xD9, 0xDA, 0xFE
_JFIF, _EXIF, _ADOBE, _APPS = 0xE0, 0xE1, 0xEE, range(0xE0, 0xF0)
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}

_GIF_EXTENSION, _GIF_IMAGE = 0x21, 0x2C
_GIF_TRANSPARENCY = 0xF9

_RUN = 4096  # equal blocks of a GIF that are passed at a time

# A palette of colors that are their own indices: a decoder then returns the indices.
RAMP = np.repeat(np.arange(256, dtype=np.uint8), 3).tobytes()


class Parsed(NamedTuple):
    """What the pixels of an image depend on.

    Attributes:
        width, height: in pixels, as the header announces them.
        data: the image without its metadata. A palette is replaced by `RAMP`.
        palette: uint8 [256, 4], the color and the alpha of each index, or None if the
            pixels are not indices.
        key: the samples of the one color that is transparent, scaled to 8 bits if they
            have fewer, or None.
        depth: bits per sample.
        corner: (left, top) of the image in its canvas.
        exif: its EXIF data, empty if it has none.
        components: of a JPEG: 1 (gray), 3 (color) or 4 (CMYK).
    """

    width: int
    height: int
    data: bytes
    palette: np.ndarray | None = None
    key: tuple[int, ...] | None = None
    depth: int = 8
    corner: tuple[int, int] = (0, 0)
    exif: bytes = b""
    components: int = 3


class _Parts:
    """Counts the parts of a file; consecutive parts of one kind count once."""

    def __init__(self) -> None:
        self._count, self._last = 0, b""

    def add(self, kind: bytes) -> None:
        self._count += kind != self._last
        self._last = kind
        if self._count > image_limits.MAX_PARTS:
            raise ValueError(f"more than {image_limits.MAX_PARTS} parts")


def png_chunk(kind: bytes, contents: bytes) -> bytes:
    """Returns a chunk of a PNG, with its length and its checksum."""
    checksum = zlib.crc32(kind + contents)
    return (
        struct.pack(">I", len(contents)) + kind + contents + struct.pack(">I", checksum)
    )


class _Chunk(NamedTuple):
    head: bytes  # its length and its name
    contents: bytes
    whole: bytes
    sound: bool  # whether its checksum is right; one that is cut off has none

    @property
    def kind(self) -> bytes:
        return self.head[4:]


def _png_chunks(data: bytes) -> Iterator[_Chunk]:
    """The chunks of a PNG after its header."""
    position = _PNG_HEADER
    while len(head := data[position : position + 8]) == 8:
        end = position + 12 + int.from_bytes(head[:4], "big")
        contents, whole = data[position + 8 : end - 4], data[position:end]
        yield _Chunk(head, contents, whole, whole == png_chunk(head[4:], contents))
        position = end


def parse_png(data: bytes) -> Parsed:
    """Parses a PNG; raises ValueError if its pixels cannot be sound."""
    if not data.startswith(PNG_START):
        raise ValueError("PNG that does not begin with its header")
    header = data[:_PNG_HEADER]
    if header[8:] != png_chunk(b"IHDR", header[16:-4]):
        raise ValueError("PNG whose header is damaged")
    width, height, depth, color = struct.unpack(">IIBB", header[16:26])
    chunks, parts = _png_chunks(data), _Parts()
    before: dict[bytes, bytes] = {}
    for chunk in chunks:
        parts.add(chunk.head)
        if chunk.kind == b"IDAT":
            break
        if chunk.kind == b"PLTE" or not chunk.kind[:1].isupper():
            if chunk.sound:
                before.setdefault(chunk.kind, chunk.contents)
        else:
            raise ValueError(f"PNG with a chunk {chunk.kind!a} before its pixels")
    else:
        raise ValueError("PNG without pixels")
    pixels = []
    while chunk.kind == b"IDAT":
        if not chunk.sound:
            raise ValueError("PNG whose pixels are cut off or damaged")
        parts.add(chunk.head)
        pixels.append(chunk.whole)
        chunk = next(chunks, _Chunk(b"", b"", b"", False))
    exif = before.get(b"eXIf", b"")
    if not exif:  # it may also follow the pixels
        rest = itertools.islice(chunks, image_limits.MAX_PARTS)
        exifs = (c.contents for c in (chunk, *rest) if c.kind == b"eXIf" and c.sound)
        exif = next(exifs, b"")
    ramp = png_chunk(b"PLTE", RAMP[: 3 << min(depth, 8)]) if color == _PALETTE else b""
    parsed = Parsed(
        width,
        height,
        b"".join([header, ramp, *pixels, png_chunk(b"IEND", b"")]),
        depth=depth,
        exif=exif,
    )
    transparency = before.get(b"tRNS", b"")
    if color == _PALETTE:
        palette = _png_palette(before.get(b"PLTE", b""), transparency, depth)
        return parsed._replace(palette=palette)
    if len(transparency) == {_GRAY: 2, _RGB: 6}.get(color):
        samples = struct.unpack(f">{len(transparency) // 2}H", transparency)
        largest = (1 << depth) - 1
        scale = 255 // largest if depth < 8 else 1
        key = tuple((sample & largest) * scale for sample in samples)
        return parsed._replace(key=key)
    return parsed


def _png_palette(colors: bytes, alphas: bytes, depth: int) -> np.ndarray:
    """The palette of a PNG as in `Parsed`; an index beyond it is black."""
    if not colors or len(colors) % 3:
        raise ValueError("PNG whose palette is missing or damaged")
    count = min(len(colors) // 3, 1 << depth)
    palette = np.zeros((256, 4), np.uint8)
    palette[:, 3] = 255
    palette[:count, :3] = np.frombuffer(colors, np.uint8).reshape(-1, 3)[:count]
    if len(alphas) <= count:  # libpng ignores a longer list
        palette[: len(alphas), 3] = np.frombuffer(alphas, np.uint8)
    return palette


def parse_jpeg(data: bytes) -> Parsed:
    """Parses a JPEG; raises ValueError if its pixels cannot be sound."""
    kept, exif, size, components = [data[:2]], b"", (0, 0), 0
    position, first_scan, scans, parts = 2, 0, 0, _Parts()
    while marker := _JPEG_MARKER.search(data, position):
        start, kind = marker.start(), marker[1][0]
        if kind == _EOI:
            break
        position = (
            start + 2 + max(2, int.from_bytes(data[start + 2 : start + 4], "big"))
        )
        parts.add(b"segment at %d" % start)
        if kind == _SOS:
            scans += 1
            first_scan = first_scan or start
        if scans > image_limits.MAX_SCANS:
            raise ValueError(f"JPEG with more than {image_limits.MAX_SCANS} scans")
        if first_scan:
            continue  # what stands between scans is the decoder's
        contents = data[start + 4 : position]
        if kind == _EXIF and contents.startswith(b"Exif\0\0"):
            exif = exif or contents[6:]
        if kind in _FRAMES and len(contents) >= 6:
            size, components = struct.unpack(">HH", contents[1:5]), contents[5]
        if _is_of_pixels(kind, contents):
            kept.append(data[start:position])
    if not marker or not first_scan:
        raise ValueError("JPEG that is cut off")
    height, width = size
    kept.append(data[first_scan : marker.end()])
    return Parsed(width, height, b"".join(kept), exif=exif, components=components)


def _is_of_pixels(kind: int, contents: bytes) -> bool:
    """Whether a decoder of JPEGs needs a segment."""
    if kind == _JFIF:  # shorter ones are ignored by libjpeg
        return contents.startswith(b"JFIF\0") and len(contents) >= 14
    if kind == _ADOBE:
        return contents.startswith(b"Adobe") and len(contents) >= 12
    return kind != _COM and kind not in _APPS


def parse_gif(data: bytes) -> Parsed:
    """Parses a GIF up to the end of its first image.

    Raises:
        ValueError: its pixels cannot be sound.
    """
    try:
        return _parse_gif(np.frombuffer(data, np.uint8), _Parts())
    except (IndexError, struct.error):
        raise ValueError("GIF that is cut off within its first image") from None


def _parse_gif(data: np.ndarray, parts: _Parts) -> Parsed:
    width, height, flags = struct.unpack("<HHB", data[6:11].tobytes())
    position = 13 + _color_table_length(flags)
    colors, transparent = data[13:position], None
    while data[position] == _GIF_EXTENSION:
        parts.add(b"extension at %d" % position)
        if data[position + 1] == _GIF_TRANSPARENCY and data[position + 2] >= 4:
            has_one = data[position + 3] & 1
            transparent = int(data[position + 6]) if has_one else None
        position = _after_blocks(data, position + 2, parts)
    if data[position] != _GIF_IMAGE:
        raise ValueError("GIF without an image")
    left, top, columns, rows, flags = struct.unpack(
        "<HHHHB", data[position + 1 : position + 10].tobytes()
    )
    start = position + 10 + _color_table_length(flags)
    if start > position + 10:
        colors = data[position + 10 : start]
    end = _after_blocks(data, start + 1, parts)
    if end > len(data):
        raise IndexError
    if not colors.size:
        raise ValueError("GIF without colors")
    if not rows or not columns or left + columns > width or top + rows > height:
        raise ValueError("GIF whose first image is empty or larger than its canvas")
    palette = np.zeros((256, 4), np.uint8)
    palette[:, 3] = 255
    palette[: colors.size // 3, :3] = colors.reshape(-1, 3)
    if transparent is not None:
        palette[transparent, 3] = 0
    size = struct.pack("<HH", columns, rows)
    interlaced = bytes([flags & 0x40])
    alone = b"".join(
        [
            *(b"GIF89a", size, b"\xf7\0\0", RAMP),
            *(b"\x2c\0\0\0\0", size, interlaced, data[start:end].tobytes(), b"\x3b"),
        ]
    )
    return Parsed(width, height, alone, palette, corner=(left, top))


def _color_table_length(flags: int) -> int:
    """How many bytes the color table has that these flags announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _after_blocks(data: np.ndarray, position: int, parts: _Parts) -> int:
    """The position after a chain of blocks, each a byte with its length and its bytes."""
    while length := int(data[position]):
        parts.add(bytes([length]))
        stride = length + 1
        run = data[position : position + _RUN * stride : stride] == length
        position += stride * (len(run) if run.all() else int(run.argmin()))
    return position + 1


def webp_size(data: bytes) -> tuple[int, int]:
    """The width and the height that the header of a WebP announces."""
    kind = data[12:16]
    if kind == b"VP8X":
        width, height = data[24:27], data[27:30]
        return 1 + int.from_bytes(width, "little"), 1 + int.from_bytes(height, "little")
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = data[26:28], data[28:30]
    return (
        int.from_bytes(width, "little") & 0x3FFF,
        int.from_bytes(height, "little") & 0x3FFF,
    )
