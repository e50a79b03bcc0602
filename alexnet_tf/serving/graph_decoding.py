"""Encoded pictures to pixels inside a graph that strangers may send bytes to.

The first bytes choose the decoder, so that nothing else reaches one: TensorFlow's
general decoder ends the process on an animated WebP. The size is read from the header
and held to `MAX_PIXELS` before anything is decoded, and what could still take long or
much memory (the frames of a GIF, the scans of a JPEG) is bounded. Everything refused is
an InvalidArgumentError that says what came.

Stock operations only. EXIF orientation is not read: a picture comes out as it is stored.
"""

import tensorflow as tf

from alexnet_tf.models import image_limits

MAX_PIXELS = image_limits.MAX_PIXELS_SERVED


MAX_ASPECT = image_limits.MAX_ASPECT


MAX_BYTES = 64 * 2**20


# Each scan of a progressive JPEG passes over all its pixels; encoders make some ten.
MAX_SCANS = 100


_HEADER = 64  # bytes: past every field that is read below


_UNCOMPRESSED, _BITFIELDS = 0, 3


def check_size(height: tf.Tensor, width: tf.Tensor, name: str) -> tf.Operation:
    """An assertion that `height` x `width` pixels may be decoded or resized.

    `name` is the input's, for the message.
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
            f" pixels: at least 1, at most {MAX_PIXELS} in all, and no side more than "
            f"{MAX_ASPECT} times the other",
        ]
    )
    return tf.debugging.Assert(allowed, [text])


def decode(encoded: tf.Tensor) -> tf.Tensor:
    """The bytes of a JPEG, PNG, GIF or BMP, scalar string, to uint8 RGB [H, W, 3].

    Grey, CMYK and palettes become RGB, 16 bits become 8, alpha is dropped and what was
    transparent has its colour; of a GIF only the first frame is read. BMP: uncompressed,
    of 8, 24 or 32 bits.
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
            (begins(b"\xff\xd8\xff"), lambda: _jpeg(encoded)),
            (begins(b"\x89PNG\r\n\x1a\n"), lambda: _png(encoded)),
            (begins(b"GIF87a") | begins(b"GIF89a"), lambda: _gif(encoded)),
            (begins(b"BM"), lambda: _bmp(encoded)),
        ],
        default=unknown,
    )
    return tf.ensure_shape(image, [None, None, 3])


def _require(condition: tf.Tensor, message: str, encoded: tf.Tensor) -> tf.Tensor:
    """`encoded`, once `condition` holds: a decoder that reads the result runs after it."""
    held = tf.debugging.Assert(condition, [f"image_bytes: {message}"])
    with tf.control_dependencies([held]):
        return tf.identity(encoded)


def _require_size(height: tf.Tensor, width: tf.Tensor, encoded: tf.Tensor) -> tf.Tensor:
    with tf.control_dependencies([check_size(height, width, "image_bytes")]):
        return tf.identity(encoded)


def _number(
    encoded: tf.Tensor, position: int, length: int, *, little: bool
) -> tf.Tensor:
    """The unsigned integer in `length` bytes of the header; zeros follow a short file."""
    header = tf.strings.substr(encoded, 0, _HEADER) + b"\0" * _HEADER
    digits = tf.io.decode_raw(
        tf.strings.substr(header, position, length), tf.uint8, fixed_length=length
    )
    places = [256**place for place in range(length)]
    weights = tf.constant(places if little else places[::-1], tf.int64)
    return tf.reduce_sum(tf.cast(digits, tf.int64) * weights)


def _jpeg(encoded: tf.Tensor) -> tf.Tensor:
    shape = tf.io.extract_jpeg_shape(encoded)
    encoded = _require_size(shape[0], shape[1], encoded)
    # In a scan's own bytes ff is followed by 0, so this counts the beginnings of scans.
    scans = tf.size(tf.strings.split(encoded, b"\xff\xda")) - 1
    encoded = _require(scans <= MAX_SCANS, f"JPEG of over {MAX_SCANS} scans", encoded)
    # This transform's pixels are Pillow's, which preparation reads with.
    return tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")


def _png(encoded: tf.Tensor) -> tf.Tensor:
    width = _number(encoded, 16, 4, little=False)
    height = _number(encoded, 20, 4, little=False)
    return tf.io.decode_png(_require_size(height, width, encoded), channels=3)


def _bmp(encoded: tf.Tensor) -> tf.Tensor:
    def field(position: int, length: int) -> tf.Tensor:
        return _number(encoded, position, length, little=True)

    width, height = field(18, 4), field(22, 4)
    height = tf.minimum(height, 2**32 - height)  # negative: rows from the top
    bits, compression = field(28, 2), field(30, 4)
    kind = tf.strings.join(
        [
            tf.strings.as_string(bits),
            " bits, compression ",
            tf.strings.as_string(compression),
        ]
    )
    plain = (compression == _UNCOMPRESSED) & ((bits == 8) | (bits == 24) | (bits == 32))
    plain |= (compression == _BITFIELDS) & (bits == 32)
    held = tf.debugging.Assert(
        plain & (field(14, 4) >= 40),
        ["image_bytes: BMP must be uncompressed, of 8, 24 or 32 bits; it has", kind],
    )
    with tf.control_dependencies([held]):
        encoded = _require_size(height, width, encoded)
    size = tf.cast(tf.strings.length(encoded), tf.int64)
    inside = tf.cast(field(10, 4), tf.int64) <= size  # where the pixels begin
    encoded = _require(inside, "BMP whose pixels begin after its end", encoded)

    def palette():
        start = tf.cast(14 + field(14, 4), tf.int32)
        stop = tf.cast(field(10, 4), tf.int32)
        table = tf.io.decode_raw(encoded, tf.uint8)[start:stop]
        table = tf.reshape(table[: tf.size(table) // 4 * 4], [-1, 4])[:, 2::-1]
        indices = tf.cast(tf.io.decode_bmp(encoded)[..., 0], tf.int32)
        held = tf.debugging.Assert(
            tf.reduce_max(indices) < tf.shape(table)[0],
            ["image_bytes: BMP with a colour outside its palette"],
        )
        with tf.control_dependencies([held]):
            return tf.gather(table, indices)

    return tf.case(
        [
            (bits == 8, palette),
            (bits == 24, lambda: tf.io.decode_bmp(encoded, channels=3)),
        ],
        default=lambda: tf.io.decode_bmp(encoded, channels=4)[..., :3],
    )


def _gif(encoded: tf.Tensor) -> tf.Tensor:
    def field(data: tf.Tensor, position) -> tf.Tensor:
        low, high = tf.unstack(tf.cast(data[position : position + 2], tf.int32), num=2)
        return low + 256 * high

    # The decoder reads every frame, so it is given a file that ends after the first, and
    # without the extensions before it, one of which makes a colour transparent: black.
    # Zeros after the end stop the walk over a file that is cut off.
    data = tf.io.decode_raw(encoded + b"\0" * _HEADER, tf.uint8)
    size = tf.strings.length(encoded)

    def byte(position) -> tf.Tensor:
        return tf.cast(data[tf.minimum(position, size)], tf.int32)

    def colors(flags: tf.Tensor) -> tf.Tensor:
        """Bytes of the colour table that `flags` announces."""
        count = tf.bitwise.left_shift(2, tf.bitwise.bitwise_and(flags, 7))
        return tf.where(flags >= 128, 3 * count, 0)

    def after_blocks(position) -> tf.Tensor:
        """Behind a chain of blocks, each a length and so many bytes, up to length 0."""
        (last,) = tf.while_loop(
            lambda p: byte(p) != 0, lambda p: [p + 1 + byte(p)], [position]
        )
        return last + 1

    head = 13 + colors(byte(10))
    (frame,) = tf.while_loop(
        lambda p: byte(p) == 0x21,  # an extension
        lambda p: [after_blocks(p + 2)],
        [head],
    )
    whole = _require(
        (byte(frame) == 0x2C) & (frame + 10 <= size), "GIF without a picture", encoded
    )
    with tf.control_dependencies([whole]):
        left, top, across, down = (field(data, frame + 1 + 2 * n) for n in range(4))
    width, height = field(data, 6), field(data, 8)
    whole = _require_size(height, width, whole)
    whole = _require(
        (left + across <= width) & (top + down <= height),
        "GIF whose picture is larger than its frame",
        whole,
    )
    end = after_blocks(frame + 11 + colors(byte(frame + 9)))
    whole = _require(end <= size, "GIF cut off in its first picture", whole)
    first = tf.strings.substr(whole, frame, end - frame)
    return tf.io.decode_gif(tf.strings.substr(whole, 0, head) + first + b"\x3b")[0]
