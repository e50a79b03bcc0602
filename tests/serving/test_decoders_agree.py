"""Preparation, `predict` and the exported graph read the same images alike."""

import fnmatch
import io
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from alexnet_tf.data import image_decoding
from alexnet_tf.models import image_limits
from alexnet_tf.serving import graph_decoding
from tests.support import encoded_images

BACKGROUND = (10, 200, 90)

in_graph = tf.function(
    lambda encoded: graph_decoding.decode(encoded, background=BACKGROUND),
    input_signature=[tf.TensorSpec([], tf.string, "encoded")],
)


def prepared(data):
    return image_decoding.decode(data, "image", BACKGROUND)


def sent(data):
    """The pixels that a server decodes from what `predict` sends."""
    return in_graph(image_decoding.for_server(data, "image")).numpy()


@pytest.mark.parametrize("kind", encoded_images.VALID)
def test_an_image_that_the_graph_reads_has_the_pixels_of_preparation(kind):
    data = encoded_images.VALID[kind]
    np.testing.assert_array_equal(in_graph(data).numpy(), prepared(data))
    assert image_decoding.for_server(data, kind) == data


@pytest.mark.parametrize("kind", encoded_images.OTHERWISE)
def test_predict_sends_a_server_the_pixels_of_preparation(kind):
    data = encoded_images.OTHERWISE[kind]
    np.testing.assert_array_equal(sent(data), prepared(data))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("webp", "but a WebP"),
        ("webp_animated", "but a WebP"),
        ("gzip_jpeg", "but a gzip archive"),
        ("bmp_1_bit", "it has 1 bits"),
        ("bmp_4_bits", "it has 4 bits"),
        ("bmp_16_bits", "it has 16 bits"),
        ("bmp_run_length", "it has 8 bits, compression 1"),
        ("bmp_other_masks", "BMP must be uncompressed"),
    ],
)
def test_the_graph_refuses_other_kinds_by_name(kind, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        in_graph(encoded_images.OTHERWISE[kind])


def test_the_graph_reads_a_cmyk_jpeg_with_differences_of_one_level():
    data = encoded_images.OTHERWISE["jpeg_cmyk"]
    difference = in_graph(data).numpy().astype(int) - prepared(data)
    assert np.abs(difference).max() == 1


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_the_graph_leaves_an_image_as_it_is_stored(kind):
    image = encoded_images.smooth()
    turned = encoded_images.with_orientation(image, kind, 6)
    plain = encoded_images.with_orientation(image, kind, 1)
    np.testing.assert_array_equal(in_graph(turned), in_graph(plain))
    np.testing.assert_array_equal(prepared(turned), np.rot90(prepared(plain), -1))


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        (kind, what)
        for kind, files in encoded_images.WITH_METADATA.items()
        for what in files
    ],
)
def test_metadata_changes_no_pixel(kind, what):
    data = encoded_images.WITH_METADATA[kind][what]
    expected = prepared(encoded_images.WITHOUT_METADATA[kind])
    np.testing.assert_array_equal(prepared(data), expected)
    np.testing.assert_array_equal(in_graph(data), expected)
    np.testing.assert_array_equal(sent(data), expected)


@pytest.mark.parametrize("what", encoded_images.refused())
def test_a_file_that_is_refused_is_refused_everywhere(what):
    data = encoded_images.refused()[what]
    with pytest.raises(image_decoding.BadImageError, match="^image: "):
        prepared(data)
    with pytest.raises(image_decoding.BadImageError, match="^image: "):
        image_decoding.for_server(data, "image")
    with pytest.raises(tf.errors.InvalidArgumentError):
        in_graph(data)


@pytest.mark.parametrize("kind", encoded_images.VALID)
@pytest.mark.parametrize("part", [0.1, 0.6, 0.95])
def test_an_image_that_is_cut_off_is_refused_everywhere(kind, part):
    data = encoded_images.VALID[kind]
    cut = data[: int(part * len(data))]
    if "animated" in kind and part > 0.5:
        pytest.skip("the first frame is whole")
    with pytest.raises(image_decoding.BadImageError):
        prepared(cut)
    with pytest.raises(tf.errors.InvalidArgumentError):
        in_graph(cut)


def test_a_transparent_color_of_16_bits_is_compared_with_all_of_them():
    samples = np.array([[[0x1234, 0x5678, 0x9ABC], [0x1234, 0x5678, 0x9ABD]]])
    key = encoded_images.chunk(b"tRNS", bytes.fromhex("123456789abc"))
    data = encoded_images.png_of(samples, 16, 2, key)
    expected = [[list(BACKGROUND), [0x12, 0x56, 0x9A]]]
    assert prepared(data).tolist() == expected
    assert in_graph(data).numpy().tolist() == expected


def test_a_gif_in_a_canvas_has_the_background_around_it():
    frame = Image.new("P", (2, 1), 1)
    frame.putpalette([0, 0, 0, 200, 100, 50])
    data = encoded_images.gif_of(frame, canvas=(4, 2), corner=(1, 1))
    behind, color = list(BACKGROUND), [200, 100, 50]
    expected = [[behind] * 4, [behind, color, color, behind]]
    assert prepared(data).tolist() == expected
    assert in_graph(data).numpy().tolist() == expected


def test_a_damaged_transparency_is_ignored_in_few_bits():
    """TensorFlow fills in an alpha of 3 for two bits, which is nearly transparent."""
    damaged = bytearray(encoded_images.chunk(b"tRNS", b"\0\0"))
    damaged[-1] ^= 1
    palette = encoded_images.chunk(b"PLTE", bytes(range(12)))
    samples = np.arange(4).reshape(1, 4, 1)
    data = encoded_images.png_of(samples, 2, 3, palette, bytes(damaged))
    expected = [[[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]]
    assert prepared(data).tolist() == expected
    assert in_graph(data).numpy().tolist() == expected


def test_what_is_sent_keeps_its_transparency():
    """The server composes it on the background of its own net."""
    data = encoded_images.OTHERWISE["webp_alpha"]
    with Image.open(io.BytesIO(image_decoding.for_server(data, "image"))) as image:
        assert image.mode == "RGBA"
        np.testing.assert_array_equal(image, encoded_images.noise(channels=4))


# The images of each row of the table of kinds in the documentation.
DOCUMENTED = {
    "JPEG, gray or color, baseline or progressive": ["jpeg", "jpeg_gray", "jpeg_pr*"],
    "JPEG in CMYK": ["jpeg_cmyk"],
    "PNG of every color type and depth, interlaced or not": ["png_[0-9]*"],
    "GIF, the first frame": ["gif*"],
    "BMP, uncompressed, with 8, 24 or 32 bits": ["bmp", "bmp_gray", "bmp_32_bits"],
    "BMP with 1, 4 or 16 bits, run-length encoding, other masks or OS/2's header": [
        *("bmp_1_bit", "bmp_4_bits", "bmp_16_bits", "bmp_run_length"),
        *("bmp_other_masks", "bmp_os2"),
    ],
    "WebP, the first frame": ["webp*"],
    "any of these, gzipped": ["gzip*"],
    "an image that its EXIF data turn": ["jpeg_turned_*", "png_turned_*"],
    "TIFF, AVIF, HEIC, JPEG 2000, JPEG XL, PSD, icons, PDF, SVG": [
        *("other tiff", "other avif", "other icon", "other JPEG 2000", "begins as *"),
    ],
}
FILES = {
    **encoded_images.VALID,
    **encoded_images.OTHERWISE,
    **{f"other {kind}": data for kind, data in encoded_images.refused().items()},
    **{f"begins as {kind}": b"\xfe" * n + start for n, start, kind in
       image_limits.OTHER_KINDS},
}  # fmt: skip


def documented_rows(first_cell):
    """The rows of the table in docs/data.md whose head begins with this cell."""
    page = pathlib.Path(__file__).parents[2] / "docs/data.md"
    table = page.read_text().split(f"\n| {first_cell} |")[1].split("\n\n")[0]
    lines = table.splitlines()[2:]
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]


def described_pixels(data, upright):
    """What the documentation says of the graph's pixels of a file."""
    try:
        pixels = in_graph(data).numpy().astype(int)
    except tf.errors.InvalidArgumentError:
        return "refused"
    if pixels.shape != upright.shape or np.abs(pixels - upright).max() > 1:
        return "left as it is stored"
    return (
        "read" if (pixels == upright).all() else "read, with differences of one level"
    )


def test_the_documentation_says_how_each_kind_is_read():
    rows = documented_rows("kind")
    assert [kind for kind, _, _ in rows] == list(DOCUMENTED)
    for kind, by_preparation, by_graph in rows:
        for pattern in DOCUMENTED[kind]:
            names = fnmatch.filter(FILES, pattern)
            assert names, pattern
            for name in names:
                data = FILES[name]
                upright = pixels_or_none(data)
                refused = by_preparation == "refused"
                assert (upright.size == 0) == refused, name
                assert described_pixels(data, upright) == by_graph, name


def pixels_or_none(data):
    """Preparation's pixels; of a file that it refuses, an empty image."""
    try:
        return prepared(data)
    except image_decoding.BadImageError:
        return np.zeros((0, 0, 3))


def test_the_documentation_has_the_limits():
    """One number per row, with a unit if it counts bytes."""
    found = []
    for _, value in documented_rows("limit"):
        number, *unit = value.split(";")[0].replace(",", "").split()
        found.append(int(number) * (2**20 if unit == ["MiB"] else 1))
    assert found == [
        image_limits.MAX_PIXELS,
        image_limits.MAX_ASPECT,
        image_limits.MAX_BYTES,
        image_limits.MAX_SCANS,
        *[image_limits.MAX_PARTS] * 2,
        image_limits.MAX_REQUEST_IMAGES,
        image_limits.MAX_REQUEST_BYTES,
        image_limits.MAX_REQUEST_PIXELS,
    ]
