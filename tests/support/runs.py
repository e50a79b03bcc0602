"""What a run folder holds, for tests that compare runs."""

import json
import pathlib

import tensorflow as tf

from alexnet_tf.models import checkpoint_files


def log_of(run_dir, kind="train"):
    """The log's records of one kind; a line that is still being written is none."""
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
