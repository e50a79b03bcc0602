"""The loop: what it writes, how it stops, and that it goes on as if it never had."""

import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf import train
from alexnet_tf.data import prepared_dataset
from alexnet_tf.models import checkpoint_files, layers, trained
from alexnet_tf.runtime import lock, options
from alexnet_tf.training import (
    overfitting,
    run_log,
    schedule,
    train_options,
    trainer,
    training_step,
)
from tests.support import runs
from tests.support.runs import train_options_of


def same(one, other):
    assert one.keys() == other.keys()
    return all(np.array_equal(one[name], other[name]) for name in one)


def test_a_run_leaves_log_tensorboard_flags_and_checkpoints(small_dataset, tmp_path):
    training = runs.train(train_options_of(small_dataset, tmp_path / "run"))
    assert training.state.step == 6
    records = runs.log_of(tmp_path / "run")
    assert [r["step"] for r in records] == [1, 2, 3, 4, 5, 6]
    assert all(
        {"loss", "top1_error", "learning_rate", "images_per_s"} <= set(r)
        for r in records
    )
    validations = runs.log_of(tmp_path / "run", "validation")
    assert [r["step"] for r in validations] == [3, 6]
    assert list((tmp_path / "run/train").glob("events*"))
    assert list((tmp_path / "run/validation").glob("events*"))
    assert (
        options.read(
            tmp_path / "run/resolved.flags", train_options.TrainOptions
        ).recipe.batch_size
        == 8
    )
    best = checkpoint_files.newest_checkpoint(tmp_path / "run/best")
    least = min(validations, key=lambda r: r["top1_error"])
    assert best.endswith(f"step-{least['step']}")


def test_each_layers_weights_and_updates_are_logged(small_dataset, tmp_path):
    training = runs.train(train_options_of(small_dataset, tmp_path / "run"), weights=4)
    records = runs.log_of(tmp_path / "run", "weights")
    assert [r["step"] for r in records] == [4, 6]
    variables = training.net.trainable_variables
    place = [variable.path for variable in variables].index("local3/kernel")
    kernel, velocity = variables[place], training.rule.velocities[place]
    assert records[-1]["local3/kernel/weight"] == pytest.approx(
        np.abs(kernel.numpy()).mean(), rel=1e-5
    )
    assert records[-1]["local3/kernel/update"] == pytest.approx(
        np.abs(velocity.numpy()).mean(), rel=1e-5
    )


def test_no_validation_where_none_is_asked_for(small_dataset, tmp_path):
    runs.train(train_options_of(small_dataset, tmp_path / "run", validation="never"))
    assert runs.log_of(tmp_path / "run", "validation") == []
    assert checkpoint_files.newest_checkpoint(tmp_path / "run/checkpoints").endswith(
        "step-6"
    )


def test_a_flat_loss_is_told(small_dataset, tmp_path, caplog):
    settings = train_options_of(small_dataset, tmp_path / "run", learning_rate=0.0)
    with caplog.at_level("WARNING", logger="absl"):
        runs.train(settings, flat_loss=4)
    told = [r.message for r in caplog.records if "ln(classes)" in r.message]
    assert len(told) == 1
    assert told[0].startswith("step 4: the loss has stayed near ln(classes) = 1.099")


def test_one_batch_is_learnt_by_heart_and_nothing_written(
    small_dataset, tmp_path, capsys
):
    settings = train_options_of(
        small_dataset, tmp_path / "run", overfit_one_batch=True, learning_rate=0.01
    )
    settings = options.replace(settings, epochs=100.0, color_noise="none")
    train.main(settings, [])
    assert "the first batch is learned: " in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


def test_one_batch_that_is_not_learnt_is_an_error(small_dataset, tmp_path):
    settings = train_options_of(
        small_dataset, tmp_path / "run", overfit_one_batch=True, learning_rate=0.0
    )
    with pytest.raises(overfitting.NotLearnedError, match="after 6 steps, expected 0"):
        overfitting.overfit_one_batch(runs.trainer_of(settings))


def test_the_net_learns_the_pictures(small_dataset, tmp_path):
    settings = train_options_of(
        small_dataset,
        tmp_path / "run",
        epochs=40.0,
        validation="end",
        learning_rate=0.003,
        checkpoint_steps=1000,
        color_noise="none",
    )
    runs.train(settings)
    losses = [r["loss"] for r in runs.log_of(tmp_path / "run")]
    assert np.mean(losses[-5:]) < 0.5 * losses[0]


def test_the_same_flags_give_the_same_run_and_another_seed_another(
    small_dataset, tmp_path
):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        runs.train(
            train_options_of(small_dataset, tmp_path / name, seed=seed, max_steps=3)
        )
    assert same(runs.weights(tmp_path / "a"), runs.weights(tmp_path / "b"))
    assert not same(runs.weights(tmp_path / "a"), runs.weights(tmp_path / "c"))


def test_a_run_resumed_at_any_step_is_the_run_undisturbed(small_dataset, tmp_path):
    runs.train(train_options_of(small_dataset, tmp_path / "whole"))
    for stop in (1, 3, 5):
        parts = tmp_path / f"parts{stop}"
        runs.train(train_options_of(small_dataset, parts, max_steps=stop))
        runs.train(train_options_of(small_dataset, parts), resume=True)
        assert same(runs.weights(tmp_path / "whole"), runs.weights(parts)), stop
        assert [r["step"] for r in runs.log_of(parts)] == [1, 2, 3, 4, 5, 6]


def test_a_bfloat16_run_reads_copies_and_is_resumed_with_them(small_dataset, tmp_path):
    # The CIFAR-10 net has one dense layer.
    settings = {"precision": "bfloat16", "batch_size": 12}
    whole = runs.train(train_options_of(small_dataset, tmp_path / "whole", **settings))
    assert list(whole.rule.copies) == ["fc10/kernel"]
    runs.train(
        train_options_of(small_dataset, tmp_path / "parts", max_steps=2, **settings)
    )
    parts = runs.train(
        train_options_of(small_dataset, tmp_path / "parts", **settings), resume=True
    )
    assert same(runs.weights(tmp_path / "whole"), runs.weights(tmp_path / "parts"))
    kernel = parts.net.get_layer("fc10").kernel
    tf.debugging.assert_equal(
        parts.rule.copies["fc10/kernel"], tf.cast(kernel.value, tf.bfloat16)
    )


def test_copies_change_nothing_but_the_time(small_dataset, tmp_path):
    settings = train_options_of(small_dataset, tmp_path / "run", precision="bfloat16")
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


def test_dropout_goes_on_where_it_stopped(small_dataset, tmp_path):
    # The CIFAR-10 net has none; the masks' counter is what a resumed AlexNet restores.
    settings = train_options_of(small_dataset, tmp_path / "run", max_steps=2)
    runs.train(settings)
    training = runs.trainer_of(settings)
    dropout = layers.Dropout(0.5)
    training.net = keras.Sequential([keras.Input([4]), dropout])
    assert training.restore()
    assert int(dropout.step) == 2


def test_the_schedule_is_taken_up_too(small_dataset, tmp_path):
    settings = train_options_of(
        small_dataset,
        tmp_path / "run",
        epochs=4.0,
    )

    def plateau():  # no gain is enough: it drops at each validation
        return schedule.Plateau(1e-3, patience=1, gain=100.0, most_drops=2)

    runs.train(options.replace(settings, epochs=2.0), schedule=plateau())
    training = runs.train(settings, resume=True, schedule=plateau())
    rates = [r["learning_rate"] for r in runs.log_of(tmp_path / "run")]
    # The first validation is a best; the second and the third drop the rate.
    assert rates == pytest.approx([1e-3] * 6 + [1e-4] * 3 + [1e-5] * 3)
    assert training.schedule.state()["drops"] == 2


@pytest.mark.parametrize("step", [6, 12])
@pytest.mark.parametrize("moment", ["before it", "within it"])
def test_a_validation_that_a_signal_leaves_out_is_made_up_for(
    small_dataset, tmp_path, step, moment
):
    def settings(name):
        # Four epochs of three steps; validations at 3, 6, 9 and 12.
        return train_options_of(small_dataset, tmp_path / name, epochs=4.0)

    def plateau():
        return schedule.Plateau(1e-3, patience=1, gain=100.0, most_drops=3)

    stopped = runs.trainer_of(settings("stopped"))
    stopped.schedule = plateau()
    runs.record(settings("stopped"))
    validation = stopped.validation

    def signalled(each_batch):
        if stopped.state.step == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return validation(each_batch)

    if moment == "within it":
        stopped.validation = signalled
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
    assert same(runs.weights(tmp_path / "whole"), runs.weights(tmp_path / "stopped"))
    for kind, values in (
        ("train", ["learning_rate", "loss"]),
        ("validation", ["loss"]),
    ):
        one, other = (
            [[r[v] for v in ["step", *values]] for r in runs.log_of(folder, kind)]
            for folder in (tmp_path / "whole", tmp_path / "stopped")
        )
        assert one == other


def test_a_run_is_not_resumed_on_other_pictures(small_dataset, tmp_path):
    pictures = tmp_path / "pictures"
    shutil.copytree(small_dataset.path, pictures)
    settings = train_options_of(
        prepared_dataset.read_description(pictures), tmp_path / "run", max_steps=1
    )
    runs.train(settings)
    with (pictures / "SHA256SUMS").open("a") as sums:
        sums.write("of another preparation\n")
    with pytest.raises(ValueError, match="was trained on other images"):
        runs.record(options.replace(settings, resume=True))
    (pictures / "SHA256SUMS").unlink()
    with pytest.raises(ValueError, match="SHA256SUMS is missing: restore it"):
        runs.trainer_of(settings)


def test_a_dataset_that_moved_is_accepted_when_a_run_is_resumed(
    small_dataset, tmp_path
):
    settings = train_options_of(small_dataset, tmp_path / "run", max_steps=1)
    runs.train(settings)
    moved = tmp_path / "moved"
    shutil.copytree(small_dataset.path, moved)
    settings = options.replace(settings, dataset=str(moved), max_steps=2)
    assert runs.train(settings, resume=True).state.step == 2
    assert trained.read_trained_net(tmp_path / "run").dataset_path == str(moved)


def test_pictures_without_a_split_to_validate_on_can_be_trained_on(
    small_dataset, tmp_path
):
    pictures = tmp_path / "pictures"
    shutil.copytree(small_dataset.path, pictures)
    described = json.loads((pictures / "dataset.json").read_text())
    described["counts"] = {"train": described["counts"]["train"]}
    (pictures / "dataset.json").write_text(json.dumps(described))
    settings = train_options_of(
        prepared_dataset.read_description(pictures), tmp_path / "run", max_steps=1
    )
    with pytest.raises(ValueError, match="--validation=never"):
        runs.trainer_of(settings)
    assert runs.train(options.replace(settings, validation="never")).state.step == 1


def test_a_loss_that_is_no_number_stops_the_run(small_dataset, tmp_path):
    runs.train(train_options_of(small_dataset, tmp_path / "run", max_steps=2))
    training = runs.trainer_of(train_options_of(small_dataset, tmp_path / "run"))
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


def test_weights_that_are_no_numbers_are_not_saved(small_dataset, tmp_path):
    training = runs.trainer_of(train_options_of(small_dataset, tmp_path / "run"))
    training.net.trainable_variables[2].assign(
        np.full(training.net.trainable_variables[2].shape, np.inf)
    )
    with pytest.raises(trainer.DivergedError, match="is NaN or infinite"):
        training.save()
    assert checkpoint_files.newest_checkpoint(tmp_path / "run/checkpoints") is None


def test_a_folder_with_a_run_is_not_overwritten(small_dataset, tmp_path):
    settings = train_options_of(small_dataset, tmp_path / "run", max_steps=1)
    runs.record(settings)
    with pytest.raises(ValueError, match="holds a run already"):
        runs.record(settings)
    runs.record(options.replace(settings, resume=True, max_steps=9))


def test_a_resumed_run_must_be_the_same_run(small_dataset, tmp_path):
    (tmp_path / "run").mkdir()
    settings = train_options_of(small_dataset, tmp_path / "run", resume=True)
    runs.record(settings)
    changed = options.replace(settings, learning_rate=0.5)
    with pytest.raises(
        ValueError, match=r"--learning_rate=0.001, and now it is --learning_rate=0.5"
    ):
        runs.record(changed)


def test_a_half_written_log_line_is_dropped(tmp_path):
    (tmp_path / "log.jsonl").write_text(
        '{"kind": "train", "step": 1}\n{"kind": "train", "step": 5}\n{"kind": "tr'
    )
    run_log.Log(tmp_path, 3).write("train", 4, loss=1.0)
    assert [r["step"] for r in runs.log_of(tmp_path)] == [1, 4]


def test_decay_and_rates_reach_the_right_variables(small_dataset, tmp_path):
    """One step with a gradient of known size, worked by hand from the weights."""
    settings = train_options_of(
        small_dataset, tmp_path / "run", bias_learning_rate_factor=2.0, weight_decay=0.5
    )
    training = runs.trainer_of(settings)
    start = [v.numpy().copy() for v in training.net.trainable_variables]
    rates = training.schedule.learning_rates(0.0)
    assert (rates.weights, rates.biases) == pytest.approx((0.001, 0.002))
    gradients = [tf.ones(v.shape) for v in training.net.trainable_variables]
    training.rule.apply(gradients, rates)
    for variable, before in zip(training.net.trainable_variables, start, strict=True):
        if variable.path.endswith("/bias"):
            expected = before - 0.002
        else:
            expected = before - 0.001 * (0.5 * before + 1)
        np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-5, atol=1e-7)


def command(dataset, run_dir, *more):
    return [
        sys.executable,
        "-m",
        "alexnet_tf.train",
        f"--dataset={dataset.path}",
        f"--run_dir={run_dir}",
        "--architecture=cifar10_11pct",
        "--precision=float32",
        "--batch_size=8",
        "--learning_rate=0.001",
        "--checkpoint_steps=1",
        "--log_steps=1",
        *more,
    ]


def kill_until_done(dataset, run_dir, kills, steps, how=signal.SIGKILL):
    """Starts the run again and again and kills it at random steps, then lets it end."""
    rng = random.Random(0)
    for starts in range(1, kills + 2):
        process = subprocess.Popen(
            command(
                dataset, run_dir, "--resume", "--epochs=1000", f"--max_steps={steps}"
            ),
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        log = pathlib.Path(run_dir) / "log.jsonl"
        if starts <= kills:
            before = log.read_text().count('"train"') if log.exists() else 0
            target = before + rng.randint(1, max(1, steps // (4 * kills)))
            while process.poll() is None:
                if log.exists() and log.read_text().count('"train"') >= target:
                    break
                time.sleep(0.01)
            time.sleep(rng.random() * 0.05)
            process.send_signal(how)
        _, errors = process.communicate(timeout=120)
        ended = 0 if starts > kills else -how
        assert process.returncode == ended, errors[-2000:]


def test_a_run_killed_twice_is_bit_equal_to_one_undisturbed(small_dataset, tmp_path):
    kill_until_done(small_dataset, tmp_path / "killed", kills=2, steps=40)
    done = subprocess.run(
        command(small_dataset, tmp_path / "whole", "--epochs=1000", "--max_steps=40"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert same(runs.weights(tmp_path / "whole"), runs.weights(tmp_path / "killed"))
    steps = [r["step"] for r in runs.log_of(tmp_path / "killed")]
    assert steps == list(range(1, 41))


@pytest.mark.long
def test_a_run_killed_twenty_times_is_bit_equal_to_one_undisturbed(
    small_dataset, tmp_path
):
    kill_until_done(small_dataset, tmp_path / "killed", kills=20, steps=1000)
    subprocess.run(
        command(small_dataset, tmp_path / "whole", "--epochs=1000", "--max_steps=1000"),
        capture_output=True,
        check=True,
    )
    assert same(runs.weights(tmp_path / "whole"), runs.weights(tmp_path / "killed"))


def test_sigterm_saves_and_ends_well(small_dataset, tmp_path):
    process = subprocess.Popen(
        command(
            small_dataset, tmp_path, "--epochs=100000", "--checkpoint_steps=1000000"
        ),
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=dict(os.environ, PYTHONUNBUFFERED="1"),
    )
    log = tmp_path / "log.jsonl"
    while process.poll() is None and not (log.exists() and log.stat().st_size):
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors[-2000:]
    assert "SIGTERM: stopped at step" in errors
    saved = checkpoint_files.newest_checkpoint(tmp_path / "checkpoints")
    step = int(saved.rsplit("-", 1)[1])
    assert f"step {step} of" in output
    assert runs.log_of(tmp_path)[-1]["step"] == step


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--dataset=/nowhere"], "/nowhere is not a prepared dataset"),
        (
            ["--architecture=alexnet"],
            "--architecture=alexnet: must be paper or cuda_convnet",
        ),
        (["--tower_devices=/GPU:7"], "asks for /GPU:7"),
        (["--batch_size=1000"], "fewer than --batch_size=1000"),
        (["stray"], "unexpected argument 'stray'"),
        (["--architecture=cuda_convnet"], "prepare it again with --size=256"),
        (["--logical_gpus=2"], "TensorFlow finds none"),
    ],
)
def test_a_mistake_is_one_clear_line(small_dataset, tmp_path, arguments, words):
    done = subprocess.run(
        command(small_dataset, tmp_path / "run", *arguments),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    (line,) = [t for t in done.stderr.splitlines() if t.startswith("alexnet_tf.train")]
    assert words in line
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run/resolved.flags").exists()


def test_a_second_run_in_one_folder_refuses(small_dataset, tmp_path):
    with lock.exclusive(tmp_path / "run", "in this test"):
        done = subprocess.run(
            command(small_dataset, tmp_path / "run"),
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert f"another process is writing into {tmp_path / 'run'}" in done.stderr
    assert not (tmp_path / "run/resolved.flags").exists()


@pytest.mark.long
def test_the_papers_flags_run_to_their_end_resume_and_export(tmp_path):
    """The full net on the embedded pictures, its towers on two logical processors."""
    root = pathlib.Path(__file__).resolve().parents[2]

    def alexnet_tf(main, *arguments):
        done = subprocess.run(
            [sys.executable, "-m", f"alexnet_tf.{main}", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    paper = [
        f"--flagfile={root / 'tools/paper.flags'}",
        "--logical_cpus=2",
        "--tower_devices=/CPU:0,/CPU:1",
        "--dataset=garments",
        f"--data_dir={tmp_path / 'data'}",
        "--log_steps=1",
    ]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    alexnet_tf("train", *paper, f"--run_dir={whole}", "--max_steps=4")
    alexnet_tf("train", *paper, f"--run_dir={parts}", "--max_steps=2")
    alexnet_tf("train", *paper, f"--run_dir={parts}", "--max_steps=4", "--resume")
    assert same(runs.weights(whole), runs.weights(parts))
    exported = alexnet_tf("export", f"--checkpoint={parts}").strip()
    pictures = sorted(map(str, (root / "tools/pictures").glob("*.png")))
    printed = alexnet_tf("predict", f"--model={exported}", "--format=json", *pictures)
    assert len(json.loads(printed)) == len(pictures)
