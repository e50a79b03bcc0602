"""Encoded images to pixels, inside a graph that strangers may send bytes to.

The first bytes of an image choose its decoder, and bytes that begin in any other way
reach no decoder: TensorFlow's general decoder, `tf.io.decode_image`, ends the process
on an animated WebP. The size is read from the header and compared with `MAX_PIXELS`
before anything is decoded. Whatever else could take a long time or much memory (the
frames of a GIF, the scans of a JPEG) is limited. If an image is rejected, the graph
raises an InvalidArgumentError that describes it.

The graph holds stock operations only. EXIF orientation is not applied: an image comes
out as it is stored.
"""

import tensorflow as tf

from alexnet_tf.models import image_limits

MAX_PIXELS = image_limits.MAX_PIXELS_SERVED
MAX_ASPECT = image_limits.MAX_ASPECT

MAX_BYTES = 64 * 2**20

# Each scan of a progressive JPEG passes over all its pixels; encoders write about ten.
MAX_SCANS = 100

_HEADER = 64  # bytes; every field that is read below lies within them

# The values of a BMP's field "compression" that are decoded.
_UNCOMPRESSED, _BITFIELDS = 0, 3

# The bytes that begin a block of a GIF.
_GIF_EXTENSION, _GIF_IMAGE = 0x21, 0x2C
_GIF_TRAILER = b"\x3b"


def check_size(height: tf.Tensor, width: tf.Tensor, name: str) -> tf.Operation:
    """Returns an assertion that an image of this size may be decoded or resized.

    Args:
        height, width: integer scalars, in pixels.
        name: the name of the input, for the message.

    When the assertion runs, it raises InvalidArgumentError if the image has no pixels
    or more than `MAX_PIXELS`, or if one side is more than `MAX_ASPECT` times the other.
    """
    height, width = tf.cast(height, tf.int64), tf.cast(width, tf.int64)
    shorter, longer = tf.minimum(height, width), tf.maximum(height, width)
    allowed = (
        (shorter >= 1)
        & (longer <= MAX_PIXELS)
        & (shorter * longer <= MAX_PIXELS)
        & (longer <= MAX_ASPECT * shorter)
    )
    text = tf.strings.join(
        [
            f"{name}: ",
            tf.strings.as_string(height),
            " rows of ",
            tf.strings.as_string(width),
            f" pixels; an image must have 1 to {MAX_PIXELS} pixels, and no side may be "
            f"more than {MAX_ASPECT} times the other",
        ]
    )
    return tf.debugging.Assert(allowed, [text])


def decode(encoded: tf.Tensor) -> tf.Tensor:
    """Decodes the bytes of a JPEG, PNG, GIF or BMP.

    Grayscale, CMYK and palette images become RGB, 16 bits become 8, and alpha is
    dropped, so that a transparent pixel shows its color. Of a GIF only the first frame
    is read. A BMP must be uncompressed, with 8, 24 or 32 bits.

    Args:
        encoded: scalar string.

    Returns:
        uint8 RGB [H, W, 3].

    Raises:
        InvalidArgumentError: when the graph runs, if the image is damaged, too large,
            or of another format. The message begins with the input's name,
            `image_bytes`, or is the decoder's.
    """
    encoded = _require(
        tf.strings.length(encoded) <= MAX_BYTES, f"more than {MAX_BYTES} bytes", encoded
    )

    def begins(magic: bytes) -> tf.Tensor:
        return tf.strings.substr(encoded, 0, len(magic)) == magic

    def unknown():
        nothing = _require(tf.constant(False), "not a JPEG, PNG, GIF or BMP", encoded)
        return tf.reshape(tf.io.decode_raw(nothing, tf.uint8), [1, 1, -1])

    image = tf.case(
        [
            (begins(b"\xff\xd8\xff"), lambda: _decode_jpeg(encoded)),
            (begins(b"\x89PNG\r\n\x1a\n"), lambda: _decode_png(encoded)),
            (begins(b"GIF87a") | begins(b"GIF89a"), lambda: _decode_gif(encoded)),
            (begins(b"BM"), lambda: _decode_bmp(encoded)),
        ],
        default=unknown,
    )
    return tf.ensure_shape(image, [None, None, 3])


def _require(condition: tf.Tensor, message: str, encoded: tf.Tensor) -> tf.Tensor:
    """Returns `encoded` once `condition` holds.

    A decoder that reads the returned tensor runs after the check.
    """
    check = tf.debugging.Assert(condition, [f"image_bytes: {message}"])
    with tf.control_dependencies([check]):
        return tf.identity(encoded)


def _require_size(height: tf.Tensor, width: tf.Tensor, encoded: tf.Tensor) -> tf.Tensor:
    """Returns `encoded` once its size is found to be allowed."""
    with tf.control_dependencies([check_size(height, width, "image_bytes")]):
        return tf.identity(encoded)


def _header_number(
    encoded: tf.Tensor, position: int, length: int, *, little_endian: bool
) -> tf.Tensor:
    """The unsigned integer in `length` bytes of the header, int64.

    Bytes that a short file does not have are read as zeros.
    """
    header = tf.strings.substr(encoded, 0, _HEADER) + b"\0" * _HEADER
    digits = tf.io.decode_raw(
        tf.strings.substr(header, position, length), tf.uint8, fixed_length=length
    )
    places = [256**place for place in range(length)]
    weights = tf.constant(places if little_endian else places[::-1], tf.int64)
    return tf.reduce_sum(tf.cast(digits, tf.int64) * weights)


def _decode_jpeg(encoded: tf.Tensor) -> tf.Tensor:
    shape = tf.io.extract_jpeg_shape(encoded)
    encoded = _require_size(shape[0], shape[1], encoded)
    # Within the data of a scan ff is followed by 0, so this counts where scans begin.
    scans = tf.size(tf.strings.split(encoded, b"\xff\xda")) - 1
    encoded = _require(
        scans <= MAX_SCANS, f"JPEG with more than {MAX_SCANS} scans", encoded
    )
    # This transform gives the same pixels as Pillow, by which preparation decodes.
    return tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")


def _decode_png(encoded: tf.Tensor) -> tf.Tensor:
    width = _header_number(encoded, 16, 4, little_endian=False)
    height = _header_number(encoded, 20, 4, little_endian=False)
    return tf.io.decode_png(_require_size(height, width, encoded), channels=3)


def _bmp_field(encoded: tf.Tensor, position: int, length: int) -> tf.Tensor:
    return _header_number(encoded, position, length, little_endian=True)


def _decode_bmp(encoded: tf.Tensor) -> tf.Tensor:
    encoded = _require_bmp_header(encoded)
    bits = _bmp_field(encoded, 28, 2)
    return tf.case(
        [
            (bits == 8, lambda: _decode_palette_bmp(encoded)),
            (bits == 24, lambda: tf.io.decode_bmp(encoded, channels=3)),
        ],
        default=lambda: tf.io.decode_bmp(encoded, channels=4)[..., :3],
    )


def _require_bmp_header(encoded: tf.Tensor) -> tf.Tensor:
    """Returns `encoded` once its header is found to be one that can be decoded."""
    bits, compression = _bmp_field(encoded, 28, 2), _bmp_field(encoded, 30, 4)
    found = tf.strings.join(
        [
            tf.strings.as_string(bits),
            " bits, compression ",
            tf.strings.as_string(compression),
        ]
    )
    known = (compression == _UNCOMPRESSED) & ((bits == 8) | (bits == 24) | (bits == 32))
    known |= (compression == _BITFIELDS) & (bits == 32)
    known &= _bmp_field(encoded, 14, 4) >= 40  # the length of the header's second part
    check = tf.debugging.Assert(
        known,
        ["image_bytes: BMP must be uncompressed, with 8, 24 or 32 bits; it has", found],
    )
    with tf.control_dependencies([check]):
        encoded = tf.identity(encoded)
    width, height = _bmp_field(encoded, 18, 4), _bmp_field(encoded, 22, 4)
    height = tf.minimum(
        height, 2**32 - height
    )  # negative if rows go from top to bottom
    encoded = _require_size(height, width, encoded)
    size = tf.cast(tf.strings.length(encoded), tf.int64)
    return _require(
        _bmp_field(encoded, 10, 4) <= size,
        "BMP whose pixels begin after the end of the file",
        encoded,
    )


def _decode_palette_bmp(encoded: tf.Tensor) -> tf.Tensor:
    """The pixels of a BMP with 8 bits. TensorFlow's decoder returns their indices."""
    # The palette lies between the header and the pixels: blue, green, red, unused.
    start = tf.cast(14 + _bmp_field(encoded, 14, 4), tf.int32)
    stop = tf.cast(_bmp_field(encoded, 10, 4), tf.int32)
    palette = tf.io.decode_raw(encoded, tf.uint8)[start:stop]
    palette = tf.reshape(palette[: tf.size(palette) // 4 * 4], [-1, 4])[:, 2::-1]
    indices = tf.cast(tf.io.decode_bmp(encoded)[..., 0], tf.int32)
    check = tf.debugging.Assert(
        tf.reduce_max(indices) < tf.shape(palette)[0],
        ["image_bytes: BMP with a color outside its palette"],
    )
    with tf.control_dependencies([check]):
        return tf.gather(palette, indices)


class _GifBytes:
    """The bytes of a GIF, and how far its parts extend. Positions are int32 scalars."""

    def __init__(self, encoded: tf.Tensor):
        self.size = tf.strings.length(encoded)
        # The zeros after the end stop the search for the end of a file that is cut off.
        self._data = tf.io.decode_raw(encoded + b"\0" * _HEADER, tf.uint8)

    def byte(self, position) -> tf.Tensor:
        """The byte at `position`, int32; 0 after the end of the file."""
        return tf.cast(self._data[tf.minimum(position, self.size)], tf.int32)

    def number(self, position) -> tf.Tensor:
        """The unsigned integer in the two bytes at `position`, int32."""
        pair = tf.cast(self._data[position : position + 2], tf.int32)
        low, high = tf.unstack(pair, num=2)
        return low + 256 * high

    def color_table_length(self, flags_position) -> tf.Tensor:
        """How many bytes the color table has that the flags at a position announce."""
        flags = self.byte(flags_position)
        count = tf.bitwise.left_shift(2, tf.bitwise.bitwise_and(flags, 7))
        return tf.where(flags >= 128, 3 * count, 0)

    def after_blocks(self, position) -> tf.Tensor:
        """The position after a chain of blocks.

        Each block is a byte with its length and that many bytes; length 0 is the end.
        """
        (last,) = tf.while_loop(
            lambda p: self.byte(p) != 0,
            lambda p: [p + 1 + self.byte(p)],
            [position],
        )
        return last + 1

    def after_extensions(self, position) -> tf.Tensor:
        """The position after the extensions that begin at `position`."""
        (end,) = tf.while_loop(
            lambda p: self.byte(p) == _GIF_EXTENSION,
            lambda p: [self.after_blocks(p + 2)],
            [position],
        )
        return end


def _decode_gif(encoded: tf.Tensor) -> tf.Tensor:
    # TensorFlow's decoder reads every frame, so it is given a file that ends after the
    # first one. That file also leaves out the extensions before the frame, because one
    # of them makes a color transparent, and the decoder turns transparent into black.
    gif = _GifBytes(encoded)
    header_length = 13 + gif.color_table_length(10)
    frame = gif.after_extensions(header_length)
    checked = _require_gif_frame(gif, frame, encoded)
    end = gif.after_blocks(frame + 11 + gif.color_table_length(frame + 9))
    checked = _require(
        end <= gif.size, "GIF that is cut off within its first image", checked
    )
    header = tf.strings.substr(checked, 0, header_length)
    first = tf.strings.substr(checked, frame, end - frame)
    return tf.io.decode_gif(header + first + _GIF_TRAILER)[0]


def _require_gif_frame(gif: _GifBytes, frame, encoded: tf.Tensor) -> tf.Tensor:
    """Returns `encoded` once an image is found at `frame`, within the GIF's canvas."""
    encoded = _require(
        (gif.byte(frame) == _GIF_IMAGE) & (frame + 10 <= gif.size),
        "GIF without an image",
        encoded,
    )
    with tf.control_dependencies([encoded]):
        left, top, columns, rows = (gif.number(frame + 1 + 2 * n) for n in range(4))
    width, height = gif.number(6), gif.number(8)
    encoded = _require_size(height, width, encoded)
    return _require(
        (left + columns <= width) & (top + rows <= height),
        "GIF whose first image is larger than its canvas",
        encoded,
    )
