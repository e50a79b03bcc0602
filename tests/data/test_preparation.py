"""Preparation: what is written is what the source holds, or nothing is."""

import dataclasses
import hashlib
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
import tensorflow as tf
from array_record.python import array_record_module
from PIL import Image

from alexnet_tf import prepare
from alexnet_tf.data import (
    image_decoding,
    preparation,
    prepared_dataset,
    record_files,
    records,
    shards,
    source_types,
    sources,
    verification,
)
from alexnet_tf.models import resizing
from alexnet_tf.runtime import options


def picture(seed, height=20, width=24):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3))
    return pixels.astype(np.uint8)


@dataclasses.dataclass(frozen=True)
class Reader:
    """Reads a picture, in whatever process."""

    number: int

    def __call__(self):
        return picture(self.number)


def example(number, read=None):
    return source_types.Example(f"picture {number}", number % 3, read or Reader(number))


@dataclasses.dataclass(frozen=True)
class Broken:
    """Fails as a broken picture does."""

    number: int

    def __call__(self):
        raise image_decoding.BadImageError(
            f"picture {self.number}: not a readable image"
        )


def broken(number):
    return source_types.Example(f"picture {number}", 0, Broken(number))


def a_source(train, test=()):
    splits = {"train": list(train)}
    if test:
        splits["test"] = list(test)
    return source_types.Source("made", ("a", "b", "c"), splits)


def contents(dataset, split):
    """[(picture, label, name)] of every record in order."""
    found = []
    for path in dataset.shards(split):
        shard = record_files.open_shard(path)
        for position, name in enumerate(names_in(path)):
            encoded, label = shard.read(position)
            image = records.decode(encoded, dataset.size, dataset.encoding)
            found.append((image, label, os.fsdecode(name)))
    return found


def names_in(path):
    """The names that a shard holds, read as anyone else would."""
    if path.suffix == ".npy":
        with path.open("rb") as file:
            np.load(file)
            return np.load(file).tolist()
    reader = array_record_module.ArrayRecordReader(str(path))
    return [
        tf.train.Example.FromString(example)
        .features.feature["image/filename"]
        .bytes_list.value[0]
        for example in reader.read_all()
    ]


def squared(number, size):
    return resizing.resize(tf.constant(picture(number)), size).numpy()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Ten pictures to train and four to test, raw, 16 pixels."""
    source = a_source(map(example, range(10)), map(example, range(10, 14)))
    output = tmp_path_factory.mktemp("prepared") / "deep" / "made"
    return preparation.prepare(source, output, size=16, encoding="raw")


def test_every_picture_is_written_once_in_order_by_the_resize_rule(made):
    for split, numbers in (("train", range(10)), ("test", range(10, 14))):
        found = contents(made, split)
        for (image, label, name), number in zip(found, numbers, strict=True):
            np.testing.assert_array_equal(image, squared(number, 16))
            assert (label, name) == (number % 3, f"picture {number}")


def test_the_description_says_what_was_prepared(made):
    described = json.loads((made.path / "dataset.json").read_text())
    assert described == {
        "name": "made",
        "size": 16,
        "encoding": "raw",
        "classes": ["a", "b", "c"],
        "counts": {"train": 10, "test": 4},
    }
    assert made == prepared_dataset.read_description(made.path)


def test_mean_and_covariance_are_those_of_the_training_pictures(made):
    every = np.stack([squared(number, 16) for number in range(10)]).astype(np.float64)
    statistics = made.statistics()
    np.testing.assert_allclose(statistics.mean, every.mean(0), rtol=1e-6)
    expected = np.cov(every.reshape(-1, 3), rowvar=False, bias=True)
    np.testing.assert_allclose(statistics.covariance, expected, rtol=1e-9)


def test_jpeg_records_are_the_same_pictures_to_a_few_levels(tmp_path):
    row, column = np.mgrid[:40, :50]
    smooth = np.stack([3 * row, 2 * column, row + column], -1).astype(np.uint8)
    dataset = preparation.prepare(
        a_source([example(0, lambda: smooth)]),
        tmp_path / "made",
        size=32,
        encoding="jpeg",
    )
    ((image, label, _),) = contents(dataset, "train")
    expected = resizing.resize(tf.constant(smooth), 32).numpy().astype(int)
    assert np.abs(image - expected).max() <= 5
    assert label == 0


def files_of(folder):
    """{name: digest} of a prepared folder."""
    paths = sorted(pathlib.Path(folder).iterdir())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


@pytest.fixture
def small_shards(monkeypatch):
    """Ten JPEGs, or one and a third raw pictures, of 8 pixels a shard."""
    monkeypatch.setattr(preparation, "_SHARD_BYTES", 10 * (4 * 8 * 8 // 10))


@pytest.mark.parametrize(
    ("encoding", "workers"),
    [
        ("jpeg", 2),
        pytest.param("jpeg", 3, marks=pytest.mark.long),
        pytest.param("raw", 3, marks=pytest.mark.long),
    ],
)
def test_the_bytes_are_the_same_whatever_the_number_of_workers(
    tmp_path, small_shards, encoding, workers
):
    train = [*map(example, range(45)), broken(45), *map(example, range(46, 60))]
    written = []
    for number in (1, workers):
        dataset = preparation.prepare(
            a_source(train, map(example, range(5))),
            tmp_path / str(number),
            size=8,
            encoding=encoding,
            workers=number,
            max_bad_files=1,
        )
        written.append(files_of(dataset.path))
    assert len([name for name in written[0] if name.startswith("train-")]) >= 6
    assert written[0] == written[1]


def test_large_splits_are_cut_into_shards_that_hold_all_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(preparation, "_SHARD_BYTES", 4 * 3 * 8 * 8)
    dataset = preparation.prepare(
        a_source(map(example, range(10))), tmp_path / "made", size=8, encoding="raw"
    )
    assert [path.name for path in dataset.shards("train")] == [
        f"train-0000{shard}-of-00003.npy" for shard in range(3)
    ]
    names = [name for _, _, name in contents(dataset, "train")]
    assert names == [f"picture {number}" for number in range(10)]


def mixed(good, bad):
    """Training examples, every bad one before a good one."""
    examples = [example(number) for number in range(good)]
    for number in range(bad):
        examples.insert(2 * number, broken(100 + number))
    return examples


def test_one_bad_file_stops_the_work_with_its_name_and_the_way_out(tmp_path):
    with pytest.raises(
        image_decoding.BadImageError, match=r"^picture 100: not a .*--max_bad_files"
    ):
        preparation.prepare(
            a_source(mixed(5, 1)), tmp_path / "made", size=8, encoding="raw"
        )
    assert list(tmp_path.iterdir()) == []


def test_so_many_bad_files_are_named_and_left_out(tmp_path, caplog):
    dataset = preparation.prepare(
        a_source(mixed(5, 2)),
        tmp_path / "made",
        size=8,
        encoding="raw",
        max_bad_files=2,
    )
    assert dataset.counts == {"train": 5}
    names = [name for _, _, name in contents(dataset, "train")]
    assert names == [f"picture {number}" for number in range(5)]
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        f"left out: picture {number}: not a readable image" for number in (100, 101)
    ]
    every = np.stack([squared(number, 8) for number in range(5)])
    np.testing.assert_allclose(dataset.statistics().mean, every.mean(0), rtol=1e-6)


def test_one_bad_file_more_than_allowed_stops_the_work(tmp_path):
    with pytest.raises(image_decoding.BadImageError, match="picture 102"):
        preparation.prepare(
            a_source(mixed(5, 3)),
            tmp_path / "made",
            size=8,
            encoding="raw",
            max_bad_files=2,
        )
    assert list(tmp_path.iterdir()) == []


def test_bad_files_are_counted_over_all_splits(tmp_path):
    with pytest.raises(image_decoding.BadImageError, match="picture 200"):
        preparation.prepare(
            a_source(mixed(5, 1), [example(0), broken(200)]),
            tmp_path / "made",
            size=8,
            encoding="raw",
            max_bad_files=1,
        )


def test_a_split_without_a_readable_picture_is_named(tmp_path):
    source = a_source([example(0)], [broken(1), broken(2)])
    with pytest.raises(ValueError, match="the test split has no readable picture"):
        preparation.prepare(
            source, tmp_path / "made", size=8, encoding="raw", max_bad_files=9
        )
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failure_in_the_first_shard_leaves_nothing_behind(tmp_path, error):
    def read():
        raise error

    examples = [*map(example, range(70)), source_types.Example("last", 0, read)]
    with pytest.raises(type(error)):
        preparation.prepare(
            a_source(examples), tmp_path / "made", size=8, encoding="raw"
        )
    assert list(tmp_path.iterdir()) == []


def interrupted(tmp_path, at, count=40, **options):
    """Prepares until picture `at` interrupts; returns the arguments to go on with."""

    def interrupt():
        raise KeyboardInterrupt

    train = [example(n, interrupt if n == at else None) for n in range(count)]
    options = {"size": 8, "encoding": "jpeg"} | options
    with pytest.raises(KeyboardInterrupt):
        preparation.prepare(a_source(train), tmp_path / "made", **options)
    return tmp_path / "made", options


def test_a_stopped_preparation_goes_on_and_ends_in_the_same_bytes(
    tmp_path, small_shards
):
    output, options = interrupted(tmp_path, at=25)
    read = []

    def reader(number):
        def note():
            read.append(number)
            return picture(number)

        return note

    train = [example(number, reader(number)) for number in range(40)]
    dataset = preparation.prepare(a_source(train), output, **options)
    assert read == list(range(20, 40))  # two shards of ten were whole
    undisturbed = preparation.prepare(a_source(train), tmp_path / "other", **options)
    assert files_of(dataset.path) == files_of(undisturbed.path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made", "other"]


def test_a_half_written_shard_is_written_again(tmp_path, small_shards):
    output, options = interrupted(tmp_path, at=35)
    whole = tmp_path / "made.partial" / "whole"
    first, second, third = sorted(whole.iterdir())
    second.write_bytes(second.read_bytes()[:-100])
    shards.note_of(third).unlink()
    (whole / f"{first.name}.123.partial").write_bytes(b"half")
    dataset = preparation.prepare(a_source(map(example, range(40))), output, **options)
    undisturbed = preparation.prepare(
        a_source(map(example, range(40))), tmp_path / "other", **options
    )
    assert files_of(dataset.path) == files_of(undisturbed.path)


def test_a_plan_is_written_whole_or_not_at_all(tmp_path, small_shards, monkeypatch):
    output, options = interrupted(tmp_path, at=15)
    source = a_source(map(example, range(40)))

    def fill_the_disk(path, text):
        with path.open("w"):
            raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(pathlib.Path, "write_text", fill_the_disk)
        with pytest.raises(OSError, match="disk full"):
            preparation.prepare(source, output, **options)
    assert preparation.prepare(source, output, **options).counts == {"train": 40}


def test_writers_with_one_process_number_write_files_of_their_own(
    tmp_path, monkeypatch
):
    # As on two machines, or of two containers on one.
    monkeypatch.setattr(os, "getpid", lambda: 1)
    path = tmp_path / "whole" / "train-00000-of-00001.npy"
    for folder in ("whole", "notes"):
        (tmp_path / folder).mkdir()

    def job(*examples):
        return shards.Job(path, examples, 8, "raw", True, 0)

    def meanwhile():
        shards.write(job(example(0), example(1)), lambda: None)
        return picture(1)

    written = shards.write(job(example(0), example(1, meanwhile)), lambda: None)
    assert shards.read_finished(path).sha256 == written.sha256
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"encoding": "raw"}, "encoding"),
        ({"max_bad_files": 3}, None),
        ({"size": 9}, "size"),
    ],
)
def test_a_stopped_preparation_is_not_gone_on_with_as_another(
    tmp_path, small_shards, change, told
):
    output, options = interrupted(tmp_path, at=15, count=16)
    source = a_source(map(example, range(16)))
    if told is None:
        preparation.prepare(source, output, **options | change)
        return
    with pytest.raises(
        ValueError, match=rf"made\.partial was begun with another {told}"
    ):
        preparation.prepare(source, output, **options | change)
    preparation.prepare(source, output, **options)


def test_a_picture_that_was_mended_is_not_left_out_for_ever(tmp_path, small_shards):
    bad = [example(0), broken(1), *map(example, range(2, 25)), broken(25), broken(26)]
    options = {"size": 8, "encoding": "jpeg", "max_bad_files": 2}
    with pytest.raises(image_decoding.BadImageError, match="picture 26"):
        preparation.prepare(a_source(bad), tmp_path / "made", **options)
    dataset = preparation.prepare(
        a_source(map(example, range(27))), tmp_path / "made", **options
    )
    assert dataset.counts == {"train": 27}


KILLED = """
import sys
from alexnet_tf.data import preparation as prepare, sources
prepare._SHARD_BYTES = 4 * 3 * 32 * 32
if __name__ == "__main__":
    source = sources.open_source("folder:" + sys.argv[1], holdout=0)
    prepare.prepare(
        source, sys.argv[2], size=32, encoding="raw", workers=int(sys.argv[3])
    )
"""


@pytest.mark.long
@pytest.mark.parametrize("workers", [1, 2])
def test_a_preparation_that_is_killed_again_and_again_ends_in_the_same_bytes(
    tmp_path, workers
):
    for name in ("a", "b"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(300):
            pixels = picture(number, 300, 400)
            Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{number}.bmp")
    script = tmp_path / "prepare_them.py"
    script.write_text(KILLED)
    notes = tmp_path / "made.partial" / "notes"
    rng = random.Random(0)

    def begin(output, count):
        return subprocess.Popen(
            [sys.executable, script, tmp_path / "pictures", output, str(count)]
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
    assert begin(tmp_path / "undisturbed", 1).wait() == 0
    assert files_of(tmp_path / "made") == files_of(tmp_path / "undisturbed")
    verification.verify(tmp_path / "made", workers=1)


def die():
    os._exit(9)


@pytest.mark.long
def test_a_worker_that_dies_is_told_and_what_is_finished_kept(tmp_path, small_shards):
    train = [example(n, die if n == 39 else None) for n in range(40)]
    options = {"size": 8, "encoding": "jpeg", "workers": 2}
    with pytest.raises(RuntimeError, match="worker process died.*fewer --workers"):
        preparation.prepare(a_source(train), tmp_path / "made", **options)
    assert list((tmp_path / "made.partial" / "notes").iterdir())


def test_a_second_preparation_of_the_same_folder_is_refused(tmp_path):
    def second():
        with pytest.raises(ValueError, match=r"another process is writing into.*made"):
            preparation.prepare(
                a_source([example(1)]), tmp_path / "made", size=8, encoding="raw"
            )
        return picture(0)

    preparation.prepare(
        a_source([example(0, second)]), tmp_path / "made", size=8, encoding="raw"
    )


TEST_SHARD = "test-00000-of-00001.npy"


@pytest.fixture
def copy(made, tmp_path):
    """A prepared folder to damage."""
    folder = tmp_path / "copy"
    subprocess.run(["cp", "-r", made.path, folder], check=True)
    return folder


def test_what_was_prepared_is_verified(made):
    assert verification.verify(made.path) == made
    subprocess.run(
        ["sha256sum", "--check", "--quiet", "--strict", "SHA256SUMS"],
        cwd=made.path,
        check=True,
    )
    assert len((made.path / "SHA256SUMS").read_text().splitlines()) == 4


@pytest.mark.parametrize(
    "name",
    ["train-00000-of-00001.npy", "dataset.json", "statistics.npz"],
)
def test_a_flipped_bit_is_found(copy, name):
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    if name == "dataset.json":
        data = (copy / name).read_bytes().replace(b'"made"', b'"mode"')
    (copy / name).write_bytes(data)
    with pytest.raises(ValueError, match=f"{name} is damaged"):
        verification.verify(copy)


def test_a_missing_shard_is_found(copy):
    (copy / TEST_SHARD).rename(copy / "test-00001-of-00001.npy")
    with pytest.raises(
        ValueError, match=r"missing \['test-00000.*unknown \['test-00001"
    ):
        verification.verify(copy)


def signed(folder):
    """Writes the digests of what is in `folder` now: damage from before they were."""
    lines = [f"{digest}  {name}\n" for name, digest in files_of(folder).items()]
    (folder / "SHA256SUMS").write_text("".join(lines))


def rewritten(copy, *labels, size=16):
    """The path of the test shard, its pictures others."""
    path = copy / TEST_SHARD
    named = [
        ("x", record_files.Record(bytes(size * size * 3), label)) for label in labels
    ]
    record_files.write_shard(path, named, encoding="raw", size=size)
    return path


@pytest.mark.parametrize("label", [3, -1])
def test_a_label_of_no_class_is_found_with_its_record(copy, label):
    path = rewritten(copy, 0, label)
    signed(copy)
    with pytest.raises(
        ValueError, match=f"{path.name}, record 1: label {label} of 3 classes"
    ):
        verification.verify(copy)


def test_a_picture_of_another_size_is_found_with_its_record(copy):
    path = rewritten(copy, 0, 1, size=8)
    signed(copy)
    with pytest.raises(ValueError, match=f"{path.name}, record 0: .* 192 bytes, and"):
        verification.verify(copy)


def test_damage_from_before_the_digests_is_found_with_its_record(copy):
    path = rewritten(copy, 0, 1)
    content = bytearray(path.read_bytes())
    content[192 + 16 * 16 * 3 + 12 + 5] ^= 1
    path.write_bytes(content)
    signed(copy)
    with pytest.raises(ValueError, match=f"{path.name}, record 1: its hash is another"):
        verification.verify(copy)
    path.write_bytes(content[:500])
    signed(copy)
    with pytest.raises(ValueError, match=f"{path.name}: .* ends at byte 500"):
        verification.verify(copy)


def test_a_count_that_is_another_is_found(copy):
    rewritten(copy, 0)
    signed(copy)
    with pytest.raises(ValueError, match=r"'test': 1.*dataset\.json says.*'test': 4"):
        verification.verify(copy)


def test_a_folder_without_digests_is_of_an_older_version(copy):
    (copy / "SHA256SUMS").unlink()
    with pytest.raises(ValueError, match="no SHA256SUMS.*prepare it again"):
        verification.verify(copy)


def test_apache_beam_writes_the_same_bytes(tmp_path, small_shards):
    train = [*map(example, range(12)), broken(12), *map(example, range(13, 25))]
    source = a_source(train, map(example, range(5)))
    options = {"size": 8, "encoding": "jpeg", "max_bad_files": 1}
    here = preparation.prepare(source, tmp_path / "here", **options)
    beam = preparation.prepare(
        source,
        tmp_path / "beam",
        **options,
        beam_pipeline_options="runner=DirectRunner",
    )
    assert files_of(beam.path) == files_of(here.path)


def test_apache_beam_counts_bad_files_too(tmp_path, small_shards):
    source = a_source([*map(example, range(12)), broken(12), broken(13)])
    with pytest.raises(
        image_decoding.BadImageError, match="picture 13.*--max_bad_files"
    ):
        preparation.prepare(
            source,
            tmp_path / "beam",
            size=8,
            encoding="jpeg",
            max_bad_files=1,
            beam_pipeline_options="runner=DirectRunner",
        )


def test_without_apache_beam_it_is_said_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(RuntimeError, match=r"pip install 'alexnet_tf\[beam\]'"):
        preparation.prepare(
            a_source([example(0)]),
            tmp_path / "beam",
            size=8,
            encoding="raw",
            beam_pipeline_options="runner=DirectRunner",
        )


def test_what_is_there_is_never_overwritten(tmp_path):
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "mine.txt").write_text("precious")
    with pytest.raises(FileExistsError, match="made exists: remove it, or choose"):
        preparation.prepare(
            a_source([example(0)]), tmp_path / "made", size=8, encoding="raw"
        )
    assert (tmp_path / "made" / "mine.txt").read_text() == "precious"


def test_a_prepared_folder_is_found_by_its_path(made):
    found = preparation.find_or_prepare(
        str(made.path), size=16, encoding="raw", data_dir="nowhere"
    )
    assert found == made


def test_pictures_of_another_size_are_refused(made):
    with pytest.raises(ValueError, match="holds pictures of 16 pixels.*--size=32"):
        preparation.find_or_prepare(
            str(made.path), size=32, encoding="raw", data_dir="nowhere"
        )


def test_a_folder_that_was_not_prepared_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="no prepared dataset"):
        preparation.find_or_prepare(
            str(tmp_path), size=32, encoding="raw", data_dir="nowhere"
        )


@pytest.mark.parametrize(
    ("dataset", "folder"),
    [("garments", "garments-8"), ("tfds:three/plain", "three-plain-8")],
)
def test_a_named_dataset_is_prepared_on_first_use_only(
    tmp_path, monkeypatch, dataset, folder
):
    asked = []

    def open_source(specification, *, data_dir, manual_dir):
        asked.append((specification, data_dir))
        return a_source(map(example, range(3)))

    monkeypatch.setattr(sources, "open_source", open_source)
    data_dir = str(tmp_path / "data")
    found = [
        preparation.find_or_prepare(dataset, size=8, encoding="raw", data_dir=data_dir)
        for _ in range(2)
    ]
    assert found[0] == found[1]
    assert found[0].path == tmp_path / "data" / folder
    assert asked == [(dataset, data_dir)]


@pytest.mark.parametrize(
    ("size", "encoding", "expected"),
    [
        (8, "auto", "raw"),
        (64, "auto", "raw"),
        (65, "auto", "jpeg"),
        (8, "jpeg", "jpeg"),
    ],
)
def test_the_command_prepares_what_its_flags_say(
    tmp_path, capsys, size, encoding, expected
):
    for name in ("a", "b"):
        folder = tmp_path / "pictures" / name
        folder.mkdir(parents=True)
        for number in range(3):
            Image.fromarray(picture(number)).save(folder / f"{number}.png")
    flags = options.Config(
        source=f"folder:{tmp_path / 'pictures'}",
        data_dir=str(tmp_path / "data"),
        holdout=0.0,
        size=size,
        encoding=encoding,
    )
    prepare.main(flags, [])
    dataset = prepared_dataset.read_description(tmp_path / "data" / f"pictures-{size}")
    assert (dataset.size, dataset.encoding) == (size, expected)
    assert dataset.counts == {"train": 6}
    told = capsys.readouterr()
    assert f"{dataset.path}: 6 train pictures of {size} x {size} pixels" in told.out
    assert "pictures has no validation or test split" in told.err
    assert "train with --validate_epochs=-1" in told.err


def test_a_source_with_a_test_split_is_said_nothing_of(tmp_path, capsys):
    source = a_source([example(0)], [example(1)])
    preparation.prepare(source, tmp_path / "made", size=8, encoding="raw")
    assert "split" not in capsys.readouterr().err


def test_names_that_are_no_utf_8_are_prepared_as_they_are(tmp_path):
    folder = os.fsencode(tmp_path / "pictures")
    for name in (b"a", b"b\xfc"):
        os.makedirs(os.path.join(folder, name))
        path = os.path.join(folder, name, b"gr\xfcn.png")
        with open(path, "wb") as file:
            Image.fromarray(picture(0)).save(file, "PNG")
    source = sources.open_source(f"folder:{tmp_path / 'pictures'}", holdout=0.2)
    made = preparation.prepare(source, tmp_path / "made", size=8, encoding="raw")
    assert prepared_dataset.read_description(made.path).classes == (
        "a",
        os.fsdecode(b"b\xfc"),
    )
    (shard,) = made.shards("train")
    assert names_in(shard) == [path]


def test_the_command_looks_at_its_output_before_it_opens_the_source(tmp_path):
    flags = options.Config(source="folder:/nowhere", output=str(tmp_path))
    with pytest.raises(FileExistsError, match="remove it, or choose another --output"):
        prepare.main(flags, [])


def test_the_command_verifies_what_is_there_and_opens_no_source(made, capsys):
    flags = options.Config(source="folder:/nowhere", output=str(made.path), verify=True)
    prepare.main(flags, [])
    assert capsys.readouterr().out.endswith("; verified\n")


def test_the_command_takes_no_arguments():
    with pytest.raises(ValueError, match="unexpected argument 'garments'"):
        prepare.main(options.Config(), ["garments"])
