"""The user's environment and global settings do not change what commands do."""

import json
import os
import subprocess
import sys

import pytest

from tests.support import ROOT, commands, programs, runs

# Each of them broke a command, or changed its numbers.
ENVIRONMENT = {
    "KERAS_BACKEND": "torch",
    "TF_FUNCTION_JIT_COMPILE_DEFAULT": "1",
    "TF_USE_LEGACY_KERAS": "1",
    "TF_CONFIG": "{broken",  # read with --strategy=multi_worker only
    "TF_CPP_MIN_LOG_LEVEL": "loud",
    "OMP_NUM_THREADS": "many",
    "CUDA_VISIBLE_DEVICES": "none",
    "PYTHONIOENCODING": "ascii",
    "LC_ALL": "C",
    "TZ": "Nowhere/Nothing",
    "COLUMNS": "few",
    "NO_COLOR": "1",
    "SLURM_PROCID": "zero",
}
KERAS_JSON = {
    "backend": "jax",
    "image_data_format": "channels_first",
    "floatx": "float16",
    "epsilon": 0.5,
}


# Evaluates, exports and predicts as the commands do, but imports TensorFlow once.
PROGRAM = """
import sys
from absl import flags
from alexnet_tf.runtime import command, options
command._pin_environment()
flags.FLAGS(sys.argv[:1])
from alexnet_tf import evaluate, export, predict
run, folder, image = sys.argv[1:]

def call(command, *arguments, **given):
    command.main(options.replace(command.OPTIONS(), **given), arguments)

call(evaluate, checkpoint=run, format="json", precision="float32")
call(export, checkpoint=run, output=folder)
call(predict, image, model=folder, format="csv")
"""


def in_any_environment(home, *arguments):
    """The output of a new interpreter with all those settings, if it succeeds."""
    environment = os.environ | ENVIRONMENT | {"HOME": str(home)}
    environment.pop("KERAS_HOME", None)
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture
def home(tmp_path):
    (tmp_path / "home/.keras").mkdir(parents=True)
    (tmp_path / "home/.keras/keras.json").write_text(json.dumps(KERAS_JSON))
    return tmp_path / "home"


def test_training_gives_the_same_bits_in_any_environment(small_dataset, tmp_path, home):
    plain, settings = (
        runs.train_flags(small_dataset, tmp_path / folder, "--max_steps=3")
        for folder in ("plain", "settings")
    )
    done = commands.run("train", *plain)
    assert done.returncode == 0, done.stderr[-3000:]
    in_any_environment(home, "-m", "alexnet_tf.train", *settings)
    assert runs.same_weights(tmp_path / "plain", tmp_path / "settings")


def test_evaluation_and_export_are_the_same_in_any_environment(
    trained_run, tmp_path, home
):
    image = ROOT / "tools/pictures/bag.png"
    plain = programs.run("-c", PROGRAM, trained_run, tmp_path / "one", image)
    assert plain.returncode == 0, plain.stderr[-3000:]
    printed = in_any_environment(
        home, "-c", PROGRAM, trained_run, tmp_path / "two", image
    )
    assert printed.replace(str(tmp_path / "two"), str(tmp_path / "one")) == plain.stdout
    assert '"top1_error"' in printed
    assert "bag.png,1,class" in printed


def test_keras_settings_that_keras_rejects_do_not_stop_a_command(trained_run, home):
    """`import keras` alone would fail here."""
    (home / ".keras/keras.json").write_text('{"floatx": "int", "backend": 3}')
    evaluate = ("-m", "alexnet_tf.evaluate", f"--checkpoint={trained_run}")
    in_any_environment(home, *evaluate)
