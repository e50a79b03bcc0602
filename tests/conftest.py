"""Small images and datasets that many tests share.

The process that starts the workers of pytest-xdist reads this file too. Therefore the
fixtures import what imports TensorFlow.
"""

import numpy as np
import pytest
from PIL import Image


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
def small_dataset(tmp_path_factory):
    """32-pixel images of 3 classes, prepared: 24 for training, 12 for validation."""
    from alexnet_tf.data import preparation, sources

    root = tmp_path_factory.mktemp("images")
    write_noisy_images(root / "train", each=8)
    write_noisy_images(root / "validation", each=4)
    source = sources.open_source(f"folder:{root}")
    return preparation.prepare_dataset(
        source, tmp_path_factory.mktemp("data") / "small", size=32, encoding="raw"
    )


@pytest.fixture(scope="session")
def trained_run(small_dataset, tmp_path_factory):
    """A run folder of the CIFAR-10 net, trained a little on the small images."""
    from tests.support import runs

    run_dir = tmp_path_factory.mktemp("runs") / "trained"
    runs.train(
        runs.train_options_of(
            small_dataset,
            run_dir,
            # Twice of it is unstable: there a rounding decides whether the loss explodes.
            learning_rate=0.0015,
            epochs=30.0,
            validation="end",
            color_noise="none",
            log_steps=10,
            checkpoint_steps=1000,
        )
    )
    return run_dir


@pytest.fixture(scope="session")
def exported(trained_run, tmp_path_factory):
    """Version 1 of the trained run, as the command writes it."""
    from tests.support import commands

    folder = tmp_path_factory.mktemp("export")
    done = commands.run("export", f"--checkpoint={trained_run}", f"--output={folder}")
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip() == str(folder / "1")
    return folder / "1"
