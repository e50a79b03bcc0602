"""Preparation: what is written is what the source holds, or nothing is."""

import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from alexnet_tf import augment, config, prepare, records, sources


def picture(seed, height=20, width=24):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3))
    return pixels.astype(np.uint8)


def example(number, image=None):
    image = picture(number) if image is None else image
    return sources.Example(f"picture {number}", number % 3, lambda: image)


def broken(number):
    def read():
        raise sources.BadImageError(f"picture {number}: not a readable image")

    return sources.Example(f"picture {number}", 0, read)


def a_source(train, test=()):
    splits = {"train": list(train)}
    if test:
        splits["test"] = list(test)
    return sources.Source("made", ("a", "b", "c"), splits)


def contents(dataset, split):
    """[(picture, label, name)] of every record in order."""
    source = records.open_records(dataset.shards(split))
    found = []
    for record in source.__getitems__(list(range(len(source)))):
        encoded, label = records.parse(tf.constant([record]))
        image = records.decode_image(encoded[0], dataset.size, dataset.encoding)
        features = tf.train.Example.FromString(record).features.feature
        name = features["image/filename"].bytes_list.value[0].decode()
        found.append((image.numpy(), int(label[0]), name))
    return found


def squared(number, size):
    return augment.resize(tf.constant(picture(number)), size).numpy()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Ten pictures to train and four to test, raw, 16 pixels."""
    source = a_source(map(example, range(10)), map(example, range(10, 14)))
    output = tmp_path_factory.mktemp("prepared") / "deep" / "made"
    return prepare.prepare(source, output, size=16, encoding="raw")


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
    assert made == records.read_description(made.path)


def test_mean_and_covariance_are_those_of_the_training_pictures(made):
    every = np.stack([squared(number, 16) for number in range(10)]).astype(np.float64)
    statistics = made.statistics()
    np.testing.assert_allclose(statistics.mean, every.mean(0), rtol=1e-6)
    expected = np.cov(every.reshape(-1, 3), rowvar=False, bias=True)
    np.testing.assert_allclose(statistics.covariance, expected, rtol=1e-9)


def test_jpeg_records_are_the_same_pictures_to_a_few_levels(tmp_path):
    row, column = np.mgrid[:40, :50]
    smooth = np.stack([3 * row, 2 * column, row + column], -1).astype(np.uint8)
    dataset = prepare.prepare(
        a_source([example(0, smooth)]), tmp_path / "made", size=32, encoding="jpeg"
    )
    ((image, label, _),) = contents(dataset, "train")
    expected = augment.resize(tf.constant(smooth), 32).numpy().astype(int)
    assert np.abs(image - expected).max() <= 5
    assert label == 0


def test_the_bytes_are_the_same_whatever_the_number_of_workers(tmp_path):
    written = []
    for workers in (1, 2, 7):
        dataset = prepare.prepare(
            a_source(map(example, range(100)), map(example, range(5))),
            tmp_path / str(workers),
            size=8,
            encoding="jpeg",
            workers=workers,
        )
        files = sorted(dataset.path.iterdir())
        written.append({file.name: file.read_bytes() for file in files})
    assert len(written[0]) == 4
    assert written[0] == written[1] == written[2]


def test_large_splits_are_cut_into_shards_that_hold_all_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(prepare, "_SHARD_BYTES", 4 * 3 * 8 * 8)
    dataset = prepare.prepare(
        a_source(map(example, range(10))), tmp_path / "made", size=8, encoding="raw"
    )
    assert [path.rpartition("/")[2] for path in dataset.shards("train")] == [
        f"train-0000{shard}-of-00003.array_record" for shard in range(3)
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
        sources.BadImageError, match=r"^picture 100: not a .*--max_bad_files"
    ):
        prepare.prepare(
            a_source(mixed(5, 1)), tmp_path / "made", size=8, encoding="raw"
        )
    assert list(tmp_path.iterdir()) == []


def test_so_many_bad_files_are_named_and_left_out(tmp_path, caplog):
    dataset = prepare.prepare(
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
    with pytest.raises(sources.BadImageError, match="picture 102"):
        prepare.prepare(
            a_source(mixed(5, 3)),
            tmp_path / "made",
            size=8,
            encoding="raw",
            max_bad_files=2,
        )
    assert list(tmp_path.iterdir()) == []


def test_bad_files_are_counted_over_all_splits(tmp_path):
    with pytest.raises(sources.BadImageError, match="picture 200"):
        prepare.prepare(
            a_source(mixed(5, 1), [example(0), broken(200)]),
            tmp_path / "made",
            size=8,
            encoding="raw",
            max_bad_files=1,
        )


def test_a_split_without_a_readable_picture_is_named(tmp_path):
    source = a_source([example(0)], [broken(1), broken(2)])
    with pytest.raises(ValueError, match="the test split has no readable picture"):
        prepare.prepare(
            source, tmp_path / "made", size=8, encoding="raw", max_bad_files=9
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failure_leaves_nothing_behind(tmp_path, error):
    def read():
        raise error

    examples = [*map(example, range(70)), sources.Example("last", 0, read)]
    with pytest.raises(type(error)):
        prepare.prepare(a_source(examples), tmp_path / "made", size=8, encoding="raw")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_cleared_away(tmp_path):
    left = tmp_path / "made.partial"
    left.mkdir()
    (left / "train-00007-of-00009.array_record").write_bytes(b"half")
    dataset = prepare.prepare(
        a_source([example(0)]), tmp_path / "made", size=8, encoding="raw"
    )
    assert len(contents(dataset, "train")) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_what_is_there_is_never_overwritten(tmp_path):
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "mine.txt").write_text("precious")
    with pytest.raises(FileExistsError, match="made exists: remove it, or choose"):
        prepare.prepare(
            a_source([example(0)]), tmp_path / "made", size=8, encoding="raw"
        )
    assert (tmp_path / "made" / "mine.txt").read_text() == "precious"


def test_a_prepared_folder_is_found_by_its_path(made):
    found = prepare.find_or_prepare(
        str(made.path), size=16, encoding="raw", data_dir="nowhere"
    )
    assert found == made


def test_pictures_of_another_size_are_refused(made):
    with pytest.raises(ValueError, match="holds pictures of 16 pixels.*--size=32"):
        prepare.find_or_prepare(
            str(made.path), size=32, encoding="raw", data_dir="nowhere"
        )


def test_a_folder_that_was_not_prepared_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="no prepared dataset"):
        prepare.find_or_prepare(
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

    def open_source(specification, *, data_dir):
        asked.append((specification, data_dir))
        return a_source(map(example, range(3)))

    monkeypatch.setattr(sources, "open_source", open_source)
    data_dir = str(tmp_path / "data")
    found = [
        prepare.find_or_prepare(dataset, size=8, encoding="raw", data_dir=data_dir)
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
    flags = config.Config(
        source=f"folder:{tmp_path / 'pictures'}",
        data_dir=str(tmp_path / "data"),
        holdout=0.0,
        size=size,
        encoding=encoding,
    )
    prepare.main(flags, [])
    dataset = records.read_description(tmp_path / "data" / f"pictures-{size}")
    assert (dataset.size, dataset.encoding) == (size, expected)
    assert dataset.counts == {"train": 6}
    told = capsys.readouterr().out
    assert f"{dataset.path}: 6 train pictures of {size} x {size} pixels" in told


def test_the_command_takes_no_arguments():
    with pytest.raises(ValueError, match="unexpected argument 'garments'"):
        prepare.main(config.Config(), ["garments"])
