"""tools/checks/gpu.sh, as far as it can run without a GPU."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "tools/checks/gpu.sh"
PARTS = [
    "the op's tests",
    "two towers",
    "training, float32",
    "training, tf32",
    "training, bfloat16",
]


def gpu_check(logs, *arguments, python=sys.executable):
    return subprocess.run(
        [SCRIPT, *arguments],
        env=os.environ | {"PYTHON": python, "GPU_CHECK_LOGS": str(logs)},
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="there may be a GPU")
def test_without_a_gpu_it_fails_and_names_the_dry_run(tmp_path):
    done = gpu_check(tmp_path)
    assert done.returncode == 2
    assert "no GPU here" in done.stderr
    assert "--dry-run" in done.stderr


def test_unknown_arguments_are_named(tmp_path):
    done = gpu_check(tmp_path, "--fast")
    assert done.returncode == 2
    assert "unknown argument --fast" in done.stderr


def test_failed_part_does_not_stop_the_others(tmp_path):
    done = gpu_check(tmp_path, "--dry-run", python="false")
    assert done.returncode == 1
    for part in PARTS:
        assert f"{part:24} FAILED   status 1" in done.stdout


@pytest.mark.long
def test_python_parts_run_on_the_cpu(tmp_path):
    done = gpu_check(tmp_path, "--dry-run")
    assert done.returncode == 0, done.stdout[-3000:]
    for part in PARTS:
        assert f"{part:24} ok" in done.stdout
    for precision in ("float32", "tf32", "bfloat16"):
        for lrn in ("stock", "op"):
            assert f"cifar10_11pct, {precision}, lrn={lrn}: " in done.stdout
