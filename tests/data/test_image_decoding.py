"""Images of every kind, made here with Pillow, are decoded to the right pixels."""

import concurrent.futures
import gzip
import threading
import warnings

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from alexnet_tf.data import image_decoding
from alexnet_tf.models import image_limits
from tests.support import images

RED, GREEN, BLUE = (230, 20, 30), (20, 200, 40), (10, 30, 220)


def quarters(mode="RGB", size=16):
    """Red and green over blue and white; all corners differ, so that rotations show."""
    pixels = np.empty((size, size, 3), np.uint8)
    half = size // 2
    pixels[:half, :half], pixels[:half, half:] = RED, GREEN
    pixels[half:, :half], pixels[half:, half:] = BLUE, (255, 255, 255)
    return Image.fromarray(pixels).convert(mode)


def decoded(image, kind, **options):
    found = image_decoding.decode(images.encode(image, kind, **options), "image")
    assert found.dtype == np.uint8
    return found


def assert_close(found, expected, levels):
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() <= levels


PIXELS = np.asarray(quarters())


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
def test_lossless_formats_are_decoded_exactly(kind):
    np.testing.assert_array_equal(decoded(quarters(), kind), PIXELS)


def test_lossless_webp_is_decoded_exactly():
    np.testing.assert_array_equal(decoded(quarters(), "WEBP", lossless=True), PIXELS)


@pytest.mark.parametrize("progressive", [False, True])
def test_baseline_and_progressive_jpeg_are_decoded(progressive):
    options = {"quality": 95, "subsampling": 0, "progressive": progressive}
    assert_close(decoded(quarters(), "JPEG", **options), PIXELS, 6)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "BMP"])
def test_a_palette_becomes_its_colors(kind):
    image = quarters().quantize(8)
    assert image.mode == "P"
    assert_close(decoded(image, kind), PIXELS, 3)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF"])
def test_grayscale_becomes_three_equal_channels(kind):
    gray = np.asarray(quarters("L"))
    expected = np.repeat(gray[..., None], 3, axis=-1)
    assert_close(decoded(quarters("L"), kind), expected, 4)


def test_black_and_white_becomes_rgb():
    image = Image.fromarray(np.asarray(quarters("L")) > 100)
    assert image.mode == "1"
    assert set(np.unique(decoded(image, "PNG"))) == {0, 255}


def test_cmyk_becomes_rgb():
    # No ink is white, and cyan with yellow is green.
    inks = np.zeros((16, 16, 4), np.uint8)
    inks[:8, :, 0] = inks[:8, :, 2] = 255
    image = Image.fromarray(inks, "CMYK")
    expected = np.full((16, 16, 3), 255)
    expected[:8] = (0, 255, 0)
    assert_close(decoded(image, "JPEG", quality=100), expected, 4)


def without_adobe(data):
    """A JPEG without the segment that marks it as Adobe's."""
    at = data.index(b"\xff\xee\x00\x0eAdobe")
    return data[:at] + data[at + 16 :]


@pytest.mark.parametrize("adobe", [True, False])
@pytest.mark.parametrize("progressive", [False, True])
def test_cmyk_is_inverted_only_if_adobes_marker_says_so(adobe, progressive):
    # All four inks at different strengths, as in a photograph.
    inks = np.full((16, 16, 4), (200, 100, 30, 60), np.uint8)
    expected = np.full((16, 16, 3), (42, 118, 172))  # (255 - ink) * (255 - black) / 255
    image = Image.fromarray(inks, "CMYK")
    options = {"quality": 100, "progressive": progressive}
    if adobe:  # Pillow writes as Adobe does: inverted inks, and a marker
        data = images.encode(image, "JPEG", **options)
        assert b"Adobe" in data
    else:
        inverted = Image.fromarray(255 - inks, "CMYK")
        data = without_adobe(images.encode(inverted, "JPEG", **options))
        assert b"Adobe" not in data
    assert_close(image_decoding.decode(data, "image"), expected, 4)
    # TensorFlow's decoder reads the marker too; its pixels differ only by rounding.
    theirs = tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE")
    assert_close(theirs.numpy(), expected, 4)


def test_16_bit_color_keeps_its_upper_byte():
    levels = np.random.default_rng(0).integers(0, 65536, (16, 16, 3)).astype(np.uint16)
    data = tf.io.encode_png(levels).numpy()
    np.testing.assert_array_equal(image_decoding.decode(data, "image"), levels >> 8)


def test_a_gzipped_image_is_unpacked():
    data = gzip.compress(images.encode(quarters(), "PNG"))
    np.testing.assert_array_equal(image_decoding.decode(data, "image"), PIXELS)
    with pytest.raises(
        image_decoding.BadImageError, match="^cut: not a readable image"
    ):
        image_decoding.decode(data[: len(data) // 2], "cut")


def test_unpacking_stops_at_a_limit(monkeypatch):
    monkeypatch.setattr(image_limits, "MAX_BYTES", 1000)
    with pytest.raises(
        image_decoding.BadImageError, match="^bomb: not a readable image"
    ):
        image_decoding.decode(gzip.compress(bytes(10_000_000)), "bomb")


def test_16_bit_grayscale_keeps_its_upper_byte():
    levels = np.arange(0, 65536, 256, dtype=np.uint16).reshape(16, 16) + 255
    found = decoded(Image.fromarray(levels), "PNG")
    expected = np.repeat((levels >> 8)[..., None], 3, axis=-1)
    np.testing.assert_array_equal(found, expected)


BACKGROUND = (10, 200, 90)


def composed(colors, alpha, background=BACKGROUND):
    """`colors` [H, W, 3] over a background, by the formula as it is documented."""
    behind = np.array(background) * (255 - alpha[..., None].astype(int))
    return (colors.astype(int) * alpha[..., None] + behind + 127) // 255


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_pixels_take_the_color_of_the_background(mode):
    colors = np.asarray(quarters().convert(mode[:-1]).convert("RGB"))
    alpha = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image = quarters().convert(mode[:-1]).convert(mode)
    image.putalpha(Image.fromarray(alpha))
    data = images.encode(image, "PNG")
    np.testing.assert_array_equal(
        image_decoding.decode(data, "image", BACKGROUND), composed(colors, alpha)
    )


def test_a_transparent_pixel_is_white_unless_another_background_is_chosen():
    image = Image.new("RGBA", (2, 1), (9, 9, 9, 0))
    image.putpixel((1, 0), (100, 0, 40, 51))  # a fifth of it, and four fifths of white
    assert decoded(image, "PNG").tolist() == [[[255, 255, 255], [224, 204, 212]]]


def test_a_palette_has_its_own_transparency():
    image = quarters().quantize(8)
    alpha = np.array([0, 255, 51, 102, 153, 204, 1, 254], np.uint8)
    data = images.encode(image, "PNG", transparency=alpha.tobytes())
    colors = np.asarray(image.convert("RGB"))
    expected = composed(colors, alpha[np.asarray(image)])
    found = image_decoding.decode(data, "image", BACKGROUND)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        (1, lambda x: x),
        (2, lambda x: x[:, ::-1]),
        (3, lambda x: x[::-1, ::-1]),
        (4, lambda x: x[::-1]),
        (5, lambda x: x.swapaxes(0, 1)),
        (6, lambda x: np.rot90(x, -1)),
        (7, lambda x: x.swapaxes(0, 1)[::-1, ::-1]),
        (8, lambda x: np.rot90(x)),
    ],
)
def test_exif_orientation_is_applied(orientation, turn):
    image = quarters().crop((0, 0, 16, 12))
    exif = Image.Exif()
    exif[0x0112] = orientation
    expected = turn(np.asarray(image))
    np.testing.assert_array_equal(decoded(image, "PNG", exif=exif), expected)
    found = decoded(image, "JPEG", exif=exif, quality=95, subsampling=0)
    assert_close(found, expected, 12)


def test_malformed_exif_data_is_ignored():
    found = decoded(quarters(), "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\x7f")
    assert found.shape == PIXELS.shape


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_the_first_frame_of_an_animation_is_used(kind):
    frames = [Image.new("RGB", (16, 16), color) for color in (RED, BLUE)]
    found = decoded(frames[0], kind, save_all=True, append_images=frames[1:])
    assert_close(found, np.full((16, 16, 3), RED), 4)


NOISE = Image.fromarray(
    np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
@pytest.mark.parametrize("part", [0.02, 0.5, 0.9])
def test_a_truncated_file_is_named(kind, part):
    whole = images.encode(NOISE, kind)
    cut = whole[: int(part * len(whole))]
    with pytest.raises(
        image_decoding.BadImageError, match=r"^dir/cut\.x: not a readable"
    ):
        image_decoding.decode(cut, "dir/cut.x")


@pytest.mark.parametrize("data", [b"", b"<html>404</html>", b"\xff\xd8\xff", b"GIF89a"])
def test_a_file_that_is_not_an_image_is_named(data):
    with pytest.raises(
        image_decoding.BadImageError, match="^page: not a readable image"
    ):
        image_decoding.decode(data, "page")


def huge_bitmap(width, height):
    """A complete header without pixels; no decoder should allocate memory for them."""
    header = bytearray(images.encode(Image.new("RGB", (1, 1)), "BMP"))
    header[18:26] = width.to_bytes(4, "little") + height.to_bytes(4, "little")
    return bytes(header)


def test_a_huge_image_is_rejected_by_its_header():
    with pytest.raises(
        image_decoding.BadImageError, match="bomb: 20000 x 2501 is more than"
    ):
        image_decoding.decode(huge_bitmap(20_000, 2_501), "bomb")


def test_an_image_beyond_pillows_own_limit_is_rejected():
    with pytest.raises(image_decoding.BadImageError, match="^bomb: "):
        image_decoding.decode(huge_bitmap(60_000, 60_000), "bomb")


@pytest.mark.parametrize("size", [(1, 50_000_000), (50_000_000, 1), (9, 901)])
def test_an_image_that_is_too_narrow_is_rejected_by_its_header(size):
    # Scaled to 256 pixels along its shorter side it would be 25,600,000,000 long.
    with pytest.raises(
        image_decoding.BadImageError,
        match=f"^line: {size[0]} x {size[1]} is more than 100 times as long as wide",
    ):
        image_decoding.decode(huge_bitmap(*size), "line")


def test_a_panorama_is_decoded():
    assert decoded(Image.new("RGB", (900, 9)), "PNG").shape == (9, 900, 3)


def test_a_bad_image_error_is_a_value_error():
    assert issubclass(image_decoding.BadImageError, ValueError)


def test_decoding_in_two_threads_does_not_change_the_warning_filters(monkeypatch):
    # The second thread starts while the first one decodes, and ends after it.
    inside = [threading.Event(), threading.Event()]
    first_done = threading.Event()
    arrivals, opened = iter((0, 1)), Image.open

    def open_in_turn(*arguments, **named):
        number = next(arrivals)
        inside[number].set()
        (inside[1] if number == 0 else first_done).wait(1)
        return opened(*arguments, **named)

    data = images.encode(quarters(), "PNG")
    monkeypatch.setattr(Image, "open", open_in_turn)
    before = list(warnings.filters)
    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        first = executor.submit(image_decoding.decode, data, "first")
        inside[0].wait(1)
        second = executor.submit(image_decoding.decode, data, "second")
        first.result()
        first_done.set()
        second.result()
    assert warnings.filters == before


def test_a_png_for_a_server_has_no_more_bytes_than_a_server_reads(monkeypatch):
    noise = Image.fromarray(images.random_image(0))
    data = images.encode(noise, "WEBP", quality=1)
    monkeypatch.setattr(image_limits, "MAX_BYTES", len(data))
    with pytest.raises(
        image_decoding.BadImageError, match=rf"upright PNG.* more than {len(data)}: "
    ):
        image_decoding.for_server(data, "image")


@pytest.mark.parametrize(("level", "dark"), [(4095, True), (4096, False)])
def test_16_bits_are_dark_up_to_the_largest_value_of_12(level, dark):
    gray = Image.fromarray(np.full((2, 2), level, np.uint16))
    with image_decoding.deep_images() as found:
        decoded(gray, "PNG")
    assert found == {("image", dark)}
