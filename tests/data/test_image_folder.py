"""Folders of every layout become splits, classes and examples."""

import os
import pathlib
import pickle
import shutil

import numpy as np
import pytest
from PIL import Image

from alexnet_tf.data import image_decoding, sources
from tests.support import images


def open_folder(root, **options):
    return sources.open_source(f"folder:{root}", **options)


def names(examples):
    return [pathlib.Path(example.name).name for example in examples]


def test_images_are_decoded_by_content_and_not_by_name(tmp_path):
    for name in ("a", "b"):
        images.write_gray_images(tmp_path / "train" / name, 0)
    for kind, name in (("PNG", "a/0.JPEG"), ("GIF", "a/1.jpg"), ("JPEG", "b/2.png")):
        (tmp_path / "train" / name).write_bytes(
            images.encode(Image.new("RGB", (16, 16)), kind)
        )
    for example in open_folder(tmp_path).splits["train"]:
        assert example.read().shape == (16, 16, 3)


@pytest.mark.parametrize("validation", ["validation", "val"])
def test_a_folder_may_hold_splits(tmp_path, validation):
    for split, count in (("train", 3), (validation, 2), ("test", 1)):
        for name in ("dog", "cat"):
            images.write_gray_images(tmp_path / "pets" / split / name, count)
    source = open_folder(tmp_path / "pets")
    assert (source.name, source.classes) == ("pets", ("cat", "dog"))
    counts = {split: len(examples) for split, examples in source.splits.items()}
    assert counts == {"train": 6, "validation": 4, "test": 2}
    train = source.splits["train"]
    assert [example.label for example in train] == [0, 0, 0, 1, 1, 1]
    assert [pathlib.Path(example.name).parent.name for example in train] == (
        ["cat"] * 3 + ["dog"] * 3
    )


def test_an_example_reads_its_own_file(tmp_path):
    images.write_gray_images(tmp_path / "train" / "a", 3)
    images.write_gray_images(tmp_path / "train" / "b", 1)
    train = open_folder(tmp_path).splits["train"]
    for number, example in enumerate(train[:3]):
        np.testing.assert_array_equal(example.read(), np.full((4, 4, 3), number))


def test_a_broken_file_is_named_by_its_path(tmp_path):
    images.write_gray_images(tmp_path / "train" / "a", 1)
    images.write_gray_images(tmp_path / "train" / "b", 1)
    path = tmp_path / "train" / "b" / "broken.jpg"
    noise = Image.fromarray(images.random_image(0, 64, 64))
    path.write_bytes(images.encode(noise, "JPEG")[:500])
    *_, example = open_folder(tmp_path).splits["train"]
    with pytest.raises(image_decoding.BadImageError, match=str(path)):
        example.read()


def test_images_are_found_at_any_depth_and_other_files_are_counted(tmp_path, capsys):
    for name in ("a", "b"):
        images.write_gray_images(tmp_path / "train" / name / "deep" / "er", 1)
    images.write_gray_images(tmp_path / "train" / "a" / ".thumbnails", 0)
    Image.new("RGB", (4, 4)).save(tmp_path / "train" / "a" / "LOUD.JPG")
    (tmp_path / "train" / "a" / "notes.txt").write_text("not an image")
    (tmp_path / "train" / "b" / "deep" / "scan.tif").write_bytes(b"")
    (tmp_path / "train" / ".git").mkdir()
    (tmp_path / "README.md").write_text("neither")
    source = open_folder(tmp_path)
    assert source.classes == ("a", "b")
    assert names(source.splits["train"]) == ["LOUD.JPG", "000.png", "000.png"]
    suffixes = ", ".join(image_decoding.SUFFIXES)
    assert capsys.readouterr().err.splitlines() == [
        f"{tmp_path / 'train'}: ignored 2 files whose names do not end in one of "
        f"{suffixes}"
    ]


def test_hidden_files_of_a_mac_are_ignored(tmp_path):
    for name in ("a", "b"):
        images.write_gray_images(tmp_path / "train" / name, 1)
    (tmp_path / "train" / "a" / "._000.png").write_bytes(b"a resource fork")
    (tmp_path / "train" / "b" / "folder.png").mkdir()
    source = open_folder(tmp_path)
    assert names(source.splits["train"]) == ["000.png", "000.png"]


def test_splits_without_train_are_not_taken_for_classes(tmp_path):
    for split in ("val", "test"):
        for name in ("a", "b"):
            images.write_gray_images(tmp_path / split / name, 1)
    with pytest.raises(ValueError, match="has test, val but no train: add train/"):
        open_folder(tmp_path)
    # Beside another folder, val and test are classes.
    images.write_gray_images(tmp_path / "exam", 1)
    assert open_folder(tmp_path, holdout=0).classes == ("exam", "test", "val")


def test_class_folders_may_be_links(tmp_path):
    images.write_gray_images(tmp_path / "elsewhere", 2)
    images.write_gray_images(tmp_path / "root" / "train" / "a", 1)
    (tmp_path / "root" / "train" / "b").symlink_to(tmp_path / "elsewhere")
    assert len(open_folder(tmp_path / "root").splits["train"]) == 3


def test_listing_a_folder_does_not_query_single_files(tmp_path, monkeypatch):
    # There may be millions of them, on a remote disk.
    for name in ("a", "b"):
        images.write_gray_images(tmp_path / "train" / name, 50)
    asked = []

    def note(function):
        return lambda path, **options: asked.append(path) or function(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", note(os.stat))
        patch.setattr(os, "lstat", note(os.lstat))
        train = open_folder(tmp_path).splits["train"]
    assert len(train) == 100
    assert not [path for path in asked if str(path).endswith(".png")]


def test_part_of_a_split_can_be_sent_to_another_process(tmp_path):
    for name in ("a", "b"):
        images.write_gray_images(tmp_path / "train" / name, 5)
    sent = pickle.loads(pickle.dumps(open_folder(tmp_path).splits["train"][3:7]))
    assert names(sent) == ["003.png", "004.png", "000.png", "001.png"]
    assert [example.label for example in sent] == [0, 0, 1, 1]
    assert [int(example.read().max()) for example in sent] == [3, 4, 0, 1]


def test_the_fingerprint_changes_with_the_files(tmp_path):
    def fingerprint():
        return open_folder(tmp_path).fingerprint

    for name in ("a", "b"):
        images.write_gray_images(tmp_path / "train" / name, 2)
    first = fingerprint()
    assert fingerprint() == first
    (tmp_path / "train" / "a" / "000.png").rename(tmp_path / "train" / "b" / "1.png")
    assert fingerprint() != first


@pytest.fixture
def flat(tmp_path):
    """One folder per class and no splits: 2 x 200 images."""
    for name in ("a", "b"):
        images.write_gray_images(tmp_path / "flat" / name, 200)
    return tmp_path / "flat"


def held_out(root, **options):
    splits = open_folder(root, **options).splits
    return {
        str(pathlib.Path(example.name).relative_to(root))
        for example in splits.get("validation", ())
    }


def test_a_flat_folder_is_split_in_about_the_given_ratio(flat):
    source = open_folder(flat, holdout=0.25)
    train, validation = source.splits["train"], source.splits["validation"]
    assert len(train) + len(validation) == 400
    assert not {e.name for e in train} & {e.name for e in validation}
    # Within five standard deviations of a binomial distribution.
    assert abs(len(validation) - 100) < 5 * (400 * 0.25 * 0.75) ** 0.5
    assert {example.label for example in validation} == {0, 1}
    for example in validation:
        assert example.label == "ab".index(pathlib.Path(example.name).parent.name)


def test_a_flat_folder_is_always_split_the_same_way(flat):
    assert held_out(flat) == held_out(flat) != set()


def test_a_file_keeps_its_split_when_others_come_and_go(flat):
    before = held_out(flat)
    images.write_gray_images(flat / "c", 50)
    for number in range(0, 200, 2):
        (flat / "a" / f"{number:03}.png").unlink()
    after = held_out(flat)
    assert {f for f in after if f[0] == "b"} == {f for f in before if f[0] == "b"}
    assert {f for f in after if f[0] == "a"} < {f for f in before if f[0] == "a"}


def test_a_larger_holdout_contains_a_smaller_one(flat):
    assert held_out(flat, holdout=0.1) < held_out(flat, holdout=0.5)


def test_a_folder_that_is_moved_keeps_its_split(flat, tmp_path, monkeypatch):
    before = held_out(flat)
    monkeypatch.chdir(tmp_path)
    assert held_out(pathlib.Path("flat")) == before
    shutil.move(flat, tmp_path / "elsewhere")
    assert held_out(tmp_path / "elsewhere") == before


def test_without_a_holdout_every_image_is_for_training(flat):
    assert list(open_folder(flat, holdout=0).splits) == ["train"]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        open_folder(tmp_path / "nowhere")


def test_an_empty_class_folder_is_named(tmp_path):
    images.write_gray_images(tmp_path / "train" / "a", 1)
    (tmp_path / "train" / "b").mkdir()
    with pytest.raises(ValueError, match=f"{tmp_path}/train/b has no image"):
        open_folder(tmp_path)


def test_one_class_is_not_enough(tmp_path):
    images.write_gray_images(tmp_path / "a", 3)
    with pytest.raises(ValueError, match="two or more.*found 1 classes"):
        open_folder(tmp_path)


def test_an_empty_folder_has_no_classes(tmp_path):
    with pytest.raises(ValueError, match="found 0 classes"):
        open_folder(tmp_path)


def test_a_class_that_train_lacks_is_named(tmp_path):
    for name in ("train/a", "train/b", "val/a", "val/b", "val/stranger"):
        images.write_gray_images(tmp_path / name, 1)
    with pytest.raises(ValueError, match=r"train/ lacks: \['stranger'\]"):
        open_folder(tmp_path)
