"""Runs that take seconds, and the contents of run folders, for tests of training."""

import dataclasses
import json
import pathlib
import sys

import numpy as np
import tensorflow as tf

from alexnet_tf.models import builder, checkpoint_files, trained, zoo
from alexnet_tf.runtime import options
from alexnet_tf.training import (
    assembly,
    checkpoint,
    resuming,
    run_folder,
    run_log,
    train_options,
)
from tests.support import nets


def train_options_of(dataset, run_dir, **changes):
    """Options of a short run: the CIFAR-10 net on a prepared dataset of 32 pixels.

    `changes` are other options by name.
    """
    chosen = {
        "dataset": str(dataset.path),
        "run_dir": str(run_dir),
        "architecture": "cifar10_11pct",
        "precision": "float32",
        "batch_size": 8,
        "learning_rate": 0.001,
        "epochs": 2.0,
        "drop_epochs": (),
        "log_steps": 1,
        "checkpoint_steps": 1,
        "log_images": False,  # which takes longer than such a run's steps
        **changes,
    }
    net = zoo.find(chosen["architecture"])
    conventions = {"init": net.initialization, "dropout": net.dropout}
    return options.replace(train_options.TrainOptions(), **conventions | chosen)


def tiny_options_of(dataset, run_dir, **changes):
    """Like `train_options_of`, for `nets.TINY`, but only in the tests of training."""
    chosen = {"architecture": nets.TINY.name, **changes}
    return train_options_of(dataset, run_dir, **chosen)


def trainer_of(chosen, replicas=None, **cadence):
    """Returns the trainer of a run without recording the run in its folder.

    `cadence` sets the attributes of `trainer.Cadence` that no option sets.
    """
    run = assembly.assemble(chosen, replicas).trainer
    run.cadence = dataclasses.replace(run.cadence, **cadence)
    return run


def record(chosen):
    """Records a run in its folder, as the command does before the first step."""
    run_folder.record_run(chosen, assembly.assemble(chosen).trained)


def train(chosen, *, resume=False, schedule=None, **cadence):
    """Records and trains in this process; returns the trainer."""
    assembled = assembly.assemble(chosen)
    run = assembled.trainer
    run.cadence = dataclasses.replace(run.cadence, **cadence)
    if schedule is not None:
        run.schedule = schedule
    run_folder.record_run(options.replace(chosen, resume=resume), assembled.trained)
    if resume:
        assert run.restore()
    run.run(run_log.Log(chosen.run.run_dir, run.state.step))
    return run


def resume(run_dir, *, errors=None, **given):
    """Continues a run as `--resume` with the `given` options does; returns the trainer.

    `errors`, if given, maps steps to the top-1 errors that validations find there.
    """
    chosen = options.replace(
        train_options.TrainOptions(), run_dir=str(run_dir), resume=True, **given
    )
    return begin(train_options.complete(chosen, {"resume", *given}), errors=errors)


def begin(chosen, *, errors=None):
    """Begins or continues a run as the command does; returns the trainer."""
    run_folder.check_options(chosen)
    assembled = assembly.assemble(chosen)
    run = assembled.trainer
    if errors is not None:
        run.validation = lambda each_batch: {"top1_error": errors[run.state.step]}
    resuming.begin_or_resume(chosen, assembled, run.replicas)
    run.run(run_log.Log(chosen.run.run_dir, run.state.step))
    return run


def log_of(run_dir, kind="train"):
    """The log's records of one kind, without a line that is still being written."""
    log = pathlib.Path(run_dir) / "log.jsonl"
    lines = log.read_text().splitlines(keepends=True) if log.exists() else []
    records = [json.loads(line) for line in lines if line.endswith("\n")]
    return [record for record in records if record["kind"] == kind]


def weights(run_dir):
    """The newest checkpoint's weights and velocities, by name."""
    reader = tf.train.load_checkpoint(
        checkpoint_files.newest_checkpoint(pathlib.Path(run_dir) / "checkpoints")
    )
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if name.startswith(("weights", "velocities"))
    }


def same_weights(one, other):
    """Whether the weights and velocities in two run folders are bit-equal."""
    ours, theirs = weights(one), weights(other)
    assert ours.keys() == theirs.keys()
    return all(np.array_equal(ours[name], theirs[name]) for name in ours)


def train_command(dataset, run_dir, *more):
    """The command line of a run like that of `train_options_of`, with `more` flags."""
    flags = train_flags(dataset, run_dir, *more)
    return [sys.executable, "-m", "alexnet_tf.train", *flags]


def train_flags(dataset, run_dir, *more):
    """The flags of a run like that of `train_options_of`, and `more`."""
    return [
        f"--dataset={dataset.path}",
        f"--run_dir={run_dir}",
        "--architecture=cifar10_11pct",
        "--precision=float32",
        "--batch_size=8",
        "--learning_rate=0.001",
        "--checkpoint_steps=1",
        "--log_steps=1",
        *more,
    ]


def write_untrained(run_dir, architecture, seed=1, **described):
    """Writes a run folder of a net with its initial weights; returns the folder.

    `described` are other attributes of its `trained.TrainedNet`.
    """
    side = architecture.input_size
    chosen = {
        "class_names": tuple(f"class{n}" for n in range(architecture.classes)),
        "mean": np.full((side, side, 3), 100, np.float32),
        "dropout": architecture.dropout,
        "precision": "float32",
        "dataset_path": None,
        "dataset_digest": None,
    }
    net = trained.TrainedNet(architecture=architecture, **chosen | described)
    model = builder.build(architecture, seed=seed)
    velocities = [tf.Variable(tf.zeros(v.shape)) for v in model.trainable_variables]
    run_dir.mkdir()
    trained.write_trained_net(run_dir, net)
    checkpoint.Checkpoints(run_dir, model, velocities, net).save(1, {})
    return run_dir
