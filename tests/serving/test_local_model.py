"""An export that is loaded in this process."""

import pytest
import tensorflow as tf

from alexnet_tf.data import image_decoding
from alexnet_tf.serving import local_model
from tests.support import encoded_images


def test_a_folder_of_versions_stands_for_its_highest(exported, tmp_path):
    assert local_model.Model(exported.parent).classify is not None
    with pytest.raises(FileNotFoundError, match=r"alexnet_tf\.export"):
        local_model.Model(tmp_path)


def scores_of_pixels(exported, pixels):
    """What the export answers for pixels, without decoding anything."""
    called = tf.saved_model.load(str(exported)).signatures["predict_images"]
    return called(image=tf.constant(pixels[None]))["scores"][0].numpy().tolist()


def test_images_of_every_kind_are_classified_as_preparation_reads_them(exported):
    model = local_model.Model(exported)
    for kind in ("webp", "gzip_jpeg", "bmp_1_bit", "jpeg_turned_6", "jpeg_cmyk"):
        data = encoded_images.OTHERWISE[kind]
        _, scores = model.classify(data)
        pixels = image_decoding.decode(data, kind)
        assert scores == scores_of_pixels(exported, pixels)


def test_an_image_that_lies_on_its_side_is_classified_as_the_upright_one(exported):
    model = local_model.Model(exported)
    upright = encoded_images.smooth()
    lying = upright.rotate(90, expand=True)
    found = model.classify(encoded_images.with_orientation(lying, "PNG", 6))
    assert found == model.classify(encoded_images.with_orientation(upright, "PNG", 1))


def test_a_bad_image_is_named(exported):
    with pytest.raises(
        image_decoding.BadImageError, match=r"^dir/x\.jpg: not a readable"
    ):
        local_model.Model(exported).classify(b"<html>", "dir/x.jpg")
