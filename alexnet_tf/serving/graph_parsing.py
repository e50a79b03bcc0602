"""Finds in an encoded image what its pixels depend on, inside a graph.

These are the rules of `data.image_parsing` as TensorFlow operations. A file is walked
from part to part: the chunks of a PNG, the blocks of a GIF, the segments of a JPEG. A
stranger may send 64 MiB of the smallest parts, so a run of equal parts is one step, and
the number of steps is limited.
"""

import tensorflow as tf

from alexnet_tf.data import image_parsing
from alexnet_tf.models import image_limits

_RUN = 4096  # equal parts that one step passes at most
_PADDING = 64  # bytes; zeros after the end stop the search in a file that is cut off
# Bytes that are searched for a marker first, and at a time after that.
_FIRST_BLOCK, _BLOCK = 1 << 8, 1 << 16

_PNG_START = len(image_parsing.PNG_START) + 13 + 4  # with the contents of IHDR and CRC
_GIF_EXTENSION, _GIF_IMAGE, _GIF_TRANSPARENCY = 0x21, 0x2C, 0xF9
_EOI, _SOS = 0xD9, 0xDA


def require(condition: tf.Tensor, message: str, value: tf.Tensor) -> tf.Tensor:
    """Returns `value` once `condition` holds; else the graph raises `message`."""
    check = tf.debugging.Assert(condition, [f"image_bytes: {message}"])
    with tf.control_dependencies([check]):
        return tf.identity(value)


class FileBytes:
    """The bytes of an encoded image. Positions are int32 scalars.

    Attributes:
        encoded: the image, scalar string.
        size: how many bytes it has.
    """

    def __init__(self, encoded: tf.Tensor):
        self.encoded = encoded
        self.size = tf.strings.length(encoded)
        self._data = tf.io.decode_raw(encoded + b"\0" * _PADDING, tf.uint8)

    def part(self, start, end) -> tf.Tensor:
        """The bytes from `start` to before `end`, as a string."""
        return tf.strings.substr(self.encoded, start, end - start)

    def bytes(self, position, count: int) -> tf.Tensor:
        """uint8 [count]; zeros after the end of the file."""
        start = tf.minimum(position, self.size)
        return tf.ensure_shape(self._data[start : start + count], [count])

    def number(self, position, count: int = 1, *, little_endian: bool = True):
        """The unsigned integer in `count` bytes, int64; zeros after the end."""
        places = [256**place for place in range(count)]
        weights = tf.constant(places if little_endian else places[::-1], tf.int64)
        return tf.reduce_sum(tf.cast(self.bytes(position, count), tf.int64) * weights)

    def byte(self, position) -> tf.Tensor:
        """The byte at `position`, int32; 0 after the end of the file."""
        return tf.cast(self._data[tf.minimum(position, self.size)], tf.int32)

    def equal_parts(self, position, head: int, stride) -> tf.Tensor:
        """How many parts of `stride` bytes in a row begin with the same `head` bytes."""
        following = self.bytes(position + stride, head)
        # A file in which no two are equal would take 4096 comparisons per part.
        most = tf.where(tf.reduce_all(following == self.bytes(position, head)), _RUN, 1)
        count = tf.minimum((self.size - position) // stride, most)
        starts = position + stride * tf.range(tf.maximum(count, 1))
        heads = tf.gather(self._data, starts[:, None] + tf.range(head))
        same = tf.reduce_all(heads == heads[0], axis=1)
        return tf.reduce_sum(tf.math.cumprod(tf.cast(same, tf.int32)))

    def marker_from(self, position) -> tf.Tensor:
        """The position of the next marker of a JPEG; beyond the end if there is none."""

        def find(start, block, _):
            pairs = self._data[start : start + block + 1]
            first, second = pairs[:-1], pairs[1:]
            # Not 0, which follows ff in the data of a scan, and not a restart.
            known = ((second >= 0xC0) & (second < 0xD0)) | (second >= 0xD8)
            found = (first == 0xFF) & known & (second < 0xFF)
            here = tf.reduce_any(found)
            place = tf.argmax(found, output_type=tf.int32)
            return tf.where(here, start + place, start + block), _BLOCK, here

        place, _, _ = tf.while_loop(
            lambda start, _, found: ~found & (start < self.size),
            find,
            [tf.minimum(position, self.size), _FIRST_BLOCK, tf.constant(False)],
            parallel_iterations=1,
        )
        return place


def _check_parts(parts: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    limit = image_limits.MAX_PARTS
    return require(parts <= limit, f"more than {limit} parts", value)


def _is(kind: tf.Tensor, name: bytes) -> tf.Tensor:
    return kind == int.from_bytes(name, "big")


class Png:
    """What the pixels of a PNG depend on.

    Attributes:
        encoded: the image without its metadata, scalar string.
        depth, color: int32 scalars, bits per sample and color type.
        has_alpha: bool scalar, whether some pixels may be transparent.
    """

    def __init__(self, encoded: tf.Tensor):
        file = FileBytes(encoded)
        self.depth, self.color = file.byte(24), file.byte(25)
        pixels, palette, transparency, parts = self._walk_to_pixels(file)
        end, parts = self._walk_over_pixels(file, pixels, parts)
        encoded = _check_parts(parts, encoded)
        encoded = require(
            end <= file.size, "PNG whose pixels are cut off or missing", encoded
        )
        file = FileBytes(encoded)
        is_palette = self.color == 3
        colors = self._chunk(file, palette, is_palette)
        counts = [
            (self.color == 0, 2, 2),
            (self.color == 2, 6, 6),
            (is_palette, 1, tf.minimum(self._length(file, palette) // 3, 256)),
        ]
        length = self._length(file, transparency)
        fits = tf.reduce_any(
            [of & (length >= least) & (length <= most) for of, least, most in counts]
        )
        fits &= transparency > 0
        self.has_alpha = (self.color >= 4) | fits
        self.encoded = tf.strings.join(
            [
                file.part(0, _PNG_START),
                colors,
                self._chunk(file, transparency, fits),
                file.part(pixels, end),
                image_parsing.png_chunk(b"IEND", b""),
            ]
        )

    @staticmethod
    def _length(file: FileBytes, position) -> tf.Tensor:
        """How long the contents of a chunk are; more than the file if it is cut off."""
        length = file.number(position, 4, little_endian=False)
        return tf.cast(tf.minimum(length, image_limits.MAX_BYTES), tf.int32)

    def _chunk(self, file: FileBytes, position, wanted) -> tf.Tensor:
        """The chunk at `position` if it is wanted and there is one, or nothing."""
        end = position + 12 + self._length(file, position)
        wanted &= (position > 0) & (end <= file.size)
        return tf.where(
            wanted, file.part(position, tf.where(wanted, end, position)), ""
        )

    def _walk_to_pixels(self, file: FileBytes):
        """The positions of IDAT, PLTE and tRNS, 0 if there is none, and the steps."""

        def kind_at(position):
            return file.number(position + 4, 4, little_endian=False)

        def step(position, palette, transparency, parts):
            kind = kind_at(position)
            critical = tf.bitwise.bitwise_and(file.byte(position + 4), 0x20) == 0
            position = require(
                _is(kind, b"PLTE") | ~critical,
                "PNG with an unknown chunk before its pixels",
                position,
            )
            stride = 12 + self._length(file, position)
            run = file.equal_parts(position, 8, stride)

            def first(name, earlier):
                return tf.where(_is(kind, name) & (earlier == 0), position, earlier)

            return [
                tf.minimum(position + run * stride, file.size),
                first(b"PLTE", palette),
                first(b"tRNS", transparency),
                parts + 1,
            ]

        return tf.while_loop(
            lambda position, palette, transparency, parts: (
                (position < file.size)
                & ~_is(kind_at(position), b"IDAT")
                & (parts <= image_limits.MAX_PARTS)
            ),
            step,
            [_PNG_START, 0, 0, 0],
            parallel_iterations=1,
        )

    def _walk_over_pixels(self, file: FileBytes, position, parts):
        """The position after the IDAT chunks, beyond the end if they are cut off."""

        def step(position, parts):
            stride = 12 + self._length(file, position)
            run = file.equal_parts(position, 8, stride)
            return [position + run * stride, parts + 1]

        end, parts = tf.while_loop(
            lambda position, parts: (
                (position < file.size)
                & _is(file.number(position + 4, 4, little_endian=False), b"IDAT")
                & (parts <= image_limits.MAX_PARTS)
            ),
            step,
            [position, parts],
            parallel_iterations=1,
        )
        return tf.where(end > position, end, file.size + 1), parts


class Gif:
    """What the pixels of the first image of a GIF depend on.

    Attributes:
        encoded: the image alone, as a GIF without a canvas around it whose colors are
            their own indices, scalar string.
        palette: uint8 [256, 4], the color and the alpha of each index.
        left, top: int32 scalars, the corner of the image in its canvas.
    """

    def __init__(self, encoded: tf.Tensor, height: tf.Tensor, width: tf.Tensor):
        file = FileBytes(encoded)
        frame, transparent, parts = self._walk_extensions(file)
        encoded = _check_parts(parts, encoded)
        encoded = require(
            (file.byte(frame) == _GIF_IMAGE) & (frame + 10 <= file.size),
            "GIF without an image",
            encoded,
        )
        with tf.control_dependencies([encoded]):
            self.left, self.top, columns, rows = (
                tf.cast(file.number(frame + 1 + 2 * n, 2), tf.int32) for n in range(4)
            )
        encoded = require(
            (self.left + columns <= width)
            & (self.top + rows <= height)
            & (columns * rows > 0),
            "GIF whose first image is empty or larger than its canvas",
            encoded,
        )
        start = frame + 10 + self._table_length(file, frame + 9)
        end, parts = self._after_blocks(file, start + 1, parts)
        encoded = _check_parts(parts, encoded)
        encoded = require(
            end <= file.size, "GIF that is cut off within its first image", encoded
        )
        file = FileBytes(encoded)
        of_frame = start > frame + 10
        colors = file.part(
            tf.where(of_frame, frame + 10, 13),
            tf.where(of_frame, start, 13 + self._table_length(file, 10)),
        )
        self.palette = self._palette(colors, transparent)
        size = file.part(frame + 5, frame + 9)
        interlaced = tf.bitwise.bitwise_and(file.byte(frame + 9), 0x40) > 0
        self.encoded = tf.strings.join(
            [
                b"GIF89a",
                size,
                b"\xf7\0\0" + image_parsing.RAMP + b"\x2c\0\0\0\0",
                size,
                tf.where(interlaced, b"\x40", b"\0"),
                file.part(start, end),
                b"\x3b",
            ]
        )

    @staticmethod
    def _table_length(file: FileBytes, flags_position) -> tf.Tensor:
        """How many bytes the color table has that the flags at a position announce."""
        flags = file.byte(flags_position)
        count = tf.bitwise.left_shift(2, tf.bitwise.bitwise_and(flags, 7))
        return tf.where(flags >= 128, 3 * count, 0)

    @staticmethod
    def _palette(colors: tf.Tensor, transparent: tf.Tensor) -> tf.Tensor:
        colors = require(tf.strings.length(colors) > 0, "GIF without colors", colors)
        known = tf.io.decode_raw(colors, tf.uint8, fixed_length=3 * 256)
        alpha = tf.where(tf.range(256) == transparent, 0, 255)
        rgb = tf.reshape(known, [256, 3])
        return tf.concat([rgb, tf.cast(alpha, tf.uint8)[:, None]], axis=1)

    def _after_blocks(self, file: FileBytes, position, parts):
        """The position after a chain of blocks, and how many steps there were.

        Each block is a byte with its length and that many bytes; length 0 is the end.
        """

        def step(position, parts):
            stride = 1 + file.byte(position)
            run = file.equal_parts(position, 1, stride)
            return [position + run * stride, parts + 1]

        last, parts = tf.while_loop(
            lambda position, parts: (
                (file.byte(position) != 0) & (parts <= image_limits.MAX_PARTS)
            ),
            step,
            [position, parts],
            parallel_iterations=1,
        )
        return last + 1, parts

    def _walk_extensions(self, file: FileBytes):
        """The position after the extensions, their transparent index or -1, the steps."""

        def step(position, transparent, parts):
            control = file.byte(position + 1) == _GIF_TRANSPARENCY
            control &= file.byte(position + 2) >= 4
            has_one = tf.bitwise.bitwise_and(file.byte(position + 3), 1) > 0
            index = tf.where(has_one, file.byte(position + 6), -1)
            after, parts = self._after_blocks(file, position + 2, parts + 1)
            return [after, tf.where(control, index, transparent), parts]

        return tf.while_loop(
            lambda position, transparent, parts: (
                (file.byte(position) == _GIF_EXTENSION)
                & (parts <= image_limits.MAX_PARTS)
            ),
            step,
            [13 + self._table_length(file, 10), -1, 0],
            parallel_iterations=1,
        )


def check_scans(encoded: tf.Tensor) -> tf.Tensor:
    """Returns a JPEG up to its end, once it has no more scans than are allowed.

    What follows the end, such as the video of a phone's motion photo, is left out.
    """
    file = FileBytes(encoded)

    def step(position, scans, parts):
        scans += tf.cast(file.byte(position + 1) == _SOS, tf.int32)
        length = tf.cast(file.number(position + 2, 2, little_endian=False), tf.int32)
        following = file.marker_from(position + 2 + tf.maximum(length, 2))
        return [following, scans, parts + 1]

    end, scans, parts = tf.while_loop(
        lambda position, scans, parts: (
            (position < file.size)
            & (file.byte(position + 1) != _EOI)
            & (scans <= image_limits.MAX_SCANS)
            & (parts <= image_limits.MAX_PARTS)
        ),
        step,
        [file.marker_from(2), 0, 0],
        parallel_iterations=1,
    )
    encoded = _check_parts(parts, encoded)
    encoded = require(
        scans <= image_limits.MAX_SCANS,
        f"JPEG with more than {image_limits.MAX_SCANS} scans",
        encoded,
    )
    return tf.strings.substr(encoded, 0, end + 2)
