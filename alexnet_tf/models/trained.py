"""A trained net, restored from its run folder."""

import dataclasses
import pathlib
from collections.abc import Sequence

import keras

from alexnet_tf.data import preparation, prepared_dataset
from alexnet_tf.models import architecture as architectures
from alexnet_tf.models import builder, checkpoint_files, devices, zoo
from alexnet_tf.runtime import options


@dataclasses.dataclass(frozen=True)
class Restored:
    """What a checkpoint is, taken up again."""

    run_dir: pathlib.Path
    prefix: str
    architecture: architectures.Architecture
    dataset: prepared_dataset.Dataset
    net: keras.Model


def restore(
    which: str,
    *,
    precision: devices.Precision = "float32",
    tower_devices: Sequence[str] | None = None,
    stock: bool = False,
    with_preprocessing: bool = True,
) -> Restored:
    """The net of a run folder's newest checkpoint, or of one checkpoint.

    Args:
        which: as `--checkpoint`.
        precision, tower_devices: as the flags; no devices leave placement open.
        stock: TensorFlow's own operations only, uncompiled: what a server runs.
        with_preprocessing: True for a model of bytes to logits, as it was trained;
            False for a model of finished images to probabilities.
    """
    run_dir, prefix = checkpoint_files.locate(which)
    run = options.read(run_dir / "resolved.flags", "train")
    net = zoo.find(run.architecture)
    dataset = preparation.find_or_prepare(
        run.dataset,
        size=net.record_size,
        encoding=net.record_encoding,
        data_dir=run.data_dir,
    )
    net = net.with_classes(len(dataset.classes))
    mean = dataset.statistics().mean_crop(net.input_size)
    restored = builder.build(
        net,
        mean=mean if with_preprocessing else None,
        devices=tower_devices and devices.resolve(tower_devices, net.towers),
        precision=devices.precision(precision),
        dropout=run.dropout,
        lrn="stock" if stock else run.lrn,
        jit=not stock,
        classifier_activation=None if with_preprocessing else "softmax",
    )
    checkpoint_files.load_weights(prefix, restored)
    return Restored(run_dir, prefix, net, dataset, restored)
