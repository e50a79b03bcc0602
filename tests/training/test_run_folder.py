"""A run folder belongs to one run, which is continued only with the same options."""

import shutil

import pytest

from alexnet_tf.data import prepared_dataset
from alexnet_tf.models import trained
from alexnet_tf.runtime import options
from tests.support import runs


def test_resuming_a_run_on_other_images_is_rejected(small_dataset, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(small_dataset.path, data)
    settings = runs.train_options_of(
        prepared_dataset.read_description(data), tmp_path / "run", max_steps=1
    )
    runs.train(settings)
    with (data / "SHA256SUMS").open("a") as sums:
        sums.write("another preparation\n")
    with pytest.raises(ValueError, match="was trained on other images"):
        runs.record(options.replace(settings, resume=True))
    (data / "SHA256SUMS").unlink()
    with pytest.raises(ValueError, match="SHA256SUMS is missing: restore it"):
        runs.trainer_of(settings)


def test_a_dataset_that_moved_is_accepted_when_a_run_is_resumed(
    small_dataset, tmp_path
):
    settings = runs.train_options_of(small_dataset, tmp_path / "run", max_steps=1)
    runs.train(settings)
    moved = tmp_path / "moved"
    shutil.copytree(small_dataset.path, moved)
    settings = options.replace(settings, dataset=str(moved), max_steps=2)
    assert runs.train(settings, resume=True).state.step == 2
    assert trained.read_trained_net(tmp_path / "run").dataset_path == str(moved)


def test_a_folder_that_holds_a_run_is_not_overwritten(small_dataset, tmp_path):
    settings = runs.train_options_of(small_dataset, tmp_path / "run", max_steps=1)
    runs.record(settings)
    with pytest.raises(ValueError, match="holds a run already"):
        runs.record(settings)
    runs.record(options.replace(settings, resume=True, max_steps=9))


def test_resuming_with_a_changed_option_is_rejected(small_dataset, tmp_path):
    (tmp_path / "run").mkdir()
    settings = runs.train_options_of(small_dataset, tmp_path / "run", resume=True)
    runs.record(settings)
    changed = options.replace(settings, learning_rate=0.5)
    with pytest.raises(
        ValueError, match=r"--learning_rate=0.001, and now it is --learning_rate=0.5"
    ):
        runs.record(changed)
