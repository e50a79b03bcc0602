"""Encoded images to pixels, inside a graph that strangers may send bytes to.

The first bytes of an image choose its decoder, and bytes that begin in any other way
reach no decoder: TensorFlow's general decoder, `tf.io.decode_image`, ends the process
on an animated WebP. The size is read from the header and compared with `image_limits`
before anything is decoded, and the size of what was decoded is compared again.
`graph_parsing` leaves out metadata and limits whatever else could take a long time or
much memory. If an image is rejected, the graph raises an InvalidArgumentError that
describes it.

The graph holds stock operations only. EXIF orientation is not applied: an image comes
out as it is stored.
"""

import tensorflow as tf

from alexnet_tf.data import image_parsing
from alexnet_tf.models import background as backgrounds
from alexnet_tf.models import image_limits
from alexnet_tf.serving import graph_parsing
from alexnet_tf.serving.graph_parsing import require

# What the kinds that are decoded begin with.
_BEGINNINGS: tuple[tuple[str, tuple[bytes, ...]], ...] = (
    ("jpeg", (b"\xff\xd8\xff",)),
    ("png", (image_parsing.PNG_START,)),
    ("gif", (b"GIF87a", b"GIF89a")),
    ("bmp", (b"BM",)),
)

_HEADER = 70  # bytes; every field that is read from the header lies within them

# The values of a BMP's field "compression" that are decoded, and the masks of the
# second, of which the last is that of alpha.
_UNCOMPRESSED, _BIT_FIELDS = 0, 3
_BMP_MASKS = (0xFF0000, 0xFF00, 0xFF)
_BMP_ALPHA = 0xFF000000


def check_size(height: tf.Tensor, width: tf.Tensor, name: str) -> tf.Operation:
    """Returns an assertion that an image of this size may be decoded or resized.

    Args:
        height, width: integer scalars, in pixels.
        name: the name of the input, for the message.

    When the assertion runs, it raises InvalidArgumentError if the image has no pixels
    or more than `MAX_PIXELS`, or if one side is more than `MAX_ASPECT` times the other.
    """
    most, aspect = image_limits.MAX_PIXELS, image_limits.MAX_ASPECT
    height, width = tf.cast(height, tf.int64), tf.cast(width, tf.int64)
    shorter, longer = tf.minimum(height, width), tf.maximum(height, width)
    allowed = (
        (shorter >= 1)
        & (longer <= most)
        & (shorter * longer <= most)
        & (longer <= aspect * shorter)
    )
    text = tf.strings.join(
        [
            f"{name}: ",
            tf.strings.as_string(height),
            " rows of ",
            tf.strings.as_string(width),
            f" pixels; an image must have 1 to {most} pixels, and no side may be more "
            f"than {aspect} times the other",
        ]
    )
    return tf.debugging.Assert(allowed, [text])


def announced_size(encoded: tf.Tensor) -> tf.Tensor:
    """The height and the width that the header of an image announces.

    Args:
        encoded: scalar string.

    Returns:
        int32 [2].

    Raises:
        InvalidArgumentError: when the graph runs, if the image is too large or of a
            kind that is not decoded.
    """
    encoded = require(
        tf.strings.length(encoded) <= image_limits.MAX_BYTES,
        f"more than {image_limits.MAX_BYTES} bytes",
        encoded,
    )
    encoded = _require_known_kind(encoded)
    size = _by_kind(
        encoded,
        jpeg=lambda: tf.cast(tf.io.extract_jpeg_shape(encoded)[:2], tf.int64),
        png=lambda: tf.stack(
            [_field(encoded, 20, 4, ">"), _field(encoded, 16, 4, ">")]
        ),
        gif=lambda: tf.stack([_field(encoded, 8, 2), _field(encoded, 6, 2)]),
        bmp=lambda: _bmp_size(encoded),
    )
    with tf.control_dependencies([check_size(size[0], size[1], "image_bytes")]):
        return tf.cast(size, tf.int32)


def decode(
    encoded: tf.Tensor,
    size: tf.Tensor | None = None,
    background: backgrounds.Color = backgrounds.WHITE,
) -> tf.Tensor:
    """Decodes the bytes of a JPEG, PNG, GIF or BMP.

    Grayscale, CMYK and palette images become RGB, and 16 bits become 8. Of a GIF only
    the first image is read. A BMP must be uncompressed, with 8, 24 or 32 bits.

    Args:
        encoded: scalar string.
        size: what `announced_size` returns, if it is known already.
        background: the color behind transparent pixels.

    Returns:
        uint8 RGB [H, W, 3].

    Raises:
        InvalidArgumentError: when the graph runs, if the image is damaged, too large,
            or of another kind. The message begins with the input's name,
            `image_bytes`, or is the decoder's.
    """
    size = announced_size(encoded) if size is None else size
    with tf.control_dependencies([size]):
        encoded = tf.identity(encoded)
    image = _by_kind(
        encoded,
        jpeg=lambda: _decode_jpeg(encoded),
        png=lambda: _decode_png(encoded, background),
        gif=lambda: _decode_gif(encoded, size, background),
        bmp=lambda: _decode_bmp(encoded, size, background),
    )
    shape = tf.shape(image)
    check = tf.debugging.Assert(
        tf.reduce_all(shape[:2] == size),
        ["image_bytes: the header announces another size than the image has"],
    )
    with tf.control_dependencies([check]):
        return tf.ensure_shape(image, [None, None, 3])


def _by_kind(encoded: tf.Tensor, **results) -> tf.Tensor:
    """What one of `results`, functions named by the kinds, returns for an image.

    Bytes of any other kind are the last one's, so `announced_size` refuses them first.
    """
    *kinds, (last, _) = _BEGINNINGS
    return tf.case(
        [(_begins(encoded, kind), results[kind]) for kind, _ in kinds],
        default=results[last],
    )


def _begins(encoded: tf.Tensor, kind: str) -> tf.Tensor:
    """Whether an image begins as those of a kind do."""
    found = [
        tf.strings.substr(encoded, 0, len(start)) == start
        for start in dict(_BEGINNINGS)[kind]
    ]
    return tf.reduce_any(found)


def _require_known_kind(encoded: tf.Tensor) -> tf.Tensor:
    """Returns `encoded` once it begins as one of the kinds that are decoded."""

    def refused():
        places = tf.constant([place for place, _, _ in image_limits.OTHER_KINDS])
        lengths = tf.constant([len(start) for _, start, _ in image_limits.OTHER_KINDS])
        starts = tf.constant([start for _, start, _ in image_limits.OTHER_KINDS])
        texts = tf.constant(
            [f", but {name}" for _, _, name in image_limits.OTHER_KINDS]
        )
        # A short file would end before some of these places.
        start = tf.strings.substr(encoded, 0, _HEADER) + b"\0" * _HEADER
        found = tf.strings.substr(tf.fill(tf.shape(starts), start), places, lengths)
        kind = tf.concat([tf.boolean_mask(texts, found == starts), [""]], axis=0)[0]
        message = tf.strings.join(["image_bytes: not a JPEG, PNG, GIF or BMP", kind])
        with tf.control_dependencies([tf.debugging.Assert(False, [message])]):
            return tf.identity(encoded)

    known = tf.reduce_any([_begins(encoded, kind) for kind, _ in _BEGINNINGS])
    return tf.cond(known, lambda: tf.identity(encoded), refused)


def _field(
    encoded: tf.Tensor, position: int, length: int, order: str = "<"
) -> tf.Tensor:
    """The unsigned integer in `length` bytes of the header, int64.

    Bytes that a short file does not have are read as zeros. `order` is "<" if the first
    byte is the lowest, and ">" if it is the highest.
    """
    header = tf.strings.substr(encoded, 0, _HEADER) + b"\0" * _HEADER
    digits = tf.io.decode_raw(
        tf.strings.substr(header, position, length), tf.uint8, fixed_length=length
    )
    places = [256**place for place in range(length)]
    weights = tf.constant(places if order == "<" else places[::-1], tf.int64)
    return tf.reduce_sum(tf.cast(digits, tf.int64) * weights)


def _compose(image: tf.Tensor, background: backgrounds.Color) -> tf.Tensor:
    """`backgrounds.compose` in the graph: uint8 [..., 4] to uint8 [..., 3]."""
    rgb, alpha = image[..., :3], tf.cast(image[..., 3:], tf.uint16)
    behind = tf.constant(background, tf.uint16)
    summed = tf.cast(rgb, tf.uint16) * alpha + behind * (255 - alpha) + 127
    return tf.cast(summed // 255, tf.uint8)


def _decode_jpeg(encoded: tf.Tensor) -> tf.Tensor:
    # This transform gives the same pixels as Pillow, by which preparation decodes.
    return tf.io.decode_jpeg(
        graph_parsing.check_scans(encoded), channels=3, dct_method="INTEGER_ACCURATE"
    )


def _decode_png(encoded: tf.Tensor, background: backgrounds.Color) -> tf.Tensor:
    png = graph_parsing.Png(encoded)

    def with_alpha():
        image = tf.io.decode_png(png.encoded, channels=4)
        # If libpng ignores a damaged tRNS chunk, TensorFlow fills in an alpha that is
        # the largest value of the image's own bits and not of 8 bits.
        alpha = tf.cast(image[..., 3], tf.int32)
        filler = tf.bitwise.left_shift(1, png.depth) - 1
        ignored = (png.depth < 8) & tf.reduce_all(alpha == filler)
        return tf.cond(
            ignored, lambda: image[..., :3], lambda: _compose(image, background)
        )

    return tf.cond(
        png.has_alpha,
        with_alpha,
        lambda: tf.io.decode_png(png.encoded, channels=3),
    )


def _decode_gif(
    encoded: tf.Tensor, size: tf.Tensor, background: backgrounds.Color
) -> tf.Tensor:
    # TensorFlow's decoder reads every frame and turns transparent into black, so it is
    # given the first image alone, and returns the indices of its colors.
    height, width = size[0], size[1]
    gif = graph_parsing.Gif(encoded, height, width)
    indices = tf.cast(tf.io.decode_gif(gif.encoded)[0, :, :, 0], tf.int32)
    rows, columns = tf.shape(indices)[0], tf.shape(indices)[1]
    # Around the image, the canvas is transparent: index 256.
    canvas = tf.pad(
        indices,
        [
            [gif.top, height - gif.top - rows],
            [gif.left, width - gif.left - columns],
        ],
        constant_values=256,
    )
    colors = tf.concat([gif.palette, tf.zeros([1, 4], tf.uint8)], axis=0)
    return tf.gather(_compose(colors, background), canvas)


def _bmp_size(encoded: tf.Tensor) -> tf.Tensor:
    """The size of a BMP, once its header is found to be one that can be decoded."""
    bits, compression = _field(encoded, 28, 2), _field(encoded, 30, 4)
    found = tf.strings.join(
        [
            "image_bytes: BMP must be uncompressed, with 8, 24 or 32 bits; it has ",
            tf.strings.as_string(bits),
            " bits, compression ",
            tf.strings.as_string(compression),
        ]
    )
    length = _field(encoded, 14, 4)  # of the header's second part
    plain = (compression == _UNCOMPRESSED) & ((bits == 8) | (bits == 24) | (bits == 32))
    fields = (compression == _BIT_FIELDS) & (bits == 32)
    for number, mask in enumerate(_BMP_MASKS):
        fields &= _field(encoded, 54 + 4 * number, 4) == mask
    alpha = _bmp_alpha_mask(encoded)
    fields &= (alpha == 0) | (alpha == _BMP_ALPHA)
    check = tf.debugging.Assert(
        (plain | fields) & (length >= 40),
        [found],
    )
    with tf.control_dependencies([check]):
        width, height = _field(encoded, 18, 4), _field(encoded, 22, 4)
    # The height is negative if the rows go from top to bottom.
    return tf.stack([tf.minimum(height, 2**32 - height), width])


def _bmp_alpha_mask(encoded: tf.Tensor) -> tf.Tensor:
    """The mask of alpha; 0 if the header is too short to have one."""
    return tf.where(_field(encoded, 14, 4) >= 56, _field(encoded, 66, 4), 0)


def _decode_bmp(
    encoded: tf.Tensor, size: tf.Tensor, background: backgrounds.Color
) -> tf.Tensor:
    bits = _field(encoded, 28, 2)
    row = (tf.cast(size[1], tf.int64) * bits + 31) // 32 * 4
    end = _field(encoded, 10, 4) + row * tf.cast(size[0], tf.int64)
    encoded = require(
        end <= tf.cast(tf.strings.length(encoded), tf.int64),
        "BMP whose pixels are cut off or begin after the end of the file",
        encoded,
    )
    # TensorFlow's decoder refuses what may follow, such as a color profile.
    encoded = tf.strings.substr(encoded, 0, tf.cast(end, tf.int32))
    has_alpha = _field(encoded, 30, 4) == _BIT_FIELDS
    has_alpha &= _bmp_alpha_mask(encoded) == _BMP_ALPHA

    def with_fourth_channel():
        image = tf.io.decode_bmp(encoded, channels=4)
        return tf.cond(
            has_alpha, lambda: _compose(image, background), lambda: image[..., :3]
        )

    return tf.case(
        [
            (bits == 8, lambda: _decode_palette_bmp(encoded)),
            (bits == 24, lambda: tf.io.decode_bmp(encoded, channels=3)),
        ],
        default=with_fourth_channel,
    )


def _decode_palette_bmp(encoded: tf.Tensor) -> tf.Tensor:
    """The pixels of a BMP with 8 bits. TensorFlow's decoder returns their indices."""
    # The palette lies between the header and the pixels: blue, green, red, unused.
    start = 14 + _field(encoded, 14, 4)
    colors = _field(encoded, 46, 4)
    colors = tf.where(colors == 0, tf.constant(256, tf.int64), colors)
    stop = tf.minimum(_field(encoded, 10, 4), start + 4 * tf.minimum(colors, 256))
    palette = tf.io.decode_raw(encoded, tf.uint8)[start:stop]
    palette = tf.reshape(palette[: tf.size(palette) // 4 * 4], [-1, 4])[:, 2::-1]
    indices = tf.cast(tf.io.decode_bmp(encoded)[..., 0], tf.int32)
    check = tf.debugging.Assert(
        tf.reduce_max(indices) < tf.shape(palette)[0],
        ["image_bytes: BMP with a color outside its palette"],
    )
    with tf.control_dependencies([check]):
        return tf.gather(palette, indices)
