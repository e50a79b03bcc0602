"""The user's environment and global settings do not change what commands do."""

import json
import os
import subprocess
import sys

import pytest

from tests.support import ROOT, runs

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


def run(name, *arguments, home=None, **environment):
    environment = os.environ | environment
    if home is not None:
        environment["HOME"] = str(home)
        environment.pop("KERAS_HOME", None)
    done = subprocess.run(
        [sys.executable, "-m", f"alexnet_tf.{name}", *arguments],
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
    for folder, where, environment in (
        ("plain", None, {}),
        ("settings", home, ENVIRONMENT),
    ):
        command = runs.train_command(small_dataset, tmp_path / folder, "--max_steps=3")
        run("train", *command[3:], home=where, **environment)
    assert runs.same_weights(tmp_path / "plain", tmp_path / "settings")


def test_evaluation_and_export_are_the_same_in_any_environment(
    trained_run, exported, tmp_path, home
):
    evaluated = (
        *("evaluate", f"--checkpoint={trained_run}", "--format=json"),
        "--precision=float32",
    )
    assert run(*evaluated) == run(*evaluated, home=home, **ENVIRONMENT)
    written = run(
        *("export", f"--checkpoint={trained_run}", f"--output={tmp_path / 'out'}"),
        home=home,
        **ENVIRONMENT,
    ).strip()
    image = str(ROOT / "tools/pictures/bag.png")
    answers = [
        run("predict", f"--model={model}", "--format=csv", image, **settings)
        for model, settings in ((exported, {}), (written, ENVIRONMENT))
    ]
    assert answers[0] == answers[1]


def test_keras_settings_that_keras_rejects_do_not_stop_a_command(
    trained_run, tmp_path, home
):
    """`import keras` alone would fail here."""
    (home / ".keras/keras.json").write_text('{"floatx": "int", "backend": 3}')
    run("evaluate", f"--checkpoint={trained_run}", home=home)
