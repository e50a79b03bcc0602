"""Every command is quiet: what it does, a progress bar, results, and nothing else."""

import os
import subprocess
import sys

import pytest

from tests.support import programs
from tests.support.quiet import assert_quiet, noise_of

# Runs a command until it imports TensorFlow, which is noisy and ends the process.
UNTIL_TENSORFLOW = """
import importlib.machinery, os, runpy, sys

class Noisy:
    def find_spec(self, name, path=None, target=None):
        if name in ("tensorflow", "keras"):
            return importlib.machinery.ModuleSpec(name, self)

    def create_module(self, spec):
        os.write(2, b"noise of an import")
        os._exit(7)

    def exec_module(self, module):
        pass

sys.meta_path.insert(0, Noisy())
del sys.argv[0]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def output_of(done):
    """(standard output, standard error) of a command, if it succeeded."""
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout, done.stderr


def run(*arguments):
    """The output of a command that holds back what TensorFlow prints while it loads.

    A fork of a process that has loaded TensorFlow shows everything else.
    """
    begun = in_new_interpreter("-c", UNTIL_TENSORFLOW, *arguments)
    assert begun.returncode == 7, begun.stderr
    assert "noise of an import" not in begun.stderr
    return output_of(programs.run(*arguments))


def in_new_interpreter(*arguments):
    # Without what silences TensorFlow's log in some environments.
    clean = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        **{"capture_output": True, "text": True, "check": False, "env": clean},
    )


@pytest.fixture
def images(tmp_path):
    from tests.conftest import write_noisy_images

    write_noisy_images(tmp_path / "images", each=20)
    return tmp_path / "images"


@pytest.mark.parametrize("workers", [1, 2])
def test_preparing_a_folder_is_quiet(images, tmp_path, workers):
    done = in_new_interpreter(
        *("-m", "alexnet_tf.prepare", f"--source=folder:{images}", "--size=8"),
        *(f"--output={tmp_path / 'data'}", f"--workers={workers}"),
    )
    printed, errors = output_of(done)
    assert printed.count("\n") == 4  # classes, two splits, what was written
    assert_quiet(errors, 1)


def test_preparing_a_tfds_dataset_is_quiet(tmp_path):
    printed, errors = run(
        *("alexnet_tf.prepare", "--size=8", f"--data_dir={tmp_path}", "--verify"),
    )
    assert printed.count("\n") == 4
    assert_quiet(errors, 1)


def test_training_is_quiet(small_dataset, tmp_path):
    printed, errors = run(
        *("alexnet_tf.train", f"--dataset={small_dataset.path}"),
        *(f"--run_dir={tmp_path}", "--architecture=cifar10_11pct", "--max_steps=3"),
        *("--batch_size=8", "--log_steps=1"),
    )
    assert printed.count("\n") == 1
    assert_quiet(errors, 1)


def test_evaluating_is_quiet_in_a_process_that_imports_everything(trained_run):
    done = in_new_interpreter(
        "-m", "alexnet_tf.evaluate", f"--checkpoint={trained_run}"
    )
    printed, errors = output_of(done)
    assert printed.count("\n") == 4  # what was evaluated, and the table, without top-5
    assert_quiet(errors, 2)


def test_checking_gradients_is_quiet():
    printed, errors = run("alexnet_tf.check_gradients", "--architecture=cifar10_13pct")
    assert printed.count("\n") == 14  # what was checked, the columns, and 12 layers
    assert_quiet(errors, 0)


def test_computing_features_is_quiet(trained_run, images, tmp_path):
    printed, errors = run(
        *("alexnet_tf.features", f"--checkpoint={trained_run}", "--layer=fc10"),
        *(f"--images={images}", f"--output={tmp_path / 'f.npz'}"),
    )
    assert printed.count("\n") == 1
    assert_quiet(errors, 1)


def test_exporting_is_quiet(trained_run, tmp_path):
    """The other formats: tests/serving/test_tflite_onnx.py."""
    printed, errors = run(
        "alexnet_tf.export", f"--checkpoint={trained_run}", f"--output={tmp_path}"
    )
    assert printed.count("\n") == 1
    assert_quiet(errors, 2)  # the checkpoint, and whose normalization the export has


def test_checking_an_export_is_quiet(exported):
    """It needs no other flag, because an export knows the checkpoint it was made of."""
    printed, errors = run("alexnet_tf.export", f"--check={exported.parent}")
    assert printed == (
        f"{exported}: good: serving_default, predict_images, predict_float_images, "
        "classify, features\n"
    )
    assert_quiet(errors, 1)


def test_predicting_is_quiet(exported, images):
    printed, errors = run(
        *("alexnet_tf.predict", f"--model={exported}", "--top=1"),
        *sorted(images.rglob("*.png"))[:2],
    )
    assert printed.count("\n") == 4
    assert_quiet(errors, 1)


def test_verbosity_shows_what_is_held_back(trained_run):
    done = in_new_interpreter(
        *("-m", "alexnet_tf.evaluate", f"--checkpoint={trained_run}", "--verbosity=1")
    )
    _, errors = output_of(done)
    assert noise_of(errors)


def test_what_was_held_is_printed_if_an_import_fails():
    code = (
        "import os\n"
        "from alexnet_tf.runtime import log_noise\n"
        "with log_noise.held_back():\n"
        "    os.write(2, b'a library says why\\n')\n"
        "    import no_such_module\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "a library says why" in done.stderr
    assert "No module named 'no_such_module'" in done.stderr


def test_nothing_is_left_behind_after_a_block_without_errors():
    code = (
        "import os\n"
        "from alexnet_tf.runtime import log_noise\n"
        "with log_noise.held_back():\n"
        "    os.write(2, b'noise\\n')\n"
        "os.write(2, b'after\\n')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stderr == "after\n"
