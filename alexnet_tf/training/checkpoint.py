"""Saves the checkpoints of a run and restores them.

A checkpoint holds, by name, every weight and its velocity, the step, and as JSON the
loop's state and what net it is of. Everything else (order, crops, color noise, dropout
masks) is a function of the seed and the step. Names do not depend on devices, so a
checkpoint that was saved on one device can be restored on two.

    RUN/checkpoints/step-200.index ...    the newest, `keep` of them
    RUN/best/step-100.index ...           the one with the least validation error

A checkpoint is written into a temporary folder beside its place. Its files are renamed
one by one when they are on the disk, the index last, and only then are older
checkpoints removed. So there is at every moment a whole checkpoint, also after a power
failure.
"""

import contextlib
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf
from absl import logging

from alexnet_tf.models import checkpoint_files, checkpoint_weights, trained
from alexnet_tf.runtime import errors, files


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
        net: trained.TrainedNet,
        keep: int = 2,
    ):
        """Keeps the checkpoints of `model`, which is `net`; they record which net it is.

        `velocities` are those of the model's trainable variables, in their order.
        """
        self.run_dir = pathlib.Path(run_dir)
        self._net = net
        self._keep = keep
        self._model = model
        weights = checkpoint_weights.weights_by_path(model)
        learning = [variable.path for variable in model.trainable_variables]
        self.variables = [*weights.values(), *velocities]
        with tf.device("/CPU:0"):
            self._step = tf.Variable(0, dtype=tf.int64)
            self._state = tf.Variable("{}", dtype=tf.string)
        self._saved = tf.train.Checkpoint(
            weights=weights,
            velocities=dict(zip(learning, velocities, strict=True)),
            step=self._step,
            state=self._state,
        )

    def save(
        self, step: int, state: Mapping[str, Any], folder: str = checkpoint_files.NEWEST
    ) -> str:
        """Writes a checkpoint, then removes the oldest ones; returns its prefix.

        Raises CheckpointError if it cannot be written, for example because the disk is
        full; earlier checkpoints stay, also the one of the same step.
        """
        self._step.assign(step)
        self._state.assign(json.dumps({**state, "net": trained.identity(self._net)}))
        parent = self.run_dir / folder
        try:
            files.make_folder(parent)
            checkpoint_files.remove_unfinished(parent)
            prefix = self._write(parent, step)
        except (tf.errors.OpError, OSError) as error:
            with contextlib.suppress(OSError):  # the disk is full, or broken
                checkpoint_files.remove_unfinished(parent)
            last = checkpoint_files.newest_checkpoint(
                self.run_dir / checkpoint_files.NEWEST
            )
            raise checkpoint_files.CheckpointError(
                f"cannot write checkpoint {parent / f'step-{step}'} "
                f"({errors.first_line(error)}); the run can be resumed from "
                f"{last or 'its start'}: free the disk, then --resume"
            ) from error
        self._remove_older(prefix, 1 if folder == checkpoint_files.BEST else self._keep)
        return prefix

    def _write(self, parent: pathlib.Path, step: int) -> str:
        name = checkpoint_files.unused_name(parent, step)
        with files.aside(parent / name) as temporary:
            temporary.mkdir()
            self._saved.write(str(temporary / name))
            index, *data = checkpoint_files.files_of(temporary / name)
            for file in (*data, index):
                files.move(file, parent / file.name)
        return str(parent / name)

    def _remove_older(self, prefix: str, keep: int) -> None:
        """Removes all but `keep` checkpoints, of which `prefix` is one."""
        step = checkpoint_files.step_of(prefix)
        found = checkpoint_files.list_checkpoints(pathlib.Path(prefix).parent)
        others = [p for p in found if checkpoint_files.step_of(p) != step]
        kept = {prefix, *others[max(0, len(others) - (keep - 1)) :]}
        for old in (p for p in found if p not in kept):
            try:
                checkpoint_files.remove_checkpoint(old)
            except OSError as error:  # the next save tries again
                logging.warning("cannot remove the older checkpoint %s: %s", old, error)

    def restore(self) -> tuple[int, dict[str, Any]] | None:
        """Restores the newest whole checkpoint; returns (step, state), or None if none.

        Broken checkpoints are skipped with a warning that names them and the one that
        is restored. They are renamed to `step-200.index.broken`, so that they are not
        taken for the newest again. Raises CheckpointError if a checkpoint is of another
        net or another run, or if all are broken.
        """
        found = checkpoint_files.list_checkpoints(
            self.run_dir / checkpoint_files.NEWEST
        )
        broken: dict[str, str] = {}
        for prefix in reversed(found):
            try:
                checkpoint_weights.check_same_net(prefix, self._model)
                trained.check_identity(prefix, self._net)
                self._saved.read(prefix).assert_consumed()
            except checkpoint_weights.UNREADABLE as error:
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
            state = json.loads(self._state.numpy())
            state.pop("net", None)
            return int(self._step), state
        if found:
            raise checkpoint_files.CheckpointError(
                f"no checkpoint in {self.run_dir / checkpoint_files.NEWEST} can be read: "
                + ", ".join(f"{prefix} ({why})" for prefix, why in broken.items())
            )
        return None
