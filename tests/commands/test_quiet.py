"""Every command is quiet: what it does, a progress bar, results, and nothing else."""

import os
import re
import subprocess
import sys

import pytest

# What TensorFlow, TFDS and absl print of their own accord.
NOISE = (
    r"\.cc:\d+\]|\.py:\d+\]|absl::InitializeLog|oneDNN|cuda|CUDA|TF_ENABLE|rebuild "
    r"TensorFlow|Fingerprint|WARNING|Warning|^[IWEF]\d{4}"
)


def run(*arguments, **environment):
    """(standard output, lines of standard error) of a command that succeeds."""
    # Without what silences TensorFlow's log in some environments.
    clean = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(
        [sys.executable, "-m", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=clean | environment,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout, re.split(r"[\r\n]+", done.stderr.strip())


def beside_bars(lines):
    """The lines that are not of a progress bar; TFDS has bars without a total."""
    bar = r"\d+%\||examples \[|^\s*(\x1b\[A)?$"
    return [line for line in lines if not re.search(bar, line)]


def assert_quiet(lines, most):
    assert not [line for line in lines if re.search(NOISE, line)]
    assert len(beside_bars(lines)) <= most, lines


@pytest.fixture
def images(tmp_path):
    from tests.conftest import write_noisy_images

    write_noisy_images(tmp_path / "images", each=20)
    return tmp_path / "images"


@pytest.mark.parametrize("workers", [1, 2])
def test_preparing_a_folder_is_quiet(images, tmp_path, workers):
    printed, lines = run(
        *("alexnet_tf.prepare", f"--source=folder:{images}", "--size=8"),
        *(f"--output={tmp_path / 'data'}", f"--workers={workers}"),
    )
    assert printed.count("\n") == 4  # classes, two splits, what was written
    assert_quiet(lines, 1)


def test_preparing_a_tfds_dataset_is_quiet(tmp_path):
    printed, lines = run(
        *("alexnet_tf.prepare", "--size=8", f"--data_dir={tmp_path}", "--verify"),
    )
    assert printed.count("\n") == 4
    assert_quiet(lines, 1)


def test_training_is_quiet(small_dataset, tmp_path):
    printed, lines = run(
        *("alexnet_tf.train", f"--dataset={small_dataset.path}"),
        *(f"--run_dir={tmp_path}", "--architecture=cifar10_11pct", "--max_steps=3"),
        *("--batch_size=8", "--log_steps=1"),
    )
    assert printed.count("\n") == 1
    assert_quiet(lines, 1)


def test_evaluating_is_quiet(trained_run):
    printed, lines = run("alexnet_tf.evaluate", f"--checkpoint={trained_run}")
    assert printed.count("\n") == 4  # what was evaluated, and the table, without top-5
    assert_quiet(lines, 2)


def test_checking_gradients_is_quiet():
    printed, lines = run("alexnet_tf.check_gradients", "--architecture=cifar10_13pct")
    assert printed.count("\n") == 14  # what was checked, the columns, and 12 layers
    assert_quiet(lines, 0)


def test_computing_features_is_quiet(trained_run, images, tmp_path):
    printed, lines = run(
        *("alexnet_tf.features", f"--checkpoint={trained_run}", "--layer=fc10"),
        *(f"--images={images}", f"--output={tmp_path / 'f.npz'}"),
    )
    assert printed.count("\n") == 1
    assert_quiet(lines, 1)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("format", ["saved_model", "keras", "tflite", "onnx"])
def test_exporting_is_quiet(trained_run, tmp_path, format):
    printed, lines = run(
        *("alexnet_tf.export", f"--checkpoint={trained_run}", f"--output={tmp_path}"),
        f"--format={format}",
    )
    assert printed.count("\n") == 1
    assert_quiet(lines, 2)  # the checkpoint, and whose normalization the export has


def test_checking_an_export_is_quiet(exported):
    printed, lines = run("alexnet_tf.export", f"--check={exported}")
    assert printed.count("\n") == 1
    assert_quiet(lines, 1)


def test_predicting_is_quiet(exported, images):
    printed, lines = run(
        *("alexnet_tf.predict", f"--model={exported}", "--top=1"),
        *sorted(images.rglob("*.png"))[:2],
    )
    assert printed.count("\n") == 4
    assert_quiet(lines, 1)


def test_verbosity_shows_what_is_held_back(trained_run):
    _, lines = run(
        "alexnet_tf.evaluate", f"--checkpoint={trained_run}", "--verbosity=1"
    )
    assert [line for line in lines if re.search(NOISE, line)]


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
