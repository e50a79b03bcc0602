"""Images are decoded as preparation decodes them, or are refused before decoding.

`fuzz_export.py` sends mutated images.
"""

import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from alexnet_tf.data import image_decoding
from alexnet_tf.models import image_limits, resizing
from alexnet_tf.serving import graph_decoding
from tests.support import encoded_images, hostile_images, programs

decode = tf.function(
    graph_decoding.decode, input_signature=[tf.TensorSpec([], tf.string, "encoded")]
)


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(height=50, width=40):
    rng = np.random.default_rng(1)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3)).astype(np.uint8))


def chunk(kind, data):
    check = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + check


def png(height, width, pixels=b""):
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", pixels)
        + chunk(b"IEND", b"")
    )


def animated_gif(frames=3):
    first, *others = [noise().rotate(90 * n).convert("P") for n in range(frames)]
    return encoded(first, "GIF", save_all=True, append_images=others, loop=0)


def translucent():
    alpha = np.random.default_rng(2).integers(0, 256, (50, 40, 1)).astype(np.uint8)
    return Image.fromarray(np.concatenate([np.asarray(noise()), alpha], axis=2))


PALETTE = noise().convert("P")
SEEN_THROUGH = PALETTE.getpixel((3, 3))

GOOD = {
    "png": encoded(noise(), "PNG"),
    "png_gray": encoded(noise().convert("L"), "PNG"),
    "png_alpha": encoded(translucent(), "PNG"),
    "png_gray_alpha": encoded(translucent().convert("LA"), "PNG"),
    "png_palette": encoded(PALETTE, "PNG"),
    "png_palette_alpha": encoded(PALETTE, "PNG", transparency=SEEN_THROUGH),
    "png_1_bit": encoded(noise().convert("1"), "PNG"),
    "png_16_bits": encoded(
        Image.fromarray(np.arange(2000, dtype=np.uint16).reshape(50, 40) * 32), "PNG"
    ),
    "gif": encoded(PALETTE, "GIF"),
    "gif_alpha": encoded(PALETTE, "GIF", transparency=SEEN_THROUGH),
    "gif_animated": animated_gif(),
    "bmp": encoded(noise(), "BMP"),
    "bmp_alpha": encoded(translucent(), "BMP"),
    "bmp_palette": encoded(PALETTE, "BMP"),
    "bmp_gray": encoded(noise().convert("L"), "BMP"),
    "jpeg": encoded(noise(), "JPEG"),
    "jpeg_gray": encoded(noise().convert("L"), "JPEG"),
    "jpeg_cmyk": encoded(noise().convert("CMYK"), "JPEG"),
    "jpeg_progressive": encoded(noise(), "JPEG", progressive=True),
    "jpeg_subsampled": encoded(noise(), "JPEG", subsampling="4:2:0"),
}


@pytest.mark.parametrize("kind", GOOD)
def test_pixels_are_those_of_preparation(kind):
    ours = decode(GOOD[kind]).numpy().astype(int)
    theirs = image_decoding.decode(GOOD[kind], kind)
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= 1
    # After resizing by the one rule, the input of the net agrees too.
    mine, other = (resizing.resize(tf.constant(i), 32) for i in (ours, theirs))
    assert np.abs(mine.numpy().astype(int) - other.numpy()).max() <= 1


def test_exif_orientation_is_not_applied():
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    data = encoded(noise(), "JPEG", exif=exif)
    assert decode(data).shape == (50, 40, 3)
    assert image_decoding.decode(data, "turned").shape == (40, 50, 3)


def jpeg_of_size(height, width):
    data = bytearray(GOOD["jpeg"])
    start = data.index(b"\xff\xc0")
    data[start + 5 : start + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def gif_of_size(height, width):
    return b"GIF89a" + struct.pack("<HH", width, height) + GOOD["gif"][10:]


def bmp_of_size(height, width):
    data = bytearray(GOOD["bmp"])
    data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


@pytest.mark.parametrize("make", [png, jpeg_of_size, gif_of_size, bmp_of_size])
@pytest.mark.parametrize(
    ("height", "width"), [(20_000, 20_000), (1, 40_000), (40_000, 2)]
)
def test_an_image_that_is_too_large_is_rejected_by_its_header(make, height, width):
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=f"{height} rows of {width} pixels"
    ):
        decode(make(height, width))


def test_sides_whose_product_overflows_are_rejected_by_the_header():
    """Modulo 2**64 the product is negative."""
    side = 2**32 - 1
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=f"{side} rows of {side} pixels"
    ):
        decode(png(side, side))


def black(height, width):
    """A black PNG of any size, made quickly by repeating one deflated row."""
    row = bytes(1 + 3 * width)
    packer = zlib.compressobj(9, wbits=-15)
    block = packer.compress(row) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = struct.pack(">HH", height * len(row) % 65521, 1)  # Adler-32 of zeros
    return png(height, width, b"\x78\xda" + block * height + b"\x03\0" + checksum)


def test_the_bombs_are_valid_images():
    assert not image_decoding.decode(black(30, 20), "black").any()


def peak_of(tmp_path, files):
    """How many MiB both decoders take at most for files, by name, and their outcomes."""
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    done = programs.run("tests.serving.peak_memory", tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert {line[0] for line in lines} == set(files)
    return int(lines[-1][1]), {name: found for name, _, *found in lines}


@pytest.mark.parametrize(
    ("mib", "most"), [(1, 100), pytest.param(63, 450, marks=pytest.mark.long)]
)
def test_hostile_files_take_little_memory(tmp_path, mib, most):
    """Decoded, the first bomb would take 1.2 GB; enlarged, the second 786 GB.

    The others have millions of chunks, blocks, segments or scans, for which
    `tf.strings.split` took 1.9 GB.
    """
    bombs = {"bomb": black(20_000, 20_000), "strip": black(1, 1_000_000)}
    parts = hostile_images.of_small_parts(mib * 2**20)
    found, outcomes = peak_of(tmp_path, bombs | parts)
    assert found < most, found
    assert all(graph == prepared for graph, prepared in outcomes.values()), outcomes
    assert {outcomes[name][0] for name in bombs} == {"refused"}
    assert {outcomes[name][0] for name in parts} == {"read", "refused"}


def test_only_the_first_frame_of_a_gif_is_read():
    """The frames after the first may even be damaged."""
    data = animated_gif(frames=2)
    first = decode(data).numpy()
    cut = data[: len(data) * 3 // 4]  # in the middle of the second
    np.testing.assert_array_equal(decode(cut).numpy(), first)
    np.testing.assert_array_equal(decode(data[:-1] + b"\x2c" * 999).numpy(), first)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("PNG that hides its size", "but a damaged PNG"),
        ("PNG with an unknown critical chunk", "unknown chunk before its pixels"),
        ("PNG that is cut off", "pixels are cut off or missing"),
        ("PNG of many chunks", "more than 10000 parts"),
        ("GIF larger than its canvas", "larger than its canvas"),
        ("GIF without colors", "GIF without colors"),
        ("GIF of many blocks", "more than 10000 parts"),
        ("JPEG of many scans", "more than 100 scans"),
        ("tiff", "but a TIFF"),
        ("avif", "but an AVIF"),
        ("icon", "but an icon"),
        ("web page", "but a web page"),
        ("empty", "not a JPEG, PNG, GIF or BMP"),
    ],
)
def test_the_message_says_why_an_image_is_refused(what, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        decode(encoded_images.refused()[what])


def test_the_size_of_what_was_decoded_is_compared_with_the_header():
    data = encoded_images.VALID["png_2_8"]
    other = tf.constant([encoded_images.HEIGHT, encoded_images.WIDTH + 1])
    with pytest.raises(tf.errors.InvalidArgumentError, match="announces another size"):
        graph_decoding.decode(tf.constant(data), other)


def test_a_file_of_too_many_bytes_is_rejected():
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="more than 67108864 bytes"
    ):
        decode(GOOD["png"] + bytes(image_limits.MAX_BYTES))


def bmp_with(position, form, value):
    data = bytearray(GOOD["bmp"])
    struct.pack_into(form, data, position, value)
    return bytes(data)


@pytest.mark.parametrize(
    "data",
    [
        bmp_with(28, "<H", 16),
        bmp_with(28, "<H", 4),
        bmp_with(30, "<I", 1),
        bmp_with(14, "<I", 12),
        b"BM",
    ],
)
def test_a_bmp_of_an_unsupported_kind_is_rejected_instead_of_misread(data):
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="BMP must be uncompressed"
    ):
        decode(data)


def test_a_bmp_with_a_color_outside_its_palette_is_rejected():
    data = bytearray(GOOD["bmp_palette"])
    (pixels,) = struct.unpack_from("<I", data, 10)
    struct.pack_into("<I", data, 10, 54)  # no palette: the pixels take its place
    del data[54:pixels]
    with pytest.raises(tf.errors.InvalidArgumentError, match="outside its palette"):
        decode(bytes(data))


OTHER = {
    "empty": b"",
    "text": b"not an image",
    "short": b"\xff\xd8",
    "tiff": encoded(noise(), "TIFF"),
    "avif": b"\0\0\0\x1cftypavif",
    "webp": encoded(noise(), "WEBP"),
    "webp_animated": encoded(
        noise(), "WEBP", save_all=True, append_images=[noise().rotate(90)]
    ),
}


@pytest.mark.parametrize("kind", OTHER)
def test_other_data_is_rejected_by_its_first_bytes(kind):
    with pytest.raises(tf.errors.InvalidArgumentError, match="not a JPEG, PNG, GIF"):
        decode(OTHER[kind])


@pytest.mark.parametrize("kind", GOOD)
def test_an_image_that_is_cut_off_is_an_error(kind):
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode(GOOD[kind][: len(GOOD[kind]) // 4])


def test_a_bmp_whose_pixels_begin_after_the_end_of_the_file_is_rejected():
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, "BMP")
    data = bytearray(file.getvalue())
    data[10:14] = (0x87E00004).to_bytes(4, "little")
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="BMP whose pixels are cut off"
    ):
        graph_decoding.decode(tf.constant(bytes(data)))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_decoding_outside_of_a_graph_gives_the_same_pixels(kind):
    """As `export --check` decodes, which compares an export with the net itself."""
    data = encoded(noise(), kind)
    np.testing.assert_array_equal(graph_decoding.decode(data), decode(data))
