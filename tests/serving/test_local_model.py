"""An export that is loaded in this process."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.data import image_decoding
from alexnet_tf.serving import local_model
from tests.support import encoded_images, images

pytestmark = pytest.mark.usefixtures("loaded_once")


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


@pytest.fixture
def files(tmp_path):
    """Files of four batches of 3, of which the third, the fourth and the last are bad."""
    paths = [tmp_path / f"{number}.png" for number in range(11)]
    for number, path in enumerate(paths):
        image = images.random_image(number, 20 + number, 40)
        path.write_bytes(tf.io.encode_png(image).numpy())
    paths[2].write_bytes(b"<html>")
    paths[3].unlink()
    paths[10].write_bytes(b"")
    return list(map(str, paths))


@pytest.mark.parametrize("damage", ["size", "[]", "{", None])
def test_an_export_that_does_not_record_how_it_reads_images_is_refused(
    exported, damage, tmp_path
):
    folder = shutil.copytree(exported, tmp_path / "1")
    origin = folder / "assets.extra/alexnet_tf.json"
    recorded = json.loads(origin.read_text())
    if damage is None:
        origin.unlink()
    elif damage in recorded:
        del recorded[damage]
        origin.write_text(json.dumps(recorded))
    else:
        origin.write_text(damage)
    with pytest.raises(ValueError, match=f"^{origin}, which .*Export the checkpoint"):
        local_model.Model(folder)


def test_files_are_answered_in_order_and_bad_ones_take_no_other_along(exported, files):
    model = local_model.Model(exported, batch_size=3)
    assert model.batch_size == 3
    found = list(model.classify_files(iter(files)))
    assert [file for file, _ in found] == files
    for place, (file, answer) in enumerate(found):
        if place in (2, 3, 10):
            assert isinstance(answer, image_decoding.BadImageError)
            assert file in str(answer)
        else:
            with open(file, "rb") as opened:
                alone = model.classify(opened.read())
            assert answer.classes == alone.classes
            np.testing.assert_allclose(answer.scores, alone.scores, rtol=1e-4)


def test_a_bad_file_changes_no_other_batch(exported, files):
    """Which files share a batch depends on their order alone, not on what is in them."""
    model, sizes = local_model.Model(exported, batch_size=3), []
    answers = model._answers
    model._answers = lambda pixels: sizes.append(len(pixels)) or answers(pixels)
    list(model.classify_files(files))
    assert sizes == [2, 2, 3, 1]


@pytest.mark.parametrize("size", [0, 129])
def test_a_batch_that_an_export_does_not_take_is_refused(exported, size):
    with pytest.raises(
        ValueError, match=f"^batch_size must be from 1 to 128.* {size}$"
    ):
        local_model.Model(exported, batch_size=size)


def test_all_files_may_be_bad_and_there_may_be_none(exported, files):
    model = local_model.Model(exported, batch_size=3)
    assert list(model.classify_files([])) == []
    bad = [files[2], files[3], files[10], files[2]]
    assert all(
        isinstance(answer, image_decoding.BadImageError)
        for _, answer in model.classify_files(bad)
    )


def test_no_more_than_two_batches_are_read_ahead(exported, files):
    model, taken = local_model.Model(exported, batch_size=3), []
    answers = model.classify_files(taken.append(file) or file for file in files)
    next(answers)
    assert len(taken) == 6
