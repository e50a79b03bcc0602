"""A preparation writes what the source holds, or nothing at all."""

import dataclasses
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
from PIL import Image

from alexnet_tf.data import (
    dataset_verification,
    image_decoding,
    preparation,
    prepared_dataset,
    shards,
    source_types,
    sources,
)
from alexnet_tf.models import background, image_resizing
from tests.support import case_folders, encoded_images, image_sources, images


def test_every_image_is_resized_and_written_once_in_order(prepared):
    for split, numbers in (("train", range(10)), ("test", range(10, 14))):
        found = image_sources.read_contents(prepared, split)
        for (image, label, name), number in zip(found, numbers, strict=True):
            np.testing.assert_array_equal(image, image_sources.resized(number, 16))
            assert (label, name) == (number % 3, f"image {number}")


def test_the_description_says_what_was_prepared(prepared):
    described = json.loads((prepared.path / "dataset.json").read_text())
    assert described == {
        "name": "made",
        "size": 16,
        "encoding": "raw",
        "classes": ["a", "b", "c"],
        "counts": {"train": 10, "test": 4},
        "source": "made:here",
        "fingerprint": "0123",
        "class_counts": {"train": [4, 3, 3], "test": [1, 2, 1]},
        "background": [255, 255, 255],
        "resize": "crop",
    }
    assert prepared == prepared_dataset.read_description(prepared.path)


def test_mean_and_covariance_are_those_of_the_training_images(prepared):
    every = np.stack(
        [image_sources.resized(number, 16) for number in range(10)]
    ).astype(np.float64)
    statistics = prepared.statistics()
    np.testing.assert_allclose(statistics.mean, every.mean(0), rtol=1e-6)
    expected = np.cov(every.reshape(-1, 3), rowvar=False, bias=True)
    np.testing.assert_allclose(statistics.covariance, expected, rtol=1e-9)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_only_training_images_that_can_be_read_count_in_the_statistics(split, tmp_path):
    train = [image_sources.broken_example(9), *map(image_sources.example, range(4))]
    others = list(map(image_sources.example, range(4, 9)))
    source = image_sources.make_source(train)
    dataset = preparation.prepare_dataset(
        dataclasses.replace(source, splits={split: others, **source.splits}),
        tmp_path / "made",
        size=8,
        encoding="raw",
        max_bad_files=1,
    )
    every = np.stack([image_sources.resized(number, 8) for number in range(4)])
    np.testing.assert_allclose(dataset.statistics().mean, every.mean(0), rtol=1e-6)


def test_jpeg_records_equal_the_images_within_a_few_levels(tmp_path):
    row, column = np.mgrid[:40, :50]
    smooth = np.stack([3 * row, 2 * column, row + column], -1).astype(np.uint8)
    dataset = preparation.prepare_dataset(
        image_sources.make_source([image_sources.example(0, lambda: smooth)]),
        tmp_path / "made",
        size=32,
        encoding="jpeg",
    )
    ((image, label, _),) = image_sources.read_contents(dataset, "train")
    expected = image_resizing.square(smooth, 32).astype(int)
    assert np.abs(image - expected).max() <= 5
    assert label == 0


@pytest.mark.parametrize(
    ("encoding", "workers"),
    [
        ("jpeg", 2),
        pytest.param("jpeg", 3, marks=pytest.mark.long),
        pytest.param("raw", 3, marks=pytest.mark.long),
    ],
)
def test_the_bytes_do_not_depend_on_the_number_of_workers(
    tmp_path, small_shards, encoding, workers
):
    train = [
        *map(image_sources.example, range(45)),
        image_sources.broken_example(45),
        *map(image_sources.example, range(46, 60)),
    ]
    written = []
    for number in (1, workers):
        dataset = preparation.prepare_dataset(
            image_sources.make_source(train, map(image_sources.example, range(5))),
            tmp_path / str(number),
            size=8,
            encoding=encoding,
            workers=number,
            max_bad_files=1,
        )
        written.append(image_sources.file_digests(dataset.path))
    assert len([name for name in written[0] if name.startswith("train-")]) >= 6
    assert written[0] == written[1]


def test_large_splits_are_cut_into_shards_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(preparation, "_SHARD_BYTES", 4 * 3 * 8 * 8)
    dataset = preparation.prepare_dataset(
        image_sources.make_source(map(image_sources.example, range(10))),
        tmp_path / "made",
        size=8,
        encoding="raw",
    )
    assert [path.name for path in dataset.shards("train")] == [
        f"train-0000{shard}-of-00003.npy" for shard in range(3)
    ]
    names = [name for _, _, name in image_sources.read_contents(dataset, "train")]
    assert names == [f"image {number}" for number in range(10)]


def mixed(good, bad):
    """Training examples, every bad one before a good one."""
    examples = [image_sources.example(number) for number in range(good)]
    for number in range(bad):
        examples.insert(2 * number, image_sources.broken_example(100 + number))
    return examples


def test_one_bad_file_stops_the_preparation_and_is_named(tmp_path):
    with pytest.raises(
        image_decoding.BadImageError, match=r"^image 100: not a .*--max_bad_files"
    ):
        preparation.prepare_dataset(
            image_sources.make_source(mixed(5, 1)),
            tmp_path / "made",
            size=8,
            encoding="raw",
        )
    assert list(tmp_path.iterdir()) == []


def test_allowed_bad_files_are_left_out_and_named(tmp_path, caplog):
    dataset = preparation.prepare_dataset(
        image_sources.make_source(mixed(5, 2)),
        tmp_path / "made",
        size=8,
        encoding="raw",
        max_bad_files=2,
    )
    assert dataset.counts == {"train": 5}
    names = [name for _, _, name in image_sources.read_contents(dataset, "train")]
    assert names == [f"image {number}" for number in range(5)]
    logged = [record.getMessage() for record in caplog.records]
    assert logged == [
        f"left out: image {number}: not a readable image" for number in (100, 101)
    ]
    every = np.stack([image_sources.resized(number, 8) for number in range(5)])
    np.testing.assert_allclose(dataset.statistics().mean, every.mean(0), rtol=1e-6)


def test_one_bad_file_more_than_allowed_stops_the_preparation(tmp_path):
    with pytest.raises(image_decoding.BadImageError, match="image 102"):
        preparation.prepare_dataset(
            image_sources.make_source(mixed(5, 3)),
            tmp_path / "made",
            size=8,
            encoding="raw",
            max_bad_files=2,
        )
    assert list(tmp_path.iterdir()) == []


def test_bad_files_are_counted_over_all_splits(tmp_path):
    with pytest.raises(image_decoding.BadImageError, match="image 200"):
        preparation.prepare_dataset(
            image_sources.make_source(
                mixed(5, 1),
                [image_sources.example(0), image_sources.broken_example(200)],
            ),
            tmp_path / "made",
            size=8,
            encoding="raw",
            max_bad_files=1,
        )


def test_a_split_without_a_readable_image_is_named(tmp_path):
    source = image_sources.make_source(
        [image_sources.example(0)],
        [image_sources.broken_example(1), image_sources.broken_example(2)],
    )
    with pytest.raises(ValueError, match="the test split has no readable image"):
        preparation.prepare_dataset(
            source, tmp_path / "made", size=8, encoding="raw", max_bad_files=9
        )
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failure_in_the_first_shard_leaves_nothing_behind(tmp_path, error):
    def read():
        raise error

    examples = [
        *map(image_sources.example, range(70)),
        source_types.Example("last", 0, read),
    ]
    with pytest.raises(type(error)):
        preparation.prepare_dataset(
            image_sources.make_source(examples),
            tmp_path / "made",
            size=8,
            encoding="raw",
        )
    assert list(tmp_path.iterdir()) == []


def interrupted(tmp_path, at, count=40, **options):
    """Prepares until image `at` interrupts; returns the arguments to continue with."""

    def interrupt():
        raise KeyboardInterrupt

    train = [
        image_sources.example(n, interrupt if n == at else None) for n in range(count)
    ]
    options = {"size": 8, "encoding": "jpeg"} | options
    with pytest.raises(KeyboardInterrupt):
        preparation.prepare_dataset(
            image_sources.make_source(train), tmp_path / "made", **options
        )
    return tmp_path / "made", options


def test_an_interrupted_preparation_continues_and_ends_with_the_same_bytes(
    tmp_path, small_shards
):
    output, options = interrupted(tmp_path, at=25)
    read = []

    def reader(number):
        def note():
            read.append(number)
            return images.random_image(number)

        return note

    train = [image_sources.example(number, reader(number)) for number in range(40)]
    dataset = preparation.prepare_dataset(
        image_sources.make_source(train), output, **options
    )
    assert read == list(range(20, 40))  # two shards of ten were complete
    uninterrupted = preparation.prepare_dataset(
        image_sources.make_source(train), tmp_path / "other", **options
    )
    assert image_sources.file_digests(dataset.path) == image_sources.file_digests(
        uninterrupted.path
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made", "other"]


def test_a_half_written_shard_is_written_again(tmp_path, small_shards):
    output, options = interrupted(tmp_path, at=35)
    complete = tmp_path / "made.partial" / "complete"
    first, second, third = sorted(complete.iterdir())
    second.write_bytes(second.read_bytes()[:-100])
    shards.note_path(third).unlink()
    (complete / f".partial-machine-1-2-{first.name}").write_bytes(b"half")
    dataset = preparation.prepare_dataset(
        image_sources.make_source(map(image_sources.example, range(40))),
        output,
        **options,
    )
    uninterrupted = preparation.prepare_dataset(
        image_sources.make_source(map(image_sources.example, range(40))),
        tmp_path / "other",
        **options,
    )
    assert image_sources.file_digests(dataset.path) == image_sources.file_digests(
        uninterrupted.path
    )


def test_the_plan_is_written_completely_or_not_at_all(
    tmp_path, small_shards, monkeypatch
):
    output, options = interrupted(tmp_path, at=15)
    source = image_sources.make_source(map(image_sources.example, range(40)))

    def fill_the_disk(path, text, encoding):
        with path.open("w"):
            raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(pathlib.Path, "write_text", fill_the_disk)
        with pytest.raises(OSError, match="disk full"):
            preparation.prepare_dataset(source, output, **options)
    assert preparation.prepare_dataset(source, output, **options).counts == {
        "train": 40
    }


@pytest.mark.parametrize(
    ("change", "setting"),
    [
        ({"encoding": "raw"}, "encoding"),
        ({"max_bad_files": 3}, None),
        ({"size": 9}, "size"),
        ({"background": (0, 0, 0)}, "background"),
        ({"resize": "squash"}, "resize"),
    ],
)
def test_an_interrupted_preparation_does_not_continue_with_other_settings(
    tmp_path, small_shards, change, setting
):
    output, options = interrupted(tmp_path, at=15, count=16)
    source = image_sources.make_source(map(image_sources.example, range(16)))
    if setting is None:
        preparation.prepare_dataset(source, output, **options | change)
        return
    with pytest.raises(
        ValueError, match=rf"made\.partial was started with different {setting}"
    ):
        preparation.prepare_dataset(source, output, **options | change)
    preparation.prepare_dataset(source, output, **options)


def test_an_image_that_was_repaired_is_no_longer_left_out(tmp_path, small_shards):
    bad = [
        image_sources.example(0),
        image_sources.broken_example(1),
        *map(image_sources.example, range(2, 25)),
        image_sources.broken_example(25),
        image_sources.broken_example(26),
    ]
    options = {"size": 8, "encoding": "jpeg", "max_bad_files": 2}
    with pytest.raises(image_decoding.BadImageError, match="image 26"):
        preparation.prepare_dataset(
            image_sources.make_source(bad), tmp_path / "made", **options
        )
    dataset = preparation.prepare_dataset(
        image_sources.make_source(map(image_sources.example, range(27))),
        tmp_path / "made",
        **options,
    )
    assert dataset.counts == {"train": 27}


KILLED = """
import sys
from alexnet_tf.data import preparation, sources
preparation._SHARD_BYTES = 4 * 3 * 32 * 32
if __name__ == "__main__":
    source = sources.open_source("folder:" + sys.argv[1], holdout=0)
    preparation.prepare_dataset(
        source, sys.argv[2], size=32, encoding="raw", workers=int(sys.argv[3])
    )
"""


@pytest.mark.long
@pytest.mark.parametrize("workers", [1, 2])
def test_a_preparation_that_is_killed_five_times_ends_with_the_same_bytes(
    tmp_path, workers
):
    for name in ("a", "b"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(300):
            pixels = images.random_image(number, 300, 400)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{number}.bmp")
    script = tmp_path / "prepare_them.py"
    script.write_text(KILLED)
    notes = tmp_path / "made.partial" / "notes"
    rng = random.Random(0)

    def begin(output, count):
        return subprocess.Popen(
            [sys.executable, script, tmp_path / "images", output, str(count)]
        )

    kept = 0
    for _ in range(5):
        process = begin(tmp_path / "made", workers)
        while process.poll() is None and len(list(notes.glob("*.npz"))) < kept + 3:
            time.sleep(0.05)
        time.sleep(rng.uniform(0, 0.2))
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert psutil.wait_procs(children, timeout=30)[1] == []
        found = len(list(notes.glob("*.npz")))
        assert found >= kept + 3
        kept = found
    assert begin(tmp_path / "made", workers).wait() == 0
    assert begin(tmp_path / "uninterrupted", 1).wait() == 0
    assert image_sources.file_digests(tmp_path / "made") == image_sources.file_digests(
        tmp_path / "uninterrupted"
    )
    dataset_verification.verify_dataset(tmp_path / "made", workers=1)


def die():
    os._exit(9)


@pytest.mark.long
def test_a_worker_that_dies_is_reported_and_finished_shards_are_kept(
    tmp_path, small_shards
):
    train = [image_sources.example(n, die if n == 39 else None) for n in range(40)]
    options = {"size": 8, "encoding": "jpeg", "workers": 2}
    with pytest.raises(RuntimeError, match="worker process died.*fewer --workers"):
        preparation.prepare_dataset(
            image_sources.make_source(train), tmp_path / "made", **options
        )
    assert list((tmp_path / "made.partial" / "notes").iterdir())


def test_a_second_preparation_of_the_same_folder_is_rejected(tmp_path):
    def second():
        with pytest.raises(ValueError, match=r"another process is writing into.*made"):
            preparation.prepare_dataset(
                image_sources.make_source([image_sources.example(1)]),
                tmp_path / "made",
                size=8,
                encoding="raw",
            )
        return images.random_image(0)

    preparation.prepare_dataset(
        image_sources.make_source([image_sources.example(0, second)]),
        tmp_path / "made",
        size=8,
        encoding="raw",
    )


def test_existing_output_is_never_overwritten(tmp_path):
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "mine.txt").write_text("precious")
    with pytest.raises(FileExistsError, match="made exists: remove it, or choose"):
        preparation.prepare_dataset(
            image_sources.make_source([image_sources.example(0)]),
            tmp_path / "made",
            size=8,
            encoding="raw",
        )
    assert (tmp_path / "made" / "mine.txt").read_text() == "precious"


def test_a_prepared_folder_is_found_by_its_path(prepared):
    found = preparation.find_or_prepare(
        str(prepared.path), size=16, encoding="raw", data_dir="nowhere"
    )
    assert found == prepared


def test_a_dataset_of_another_size_is_rejected(prepared):
    with pytest.raises(ValueError, match="has images of 16 pixels.*--size=32"):
        preparation.find_or_prepare(
            str(prepared.path), size=32, encoding="raw", data_dir="nowhere"
        )


def test_a_folder_of_images_is_suggested_as_a_source(tmp_path):
    folder = tmp_path / "my images"
    folder.mkdir()
    with pytest.raises(FileNotFoundError, match=f"--dataset='folder:{folder}'$"):
        preparation.find_or_prepare(
            str(folder), size=32, encoding="raw", data_dir="nowhere"
        )


@pytest.mark.parametrize("allowed", [0, 1, 2])
def test_a_dataset_that_is_prepared_on_first_use_may_leave_images_out(
    tmp_path, allowed
):
    first, _ = case_folders.two_of_one_name(tmp_path)
    images = [path for path in first.rglob("*") if path.is_file()]
    (first / "a" / "broken.png").write_bytes(b"no image")
    chosen = {"size": 8, "encoding": "raw", "data_dir": str(tmp_path / "data")}
    if not allowed:
        with pytest.raises(
            image_decoding.BadImageError, match="broken.png.* --max_bad_files=N$"
        ):
            preparation.find_or_prepare(f"folder:{first}", **chosen)
        return
    found = preparation.find_or_prepare(
        f"folder:{first}", max_bad_files=allowed, **chosen
    )
    assert sum(found.counts.values()) == len(images)


def test_a_folder_that_is_not_prepared_is_rejected(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not a prepared dataset"):
        preparation.find_or_prepare(
            str(tmp_path), size=32, encoding="raw", data_dir="nowhere"
        )


@pytest.mark.parametrize(
    ("dataset", "folder"),
    [("garments", "garments-8"), ("tfds:three/plain", "three-plain-8")],
)
def test_a_named_dataset_is_prepared_only_on_first_use(
    tmp_path, monkeypatch, capsys, dataset, folder
):
    asked = []
    source = image_sources.make_source(map(image_sources.example, range(3)))

    def open_source(specification, *, data_dir, manual_dir):
        asked.append((specification, data_dir))
        return source

    monkeypatch.setattr(sources, "open_source", open_source)
    monkeypatch.setattr(
        sources, "identify", lambda *_: (source.specification, source.fingerprint)
    )
    data_dir = str(tmp_path / "data")
    found = [
        preparation.find_or_prepare(dataset, size=8, encoding="raw", data_dir=data_dir)
        for _ in range(2)
    ]
    assert found[0] == found[1]
    assert found[0].path == tmp_path / "data" / folder
    assert asked == [(dataset, data_dir)]
    printed = capsys.readouterr().err
    assert (
        printed.count("made:here has 3 classes: a, b, c\ntrain: 3 images, 1 per") == 1
    )


def find_folder(root, tmp_path):
    return preparation.find_or_prepare(
        f"folder:{root}", size=8, encoding="raw", data_dir=str(tmp_path / "data")
    )


def test_a_folder_of_the_same_name_is_another_source(tmp_path):
    first, second = case_folders.two_of_one_name(tmp_path)
    prepared = find_folder(first, tmp_path)
    assert prepared.classes == ("a", "b")
    assert find_folder(first, tmp_path) == prepared
    with pytest.raises(
        ValueError,
        match=f"data/images-8 was prepared from folder:{first}, and not from "
        f"folder:{second}. .*--dataset={tmp_path}/data/images-8. .*"
        f"prepare --source=folder:{second} --size=8 --output=",
    ):
        find_folder(second, tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere/images: no such folder"):
        find_folder("/nowhere/images", tmp_path)
    named = preparation.find_or_prepare(
        str(prepared.path), size=8, encoding="raw", data_dir="nowhere"
    )
    assert named == prepared


def test_a_copy_with_the_same_files_and_times_is_another_source(tmp_path):
    first, _ = case_folders.two_of_one_name(tmp_path)
    shutil.copytree(first, tmp_path / "C" / "images")
    find_folder(first, tmp_path)
    with pytest.raises(ValueError, match="and not from folder:.*/C/images"):
        find_folder(tmp_path / "C" / "images", tmp_path)


@pytest.mark.parametrize("change", ["content", "time", "added", "removed", "class"])
def test_records_of_a_folder_that_has_changed_are_refused(tmp_path, change):
    root = case_folders.write_classes(tmp_path / "images", 6, "a", "b")
    find_folder(root, tmp_path)
    path = root / "a" / "000.jpg"
    if change == "content":
        path.write_bytes((root / "b" / "003.jpg").read_bytes())
    elif change == "time":
        os.utime(path, ns=(1, 1))
    elif change == "added":
        case_folders.write_images(root / "a" / "more", 1)
    elif change == "removed":
        path.unlink()
    else:
        (root / "a").rename(root / "c")
    with pytest.raises(
        ValueError,
        match=f"prepared from folder:{root}, whose images have changed since",
    ):
        find_folder(root, tmp_path)


def test_a_way_to_the_same_folder_is_the_same_source(tmp_path, monkeypatch):
    root = case_folders.write_classes(tmp_path / "images", 6, "a", "b")
    prepared = find_folder(root, tmp_path)
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "other").symlink_to(root)
    monkeypatch.chdir(root)
    for way in ("../images/", ".", tmp_path / "links" / "other"):
        assert find_folder(way, tmp_path) == prepared


def test_records_of_images_without_a_source_are_refused_for_a_folder(tmp_path):
    root = case_folders.write_classes(tmp_path / "images", 6, "a", "b")
    made = image_sources.make_source(map(image_sources.example, range(12)))
    made = dataclasses.replace(made, specification="", fingerprint="")
    preparation.prepare_dataset(
        made, tmp_path / "data/images-8", size=8, encoding="raw"
    )
    with pytest.raises(
        ValueError,
        match="images-8 was prepared from images without a source, and not from "
        f"folder:{root}. .*--dataset=",
    ):
        find_folder(root, tmp_path)


def test_an_interrupted_preparation_does_not_continue_with_other_images(
    tmp_path, small_shards
):
    root = case_folders.write_classes(tmp_path / "images", 12, "a", "b")
    bad = root / "b" / "999.jpg"
    bad.write_bytes(b"no image")

    def prepare(**options):
        source = sources.open_source(f"folder:{root}", holdout=0)
        return preparation.prepare_dataset(
            source, tmp_path / "made", size=8, encoding="jpeg", **options
        )

    with pytest.raises(image_decoding.BadImageError, match="999"):
        prepare()
    assert list((tmp_path / "made.partial" / "complete").iterdir())
    status = (root / "a" / "000.jpg").stat()
    os.utime(root / "a" / "000.jpg", ns=(0, 0))
    with pytest.raises(
        ValueError, match=r"made\.partial was started with different im"
    ):
        prepare(max_bad_files=1)
    os.utime(root / "a" / "000.jpg", ns=(0, status.st_mtime_ns))
    assert prepare(max_bad_files=1).counts == {"train": 24}


def test_what_is_left_of_a_finished_preparation_is_no_obstacle(tmp_path, small_shards):
    # A kill between the last rename and the removal of the notes leaves the notes.
    output, options = interrupted(tmp_path, at=25)
    shutil.rmtree(tmp_path / "made.partial" / "complete")
    source = image_sources.make_source(map(image_sources.example, range(12)))
    dataset = preparation.prepare_dataset(source, output, **options | {"size": 9})
    assert dataset.counts == {"train": 12}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made"]


@pytest.mark.parametrize("workers", [1, 2])
def test_odd_files_are_counted_as_bad_files(tmp_path, caplog, workers):
    source = sources.open_source(
        f"folder:{case_folders.odd_files(tmp_path / 'images')}", holdout=0
    )
    options = {"size": 8, "encoding": "raw", "workers": workers}
    with pytest.raises(image_decoding.BadImageError, match=r"jpg: .*--max_bad_files"):
        preparation.prepare_dataset(
            source, tmp_path / "made", max_bad_files=6, **options
        )
    dataset = preparation.prepare_dataset(
        source, tmp_path / "made", max_bad_files=7, **options
    )
    assert dataset.class_counts == {"train": [6, 6]}
    logged = [record.getMessage() for record in caplog.records]
    assert len([text for text in logged if text.startswith("left out: /")]) == 7
    assert "left out: 7 images that cannot be read" in preparation.summary(
        dataset, source
    )


def test_metadata_never_condemns_pixels(tmp_path):
    root = case_folders.odd_chunks(tmp_path / "images")
    dataset = preparation.prepare_dataset(
        sources.open_source(f"folder:{root}", holdout=0),
        tmp_path / "made",
        size=8,
        encoding="raw",
    )
    assert dataset.class_counts == {"train": [3, 10]}
    contents = image_sources.read_contents(dataset, "train")
    found = {name: image for image, _, name in contents if name.endswith(".png")}
    assert len(found) == 7
    for image in found.values():
        np.testing.assert_array_equal(image, np.full((8, 8, 3), (9, 99, 200)))


def test_an_image_without_a_label_is_a_bad_file(tmp_path):
    train = [
        image_sources.example(0),
        source_types.Example("image 1", -1, image_sources.Reader(1)),
    ]
    with pytest.raises(image_decoding.BadImageError, match="image 1: it has no label"):
        preparation.prepare_dataset(
            image_sources.make_source(train), tmp_path / "made", size=8, encoding="raw"
        )


def test_the_summary_names_classes_without_readable_images(tmp_path):
    train = [*map(image_sources.example, (0, 1, 3)), image_sources.broken_example(2)]
    source = image_sources.make_source(train, [image_sources.example(1)])
    dataset = preparation.prepare_dataset(
        source, tmp_path / "made", size=8, encoding="raw", max_bad_files=1
    )
    assert preparation.summary(dataset, source).splitlines() == [
        "made:here has 3 classes: a, b, c",
        "train: 3 images, 0 to 2 per class; no images of: c",
        "test: 1 image, 0 to 1 per class; no images of: a, c",
        "left out: 1 image that cannot be read",
    ]


def test_a_source_with_a_test_split_prints_no_hint(tmp_path, capsys):
    source = image_sources.make_source(
        [image_sources.example(0)], [image_sources.example(1)]
    )
    preparation.prepare_dataset(source, tmp_path / "made", size=8, encoding="raw")
    assert "split" not in capsys.readouterr().err


def test_file_names_that_are_not_utf_8_are_kept(tmp_path):
    folder = os.fsencode(tmp_path / "images")
    paths = [os.path.join(folder, name, b"gr\xfcn\n.png") for name in (b"a", b"b")]
    for path in paths:
        os.makedirs(os.path.dirname(path))
        with open(path, "wb") as file:
            Image.fromarray(images.random_image(0)).save(file, "PNG")
    source = sources.open_source(f"folder:{tmp_path / 'images'}", holdout=0)
    dataset = preparation.prepare_dataset(
        source, tmp_path / "made", size=8, encoding="raw"
    )
    (shard,) = dataset.shards("train")
    assert image_sources.read_names(shard) == paths


@pytest.mark.parametrize("workers", [1, 2])
def test_a_bad_file_whose_name_is_not_utf_8_is_shown_escaped(tmp_path, caplog, workers):
    root = case_folders.write_classes(tmp_path / "images", 2, "a", "b")
    (root / "b" / os.fsdecode(b"caf\xe9\n.jpg")).write_bytes(b"no image")
    source = sources.open_source(f"folder:{root}", holdout=0)
    options = {"size": 8, "encoding": "raw", "workers": workers}
    with pytest.raises(
        image_decoding.BadImageError, match=r"/b/caf\\xe9\\n\.jpg: not a"
    ):
        preparation.prepare_dataset(source, tmp_path / "made", **options)
    preparation.prepare_dataset(source, tmp_path / "made", max_bad_files=1, **options)
    (logged,) = [record.getMessage() for record in caplog.records]
    assert logged.startswith(rf"left out: {root}/b/caf\xe9\n.jpg: not a readable image")


def test_transparent_pixels_are_prepared_on_the_background(tmp_path):
    pixels = encoded_images.noise(8, 8, channels=4)
    source = image_sources.make_source([image_sources.example(0, lambda: pixels)])
    dataset = preparation.prepare_dataset(
        source, tmp_path / "made", size=8, encoding="raw", background=(9, 120, 255)
    )
    assert dataset.background == (9, 120, 255)
    assert prepared_dataset.read_description(dataset.path) == dataset
    ((image, _, _),) = image_sources.read_contents(dataset, "train")
    expected = background.compose(pixels, (9, 120, 255))
    np.testing.assert_array_equal(image, expected)


def test_images_of_16_bits_are_reported_once_with_their_number(tmp_path, capsys):
    levels = np.arange(64, dtype=np.uint16).reshape(8, 8)

    def read_deep(number):
        data = images.encode(Image.fromarray(levels), "PNG")
        return lambda: image_decoding.decode(data, f"deep{number}")

    preparation.prepare_dataset(
        image_sources.make_source(
            [image_sources.example(n, read_deep(n)) for n in range(3)],
            [image_sources.example(3, read_deep(3)), image_sources.example(4)],
        ),
        tmp_path / "made",
        size=8,
        encoding="raw",
        workers=1,
    )
    lines = [x for x in capsys.readouterr().err.splitlines() if "16 bits" in x]
    (line,) = lines
    assert line.startswith(
        "warning: 4 images have 16 bits per sample but no value above"
    )
    assert line.endswith("such as deep0")
