"""A run writes its results, stops on errors, and resumes as if uninterrupted."""

import dataclasses
import json
import os
import shutil
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.data import prepared_dataset
from alexnet_tf.models import checkpoint_files, checkpoint_weights, layers
from alexnet_tf.runtime import files, options
from alexnet_tf.training import (
    checkpoint,
    run_folder,
    run_log,
    schedule,
    train_options,
    trainer,
    training_step,
)
from tests.support import runs


def test_a_run_leaves_log_tensorboard_flags_and_checkpoints(small_dataset, tmp_path):
    training = runs.train(runs.tiny_options_of(small_dataset, tmp_path / "run"))
    assert training.state.step == 6
    records = runs.log_of(tmp_path / "run")
    assert [r["step"] for r in records] == [1, 2, 3, 4, 5, 6]
    assert all(
        {"loss", "top1_error", "learning_rate", "images_per_s"} <= set(r)
        for r in records
    )
    validations = runs.log_of(tmp_path / "run", "validation")
    assert [r["step"] for r in validations] == [3, 6]
    assert {r["split"] for r in validations} == {"validation"}
    assert list((tmp_path / "run/train").glob("events*"))
    assert list((tmp_path / "run/validation").glob("events*"))
    resolved = options.read(tmp_path / "run/resolved.flags", train_options.TrainOptions)
    assert resolved.recipe.batch_size == 8
    best = checkpoint_files.newest_checkpoint(tmp_path / "run/best")
    least = min(validations, key=lambda r: r["top1_error"])
    assert best.endswith(f"step-{least['step']}")


def test_each_layers_weights_and_updates_are_logged(small_dataset, tmp_path):
    training = runs.train(
        runs.tiny_options_of(small_dataset, tmp_path / "run"), weights=4
    )
    records = runs.log_of(tmp_path / "run", "weights")
    assert [r["step"] for r in records] == [4, 6]
    variables = training.net.trainable_variables
    place = [variable.path for variable in variables].index("fc10/kernel")
    kernel, velocity = variables[place], training.rule.velocities[place]
    assert records[-1]["fc10/kernel/weight"] == pytest.approx(
        np.abs(kernel.numpy()).mean(), rel=1e-5
    )
    assert records[-1]["fc10/kernel/update"] == pytest.approx(
        np.abs(velocity.numpy()).mean(), rel=1e-5
    )


def test_a_run_with_validation_never_is_not_validated(small_dataset, tmp_path):
    runs.train(
        runs.tiny_options_of(small_dataset, tmp_path / "run", validation="never")
    )
    assert runs.log_of(tmp_path / "run", "validation") == []
    assert checkpoint_files.newest_checkpoint(tmp_path / "run/checkpoints").endswith(
        "step-6"
    )


def test_a_flat_loss_is_reported_once(small_dataset, tmp_path, caplog):
    settings = runs.tiny_options_of(small_dataset, tmp_path / "run", learning_rate=0.0)
    with caplog.at_level("WARNING", logger="absl"):
        runs.train(settings, flat_loss=4)
    (warning,) = [r.message for r in caplog.records if "ln(classes)" in r.message]
    assert warning.startswith("step 4: the loss has stayed near ln(classes) = 1.099")


def test_a_flat_loss_is_counted_in_steps_and_not_in_lines_of_the_log(
    small_dataset, tmp_path, caplog
):
    settings = runs.tiny_options_of(
        small_dataset, tmp_path / "run", learning_rate=0.0, log_steps=3, epochs=4.0
    )
    with caplog.at_level("WARNING", logger="absl"):
        runs.train(settings, flat_loss=5)
    (warning,) = [r.message for r in caplog.records if "ln(classes)" in r.message]
    assert warning.startswith("step 6: ")
    assert "for 6 steps" in warning


def test_the_net_learns_the_small_images(trained_run):
    losses = [record["loss"] for record in runs.log_of(trained_run)]
    assert len(losses) == 9  # each is the mean of ten steps
    assert losses[-1] < 0.5 * losses[0]


def test_the_same_flags_give_the_same_run_and_another_seed_gives_another(
    small_dataset, tmp_path
):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        runs.train(
            runs.tiny_options_of(small_dataset, tmp_path / name, seed=seed, max_steps=3)
        )
    assert runs.same_weights(tmp_path / "a", tmp_path / "b")
    assert not runs.same_weights(tmp_path / "a", tmp_path / "c")


def test_a_run_resumed_at_any_step_equals_an_uninterrupted_run(small_dataset, tmp_path):
    """At the first step, at a validation, and between two of them."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    runs.train(runs.tiny_options_of(small_dataset, whole))
    for stop in (1, 3, 5, 6):
        chosen = runs.tiny_options_of(small_dataset, parts, max_steps=stop)
        runs.train(chosen, resume=stop > 1)
        steps = [r["step"] for r in runs.log_of(parts)]
        assert steps == list(range(1, stop + 1))
    assert runs.same_weights(whole, parts)


def test_a_resumed_bfloat16_run_reads_the_kernel_copies_again(small_dataset, tmp_path):
    settings = {"precision": "bfloat16", "batch_size": 12}
    whole = runs.train(
        runs.tiny_options_of(small_dataset, tmp_path / "whole", **settings)
    )
    assert list(whole.rule.copies) == ["fc10/kernel"]
    runs.train(
        runs.tiny_options_of(small_dataset, tmp_path / "parts", max_steps=2, **settings)
    )
    parts = runs.train(
        runs.tiny_options_of(small_dataset, tmp_path / "parts", **settings),
        resume=True,
    )
    assert runs.same_weights(tmp_path / "whole", tmp_path / "parts")
    kernel = parts.net.get_layer("fc10").kernel
    tf.debugging.assert_equal(
        parts.rule.copies["fc10/kernel"], tf.cast(kernel.value, tf.bfloat16)
    )


def test_kernel_copies_do_not_change_the_weights(small_dataset, tmp_path):
    settings = runs.tiny_options_of(
        small_dataset, tmp_path / "run", precision="bfloat16"
    )
    found = []
    for copied in (True, False):
        training = runs.trainer_of(settings)
        if not copied:
            training.net.get_layer("fc10").drop_kernel_copy()
        batches = training.batches(0, 3)
        step = training_step.Step(training.net, training.rule).trace(batches)
        for inputs, labels in batches.take(3):
            step(inputs, labels, training.schedule.learning_rates(0.0).tensors())
        found.append([v.numpy() for v in training.net.trainable_variables])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_step_of_dropout_is_restored(small_dataset, tmp_path):
    # The tiny net has no dropout; a resumed AlexNet restores this step, on which
    # its masks depend.
    settings = runs.tiny_options_of(small_dataset, tmp_path / "run", max_steps=2)
    runs.train(settings)
    training = runs.trainer_of(settings)
    dropout = layers.Dropout(0.5)
    training.net = keras.Sequential([keras.Input([4]), dropout])
    assert training.restore()
    assert int(dropout.step) == 2


def test_the_state_of_the_schedule_is_restored(small_dataset, tmp_path):
    settings = runs.tiny_options_of(small_dataset, tmp_path / "run", epochs=4.0)

    def plateau():  # no gain is enough, so it drops at each validation
        return schedule.Plateau(1e-3, patience=1, gain=100.0, most_drops=2)

    runs.train(options.replace(settings, epochs=2.0), schedule=plateau())
    training = runs.train(settings, resume=True, schedule=plateau())
    logged = [r["learning_rate"] for r in runs.log_of(tmp_path / "run")]
    # The first validation is the best; the second and the third drop the learning rate.
    assert logged == pytest.approx([1e-3] * 6 + [1e-4] * 3 + [1e-5] * 3)
    assert training.schedule.state()["drops"] == 2


@pytest.mark.parametrize(
    ("step", "moment"),
    [
        (6, "before it"),
        (12, "within it"),
        pytest.param(6, "within it", marks=pytest.mark.long),
        pytest.param(12, "before it", marks=pytest.mark.long),
    ],
)
def test_a_validation_that_a_signal_prevents_runs_after_resuming(
    small_dataset, tmp_path, step, moment
):
    def settings(name):
        # Four epochs of three steps; validations at 3, 6, 9 and 12.
        return runs.tiny_options_of(small_dataset, tmp_path / name, epochs=4.0)

    def plateau():
        return schedule.Plateau(1e-3, patience=1, gain=100.0, most_drops=3)

    stopped = runs.trainer_of(settings("stopped"))
    stopped.schedule = plateau()
    runs.record(settings("stopped"))
    validation = stopped.validation

    def interrupted(each_batch):
        if stopped.state.step == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return validation(each_batch)

    if moment == "within it":
        stopped.validation = interrupted
    else:
        stopped.replicas.stop_agreed = lambda result: stopped.state.step == step
    stopped.run(run_log.Log(tmp_path / "stopped", 0))
    assert stopped.state.step == step
    assert stopped.state.validation_due
    validations = runs.log_of(tmp_path / "stopped", "validation")
    assert [r["step"] for r in validations] == list(range(3, step, 3))

    resumed = runs.train(settings("stopped"), resume=True, schedule=plateau())
    whole = runs.train(settings("whole"), schedule=plateau())
    assert resumed.schedule.state() == whole.schedule.state()
    assert runs.same_weights(tmp_path / "whole", tmp_path / "stopped")
    for kind, values in (
        ("train", ["learning_rate", "loss"]),
        ("validation", ["loss"]),
    ):
        one, other = (
            [[r[v] for v in ["step", *values]] for r in runs.log_of(folder, kind)]
            for folder in (tmp_path / "whole", tmp_path / "stopped")
        )
        assert one == other


def test_a_dataset_without_a_split_to_validate_on_needs_validation_never(
    small_dataset, tmp_path
):
    data = tmp_path / "data"
    shutil.copytree(small_dataset.path, data)
    described = json.loads((data / "dataset.json").read_text())
    described["counts"] = {"train": described["counts"]["train"]}
    (data / "dataset.json").write_text(json.dumps(described))
    digests = prepared_dataset.read_digests(data)
    digests["dataset.json"] = files.sha256(data / "dataset.json")
    prepared_dataset.write_digests(data, digests.items())
    settings = runs.tiny_options_of(
        prepared_dataset.read_description(data), tmp_path / "run", max_steps=1
    )
    with pytest.raises(ValueError, match="--validation=never"):
        runs.trainer_of(settings)
    assert runs.train(options.replace(settings, validation="never")).state.step == 1


def test_a_loss_that_is_nan_stops_the_run(small_dataset, tmp_path):
    runs.train(runs.tiny_options_of(small_dataset, tmp_path / "run", max_steps=2))
    training = runs.trainer_of(runs.tiny_options_of(small_dataset, tmp_path / "run"))
    training.restore()
    training.net.trainable_variables[0].assign(
        np.full(training.net.trainable_variables[0].shape, np.nan)
    )
    with pytest.raises(
        trainer.DivergedError, match=r"last good checkpoint is .*step-2"
    ):
        training.run(run_log.Log(tmp_path / "run", 2))
    assert checkpoint_files.newest_checkpoint(tmp_path / "run/checkpoints").endswith(
        "step-2"
    )


def test_a_loss_that_is_nan_stops_the_run_at_the_next_line_of_the_log(
    small_dataset, tmp_path
):
    """Long before a checkpoint is due, which would find the weights."""
    settings = runs.tiny_options_of(
        *(small_dataset, tmp_path / "run"),
        **{"epochs": 10.0, "log_steps": 2, "checkpoint_steps": 1000},
        validation="never",
    )
    training = runs.trainer_of(settings)
    runs.record(settings)
    bias = training.net.trainable_variables[-1]  # of the logits
    bias.assign(np.full(bias.shape, np.nan))
    with pytest.raises(trainer.DivergedError, match="^step 2: the loss is nan"):
        training.run(run_log.Log(tmp_path / "run", 0))


def test_a_weight_that_is_nan_stops_the_run_although_the_loss_stays_finite(
    small_dataset, tmp_path
):
    """ReLU hides it: max(NaN, 0) is 0."""
    settings = runs.tiny_options_of(
        *(small_dataset, tmp_path / "run"),
        **{"epochs": 10.0, "log_steps": 1, "checkpoint_steps": 1000},
        validation="never",
    )
    training = runs.trainer_of(settings)
    training.cadence = dataclasses.replace(training.cadence, weights=3)
    runs.record(settings)
    kernel = training.net.trainable_variables[0]  # of the first convolution
    kernel.assign(np.full(kernel.shape, np.nan))
    with pytest.raises(
        trainer.DivergedError, match=r"^step 3: the mean of conv1.*/weight is nan; the "
    ):
        training.run(run_log.Log(tmp_path / "run", 0))
    logged = (tmp_path / "run/log.jsonl").read_text()
    assert logged.count('"loss"') == 3
    assert "NaN" not in logged


def test_a_loss_that_is_infinite_stops_the_run(small_dataset, tmp_path):
    settings = runs.tiny_options_of(
        *(small_dataset, tmp_path / "run"),
        **{"checkpoint_steps": 1000, "validation": "never"},
    )
    training = runs.trainer_of(settings)
    runs.record(settings)
    training.net.trainable_variables[-1].assign([-np.inf, 0, 0])  # bias of the logits
    with pytest.raises(trainer.DivergedError, match="^step 1: the loss is inf"):
        training.run(run_log.Log(tmp_path / "run", 0))


@pytest.mark.parametrize(
    ("errors", "best"),
    [
        ((50, 40, 60, 45), 6),
        ((50, 60, 40, 30), 12),
        ((40, 50, 40, 45), 3),  # the first of equal ones
    ],
)
def test_the_best_checkpoint_is_that_of_the_least_error(
    small_dataset, tmp_path, errors, best
):
    settings = runs.tiny_options_of(small_dataset, tmp_path / "run", epochs=4.0)
    training = runs.trainer_of(settings)
    runs.record(settings)
    given = iter(errors)
    training.validation = lambda each_batch: {"top1_error": float(next(given))}
    training.run(run_log.Log(tmp_path / "run", 0))
    (prefix,) = checkpoint_files.list_checkpoints(tmp_path / "run/best")
    assert checkpoint_files.step_of(prefix) == best
    assert checkpoint_weights.read_state(prefix)["error"] == min(errors)
    newest = checkpoint_files.newest_checkpoint(tmp_path / "run/checkpoints")
    assert run_folder.results(str(tmp_path / "run")) == [
        f"newest checkpoint {newest}: top-1 error {errors[-1]:.2f} % on the validation split",
        f"best checkpoint {prefix}: top-1 error {min(errors):.2f} % on the validation split",
    ]


def test_a_newest_checkpoint_that_was_not_validated_has_no_error(
    small_dataset, tmp_path
):
    """Not that of an earlier validation either."""
    settings = runs.tiny_options_of(small_dataset, tmp_path / "run", epochs=4.0)
    training = runs.trainer_of(settings)
    runs.record(settings)
    training.replicas.stop_agreed = lambda result: training.state.step == 4
    training.run(run_log.Log(tmp_path / "run", 0))
    newest, best = run_folder.results(str(tmp_path / "run"))
    assert newest.endswith("step-4: not validated")
    assert "step-3: top-1 error " in best


def test_the_validation_at_the_end_does_not_change_a_run_that_is_extended(
    small_dataset, tmp_path
):
    def settings(name, **changes):
        return runs.tiny_options_of(small_dataset, tmp_path / name, **changes)

    def plateau():  # it drops at each validation but the first
        return schedule.Plateau(1e-3, patience=1, gain=100.0, most_drops=3)

    # Three steps per epoch: the first part ends in the middle of the second one.
    runs.train(settings("parts", max_steps=4), schedule=plateau())
    parts = runs.train(settings("parts", max_steps=9), resume=True, schedule=plateau())
    whole = runs.train(settings("whole", max_steps=9), schedule=plateau())
    validated = [r["step"] for r in runs.log_of(tmp_path / "parts", "validation")]
    assert validated == [3, 4, 6, 9]
    assert parts.schedule.state() == whole.schedule.state()
    assert runs.same_weights(tmp_path / "parts", tmp_path / "whole")


def test_weights_that_are_infinite_are_not_saved(small_dataset, tmp_path):
    training = runs.trainer_of(runs.tiny_options_of(small_dataset, tmp_path / "run"))
    training.net.trainable_variables[2].assign(
        np.full(training.net.trainable_variables[2].shape, np.inf)
    )
    with pytest.raises(trainer.DivergedError, match="is NaN or infinite"):
        training.save()
    assert checkpoint_files.newest_checkpoint(tmp_path / "run/checkpoints") is None


def test_weight_decay_and_learning_rates_reach_the_right_variables(
    small_dataset, tmp_path
):
    """One step with a gradient of known size equals the one computed by hand."""
    settings = runs.tiny_options_of(
        small_dataset, tmp_path / "run", bias_learning_rate_factor=2.0, weight_decay=0.5
    )
    training = runs.trainer_of(settings)
    initial = [v.numpy().copy() for v in training.net.trainable_variables]
    learning_rates = training.schedule.learning_rates(0.0)
    assert (learning_rates.weights, learning_rates.biases) == pytest.approx(
        (0.001, 0.002)
    )
    gradients = [tf.ones(v.shape) for v in training.net.trainable_variables]
    training.rule.apply(gradients, learning_rates)
    for variable, before in zip(training.net.trainable_variables, initial, strict=True):
        if variable.path.endswith("/bias"):
            expected = before - 0.002
        else:
            expected = before - 0.001 * (0.5 * before + 1)
        np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-5, atol=1e-7)


def test_the_log_is_on_the_disk_before_each_checkpoint(
    small_dataset, tmp_path, monkeypatch
):
    order = []
    save = checkpoint.Checkpoints.save

    def observed(*arguments):
        order.append("checkpoint")
        return save(*arguments)

    monkeypatch.setattr(run_log.Log, "sync", lambda log: order.append("log"))
    monkeypatch.setattr(checkpoint.Checkpoints, "save", observed)
    runs.train(runs.tiny_options_of(small_dataset, tmp_path / "run", max_steps=4))
    # After steps 1, 2 and 4; after step 3 in best/ too; and after step 4 in best/ if
    # it is the best.
    assert order in (["log", "checkpoint"] * 5, ["log", "checkpoint"] * 6)
