"""The user's environment and global settings do not change what commands do."""

import json
import os
import subprocess
import sys

import pytest

from tests.support import ROOT, programs, runs

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


# Does what the commands do, but imports TensorFlow once.
PROGRAM = """
import sys
from absl import flags
from alexnet_tf.runtime import command, options
command._pin_environment()
flags.FLAGS(sys.argv[:1])
from alexnet_tf import evaluate, export, predict, train
from alexnet_tf.training import train_options
dataset, run, image = sys.argv[1:]

def call(command, *arguments, **given):
    chosen = options.replace(command.OPTIONS(), **given)
    if command is train:
        chosen = train_options.complete(chosen, set(given))
    command.main(chosen, arguments)

call(train, dataset=dataset, run_dir=run, architecture="cifar10_11pct",
     precision="float32", batch_size=8, max_steps=3)
call(evaluate, checkpoint=run, format="json", precision="float32")
call(export, checkpoint=run)
call(predict, image, model=run + "/export", format="csv")
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


def test_a_run_its_evaluation_and_its_export_are_the_same_in_any_environment(
    small_dataset, tmp_path, home
):
    one, two = tmp_path / "one", tmp_path / "two"
    image = ROOT / "tools/pictures/bag.png"
    plain = programs.run("-c", PROGRAM, small_dataset.path, one, image)
    assert plain.returncode == 0, plain.stderr[-3000:]
    printed = in_any_environment(home, "-c", PROGRAM, small_dataset.path, two, image)
    assert runs.same_weights(one, two)
    assert printed.replace(str(two), str(one)) == plain.stdout
    assert '"top1_error"' in printed
    assert "bag.png,1,class" in printed


def test_keras_settings_that_keras_rejects_do_not_stop_a_command(trained_run, home):
    """`import keras` alone would fail here; this is the command itself."""
    (home / ".keras/keras.json").write_text('{"floatx": "int", "backend": 3}')
    evaluate = ("-m", "alexnet_tf.evaluate", f"--checkpoint={trained_run}")
    in_any_environment(home, *evaluate)
