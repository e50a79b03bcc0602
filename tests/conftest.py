"""Small images and datasets that many tests share.

The process that starts the workers of pytest-xdist reads this file too. Therefore the
fixtures import what imports TensorFlow.
"""

import fcntl
import functools
import gc
import os
import shutil

import numpy as np
import pytest
from PIL import Image


def pytest_configure():
    gc.disable()


def pytest_collection_finish():
    """Spares the garbage collector what is there until the end, TensorFlow above all.

    A process with all tests would look through it for half a second again and again.
    """
    gc.freeze()
    gc.enable()


def pytest_unconfigure():
    gc.freeze()


def write_noisy_images(root, classes=3, each=6, size=(40, 36)):
    """Writes one folder per class of noisy images; their brightness shows the class."""
    rng = np.random.default_rng(0)
    for label in range(classes):
        folder = root / f"class{label}"
        folder.mkdir(parents=True)
        for number in range(each):
            noise = rng.integers(0, 60, (size[1], size[0], 3))
            pixels = (noise + 60 * label).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """Returns the folder of a name, filled by the worker of pytest-xdist that comes first.

    Tests that write into it would disturb the other workers.
    """
    common = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        common = common.parent

    def folder_of(name, fill):
        folder, done = common / "made_once" / name, common / f"made_once.{name}"
        with open(f"{done}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                fill(folder)
                done.touch()
        return folder

    return folder_of


@pytest.fixture(scope="session")
def small_dataset(made_once):
    """32-pixel images of 3 classes, prepared: 24 for training, 12 for validation."""
    from alexnet_tf.data import preparation, prepared_dataset, sources

    def fill(folder):
        write_noisy_images(folder / "images/train", each=8)
        write_noisy_images(folder / "images/validation", each=4)
        source = sources.open_source(f"folder:{folder / 'images'}")
        preparation.prepare_dataset(source, folder / "small", size=32, encoding="raw")

    return prepared_dataset.read_description(made_once("dataset", fill) / "small")


@pytest.fixture(scope="session")
def trained_once(small_dataset, made_once):
    """The run folder that `trained_run` and `exported` are made of."""
    from tests.support import runs

    def fill(folder):
        runs.train(
            runs.train_options_of(
                small_dataset,
                folder / "trained",
                # Twice of it is unstable: there a rounding decides whether the loss
                # explodes.
                learning_rate=0.0015,
                epochs=30.0,
                validation="end",
                color_noise="none",
                log_steps=10,
                checkpoint_steps=1000,
            )
        )

    return made_once("run", fill) / "trained"


@pytest.fixture(scope="session")
def trained_run(trained_once, tmp_path_factory):
    """A run folder of the CIFAR-10 net, trained a little on the small images."""
    return shutil.copytree(trained_once, tmp_path_factory.mktemp("runs") / "trained")


@pytest.fixture(scope="session")
def exported(trained_once, made_once, tmp_path_factory):
    """Version 1 of the trained run, as the command writes it."""
    from tests.support import commands

    def fill(folder):
        done = commands.run(
            "export", f"--checkpoint={trained_once}", f"--output={folder}"
        )
        assert done.returncode == 0, done.stderr[-3000:]
        assert done.stdout.strip() == str(folder / "1")

    made = made_once("export", fill)
    return shutil.copytree(made, tmp_path_factory.mktemp("export") / "one") / "1"


@pytest.fixture(scope="module")
def loaded_once():
    """Keeps each export that a test file loads, which takes longer than what it answers.

    The tests must not change the files of one that has been loaded.
    """
    import tensorflow as tf

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tf.saved_model, "load", functools.cache(tf.saved_model.load))
        yield


@pytest.fixture
def random_without_seeds(monkeypatch):
    """Keeps `train.main` from forbidding random operations to the tests that follow."""
    import tensorflow as tf

    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: None)
