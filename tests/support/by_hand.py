"""A net of two layers whose outputs can be worked out by hand, and its images.

Every image gets the same logits, because the kernel of the first layer is 0. Its bias
is what dropout scales: with the original convention the second layer sees [1, 1], with
the inverted one [2, 2].
"""

import numpy as np
import tensorflow as tf
from PIL import Image

from alexnet_tf.data import preparation, sources
from alexnet_tf.models import architecture, builder, trained
from alexnet_tf.training import checkpoint

NET = architecture.Architecture(
    name="by_hand",
    description="two dense layers with dropout between them",
    input_size=4,
    record_size=6,
    towers=1,
    layers=(
        architecture.Dense("fc1", units=2),
        architecture.Relu(),
        architecture.Dropout(),
        architecture.Dense("fc2", units=7),
    ),
)

# A description of it, for what only records which net it is of.
TRAINED = trained.TrainedNet(
    NET,
    tuple(f"c{number}" for number in range(7)),
    np.full((4, 4, 3), 100, np.float32),
    "original",
    "float32",
    "/nowhere",
    "0",
)

# c0's logit comes from the hidden units alone, those of the others from their biases.
# c4 and c5 tie for the fifth place.
LOGITS = {
    "original": np.array([1.0, 1.5, 1.2, 0.8, 0.5, 0.5, 0.2]),
    "inverted": np.array([2.0, 1.5, 1.2, 0.8, 0.5, 0.5, 0.2]),
}
# How many validation images each class has.
COUNTS = (3, 1, 1, 1, 1, 2, 1)


def probabilities(dropout):
    exponents = np.exp(LOGITS[dropout])
    return exponents / exponents.sum()


def write_dataset(folder):
    """Prepares images of 7 classes, `COUNTS` of them for validation."""
    for split, counts in (("train", [2] * 7), ("validation", COUNTS)):
        for label, count in enumerate(counts):
            path = folder / "images" / split / f"c{label}"
            path.mkdir(parents=True)
            for number in range(count):
                color = (30 * label, 20 * number, 90)
                Image.new("RGB", (8, 6), color).save(path / f"{number}.png")
    source = sources.open_source(f"folder:{folder / 'images'}")
    return preparation.prepare_dataset(
        source, folder / "prepared", size=6, encoding="raw"
    )


def write_run(run_dir, dataset, dropout):
    """Writes a run folder of the net with its checkpoint; returns the run folder."""
    described = trained.TrainedNet(
        NET,
        dataset.classes,
        np.full((4, 4, 3), 100, np.float32),
        dropout,
        "float32",
        str(dataset.path),
        dataset.digest(),
    )
    run_dir.mkdir()
    trained.write_trained_net(run_dir, described)
    model = builder.build(NET, mean=described.mean, dropout=dropout)
    of_units = np.zeros((2, 7), np.float32)
    of_units[:, 0] = 0.5
    biases = LOGITS["original"].astype(np.float32) * (np.arange(7) > 0)
    for variable in model.trainable_variables:
        value = {
            "fc1/kernel": np.zeros(variable.shape),
            "fc1/bias": np.full(2, 2.0),
            "fc2/kernel": of_units,
            "fc2/bias": biases,
        }[variable.path]
        variable.assign(value)
    velocities = [tf.Variable(tf.zeros(v.shape)) for v in model.trainable_variables]
    checkpoint.Checkpoints(run_dir, model, velocities, described).save(3, {})
    return run_dir
