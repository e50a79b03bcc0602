"""A resumed run has its own options, except those that are given."""

import json

import pytest

from alexnet_tf.runtime import options
from alexnet_tf.training import train_options

DEFAULTS = train_options.TrainOptions()


@pytest.fixture
def resume(tmp_path):
    """Completes `--resume` with other options, in a run begun with `recorded`."""
    begun: dict[str, object] = {"batch_size": 7, "precision": "float32", "seed": 3}

    def resume(recorded=None, **given):
        record = options.replace(DEFAULTS, **begun, **(recorded or {}))
        options.write(tmp_path / train_options.RECORD, record)
        chosen = options.replace(
            DEFAULTS, **{"resume": True, "run_dir": str(tmp_path), **given}
        )
        return train_options.complete(chosen, {"resume", "run_dir", *given})

    return resume


def test_options_that_are_not_given_are_those_of_the_run(resume):
    recorded = {"tower_devices": ("/CPU:0",), "epochs": 9.0, "run_dir": "elsewhere"}
    found = resume({**recorded, "bias_drop_epochs": (4.0,)}, log_steps=5)
    assert (found.recipe.batch_size, found.net.precision, found.recipe.seed) == (
        *(7, "float32", 3),
    )
    assert found.devices.tower_devices == ("/CPU:0",)
    assert found.recipe.bias_drop_epochs == (4.0,)
    assert (found.run.epochs, found.run.log_steps) == (9.0, 5)
    assert found.run.resume
    assert found.run.run_dir != "elsewhere"


def test_an_option_that_is_given_is_kept_even_if_it_is_the_default(resume):
    found = resume(batch_size=DEFAULTS.recipe.batch_size, seed=DEFAULTS.recipe.seed)
    assert (found.recipe.batch_size, found.recipe.seed) == (128, 0)


def test_new_epochs_are_not_overridden_by_the_steps_of_the_record(resume):
    assert resume({"max_steps": 5}).run.max_steps == 5
    assert resume({"max_steps": 5}, epochs=9.0).run.max_steps is None
    assert resume({"max_steps": 5}, max_steps=8).run.max_steps == 8


def test_the_dataset_is_expected_where_it_was(resume, tmp_path):
    (tmp_path / "prepared").mkdir()
    described = {"dataset": {"path": str(tmp_path / "prepared")}}
    (tmp_path / "model.json").write_text(json.dumps(described))
    recorded = {"dataset": "data/mine", "data_dir": "there"}
    assert resume(recorded).data.dataset == f"{tmp_path}/prepared"
    assert resume(recorded, dataset="elsewhere").data.dataset == "elsewhere"
    # The name of a source, in another folder of prepared datasets.
    moved = resume({"dataset": "garments"}, data_dir="here").data
    assert (moved.dataset, moved.data_dir) == ("garments", "here")
    (tmp_path / "prepared").rmdir()
    gone = resume(recorded).data
    assert (gone.dataset, gone.data_dir) == ("data/mine", "there")


def test_a_run_that_is_not_resumed_or_not_begun_has_the_given_options(tmp_path):
    fresh = options.replace(DEFAULTS, run_dir=str(tmp_path), resume=True)
    assert train_options.complete(fresh, {"resume"}) == fresh
    options.write(tmp_path / train_options.RECORD, options.replace(fresh, seed=3))
    started = options.replace(fresh, resume=False)
    assert train_options.complete(started, set()) == started


def test_a_run_of_several_workers_needs_the_strategy(resume):
    workers = {"strategy": "multi_worker"}
    with pytest.raises(ValueError, match="give --strategy=multi_worker to all"):
        resume(workers)
    assert resume(workers, strategy="none").replicas.strategy == "none"
    assert resume({"strategy": "mirrored"}).replicas.strategy == "mirrored"


def test_a_record_that_is_damaged_or_not_a_file_is_named(tmp_path):
    record = tmp_path / train_options.RECORD
    record.write_text("--flagfile=x\n")
    with pytest.raises(ValueError, match=rf"{record} cannot be read .*line 1"):
        train_options.read_record(tmp_path)
    record.unlink()
    record.mkdir()
    with pytest.raises(ValueError, match=rf"{record} cannot be read .*is a folder"):
        train_options.read_record(tmp_path)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"without": ("conv7",)}, "--without=conv7 is no part of cuda_convnet"),
        ({"without": ("lrn",), "lrn": "stock"}, "no normalization layers"),
        ({"architecture": "figure1", "dropout_rate": 0.0}, "no dropout layers"),
        (
            {"crops": "center", "mirror": False, "crop_sharing": 32},
            "share neither crop nor mirror .*--crop_sharing=32 out",
        ),
    ],
)
def test_an_ablation_that_would_change_nothing_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        train_options.refuse_unread_options(options.replace(DEFAULTS, **given))


def test_images_that_are_mirrored_share_the_mirror():
    train_options.refuse_unread_options(
        options.replace(DEFAULTS, crops="center", crop_sharing=32)
    )
