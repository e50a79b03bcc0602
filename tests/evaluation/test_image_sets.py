"""Images of folders, files and datasets, in batches and under a net's labels."""

import numpy as np
import pytest
from PIL import Image

from alexnet_tf.data import image_decoding
from alexnet_tf.evaluation import image_sets
from alexnet_tf.models import image_resizing, trained
from tests.support import image_sets as sets
from tests.support.images import random_image


@pytest.fixture(scope="module")
def net(trained_run):
    return trained.read_trained_net(trained_run)


def write(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(random_image(seed)).save(path)


def test_a_net_is_shown_its_own_dataset_unless_other_images_are_named(net, tmp_path):
    own = image_sets.images_for(net)
    assert own.count == 12
    assert own.where.startswith("the validation split of")
    assert image_sets.images_for(net, split="train").count == 24
    write(tmp_path / "a.png", 1)
    assert image_sets.images_for(net, images=str(tmp_path)).count == 1
    for options in ({"dataset": "data/x"}, {"split": "test"}):
        with pytest.raises(ValueError, match="leave one of them out"):
            image_sets.images_for(net, images=str(tmp_path), **options)


def test_one_image_file_is_a_set_of_one(net, tmp_path):
    write(tmp_path / "a b.png", 3)
    images = image_sets.images_for(net, images=str(tmp_path / "a b.png"))
    assert (images.count, images.name(0), images.classes) == (1, "a b.png", ())
    pixels, label = images.read(0)
    assert label == image_sets.UNKNOWN
    assert np.array_equal(pixels, image_resizing.center_view(random_image(3), 32, 24))
    (tmp_path / "c.png").write_bytes(b"no image")
    with pytest.raises(image_decoding.BadImageError, match=r"c\.png"):
        image_sets.images_for(net, images=str(tmp_path / "c.png")).read(0)


def test_labels_count_the_classes_of_the_net_by_name(caplog):
    images = sets.of_pixels(sets.noise(4, 2), [0, 1, 2, -1], ("dog", "cat", "cow"))
    found = image_sets.relabeled(images, ("bird", "cat", "dog"))
    assert found.classes == ("bird", "cat", "dog")
    assert [found.read(index).label for index in range(4)] == [2, 1, -1, -1]
    assert "memory: the net has no class cow, so the true class" in caplog.text
    words = image_sets.relabeled(
        sets.of_pixels(sets.noise(1, 2), [0], ("n01440764",)),
        ("n02085620 Chihuahua", "n01440764 tench, Tinca tinca"),
    )
    assert words.read(0).label == 1


@pytest.mark.parametrize("order", [("cat", "dog"), ("dog", "cat")])
def test_the_same_classes_in_another_order_have_other_labels(order, caplog):
    images = sets.of_pixels(sets.noise(3, 2), [0, 1, -1], ("cat", "dog"))
    found = image_sets.relabeled(images, order)
    labels = [order.index("cat"), order.index("dog"), image_sets.UNKNOWN]
    assert [found.read(index).label for index in range(3)] == labels
    assert not caplog.text


def test_batches_hold_the_images_in_the_order_asked_for():
    pixels = sets.noise(5, 2)
    images = sets.of_pixels(pixels, [5, 6, 7, 8, 9])
    order = [4, 0, 3, 1]
    found = list(image_sets.batches(images, order, 3))
    assert [len(batch.indices) for batch in found] == [3, 1]
    whole = image_sets.Batch(*map(np.concatenate, zip(*found, strict=True)))
    assert whole.indices.tolist() == order
    assert whole.labels.tolist() == [9, 5, 8, 6]
    assert np.array_equal(whole.pixels, pixels[order])


def test_bad_files_stop_the_work_unless_they_are_allowed(net, tmp_path, caplog):
    for name in ("a", "c", "e"):
        write(tmp_path / f"{name}.png", 1)
    for name in ("b", "d"):
        (tmp_path / f"{name}.png").write_bytes(b"no image")
    images = image_sets.images_for(net, images=str(tmp_path))
    with pytest.raises(image_decoding.BadImageError, match=r"b\.png.*--max_bad_files"):
        list(image_sets.batches(images, range(5), 2))
    with pytest.raises(image_decoding.BadImageError, match=r"d\.png"):
        list(image_sets.batches(images, range(5), 2, max_bad_files=1))
    found = image_sets.batches(images, range(5), 2, max_bad_files=2)
    assert [batch.indices.tolist() for batch in found] == [[0, 2], [4]]
    assert "left out:" in caplog.text


def test_a_seed_decides_an_order_of_all_images():
    images = sets.of_pixels(sets.noise(50, 1))
    one, again, other = (image_sets.shuffled(images, seed) for seed in (1, 1, 2))
    assert sorted(one) == list(range(50))
    assert one == again
    assert one != other
