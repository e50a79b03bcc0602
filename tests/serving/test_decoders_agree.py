"""Preparation, `predict` and the exported graph read the same images alike."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from alexnet_tf.data import image_decoding
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
        ("bmp_other_masks", "BMP must be uncompressed"),
    ],
)
def test_the_graph_refuses_other_kinds_by_name(kind, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        in_graph(encoded_images.OTHERWISE[kind])


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
