"""Files of features grow by batches, are never in memory, and outlive interruptions."""

import json
import tracemalloc

import numpy as np
import pytest

from alexnet_tf.evaluation import feature_files
from tests.support.arrays import noise

SHAPES = {"fc7": (6,), "conv1/relu": (2, 3, 4)}
PLAN = {"weights": "abc", "images": "def"}


def batch_of(start, stop):
    """Features of images `start` to `stop` - 1, which depend on their numbers alone."""
    return {
        layer: np.stack([noise(*shape, seed=n) for n in range(start, stop)])
        for layer, shape in SHAPES.items()
    }


def write(output, count=7, stop_before=None, plan=PLAN):
    """Writes features in batches of two; stops as a killed process would."""
    with feature_files.unfinished(output, SHAPES, plan, count) as work:
        first = work.progress.next_image
        for start in range(first, count, 2):
            if start == stop_before:
                return first
            stop = min(start + 2, count)
            work.append(batch_of(start, stop), range(start, stop), stop)
            work.save()
        work.finish([f"{n}.png" for n in range(count)], ["cat"], {"step": 5})
    return first


def test_an_npz_has_an_array_per_layer_and_what_they_are_of(tmp_path):
    write(tmp_path / "f.npz")
    with np.load(tmp_path / "f.npz") as found:
        for layer, rows in batch_of(0, 7).items():
            assert found[layer].dtype == np.float32
            np.testing.assert_array_equal(found[layer], rows)
        assert found["labels"].tolist() == list(range(7))
        assert found["names"].tolist() == [f"{n}.png" for n in range(7)]
        assert found["classes"].tolist() == ["cat"]
        assert json.loads(str(found["about"])) == {"step": 5}
    assert [path.name for path in tmp_path.iterdir()] == ["f.npz"]


@pytest.mark.parametrize("stop_before", [2, 4, 6])
def test_work_that_was_interrupted_gives_the_same_bytes(tmp_path, stop_before):
    write(tmp_path / "whole.npz")
    write(tmp_path / "f.npz", stop_before=stop_before)
    assert not (tmp_path / "f.npz").exists()
    assert write(tmp_path / "f.npz") == stop_before
    whole = (tmp_path / "whole.npz").read_bytes()
    assert (tmp_path / "f.npz").read_bytes() == whole


def test_rows_that_no_progress_counts_are_written_again(tmp_path):
    write(tmp_path / "whole.npz")
    write(tmp_path / "f.npz", stop_before=4)
    with (tmp_path / "f.npz.partial/0.npy").open("ab") as file:
        file.write(b"the beginning of a row")
    assert write(tmp_path / "f.npz") == 4
    whole = (tmp_path / "whole.npz").read_bytes()
    assert (tmp_path / "f.npz").read_bytes() == whole


@pytest.mark.parametrize(
    ("bad", "kept"), [(0, True), (2, True), (3, False), (4, False)]
)
def test_an_image_after_the_last_batch_is_left_out_once(bad, kept, tmp_path):
    """What was looked at after the batch that ends at image 3 is looked at again."""
    with feature_files.unfinished(tmp_path / "f.npz", SHAPES, PLAN, 7) as work:
        work.progress.left_out.append((bad, "not a readable image"))
        work.append(batch_of(0, 2), [0, 0], 3)
        work.save()
    with feature_files.unfinished(tmp_path / "f.npz", SHAPES, PLAN, 7) as work:
        left_out = [(bad, "not a readable image")] if kept else []
        assert work.progress == feature_files.Progress(3, 2, left_out)


def test_work_whose_arrays_are_gone_starts_over(tmp_path):
    write(tmp_path / "f.npz", stop_before=4)
    (tmp_path / "f.npz.partial/1.npy").unlink()
    assert write(tmp_path / "f.npz", stop_before=2) == 0
    assert write(tmp_path / "f.npz") == 2


def test_an_array_that_lost_rows_is_refused(tmp_path):
    write(tmp_path / "f.npz", stop_before=4)
    with (tmp_path / "f.npz.partial/0.npy").open("r+b") as file:
        file.truncate(200)
    with pytest.raises(ValueError, match=r"0\.npy is damaged: it has fewer rows"):
        write(tmp_path / "f.npz")


def test_another_plan_does_not_continue(tmp_path):
    write(tmp_path / "f.npz", stop_before=2)
    with pytest.raises(ValueError, match=r"different images \(.* then, others now"):
        write(tmp_path / "f.npz", plan=PLAN | {"images": "others"})
    assert write(tmp_path / "f.npz") == 2


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_memory_does_not_grow_with_the_number_of_images(tmp_path, suffix):
    shapes, rows = {"conv": (16, 16, 64)}, np.zeros((8, 16, 16, 64), np.float32)
    output = feature_files.check_output(tmp_path / f"f{suffix}", ["conv"])
    tracemalloc.start()
    try:
        with feature_files.unfinished(output, shapes, {}, 1024) as work:
            for start in range(0, 1024, 8):
                work.append({"conv": rows}, [0] * 8, start + 8)
            work.finish(["a"] * 1024, [], {})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert output.stat().st_size > 64 << 20
    assert peak < 4 << 20
    if suffix == ".npy":
        assert np.load(output, mmap_mode="r").shape == (1024, 16, 16, 64)


def test_a_set_that_does_not_fit_on_the_disk_is_refused_before_it_begins(tmp_path):
    shapes = {"conv": (1000, 1000, 1000)}  # 4 GB each
    expected = r"f\.npz needs 8000000\.0 GB more .* are free: choose a smaller layer"
    with (
        pytest.raises(ValueError, match=expected),
        feature_files.unfinished(tmp_path / "f.npz", shapes, {}, 1_000_000),
    ):
        pass
    assert not list(tmp_path.iterdir())


def test_two_processes_do_not_write_the_same_file(tmp_path):
    with (
        feature_files.unfinished(tmp_path / "f.npz", SHAPES, PLAN, 7),
        pytest.raises(ValueError, match="another process is writing into"),
    ):
        write(tmp_path / "f.npz")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("f.txt", r"must end in \.npz, or in \.npy"),
        ("f", r"must end in \.npz, or in \.npy"),
        ("f.npy", "holds one array, and --layer names 2 layers"),
    ],
)
def test_an_output_that_cannot_hold_the_features_is_refused(tmp_path, name, message):
    with pytest.raises(ValueError, match=message):
        feature_files.check_output(tmp_path / name, ["fc6", "fc7"])


@pytest.mark.parametrize("name", ["f.npy", "f.json"])
def test_an_older_file_is_never_replaced(tmp_path, name):
    (tmp_path / name).write_text("old")
    with pytest.raises(FileExistsError, match=rf"{name} exists: remove it, or choose"):
        feature_files.check_output(tmp_path / "f.npy", ["fc7"])


def test_a_file_that_another_process_has_completed_meanwhile_is_kept(tmp_path):
    output = feature_files.check_output(tmp_path / "f.npz", ["fc7"])
    output.write_text("of the other process")
    with pytest.raises(FileExistsError, match=r"f\.npz exists: remove it"):
        write(output)
    assert output.read_text() == "of the other process"
    assert [path.name for path in tmp_path.iterdir()] == ["f.npz"]
