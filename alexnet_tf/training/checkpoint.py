"""Saves the checkpoints of a run and restores them.

A checkpoint holds, by name, every weight and its velocity, the step, and the loop's
state as JSON. Everything else (order, crops, color noise, dropout masks) is a function
of the seed and the step. Names do not depend on devices, so a checkpoint that was saved
on one device can be restored on two.

    RUN/checkpoints/step-200.index ...    the newest, `keep` of them
    RUN/best/step-100.index ...           the one with the least validation error
"""

import json
import os
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf
from absl import logging

from alexnet_tf.models import checkpoint_files
from alexnet_tf.runtime import errors


class Checkpoints:
    """Saves and restores one run in `run_dir`.

    Attributes:
        run_dir: the run folder.
        variables: the weights and velocities that are saved.
    """

    def __init__(
        self,
        run_dir: str | os.PathLike[str],
        model: keras.Model,
        velocities: Sequence[tf.Variable],
        keep: int = 2,
    ):
        self.run_dir = pathlib.Path(run_dir)
        self._keep = keep
        self._model = model
        weights = checkpoint_files.weights_by_path(model)
        self.variables = [*weights.values(), *velocities]
        with tf.device("/CPU:0"):
            self._step = tf.Variable(0, dtype=tf.int64)
            self._state = tf.Variable("{}", dtype=tf.string)
        self._saved = tf.train.Checkpoint(
            weights=weights,
            velocities=dict(zip(weights, velocities, strict=True)),
            step=self._step,
            state=self._state,
        )

    def save(
        self, step: int, state: Mapping[str, Any], folder: str = checkpoint_files.NEWEST
    ) -> str:
        """Writes a checkpoint, then removes the oldest ones; returns its prefix.

        Raises CheckpointError if it cannot be written, for example because the disk is
        full; earlier checkpoints stay.
        """
        self._step.assign(step)
        self._state.assign(json.dumps(state))
        parent = self.run_dir / folder
        parent.mkdir(parents=True, exist_ok=True)
        prefix = str(parent / f"step-{step}")
        for left in parent.glob("step-*_temp"):  # by a kill during a write
            shutil.rmtree(left, ignore_errors=True)
        try:
            # The index is written last and then renamed, which makes the checkpoint
            # whole.
            self._saved.write(prefix)
        except tf.errors.OpError as error:
            checkpoint_files.remove_checkpoint(prefix)
            last = checkpoint_files.newest_checkpoint(
                self.run_dir / checkpoint_files.NEWEST
            )
            raise checkpoint_files.CheckpointError(
                f"cannot write checkpoint {prefix} ({errors.first_line(error)}); the run can be "
                f"resumed from {last or 'its start'}: free the disk, then --resume"
            ) from error
        for old in checkpoint_files.list_checkpoints(parent)[
            : -(1 if folder == checkpoint_files.BEST else self._keep)
        ]:
            checkpoint_files.remove_checkpoint(old)
        return prefix

    def restore(self) -> tuple[int, dict[str, Any]] | None:
        """Restores the newest whole checkpoint; returns (step, state), or None if none.

        Broken checkpoints are skipped with a warning that names them and the one that
        is restored. They are renamed to `step-200.index.broken`, so that they are not
        taken for the newest again. Raises CheckpointError if a checkpoint is of another
        net, or if all are broken.
        """
        found = checkpoint_files.list_checkpoints(
            self.run_dir / checkpoint_files.NEWEST
        )
        broken: dict[str, str] = {}
        for prefix in reversed(found):
            try:
                checkpoint_files.check_same_net(prefix, self._model)
                self._saved.read(prefix).assert_consumed()
            except checkpoint_files.UNREADABLE as error:
                broken[prefix] = errors.first_line(error)
                continue
            except AssertionError as error:
                raise checkpoint_files.CheckpointError(
                    f"checkpoint {prefix} is of another net: {errors.first_line(error)}"
                ) from error
            for bad, why in broken.items():
                logging.warning("%s is broken (%s): going on from %s", bad, why, prefix)
                for file in checkpoint_files.files_of(bad):
                    file.rename(f"{file}.broken")
            return int(self._step), json.loads(self._state.numpy())
        if found:
            raise checkpoint_files.CheckpointError(
                f"no checkpoint in {self.run_dir / checkpoint_files.NEWEST} can be read: "
                + ", ".join(f"{prefix} ({why})" for prefix, why in broken.items())
            )
        return None
