"""Folders of every layout become splits, classes and examples."""

import json
import os
import pathlib
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from alexnet_tf.data import (
    holdout,
    image_decoding,
    image_folder,
    source_summary,
    sources,
)
from tests.support import case_folders, images


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


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("train", "validation", "test"),
        ("train", "val", "test"),
        ("Train", "Valid", "Test"),
        ("TRAINING", "DEV", "TESTING"),
        ("training", "eval", "testing"),
        ("tRaIn", "Evaluation", "test"),
    ],
)
def test_a_folder_may_hold_splits(tmp_path, train, validation, test):
    for split, count in ((train, 3), (validation, 2), (test, 1)):
        for name in ("dog", "cat"):
            images.write_gray_images(tmp_path / "pets" / split / name, count)
    source = open_folder(tmp_path / "pets")
    assert (source.name, source.classes) == ("pets", ("cat", "dog"))
    counts = {split: len(examples) for split, examples in source.splits.items()}
    assert counts == {"train": 6, "validation": 4, "test": 2}
    assert source.notes == ()
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


def test_images_are_found_at_any_depth_and_other_files_are_counted(tmp_path):
    for name in ("a", "b"):
        images.write_gray_images(tmp_path / "train" / name / "deep" / "er", 1)
    images.write_gray_images(tmp_path / "train" / "a" / ".thumbnails", 0)
    for name in ("LOUD.JPG", "mine.JFIF", "old.jpe", "w.Dib"):
        Image.new("RGB", (4, 4)).save(tmp_path / "train" / "a" / name, "PNG")
    (tmp_path / "train" / "a" / "notes.txt").write_text("not an image")
    (tmp_path / "train" / "b" / "deep" / "scan.TIF").write_bytes(b"")
    (tmp_path / "train" / "b" / "noname").write_bytes(b"")
    (tmp_path / "train" / "labels.txt").write_text("not an image either")
    (tmp_path / "train" / ".git").mkdir()
    (tmp_path / "README.md").write_text("neither")
    source = open_folder(tmp_path)
    assert source.classes == ("a", "b")
    assert names(source.splits["train"]) == [
        *("LOUD.JPG", "000.png", "mine.JFIF", "old.jpe", "w.Dib", "000.png")
    ]
    assert source.notes == (
        "ignored 5 files not named as images: 2 .txt, 1 without a suffix, 1 .md, 1 .tif",
        "ignored 2 hidden files and folders",
    )


def test_system_folders_are_ignored(tmp_path):
    source = open_folder(case_folders.system_folders(tmp_path), holdout=0)
    assert source.classes == ("a", "b")
    assert source.class_counts == {"train": [5, 5]}
    assert source.notes == (
        "ignored 1 file not named as images: 1 .db",
        "ignored system folders: 1 $RECYCLE.BIN, 2 @eaDir, 1 System Volume Information, "
        "1 __MACOSX, 1 lost+found",
        "ignored 2 hidden files and folders",
    )


def test_the_layout_of_system_folders_does_not_matter(tmp_path):
    for split in ("train", "val"):
        case_folders.system_folders(tmp_path / split)
        (tmp_path / split / "b" / "#recycle").mkdir()
    (tmp_path / "lost+found").mkdir()
    source = open_folder(tmp_path)
    assert source.class_counts == {"train": [5, 5], "validation": [5, 5]}


def test_hidden_files_of_a_mac_are_ignored(tmp_path):
    for name in ("a", "b"):
        images.write_gray_images(tmp_path / "train" / name, 1)
    (tmp_path / "train" / "a" / "._000.png").write_bytes(b"a resource fork")
    (tmp_path / "train" / "a" / ".#lock").symlink_to("/nowhere")
    source = open_folder(tmp_path)
    assert names(source.splits["train"]) == ["000.png", "000.png"]


def test_two_folders_for_one_split_are_refused(tmp_path):
    for name in ("train", "Val", "dev"):
        case_folders.write_classes(tmp_path / name, 1, "a", "b")
    with pytest.raises(
        ValueError, match="two folders for the validation split, Val/ and dev/: remove"
    ):
        open_folder(tmp_path)


def test_a_split_beside_classes_is_not_taken_for_one(tmp_path):
    for split in ("val", "test"):
        case_folders.write_classes(tmp_path / split, 1, "a", "b")
    with pytest.raises(ValueError, match="has test, val but no train: add train/"):
        open_folder(tmp_path)
    case_folders.write_images(tmp_path / "exam", 1)
    with pytest.raises(
        ValueError,
        match="test/ and val/ beside exam, but no train/: move the class folders of the "
        r"training images into .*/train/ \(all folders, if test/ and val/ are classes",
    ):
        open_folder(tmp_path)


def test_train_may_be_the_name_of_a_class(tmp_path):
    case_folders.write_classes(tmp_path, 2, "bus", "car", "train")
    with pytest.raises(
        ValueError,
        match="train must hold two or more class folders; found 0 classes and 2 images "
        "in no class folder. If train is itself a class, move the folders of all "
        f"classes into {tmp_path}/train/",
    ):
        open_folder(tmp_path)
    (tmp_path / "train").rename(tmp_path / "moved")
    (tmp_path / "train").mkdir()
    for name in ("bus", "car", "moved"):
        target = name.replace("moved", "train")
        (tmp_path / name).rename(tmp_path / "train" / target)
    assert open_folder(tmp_path).classes == ("bus", "car", "train")


@pytest.mark.parametrize("splits", [("training_set", "test_set"), ("fold1", "fold2")])
def test_splits_of_unknown_names_are_not_taken_for_classes(tmp_path, splits):
    for split in splits:
        case_folders.write_classes(tmp_path / split, 2, "cat", "dog")
    (tmp_path / splits[0] / "emu").mkdir()
    with pytest.raises(
        ValueError,
        match=r"holds the same folders \(cat, dog\).*rename them to train, validation "
        f"and test; to use one of them, name it, as folder:{tmp_path}/",
    ):
        open_folder(tmp_path)


def test_classes_may_have_folders_of_the_same_names_below_train(tmp_path):
    for name in ("cat", "dog"):
        case_folders.write_classes(tmp_path / "train" / name, 2, "2019", "2020")
    assert open_folder(tmp_path).class_counts == {"train": [4, 4]}


def test_classes_may_have_one_folder_of_the_same_name(tmp_path):
    for name in ("cat", "dog"):
        case_folders.write_images(tmp_path / name / "images", 3)
    assert open_folder(tmp_path, holdout=0).class_counts == {"train": [3, 3]}


@pytest.mark.parametrize("folders", [("images",), ("cat", "dog")])
def test_splits_that_lie_one_level_deeper_are_refused(tmp_path, folders):
    for folder in folders:
        case_folders.write_splits(tmp_path / folder, "ab", Train=1, valid=1)
    with pytest.raises(
        ValueError,
        match=rf"holds splits \(Train, valid\): to use one of them, name it, as folder:"
        f"{tmp_path}/{folders[0]}; if they are classes, put them below the splits",
    ):
        open_folder(tmp_path)


def test_splits_below_train_are_refused(tmp_path):
    case_folders.write_splits(tmp_path / "train", "ab", train=1, val=1)
    with pytest.raises(
        ValueError, match=r"train holds splits \(train, val\) .*: name that folder"
    ):
        open_folder(tmp_path)


@pytest.mark.parametrize("above", ["", "train"])
def test_classes_that_lie_one_level_deeper_are_refused(tmp_path, above):
    case_folders.write_classes(tmp_path / above / "images", 1, "a", "b")
    with pytest.raises(
        ValueError, match=r"found 1 classes\. .*images holds the folders a, b: if these"
    ):
        open_folder(tmp_path)


def test_a_class_that_a_split_lacks_is_not_an_error(tmp_path):
    source = open_folder(case_folders.split_lacks_a_class(tmp_path))
    assert source.class_counts == {"train": [5, 5, 5], "validation": [2, 2, 0]}
    (tmp_path / "val" / "c").mkdir()
    assert open_folder(tmp_path).class_counts == source.class_counts
    labels = [example.label for example in source.splits["validation"]]
    assert labels == [0, 0, 1, 1]
    summary = source_summary.of_source(source)
    assert "validation: 4 images, 0 to 2 per class; no images of: c" in summary


def test_flat_splits_are_left_out_with_a_line_each(tmp_path):
    source = open_folder(case_folders.flat_splits(tmp_path))
    assert list(source.splits) == ["train"]
    assert source.notes == tuple(
        f"left out: {tmp_path}/{split}, because it has no class folders (3 images "
        "without labels); --source=imagenet2012 takes the labels of ImageNet's "
        "validation images from its archives"
        for split in ("val", "test")
    )


def test_imagenet_is_not_named_if_the_classes_are_not_its_own(tmp_path):
    case_folders.write_classes(tmp_path / "train", 1, "n01440764", "cat")
    case_folders.write_images(tmp_path / "val", 2)
    (tmp_path / "test" / "cat").mkdir(parents=True)
    assert open_folder(tmp_path).notes == (
        f"left out: {tmp_path}/val, because it has no class folders (2 images "
        "without labels)",
        f"left out: {tmp_path}/test, because it has no images",
    )


def test_what_lies_beside_classes_and_splits_is_named(tmp_path):
    source = open_folder(case_folders.things_beside_classes(tmp_path))
    assert source.class_counts == {"train": [5, 5], "validation": [2, 2]}
    assert source.notes == (
        f"not used: 1 image in {tmp_path}, in no class folder: 000.jpg",
        f"not used: what lies in {tmp_path} beside the splits: bird",
        f"not used: 2 images in {tmp_path}/train, in no class folder: 000.jpg, 001.jpg",
    )


def test_long_lists_of_names_are_cut_short(tmp_path):
    case_folders.write_classes(tmp_path, 1, "a", "b")
    case_folders.write_images(tmp_path, 7)
    (note,) = open_folder(tmp_path, holdout=0).notes
    assert note.endswith("004.jpg, ... (7 in all)")


@pytest.mark.parametrize(
    "link", ["val", "train/c", "train/v1.0", "train/a/more", "test", "notes"]
)
def test_a_link_that_leads_nowhere_is_refused_by_its_name(tmp_path, link):
    case_folders.write_splits(tmp_path, "ab", train=1)
    (tmp_path / link).symlink_to("/nowhere/x")
    with pytest.raises(
        ValueError,
        match=f"^{tmp_path}/{link}: a link to /nowhere/x, which does not exist: mend ",
    ):
        open_folder(tmp_path)


def test_a_link_that_leads_back_to_itself_is_refused_by_its_name(tmp_path):
    case_folders.write_splits(tmp_path, "ab", train=1)
    (tmp_path / "train" / "c").symlink_to("c")
    with pytest.raises(ValueError, match="train/c: a link that leads back to itself"):
        open_folder(tmp_path)


def test_linked_folders_inside_a_class_are_followed_once(tmp_path):
    source = open_folder(case_folders.linked_folders(tmp_path))
    assert source.class_counts == {"train": [5, 2]}
    assert len({example.read().tobytes() for example in source.splits["train"]}) == 7
    train = tmp_path / "images" / "train"
    assert sorted(source.notes) == [
        f"{train}/a/again and {train}/a/more are the same folder, and its images are "
        "used once",
        f"{train}/a/deep/up and {train}/a are the same folder, and its images are used "
        "once",
    ]


def test_a_folder_that_two_classes_share_is_refused(tmp_path):
    case_folders.write_splits(tmp_path, "ab", train=1)
    (tmp_path / "train" / "c").symlink_to("a")
    with pytest.raises(
        ValueError, match="train/c and .*train/a are the same folder, in two classes"
    ):
        open_folder(tmp_path)


def test_a_split_that_is_a_link_to_the_training_images_is_named(tmp_path):
    case_folders.write_splits(tmp_path, "ab", train=1)
    (tmp_path / "val").symlink_to("train")
    (note,) = open_folder(tmp_path).notes
    assert note == (
        f"{tmp_path}/val and {tmp_path}/train are the same folder, so the validation "
        "split has the training images"
    )


def test_odd_files_are_bad_images_with_their_names(tmp_path):
    source = open_folder(case_folders.odd_files(tmp_path), holdout=0)
    bad = {}
    for example in source.splits["train"]:
        try:
            example.read()
        except image_decoding.BadImageError as error:
            name, _, reason = str(error).partition(": ")
            bad[pathlib.Path(name).relative_to(tmp_path).as_posix()] = reason
    assert bad.pop("b/cut.jpg").startswith("not a readable image")
    assert bad == {
        "b/dangling.jpg": "a link to /nowhere/x.jpg, which does not exist",
        "b/empty.jpg": "the file is empty",
        "b/folder.jpg": "a folder, not an image file",
        "b/loop.jpg": "a link that leads back to itself",
        "b/pipe.jpg": "a named pipe, not an image file",
        "b/socket.jpg": "a socket, not an image file",
    }


def test_a_class_name_that_is_not_one_line_is_refused(tmp_path):
    case_folders.write_splits(tmp_path, ["a", "new\nline"], train=1)
    with pytest.raises(
        ValueError, match=rf"^{tmp_path}/train: the class name 'new\\nline' has a con"
    ):
        open_folder(tmp_path)


@pytest.mark.parametrize("split", ["train", "val", "."])
def test_a_class_name_that_is_not_utf_8_is_refused(tmp_path, split):
    if split != ".":
        case_folders.write_splits(tmp_path, "ab", train=1)
    (tmp_path / split).mkdir(exist_ok=True)
    case_folders.write_images(tmp_path / split / os.fsdecode(b"caf\xe9"), 1)
    case_folders.write_images(tmp_path / split / "b", 1)
    with pytest.raises(
        ValueError, match=r"the class name 'caf\\xe9' has bytes that are not UTF-8"
    ):
        open_folder(tmp_path)


def test_both_forms_of_a_name_are_one_class(tmp_path):
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    case_folders.write_classes(tmp_path / "train", 3, "a", composed, "z")
    case_folders.write_classes(tmp_path / "val", 2, "a", decomposed, "z")
    source = open_folder(tmp_path)
    assert source.classes == ("a", composed, "z")
    assert source.class_counts == {"train": [3, 3, 3], "validation": [2, 2, 2]}
    assert [e.label for e in source.splits["validation"]] == [0, 0, 1, 1, 2, 2]
    assert all(e.read().size for e in source.splits["validation"])


def test_two_classes_that_look_alike_are_refused(tmp_path):
    case_folders.write_classes(tmp_path, 1, "caf\u00e9", "cafe\u0301")
    with pytest.raises(ValueError, match=r"'cafe\\u0301' and 'caf\\xe9' look alike"):
        open_folder(tmp_path)


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    case_folders.write_splits(tmp_path, "ab", train=1)
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("train/b"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(
        ValueError, match="train/b: this folder cannot be listed: no permission to read"
    ):
        open_folder(tmp_path)


def test_a_file_is_not_a_folder_of_images(tmp_path):
    (tmp_path / "images.zip").touch()
    with pytest.raises(FileNotFoundError, match="zip: a file: unpack it first"):
        open_folder(tmp_path / "images.zip")


def test_class_folders_may_be_links(tmp_path):
    images.write_gray_images(tmp_path / "elsewhere", 2)
    images.write_gray_images(tmp_path / "root" / "train" / "a", 1)
    (tmp_path / "root" / "train" / "b").symlink_to(tmp_path / "elsewhere")
    assert len(open_folder(tmp_path / "root").splits["train"]) == 3


def through_json(examples):
    described = json.loads(json.dumps(examples.to_json()))
    return image_folder.FolderExamples.from_json(described)


@pytest.mark.parametrize(
    "send", [through_json, lambda examples: pickle.loads(pickle.dumps(examples))]
)
def test_part_of_a_split_can_be_sent_to_another_process(tmp_path, send):
    for name in ("a", "b"):
        images.write_gray_images(tmp_path / "train" / name, 5)
    sent = send(open_folder(tmp_path).splits["train"][3:7])
    assert names(sent) == ["003.png", "004.png", "000.png", "001.png"]
    assert [example.label for example in sent] == [0, 0, 1, 1]
    assert [int(example.read().max()) for example in sent] == [3, 4, 0, 1]


def test_the_fingerprint_changes_with_the_names_sizes_and_times_of_images(tmp_path):
    for name in ("a", "b"):
        images.write_gray_images(tmp_path / "train" / name, 2)
    path = tmp_path / "train" / "a" / "000.png"
    found = [open_folder(tmp_path).fingerprint]
    assert open_folder(tmp_path).fingerprint == found[0]
    (tmp_path / "train" / "a" / "notes.txt").touch()
    assert open_folder(tmp_path).fingerprint == found[0]
    status = path.stat()

    def change():
        fingerprint = open_folder(tmp_path).fingerprint
        assert fingerprint not in found
        found.append(fingerprint)

    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    change()
    path.write_bytes(path.read_bytes() + b"\0")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    change()
    path.rename(tmp_path / "train" / "a" / "002.png")
    change()
    (tmp_path / "train" / "a" / "002.png").rename(tmp_path / "train" / "b" / "002.png")
    change()
    (tmp_path / "train" / "b").rename(tmp_path / "train" / "c")
    change()


def test_the_fingerprint_depends_on_neither_the_place_nor_the_split(tmp_path):
    case_folders.write_classes(tmp_path / "here", 9, "a", "b")
    found = {
        open_folder(tmp_path / "here", holdout=h).fingerprint for h in (0, 0.1, 0.9)
    }
    (tmp_path / "here").rename(tmp_path / "there")
    source = open_folder(tmp_path / "there")
    assert found == {source.fingerprint}
    assert source.specification == f"folder:{tmp_path}/there"


def test_the_specification_is_absolute_and_without_links(tmp_path, monkeypatch):
    case_folders.write_classes(tmp_path / "here", 1, "a", "b")
    (tmp_path / "link").symlink_to("here")
    monkeypatch.chdir(tmp_path)
    assert open_folder("link").specification == f"folder:{tmp_path}/here"


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
    relative = open_folder("flat").splits["validation"]
    assert {f"{pathlib.Path(e.name).relative_to(flat)}" for e in relative} == before
    shutil.move(flat, tmp_path / "elsewhere")
    assert held_out(tmp_path / "elsewhere") == before


def test_every_class_is_split_on_its_own(tmp_path):
    case_folders.write_classes(tmp_path, 20, "a", "b", "c", "d")
    source = open_folder(tmp_path, holdout=0.2)
    for train, validation in zip(*source.class_counts.values(), strict=True):
        assert train + validation == 20
        assert 1 <= validation <= 8  # at most twice the share


@pytest.mark.parametrize("holdout", [0.001, 0.1, 0.5, 0.999, 1])
def test_a_class_of_two_images_or_more_is_in_both_splits(tmp_path, holdout):
    case_folders.write_classes(tmp_path / "two", 2, "a", "b", "c", "d", "e", "f")
    source = open_folder(tmp_path / "two", holdout=holdout)
    assert source.class_counts == {"train": [1] * 6, "validation": [1] * 6}


def test_small_classes_are_split_and_reported(tmp_path):
    source = open_folder(case_folders.small_classes(tmp_path))
    assert source.class_counts == {"train": [2] * 40, "validation": [1] * 40}
    (note,) = source.notes
    assert note.startswith(
        "small: one image is held out, which is more than 0.1 of them"
    )
    assert "in 40 classes class00, class01" in note


def test_a_class_of_one_image_is_only_for_training_and_reported(tmp_path):
    case_folders.write_classes(tmp_path, 20, "a", "b")
    case_folders.write_classes(tmp_path, 1, "one", "single")
    source = open_folder(tmp_path)
    assert [counts[2:] for counts in source.class_counts.values()] == [[1, 1], [0, 0]]
    assert source.notes == (
        "too small to split: the only image is for training, and none is held out, in 2 "
        "classes one, single",
    )


def test_the_split_is_the_same_in_every_process():
    code = (
        "import sys; from alexnet_tf.data import holdout; "
        "print(sorted(holdout.held_out('a', sys.argv[1:], 0.3)))"
    )
    files = [f"{number:03}.png" for number in range(60)]
    printed = {
        subprocess.run(
            [sys.executable, "-c", code, *files],
            env=os.environ | {"PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    # Fixed numbers, so that no later version splits differently.
    assert printed == {
        "[1, 2, 10, 11, 14, 15, 24, 30, 32, 35, 36, 38, 41, 44, 46, 47, 48, 52, 53, 54, 58]\n"
    }


def test_a_name_in_another_form_keeps_its_split():
    composed = [f"\u00e9{number}.png" for number in range(40)]
    decomposed = [f"e\u0301{number}.png" for number in range(40)]
    assert holdout.held_out("a\u00e9", composed, 0.3) == holdout.held_out(
        "ae\u0301", decomposed, 0.3
    )


def test_without_a_holdout_every_image_is_for_training(flat):
    assert list(open_folder(flat, holdout=0).splits) == ["train"]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        open_folder(tmp_path / "nowhere")


def test_an_empty_class_folder_for_training_is_refused(tmp_path):
    images.write_gray_images(tmp_path / "train" / "a", 1)
    for name in ("b", "c"):
        (tmp_path / "train" / name).mkdir()
    with pytest.raises(
        ValueError,
        match=f"class folder {tmp_path}/train/b has no images .*, nor have c:",
    ):
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
    with pytest.raises(ValueError, match=r"train/ lacks: stranger: rename them"):
        open_folder(tmp_path)
