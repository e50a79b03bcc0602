"""The course of a run, read from its log."""

import json

import numpy as np
import pytest

from alexnet_tf.training import (
    learning_curves,
    log_records,
    run_log,
    schedule_changes,
)
from tests.support import runs


def write_log(folder, *records):
    lines = [json.dumps({"kind": kind, **record}) for kind, record in records]
    (folder / "log.jsonl").write_text("\n".join(lines) + "\n")


def train(step, learning_rate=0.01, **values):
    found = {"loss": 2.0, "top1_error": 50.0, "learning_rate": learning_rate}
    return "train", {"step": step, **found, **values}


def test_the_points_are_those_of_the_log_by_passes(tmp_path):
    write_log(
        tmp_path,
        train(2, epoch=0.5, loss=2.3, top1_error=90.0),
        ("validation", {"step": 4, "top1_error": 60.0, "top5_error": 9.0, "loss": 1.5}),
        ("weights", {"step": 4, "conv1/kernel/weight": 0.1}),
        train(6, epoch=1.5, loss=1.1, top1_error=40.0),
    )
    found = learning_curves.read_curves(tmp_path)
    assert found.name == str(tmp_path)
    assert found.training.passes.tolist() == [0.5, 1.5]
    assert found.training.loss.tolist() == [2.3, 1.1]
    assert found.training.top1_error.tolist() == [90, 40]
    assert found.validation.passes.tolist() == [1.0]
    assert found.validation.top5_error.tolist() == [9]
    assert (found.rate_changes, found.changes) == ((), ())


def test_the_split_is_that_of_the_log(tmp_path):
    record = {"step": 4, "top1_error": 60.0, "top5_error": 9.0, "loss": 1.5}
    record["split"] = "test"
    write_log(tmp_path, train(4, epoch=1.0), ("validation", record))
    assert learning_curves.read_curves(tmp_path).split == "test"


def test_a_line_of_step_0_is_named_because_training_writes_none(tmp_path):
    write_log(tmp_path, train(0, epoch=0.0))
    with pytest.raises(
        ValueError, match="log.jsonl is damaged: it has a line of step 0"
    ):
        learning_curves.read_curves(tmp_path)


def test_a_learning_rate_changes_at_the_first_line_that_has_another(tmp_path):
    rates = [0.01, 0.01, 0.001, 0.001, 0.002]
    lines = [train(n + 1, rate, epoch=(n + 1) / 4) for n, rate in enumerate(rates)]
    write_log(tmp_path, *lines)
    found = learning_curves.read_curves(tmp_path)
    assert found.rate_changes == (
        learning_curves.RateChange(0.75, 0.01, 0.001),
        learning_curves.RateChange(1.25, 0.001, 0.002),
    )


def test_an_option_that_was_changed_by_hand_is_told_in_words(tmp_path):
    write_log(
        tmp_path,
        train(4, epoch=2.0),
        (
            "change",
            {"step": 4, "option": "schedule", "old": "epochs", "new": "plateau"},
        ),
    )
    found = learning_curves.read_curves(tmp_path)
    assert found.changes == ((2.0, "--schedule=epochs is now --schedule=plateau"),)


def test_a_real_run_has_its_epochs_rates_and_validations(small_dataset, tmp_path):
    # 24 images in batches of 8: three steps are a pass.
    chosen = runs.tiny_options_of(
        small_dataset, tmp_path / "run", epochs=3.0, drop_epochs=(1.0,)
    )
    trained = runs.train(chosen)
    found = learning_curves.read_curves(tmp_path / "run")
    np.testing.assert_allclose(found.training.passes, np.arange(1, 10) / 3)
    np.testing.assert_allclose(found.validation.passes, [1, 2, 3])
    (change,) = found.rate_changes
    assert change.before == pytest.approx(0.001)
    assert change.after == pytest.approx(0.0001)
    assert change.passes == pytest.approx(4 / 3)  # the fourth step is the first
    assert trained.state.error == found.validation.top1_error[-1]


def test_a_line_that_was_cut_off_is_left_out(tmp_path):
    write_log(tmp_path, train(1, epoch=1.0))
    with (tmp_path / "log.jsonl").open("a") as log:
        log.write('[]\n{"kind": "train"}\n{"step": 3}\n\0\0\n{"kind": "tra')
    assert [record["step"] for record in log_records.read(tmp_path)] == [1]
    found = learning_curves.read_curves(tmp_path)
    assert found.training.passes.tolist() == [1]


def test_a_run_without_a_log_or_without_lines_has_no_curves(tmp_path):
    with pytest.raises(ValueError, match="log.jsonl does not exist: only runs that"):
        learning_curves.read_curves(tmp_path)
    (tmp_path / "log.jsonl").touch()
    with pytest.raises(ValueError, match="log.jsonl has no lines of training yet"):
        learning_curves.read_curves(tmp_path)


@pytest.mark.parametrize(
    "records",
    [
        [train(1, epoch=1.0, loss=None)],
        [train(1, epoch="many")],
        [train(1)],
        [train(1, epoch=1.0, learning_rate=True)],
        [
            train(1, epoch=1.0),
            ("validation", {"step": 1, "top1_error": 3.0, "loss": 1.0}),
        ],
        [train(1, epoch=1.0), ("change", {"step": 1, "what": "momentum"})],
    ],
    ids=["loss", "epoch", "no epoch", "rate", "top5", "change"],
)
def test_a_line_that_lacks_a_number_is_named(tmp_path, records):
    write_log(tmp_path, *records)
    with pytest.raises(
        ValueError, match="log.jsonl is damaged: its .* line of step 1 "
    ):
        learning_curves.read_curves(tmp_path)


def test_the_log_of_a_change_can_be_read_back(tmp_path):
    change = schedule_changes.Change(2, "learning_rate", "0.01", "0.02")
    log = run_log.Log(tmp_path, 0)
    log.write("train", 2, epoch=1.0, learning_rate=0.01, loss=1.0, top1_error=9.0)
    log.write_change(change)
    found = learning_curves.read_curves(tmp_path)
    assert found.changes == ((1.0, str(change)),)
