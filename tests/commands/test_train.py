"""The command `train` survives kills, stops when asked, and explains mistakes."""

import json
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest

from alexnet_tf.models import checkpoint_files
from alexnet_tf.runtime import lock
from tests.support import ROOT, commands, runs


def start_train(dataset, run_dir, *more):
    return commands.start("train", *runs.train_flags(dataset, run_dir, *more))


def run_train(dataset, run_dir, *more):
    return commands.run("train", *runs.train_flags(dataset, run_dir, *more))


def kill_until_done(dataset, run_dir, kills, steps, how=signal.SIGKILL):
    """Kills the run `kills` times at random steps, and resumes it until it ends."""
    rng = random.Random(0)
    for starts in range(1, kills + 2):
        process = start_train(
            dataset, run_dir, "--resume", "--epochs=1000", f"--max_steps={steps}"
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
        _, errors = process.communicate()
        ended = 0 if starts > kills else -how
        assert process.returncode == ended, errors[-2000:]


def test_a_run_that_was_killed_is_bit_equal_to_an_uninterrupted_run(
    small_dataset, tmp_path
):
    kill_until_done(small_dataset, tmp_path / "killed", kills=1, steps=30)
    done = run_train(
        small_dataset, tmp_path / "whole", "--epochs=1000", "--max_steps=30"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert runs.same_weights(tmp_path / "whole", tmp_path / "killed")
    steps = [r["step"] for r in runs.log_of(tmp_path / "killed")]
    assert steps == list(range(1, 31))


@pytest.mark.long
def test_a_run_killed_twenty_times_is_bit_equal_to_an_uninterrupted_run(
    small_dataset, tmp_path
):
    kill_until_done(small_dataset, tmp_path / "killed", kills=20, steps=1000)
    subprocess.run(
        runs.train_command(
            small_dataset, tmp_path / "whole", "--epochs=1000", "--max_steps=1000"
        ),
        capture_output=True,
        check=True,
    )
    assert runs.same_weights(tmp_path / "whole", tmp_path / "killed")


def test_a_session_of_2012_kills_edits_and_resumes(small_dataset, tmp_path):
    """The learning rate by hand, in three commands; the last one goes on with it.

    They need no other option again, although the run's are not the defaults, and may be
    typed in another folder.
    """
    process = start_train(
        *(small_dataset, tmp_path / "run", "--drop_epochs=", "--epochs=100000"),
        *("--checkpoint_steps=1000000", "--validation=end", "--seed=5"),
    )
    log = tmp_path / "run/log.jsonl"
    while process.poll() is None and not (log.exists() and log.stat().st_size):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130, errors[-2000:]
    stopped = runs.log_of(tmp_path / "run")[-1]["step"]

    def resume(*given):
        command = ("train", f"--run_dir={tmp_path / 'run'}", "--resume", *given)
        return commands.run(*command, cwd=tmp_path)

    for steps, given, changes in (
        (stopped + 1, ["--learning_rate=0.0001"], 1),
        (stopped + 2, [], 0),
        (stopped + 3, ["--learning_rate=0.001"], 1),
    ):
        done = resume(f"--max_steps={steps}", *given)
        assert done.returncode == 0, done.stderr[-2000:]
        assert done.stderr.count("is now --learning_rate=") == changes
        assert f"step {steps} of {steps}" in done.stdout
    rates = [r["learning_rate"] for r in runs.log_of(tmp_path / "run")[stopped - 1 :]]
    assert rates == [0.001, 0.0001, 0.0001, 0.001]
    assert [
        (r["step"], r["old"], r["new"]) for r in runs.log_of(tmp_path / "run", "change")
    ] == [(stopped, "0.001", "0.0001"), (stopped + 2, "0.0001", "0.001")]
    refused = resume("--seed=0")
    assert refused.returncode == 1
    assert "started with --seed=5, and now it is --seed=0" in refused.stderr


def test_sigterm_saves_a_checkpoint_and_ends_with_status_0(small_dataset, tmp_path):
    process = start_train(
        small_dataset, tmp_path, "--epochs=100000", "--checkpoint_steps=1000000"
    )
    log = tmp_path / "log.jsonl"
    while process.poll() is None and not (log.exists() and log.stat().st_size):
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate()
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
            "--architecture=alexnet: must be one of paper, cuda_convnet",
        ),
        (["--tower_devices=/GPU:7"], "asks for /GPU:7"),
        (
            ["--batch_size=1000"],
            "fewer than --batch_size=1000: choose a smaller batch, such as --batch_size=",
        ),
        (["stray"], "unexpected argument 'stray'"),
        (["--architecture=cuda_convnet"], "prepare it again with --size=256"),
        (["--logical_gpus=2"], "TensorFlow finds none"),
    ],
)
def test_a_mistake_is_reported_in_one_line(small_dataset, tmp_path, arguments, words):
    done = run_train(small_dataset, tmp_path / "run", *arguments)
    assert done.returncode == 1
    (line,) = [t for t in done.stderr.splitlines() if t.startswith("alexnet_tf.train")]
    assert words in line
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run/resolved.flags").exists()


def test_a_second_run_in_the_same_folder_is_rejected(small_dataset, tmp_path):
    with lock.exclusive(tmp_path / "run", "in this test"):
        done = run_train(small_dataset, tmp_path / "run")
    assert done.returncode == 1
    assert f"another process is writing into {tmp_path / 'run'}" in done.stderr
    assert not (tmp_path / "run/resolved.flags").exists()


@pytest.mark.long
def test_a_run_with_the_papers_flags_can_be_resumed_exported_and_used(tmp_path):
    """The full net trains on the embedded images with towers on two logical CPUs."""

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
        f"--flagfile={ROOT / 'tools/paper.flags'}",
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
    assert runs.same_weights(whole, parts)
    exported = alexnet_tf("export", f"--checkpoint={parts}").strip()
    images = sorted(map(str, (ROOT / "tools/pictures").glob("*.png")))
    printed = alexnet_tf("predict", f"--model={exported}", "--format=json", *images)
    assert len(json.loads(printed)) == len(images)
