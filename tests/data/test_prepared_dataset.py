"""The description of a prepared dataset is written and read back."""

import json
import shutil

import numpy as np
import pytest

from alexnet_tf.data import image_statistics, prepared_dataset
from tests.support import images


def test_a_shard_is_named_by_its_number():
    name = "train-00003-of-00012"
    assert prepared_dataset.shard_name("train", 3, 12, "jpeg") == f"{name}.array_record"
    assert prepared_dataset.shard_name("train", 3, 12, "raw") == f"{name}.npy"


@pytest.fixture(scope="module")
def statistics():
    accumulator = image_statistics.StatisticsAccumulator(6)
    for number in range(20):
        accumulator.add(images.random_image(number, 6, 6))
    return accumulator.result()


def make_description(path, **changes):
    described = {
        "name": "two",
        "size": 6,
        "encoding": "raw",
        "classes": ("cat", "dog & wölf"),
        "counts": {"train": 3, "test": 2},
    }
    return prepared_dataset.Dataset(**(described | changes), path=path)


def test_a_description_is_read_as_it_was_written(tmp_path, statistics):
    dataset = make_description(tmp_path)
    prepared_dataset.write_description(dataset, statistics)
    found = prepared_dataset.read_description(str(tmp_path))
    assert found == dataset
    assert found.path == tmp_path
    for name in ("mean", "covariance", "eigenvectors", "stdevs"):
        written = getattr(statistics, name)
        np.testing.assert_array_equal(getattr(found.statistics(), name), written)
        assert getattr(found.statistics(), name).dtype == written.dtype
    described = json.loads((tmp_path / "dataset.json").read_text())
    assert described["counts"] == {"train": 3, "test": 2}


def test_the_error_for_an_unprepared_folder_says_how_to_prepare_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"python -m alexnet_tf\.prepare"):
        prepared_dataset.read_description(tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere is not a prepared dataset"):
        prepared_dataset.read_description(tmp_path / "nowhere")
    (tmp_path / "images-256").mkdir()
    with pytest.raises(FileNotFoundError, match="Did you mean .*/images-256"):
        prepared_dataset.read_description(tmp_path / "image-256")


def test_the_validation_split_is_preferred_to_the_test_split(tmp_path):
    counts = {"train": 1, "test": 1}
    assert make_description(tmp_path, counts=counts).evaluation_split == "test"
    counts["validation"] = 1
    assert make_description(tmp_path, counts=counts).evaluation_split == "validation"
    with pytest.raises(ValueError, match="no validation or test split"):
        _ = make_description(tmp_path, counts={"train": 1}).evaluation_split


def test_shards_are_found_in_order_by_split_and_encoding(tmp_path):
    names = [prepared_dataset.shard_name("train", i, 11, "raw") for i in (10, 2, 0)]
    others = [
        prepared_dataset.shard_name("test", 0, 1, "raw"),
        prepared_dataset.shard_name("train", 0, 1, "jpeg"),
    ]
    for name in [*names, *others]:
        (tmp_path / name).touch()
    found = make_description(tmp_path).shards("train")
    assert found == [tmp_path / name for name in reversed(names)]


def test_a_missing_split_or_shard_is_named(tmp_path):
    with pytest.raises(ValueError, match="no split 'validation', only train, test"):
        make_description(tmp_path).shards("validation")
    with pytest.raises(FileNotFoundError, match=r"no train-\*\.npy: prepare"):
        make_description(tmp_path).shards("train")


@pytest.mark.parametrize("field", ["background", "class_counts", "resize", "source"])
def test_a_description_that_lacks_a_field_is_of_another_version(
    tmp_path, statistics, field
):
    prepared_dataset.write_description(make_description(tmp_path), statistics)
    path = tmp_path / prepared_dataset.DESCRIPTION
    described = json.loads(path.read_text())
    del described[field]
    path.write_text(json.dumps(described))
    with pytest.raises(
        ValueError, match=rf"^{path} was .* another version of .*'{field}'\): prepare"
    ):
        prepared_dataset.read_description(tmp_path)


def test_an_encoding_of_another_version_is_named(tmp_path, statistics):
    dataset = make_description(tmp_path, encoding="webp")
    prepared_dataset.write_description(dataset, statistics)
    with pytest.raises(ValueError, match=r"another version of .*'webp'"):
        prepared_dataset.read_description(tmp_path)


@pytest.mark.parametrize(
    ("classes", "problem"),
    [
        (["cat", "new\nline"], r"'new\\nline' has a control character"),
        (["cat", "cat"], "two classes have the same name 'cat'"),
        (["cat", 3], "a class name must be text, got 3"),
    ],
)
def test_class_names_are_checked_when_they_are_read(
    tmp_path, statistics, classes, problem
):
    dataset = make_description(tmp_path, classes=classes)
    prepared_dataset.write_description(dataset, statistics)
    with pytest.raises(ValueError, match=rf"dataset\.json: .*{problem}"):
        prepared_dataset.read_description(tmp_path)


@pytest.mark.parametrize("name", ["dataset.json", "statistics.npz"])
def test_labels_and_mean_that_were_changed_after_the_preparation_are_refused(
    small_dataset, tmp_path, name
):
    shutil.copytree(small_dataset.path, tmp_path / "data")
    changed = prepared_dataset.read_description(tmp_path / "data")
    assert changed.digest() == small_dataset.digest()
    with (tmp_path / "data" / name).open("ab") as file:
        file.write(b"\n")
    with pytest.raises(ValueError, match=f"{name} was changed .* its digest is .* has"):
        changed.digest()


def test_a_list_of_digests_that_is_damaged_is_named(small_dataset, tmp_path):
    shutil.copytree(small_dataset.path, tmp_path / "data")
    changed = prepared_dataset.read_description(tmp_path / "data")
    for content in (b"one\n", b"\xff\xff\n"):
        (tmp_path / "data/SHA256SUMS").write_bytes(content)
        with pytest.raises(ValueError, match="SHA256SUMS is damaged: restore it"):
            changed.digest()
