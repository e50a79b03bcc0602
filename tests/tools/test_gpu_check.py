"""tools/checks/gpu.sh: with tools that stand in for a GPU's, and on the CPU."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = "tools/checks/gpu.sh"
TENSORFLOW_PARTS = [
    "the op's tests",
    "two towers",
    "images, prepared",
    "training",
    "demo's recipe",
    "kernels by share",
    "training, stock LRN",
    "training, nondeterministic",
]
PYTORCH_PARTS = ["PyTorch's LRN", "PyTorch's training"]

# Stand-ins. Python writes down what it is to run, and says that PyTorch is there if it
# is to. The arguments that FAILS and SLEEPS match make it fail and take long.
PYTHON = """#!/bin/bash
echo "$PYTHONPATH $*" >>"$CALLS"
case "$*" in *torch*) [ "$1" != -c ] || { echo "$TORCH"; exit; } ;; esac
[[ -z "$SLEEPS" || "$*" != *$SLEEPS* ]] || sleep 60
[[ -z "$FAILS" || "$*" != *$FAILS* ]] || { echo 'what failed'; exit 3; }
echo "result: a figure"
"""
NVIDIA_SMI = "#!/bin/bash\necho 'A card, 81559 MiB, 580.1'\n"
NVCC = """#!/bin/bash
for argument; do program=$argument; done
printf '#!/bin/bash\\necho bfloat16 128x55x55x96\\n' >"$program"
chmod +x "$program"
"""


@pytest.fixture
def check(tmp_path):
    """Runs the script with the stand-ins; what it printed, and its exit status."""
    for name, text in (
        ("python", PYTHON),
        ("nvidia-smi", NVIDIA_SMI),
        ("nvcc", NVCC),
    ):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)

    def run(*arguments, **environment):
        done = subprocess.run(
            [ROOT / SCRIPT, *arguments],
            env=os.environ
            | {
                "PATH": f"{tmp_path}:{os.environ['PATH']}",
                "PYTHON": str(tmp_path / "python"),
                "GPU_CHECK_LOGS": str(tmp_path / "logs"),
                "CALLS": str(tmp_path / "calls"),
                **dict.fromkeys(("TORCH", "FAILS", "SLEEPS"), ""),
                **environment,
            },
            check=False,
            capture_output=True,
            text=True,
        )
        return done.stdout + done.stderr, done.returncode

    return run


def status_of(part, printed):
    """What the table says of a part."""
    return re.search(rf"^{re.escape(part):28} +(ok|FAILED|not there)", printed, re.M)[1]


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="there may be a GPU")
def test_without_a_gpu_it_fails_and_names_the_dry_run():
    done = subprocess.run([ROOT / SCRIPT], check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert "no GPU here" in done.stderr
    assert "--dry-run" in done.stderr


def test_unknown_arguments_are_named(check):
    printed, status = check("--fast")
    assert status == 2
    assert "unknown argument --fast" in printed


@pytest.mark.parametrize("mode", [(), ("--dry-run",)])
def test_every_part_runs_and_the_table_has_date_device_and_results(
    mode, check, tmp_path
):
    printed, status = check(*mode, TORCH="yes")
    assert status == 0, printed
    for part in ["TensorFlow", *TENSORFLOW_PARTS, *PYTORCH_PARTS]:
        assert status_of(part, printed) == "ok"
    assert printed.count("a figure") == 11
    assert re.search(r"^20\d\d-\d\d-\d\d$", printed, re.M)
    if not mode:
        assert "A card, 81559 MiB, 580.1" in printed
        assert status_of("lrn_bench, built", printed) == "ok"
        assert "bfloat16 128x55x55x96" in printed
    calls = (tmp_path / "calls").read_text()
    # The package need not be installed.
    assert all(call.startswith(f"{ROOT}") for call in re.findall("^/.*", calls, re.M))
    named = re.findall(r"\b(?:tools|tests)/\S+\.py", calls)
    assert len(named) == 9
    for file in named:
        assert (ROOT / file).exists()


def test_on_a_gpu_its_flags_are_those_of_a_gpu(check, tmp_path):
    check(TORCH="yes")
    calls = (tmp_path / "calls").read_text()
    assert calls.count("--device=/GPU:0") == 7
    assert "/CPU:0" not in calls


@pytest.mark.parametrize("fails", ["device_training.py", "test_lrn.py", "lrn_torch.py"])
def test_failed_part_does_not_stop_the_others_and_is_an_error(fails, check):
    printed, status = check(TORCH="yes", FAILS=fails)
    assert status == 1
    parts = ["TensorFlow", *TENSORFLOW_PARTS, *PYTORCH_PARTS]
    failed = [part for part in parts if status_of(part, printed) != "ok"]
    assert (
        failed
        == {
            "device_training.py": [
                "training",
                "training, stock LRN",
                "training, nondeterministic",
            ],
            "test_lrn.py": ["the op's tests"],
            "lrn_torch.py": ["PyTorch's LRN"],
        }[fails]
    )
    assert "status 3" in printed
    assert "what failed" in printed


def test_missing_tensorflow_fails_everything_that_needs_it(check):
    printed, status = check(FAILS="import tensorflow")
    assert status == 1
    for part in ["TensorFlow", *TENSORFLOW_PARTS]:
        assert status_of(part, printed) == "FAILED"
    assert "needs TensorFlow" in printed


def test_tensorflow_that_takes_too_long_to_start_is_an_error(check):
    printed, status = check(SLEEPS="import tensorflow", GPU_CHECK_SECONDS="2")
    assert status == 1
    assert status_of("TensorFlow", printed) == "FAILED"
    assert "took longer than" in printed


def test_missing_pytorch_is_an_error_only_if_it_is_asked_for(check, tmp_path):
    printed, status = check()
    assert status == 0, printed
    for part in PYTORCH_PARTS:
        assert status_of(part, printed) == "not there"
    printed, status = check(TORCH_PYTHON=str(tmp_path / "python"))
    assert status == 1
    for part in PYTORCH_PARTS:
        assert status_of(part, printed) == "FAILED"
    assert "has no PyTorch for a GPU" in printed


def test_all_parts_together_have_a_time_limit(check):
    printed, status = check(SLEEPS="test_lrn.py", GPU_CHECK_SECONDS="4")
    assert status == 1
    assert status_of("TensorFlow", printed) == "ok"
    assert re.search("the op's tests +FAILED +took longer than [1-4] s", printed)
    for part in TENSORFLOW_PARTS[1:]:
        assert status_of(part, printed) == "FAILED"
    assert "no time was left of 4 s" in printed


@pytest.mark.long
def test_python_parts_run_on_the_cpu_from_a_checkout_that_is_not_installed(tmp_path):
    checkout = tmp_path / "checkout"
    for folder in ("alexnet_tf", "custom_ops", "tests", "tools"):
        shutil.copytree(ROOT / folder, checkout / folder)
    for file in ("pyproject.toml", "setup.py"):
        shutil.copy(ROOT / file, checkout)
    logs = tmp_path / "logs"
    environment = os.environ | {"PYTHON": sys.executable, "GPU_CHECK_LOGS": str(logs)}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [checkout / SCRIPT, "--dry-run"],
        env=environment,
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert str(checkout / "alexnet_tf") in (logs / "TensorFlow.log").read_text()
    for part in ["TensorFlow", *TENSORFLOW_PARTS]:
        assert status_of(part, done.stdout) == "ok"
    for precision in ("tf32", "bfloat16"):
        for lrn in ("stock", "op"):
            assert f"{precision}, lrn={lrn}, batch 4: " in done.stdout
    assert "resumed: the same losses" in done.stdout
    assert "_MklEinsum" in done.stdout or "Conv2D" in done.stdout
