"""The command `train` survives faults of the disk and the machine at any moment."""

import errno
import random
import shutil
import signal
import subprocess
import time

import pytest
import tensorflow as tf

from alexnet_tf.models import checkpoint_files, checkpoint_weights
from tests.support import faults, programs, runs

EXITED = 86  # the status with which faults.c ends a process

# Calls until the fault, in steps of this run: one writes about sixty.
CALLS = 300


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return faults.build(tmp_path_factory.mktemp("library"))


def command(dataset, run_dir, steps, *more):
    return runs.train_command(
        dataset, run_dir, "--resume", "--epochs=1000", f"--max_steps={steps}", *more
    )


def run_with_fault(library, train, run_dir, work, how, point):
    """Runs `train` until it meets a fault; returns its exit status and its errors."""
    graves, journal = work / "graves", work / "journal"
    shutil.rmtree(graves, ignore_errors=True)
    graves.mkdir()
    run_dir.mkdir(exist_ok=True)
    sizes = faults.sizes_in(run_dir)
    modes = {"full": faults.FULL, "exit": faults.EXIT, "power": faults.EXIT}
    done = subprocess.run(
        train,
        env=faults.preloaded(
            library,
            **{"root": run_dir, "mode": modes[how], "error": errno.ENOSPC},
            **{"point": point, "journal": journal, "graves": graves},
        ),
        capture_output=True,
        text=True,
        check=False,
    )
    if how == "power":
        faults.lose_power(run_dir, journal, sizes)
    return done.returncode, done.stderr


def assert_every_checkpoint_is_whole(run_dir):
    for folder in ("checkpoints", "best"):
        for prefix in checkpoint_files.list_checkpoints(run_dir / folder):
            reader = tf.train.load_checkpoint(prefix)
            for name in reader.get_variable_to_shape_map():
                reader.get_tensor(name)
            assert checkpoint_weights.read_state(prefix)["net"]["dropout"] == "original"


def survive(library, dataset, tmp_path, hows, steps):
    """Lets a run meet faults, and ends it; the steps of its newest checkpoints."""
    rng = random.Random(0)
    run_dir, reached = tmp_path / "faults", [0]
    train = command(dataset, run_dir, steps)
    for how in hows:
        status, errors = run_with_fault(
            *(library, train, run_dir, tmp_path, how, rng.randint(1, CALLS))
        )
        assert status == (1 if how == "full" else EXITED), errors[-2000:]
        assert "Traceback" not in errors
        assert_every_checkpoint_is_whole(run_dir)
        newest = checkpoint_files.newest_checkpoint(run_dir / "checkpoints")
        reached.append(checkpoint_files.step_of(newest) if newest else 0)
    for folder in (run_dir, tmp_path / "whole"):
        _python, _m, *typed = command(dataset, folder, steps)
        done = programs.run(*typed)
        assert done.returncode == 0, done.stderr[-2000:]
    assert runs.same_weights(run_dir, tmp_path / "whole")
    assert not list(run_dir.rglob(".partial-*"))
    return reached


def test_a_run_survives_a_full_disk_and_a_power_failure(
    library, small_dataset, tmp_path
):
    reached = survive(library, small_dataset, tmp_path, ["full", "power"], steps=20)
    assert reached == sorted(reached)  # no progress is lost


@pytest.mark.long
def test_a_run_survives_thirty_faults(library, small_dataset, tmp_path):
    hows = ["full", "exit", "power"] * 10
    reached = survive(library, small_dataset, tmp_path, hows, steps=1000)
    assert reached == sorted(reached)


@pytest.mark.long
def test_sigterm_during_validations_changes_nothing(small_dataset, tmp_path):
    """Each epoch of three steps has a validation, as long as its steps."""
    train = command(small_dataset, tmp_path / "stopped", 60, "--checkpoint_steps=1000")
    rng = random.Random(0)
    for _ in range(6):
        with subprocess.Popen(train, stderr=subprocess.PIPE, text=True) as process:
            log = tmp_path / "stopped/log.jsonl"
            before = log.read_text().count('"validation"') if log.exists() else 0
            while process.poll() is None:
                if log.exists() and log.read_text().count('"validation"') > before:
                    break
                time.sleep(0.01)
            time.sleep(rng.random() * 0.1)
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate()
        assert process.returncode == 0, errors[-2000:]
        assert_every_checkpoint_is_whole(tmp_path / "stopped")
    for name in ("stopped", "whole"):
        again = command(small_dataset, tmp_path / name, 60, "--checkpoint_steps=1000")
        subprocess.run(again, check=True, capture_output=True)
    assert runs.same_weights(tmp_path / "stopped", tmp_path / "whole")


@pytest.mark.long
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_two_processes_do_not_train_in_one_folder_without_locks(
    library, small_dataset, tmp_path, number
):
    env = faults.preloaded(library, flock=number)
    train = command(small_dataset, tmp_path / "run", 100000)
    with subprocess.Popen(train, env=env, stderr=subprocess.PIPE, text=True) as first:
        while first.poll() is None and not list((tmp_path / "run").glob("owner-*")):
            time.sleep(0.05)
        second = subprocess.run(
            train, env=env, capture_output=True, text=True, check=False
        )
        assert second.returncode == 1
        assert f"process {first.pid} on host " in second.stderr
        assert "Traceback" not in second.stderr
        while first.poll() is None and not runs.log_of(tmp_path / "run"):
            time.sleep(0.05)
        first.send_signal(signal.SIGTERM)
        _, errors = first.communicate()
    assert first.returncode == 0, errors[-2000:]
    assert errors.count("is on a file system without locks") == 1
    assert_every_checkpoint_is_whole(tmp_path / "run")
    assert not list((tmp_path / "run").glob("owner-*"))
