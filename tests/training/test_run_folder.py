"""A run folder belongs to one run, which is continued only with the same options."""

import pathlib
import shutil

import pytest

from alexnet_tf.data import prepared_dataset
from alexnet_tf.models import checkpoint_files, trained
from alexnet_tf.runtime import options
from alexnet_tf.training import run_folder, train_options
from tests.support import runs


@pytest.fixture
def chosen(trained_run, tmp_path):
    """The options of a run that has checkpoints, to continue a copy of it."""
    shutil.copytree(trained_run, tmp_path / "run")
    began = options.read(tmp_path / "run/resolved.flags", train_options.TrainOptions)
    return options.replace(began, run_dir=str(tmp_path / "run"), resume=True)


def test_a_run_is_continued_with_its_own_options(chosen):
    run_folder.check_options(chosen)
    runs.record(chosen)


@pytest.mark.parametrize("name", ["model.json", "resolved.flags"])
def test_checkpoints_of_which_nothing_is_known_are_not_continued(
    chosen, tmp_path, name
):
    (tmp_path / "run" / name).unlink()
    with pytest.raises(ValueError, match=f"{name} is missing, .*restore that file"):
        run_folder.check_options(chosen)


def test_a_new_run_does_not_begin_among_the_checkpoints_of_another(chosen, tmp_path):
    (tmp_path / "run/resolved.flags").unlink()
    with pytest.raises(ValueError, match="holds a run already"):
        run_folder.check_options(options.replace(chosen, resume=False))


def test_options_of_another_version_are_refused_by_the_file(chosen, tmp_path):
    with (tmp_path / "run/resolved.flags").open("a") as file:
        file.write("--a_flag_of_old=1\n")
    with pytest.raises(
        ValueError, match=r"resolved\.flags cannot be read .*a_flag_of_old"
    ):
        run_folder.check_options(chosen)


def test_a_run_that_was_killed_before_it_began_may_begin_with_other_images(
    small_dataset, tmp_path
):
    chosen = runs.train_options_of(small_dataset, tmp_path / "run")
    runs.record(chosen)
    (tmp_path / "run/resolved.flags").unlink()  # as if it was not written yet
    other = tmp_path / "other"
    shutil.copytree(small_dataset.path, other)
    with (other / "SHA256SUMS").open("a") as sums:
        sums.write("another preparation\n")
    runs.record(options.replace(chosen, dataset=str(other)))
    again = options.replace(chosen, resume=True)
    with pytest.raises(ValueError, match="was trained on other images"):
        runs.record(again)


def test_a_folder_that_is_taken_is_refused_before_a_dataset_is_prepared(
    chosen, monkeypatch
):
    from alexnet_tf import train
    from alexnet_tf.training import assembly, replication

    monkeypatch.setattr(
        assembly, "assemble", lambda *_: pytest.fail("a dataset was opened")
    )
    with pytest.raises(ValueError, match="holds a run already"):
        train._train(options.replace(chosen, resume=False), replication.Replicas())


def test_resuming_a_run_on_other_images_is_rejected(small_dataset, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(small_dataset.path, data)
    settings = runs.tiny_options_of(
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
    settings = runs.tiny_options_of(small_dataset, tmp_path / "run", max_steps=1)
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


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"schedule": "plateau", "drop_epochs": (1.5,)},
            r"--schedule=plateau does not read --drop_epochs=1\.5: leave --drop_epochs "
            r"out \(its default is 2\.9\), or choose --schedule=epochs",
        ),
        (
            {"schedule": "plateau", "bias_drop_epochs": (1.0,)},
            "leave --bias_drop_epochs out, or",
        ),
        ({"schedule": "plateau", "conv1_drop_epoch": 1.0}, "--conv1_drop_epoch=1.0"),
        ({"schedule": "plateau", "conv1_freeze_epoch": 1.0}, "--conv1_freeze_epoch"),
        ({"plateau_drops": 1}, "--schedule=epochs does not read --plateau_drops=1"),
        ({"validation": "end", "validate_epochs": 2.0}, "choose --validation=epochs"),
        ({"validation": "never", "validate_epochs": 2.0}, "does not read"),
        ({"reference_batch_size": 64}, "choose --learning_rate_scaling=linear or sqrt"),
        (
            {"architecture": "cifar10_11pct", "dropout": "inverted"},
            "^cifar10_11pct has no dropout layers, so --dropout=inverted would change "
            "nothing: leave --dropout out, or choose another --architecture$",
        ),
        (
            {"architecture": "no_lrn", "lrn": "stock"},
            "^no_lrn has no normalization layers, so --lrn=stock would change nothing",
        ),
        ({"architecture": "torchvision", "lrn": "stock"}, "no normalization layers"),
    ],
)
def test_an_option_that_nothing_reads_is_refused(
    small_dataset, tmp_path, changes, words
):
    settings = runs.train_options_of(small_dataset, tmp_path / "run", **changes)
    with pytest.raises(ValueError, match=words):
        run_folder.check_options(settings)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"schedule": "plateau"},
        {"schedule": "plateau", "plateau_drops": 1},
        {"conv1_drop_epoch": 1.0, "bias_drop_epochs": (1.0,), "drop_epochs": (2.0,)},
        {"learning_rate_scaling": "sqrt", "reference_batch_size": 64},
        {"validate_epochs": 2.0},
        {"architecture": "no_lrn", "dropout": "inverted"},
        {"architecture": "caffenet", "lrn": "stock", "dropout": "original"},
        {"architecture": "cifar10_11pct", "lrn": "stock"},
        {"architecture": "torchvision", "dropout": "original"},
    ],
)
def test_an_option_that_is_read_is_accepted(small_dataset, tmp_path, changes):
    run_folder.check_options(
        runs.train_options_of(small_dataset, tmp_path / "run", **changes)
    )


def test_a_run_that_began_with_an_option_that_nothing_reads_is_continued(chosen):
    """It may have begun with another schedule, which reads it."""
    changed = options.replace(chosen, plateau_drops=1)
    options.write(pathlib.Path(chosen.run.run_dir) / "resolved.flags", changed)
    run_folder.check_options(changed)


def test_a_checkpoint_of_another_run_is_not_resumed(chosen, small_dataset, tmp_path):
    other = runs.train_options_of(
        small_dataset, tmp_path / "other", dropout="inverted", max_steps=1
    )
    runs.trainer_of(other).save()
    shutil.rmtree(tmp_path / "run/checkpoints")
    shutil.copytree(tmp_path / "other/checkpoints", tmp_path / "run/checkpoints")
    with pytest.raises(
        checkpoint_files.CheckpointError,
        match="of another run: its dropout is inverted, expected original",
    ):
        runs.trainer_of(chosen).restore()


@pytest.mark.parametrize("field", ["error", "changes"])
def test_a_checkpoint_that_lacks_a_part_of_the_state_is_not_resumed(chosen, field):
    trainer = runs.trainer_of(chosen)
    state = trainer.state.saved()
    del state[field]
    trainer.checkpoints.save(999, state)
    with pytest.raises(
        checkpoint_files.CheckpointError,
        match=f"the checkpoint of step 999 in .* is damaged: it does not have '{field}'",
    ):
        trainer.restore()


def test_what_a_killed_run_left_unfinished_is_removed_before_the_first_step(
    chosen, tmp_path
):
    unfinished = [
        tmp_path / "run" / folder / "step-999.data-00000-of-00001"
        for folder in ("checkpoints", "best")
    ]
    for path in unfinished:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    runs.record(chosen)
    assert not any(path.exists() for path in unfinished)
