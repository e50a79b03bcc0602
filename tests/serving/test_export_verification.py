"""An export's answers are compared with those of its checkpoint."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.models import checkpoint_files, trained
from alexnet_tf.serving import (
    export_verification,
    model_versions,
    preflight,
    saved_model,
)
from alexnet_tf.training import checkpoint


@pytest.fixture
def passes_the_preflight(monkeypatch):
    """What follows the preflight is the subject; `test_preflight.py` tests that."""
    monkeypatch.setattr(preflight, "check_export", lambda path: [])


def test_an_export_with_other_weights_than_its_checkpoint_is_rejected(
    exported, tmp_path, trained_run, monkeypatch
):
    """All its requests run, but the answers are those of another net."""
    monkeypatch.setattr(preflight, "check_export", preflight.examine_export)
    restored = trained.restore(trained_run, stock=True, inputs="finished")
    kernel = restored.model.get_layer("fc10").kernel
    kernel.assign(kernel * 0)
    path = tmp_path / "1"
    saved_model.save_model(
        restored.model,
        path,
        architecture=restored.architecture,
        mean=restored.trained.mean,
        classes=restored.trained.class_names,
        top=5,
        crops=1,
    )
    shutil.copy(model_versions.origin_file(exported), model_versions.origin_file(path))
    with pytest.raises(preflight.CheckError, match="differs from the checkpoint's by"):
        export_verification.verify_export(path)


@pytest.mark.usefixtures("passes_the_preflight")
def test_an_export_that_does_not_say_what_it_was_made_of_is_refused(exported, tmp_path):
    path = tmp_path / "1"
    shutil.copytree(exported, path)
    model_versions.origin_file(path).unlink()
    with pytest.raises(preflight.CheckError, match="Export the checkpoint again"):
        export_verification.verify_export(path)


@pytest.mark.usefixtures("passes_the_preflight")
def test_an_export_that_does_not_say_where_its_checkpoint_is_is_refused(
    exported, tmp_path
):
    path = tmp_path / "1"
    shutil.copytree(exported, path)
    file = model_versions.origin_file(path)
    origin = json.loads(file.read_text())
    del origin["checkpoint_from_here"], origin["made_of"]
    file.write_text(json.dumps(origin))
    with pytest.raises(
        preflight.CheckError,
        match=f"{file}, .* has no checkpoint_from_here, made_of. Exp",
    ):
        export_verification.verify_export(path)


@pytest.mark.usefixtures("passes_the_preflight")
def test_a_checkpoint_that_is_gone_is_asked_for_and_found_by_name(
    exported, trained_run, tmp_path
):
    path = tmp_path / "1"
    shutil.copytree(exported, path)
    file = model_versions.origin_file(path)
    recorded = json.loads(file.read_text())
    gone = {"checkpoint": "/nowhere/step-1", "checkpoint_from_here": "../gone/step-1"}
    file.write_text(json.dumps(recorded | gone))
    with pytest.raises(checkpoint_files.CheckpointError, match="by --checkpoint"):
        export_verification.verify_export(path)
    found, _ = export_verification.verify_export(path, trained_run)
    assert found == path


def test_an_answer_that_differs_in_any_way_is_refused():
    names = np.array([[b"cat", b"dog"]], object)
    compare = export_verification._compare
    compare("classes", np.array([[b"dog", b"cat"]], object), names, 0)
    for found, wanted, message in (
        (np.array([[b"cow", b"dog"]], object), names, "the checkpoint gives"),
        (np.zeros((1, 2)), np.zeros((1, 3)), r"has the shape \(1, 2\)"),
        (np.array([[0.5]]), np.array([[0.51]]), "by 0.01, more than 0.001"),
        (np.array([[np.nan]]), np.array([[0.5]]), "by nan, more than"),
    ):
        with pytest.raises(preflight.CheckError, match=message):
            compare("scores", found, wanted, 0.001)


@pytest.fixture
def compare(exported, trained_run, tmp_path):
    """Compares what the export was made of with a copy of its run, after `change`."""

    def compare(change):
        run = tmp_path / "run"
        shutil.copytree(trained_run, run)
        change(run)
        origin = json.loads(model_versions.origin_file(exported).read_text())
        export_verification._compare_fingerprints(
            exported, origin, trained.restore(run)
        )

    return compare


def test_a_copy_of_the_run_is_the_net_that_was_exported(compare):
    compare(lambda run: (run / "log.jsonl").unlink())


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"class_names": ["class1", "class0", "class2"]}, "class names"),
        ({"dataset": {"path": "/x", "digest": "0" * 64}}, "dataset digest"),
    ],
)
def test_a_run_folder_that_describes_another_net_since_is_refused(
    compare, changes, what
):
    """An export answers with the names that it was made with."""

    def change(run):
        file = run / trained.MODEL_FILE
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    message = f"was made of .* with the {what} .* and .* has"
    with pytest.raises(preflight.CheckError, match=message):
        compare(change)


def test_a_checkpoint_of_the_same_name_with_other_weights_is_refused(compare):
    def change(run):
        restored = trained.restore(run)
        weights = restored.model.trainable_variables
        weights[-1].assign(weights[-1] + 1)
        checkpoint_files.remove_checkpoint(restored.checkpoint)
        velocities = [tf.Variable(tf.zeros(variable.shape)) for variable in weights]
        again = checkpoint.Checkpoints(
            run, restored.model, velocities, restored.trained
        )
        step = checkpoint_files.step_of(restored.checkpoint)
        assert again.save(step, {}) == restored.checkpoint

    with pytest.raises(preflight.CheckError, match="was made of .* with the weights"):
        compare(change)
