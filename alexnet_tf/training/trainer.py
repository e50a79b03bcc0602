"""The loop over the steps of a run: logging, validation, checkpoints and stopping.

Paper, section 5. `assembly.py` puts together the parts that a run consists of.
"""

import contextlib
import dataclasses
import math
import signal
from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras
import tensorflow as tf
from absl import logging

from alexnet_tf.models import checkpoint_files, checkpoint_weights, layers
from alexnet_tf.runtime import progress
from alexnet_tf.training import (
    checkpoint,
    diagnostics,
    optimizer,
    replication,
    run_log,
    run_state,
    schedule,
    schedule_changes,
    stop_signals,
    training_step,
    validation_images,
)


class DivergedError(RuntimeError):
    """The loss or a weight became NaN or infinite."""


class _StoppedError(Exception):
    """A validation was abandoned because the process was asked to stop."""


# Measures the errors of the center crop on the validation split. It calls its argument
# after every batch; an exception that this raises ends the validation.
Validation = Callable[[Callable[[], None]], dict[str, float]]


@dataclasses.dataclass(frozen=True)
class Cadence:
    """How often a run logs, saves and validates, in steps.

    Attributes:
        log: steps between lines of the log.
        checkpoint: steps between checkpoints, besides those at validations and at the
            end.
        validation: steps between validations; there is another one at the end.
        weights: steps between log lines on each layer's weights and updates.
        flat_loss: steps with a loss near ln(classes) before a warning.
    """

    log: int = 10
    checkpoint: int = 1000
    validation: int = 1000
    weights: int = 100
    flat_loss: int = 300


class ScheduleChange(NamedTuple):
    """A schedule that takes the place of another one in the middle of a run.

    Attributes:
        step: the first step that it gives the learning rates of.
        schedule: the new one.
        options: what changed, for the log.
    """

    step: int
    schedule: schedule.Schedule
    options: Sequence[schedule_changes.Change]


@dataclasses.dataclass
class Trainer:
    """One run, and the loop over its steps.

    Attributes:
        net: a model of the input pipeline's inputs to logits.
        rule: updates its weights.
        schedule: gives the learning rates.
        batches: returns the batches of steps `first` to `last` - 1.
        validation: measures the validation errors; None if the run has no validations.
        validation_split: the split that it measures them on, for the log.
        checkpoints: saves and restores the run.
        batch_size: images per step, of all replicas together.
        steps_per_epoch, last_step: of this run.
        cadence: how often the run logs, saves and validates.
        replicas: the copies of the net that train together.
        changes: all changes of the schedule in the run, in the order of their steps.
        look: finds what TensorBoard shows at every validation; None shows nothing.
        state: the state of the run besides its weights.
    """

    net: keras.Model
    rule: optimizer.MomentumSGD
    schedule: schedule.Schedule
    batches: Callable[[int, int], tf.data.Dataset]
    validation: Validation | None
    checkpoints: checkpoint.Checkpoints
    batch_size: int
    steps_per_epoch: int
    last_step: int
    cadence: Cadence = dataclasses.field(default_factory=Cadence)
    replicas: replication.Replicas = dataclasses.field(
        default_factory=replication.Replicas
    )
    changes: Sequence[ScheduleChange] = ()
    look: Callable[[], validation_images.Shown] | None = None
    validation_split: str = "validation"
    state: run_state.RunState = dataclasses.field(default_factory=run_state.RunState)

    def restore(self) -> bool:
        """Continues from the newest checkpoint of the run; False if there is none.

        Raises CheckpointError as `Checkpoints.restore` does, if the checkpoint lacks a
        part of the state, and if its steps include changes of the schedule that are not
        known.
        """
        found = self.replicas.from_chief(self.checkpoints.restore)
        if found is None:
            return False
        self.replicas.share(self.checkpoints.variables)
        layers.refresh_kernel_copies(self.net)
        step, saved = found
        try:
            self.state = run_state.RunState.restored(step, saved)
        except KeyError as error:
            raise checkpoint_files.CheckpointError(
                f"the checkpoint of step {step} in {self.checkpoints.run_dir} is damaged: "
                f"it does not have {error.args[0]!r} of the run. Remove its files, so that "
                "--resume goes on from the one before"
            ) from error
        if self.state.changes > len(self.changes):
            raise checkpoint_files.CheckpointError(
                f"the schedule of {self.checkpoints.run_dir} was changed "
                f"{self.state.changes} times before step {step}, and "
                f"{schedule_changes.FILE} there has {len(self.changes)} of these "
                "changes: restore that file, or choose another --run_dir"
            )
        for change in self.changes[: self.state.changes]:
            self.schedule = change.schedule
        self.schedule.restore(saved["schedule"])
        layers.set_dropout_step(self.net, step)
        return True

    def save(self, folder: str = checkpoint_files.NEWEST) -> str:
        """Writes a checkpoint and returns its prefix.

        Raises DivergedError, and writes nothing, if a weight is NaN or infinite.
        """
        for variable in self.net.trainable_variables:
            if not bool(tf.reduce_all(tf.math.is_finite(variable.value))):
                raise self._diverged(f"{variable.path} is NaN or infinite")
        saved = {
            **self.state.saved(),
            "schedule": self.schedule.state(),
        }
        return self.replicas.from_chief(
            lambda: self.checkpoints.save(self.state.step, saved, folder)
        )

    def _save(self, log: run_log.Log, folder: str = checkpoint_files.NEWEST) -> str:
        """Writes a checkpoint as `save` does, after the log of its steps."""
        log.sync()
        return self.save(folder)

    def run(self, log: run_log.Log) -> None:
        """Trains from this step to the last, or until a signal asks to stop.

        Raises:
            DivergedError: the loss or a weight became NaN or infinite.
            KeyboardInterrupt: Ctrl-C was typed; the run has been saved.
        """
        with stop_signals.StopSignals() as signals:
            # A validation that a signal prevented comes first.
            stopping = self.state.validation_due and not self._validate(log, signals)
            if not stopping:
                self._change_schedule(log)
            if not stopping and self.state.step < self.last_step:
                stopping = self._train(log, signals)
            if not stopping:
                return
            prefix = self._save(log)
        received = signals.received
        by = "another worker" if received is None else signal.Signals(received).name
        logging.warning("%s: stopped at step %d, saved %s", by, self.state.step, prefix)
        if received == signal.SIGINT:
            raise KeyboardInterrupt("--resume continues the run")

    def _train(self, log: run_log.Log, signals: stop_signals.StopSignals) -> bool:
        """Takes the steps from this one to the last; True if a signal stops them."""
        batches = self.batches(self.state.step, self.last_step)
        step = training_step.Step(self.net, self.rule, self.replicas).trace(batches)
        window = run_log.Window(self.batch_size)
        classes = self.net.output_shape[-1]
        flat = diagnostics.FlatLoss(classes, self.cadence.flat_loss)
        total, done = (n * self.batch_size for n in (self.last_step, self.state.step))
        with progress.bar(total, "training", "image", done) as bar:
            for inputs, labels in batches:
                self._change_schedule(log)
                learning_rates = self.schedule.learning_rates(self._epoch)
                result = step(inputs, labels, learning_rates.tensors())
                window.add(result)
                self.state.step += 1
                self.state.error = None
                bar.update(self.batch_size)
                if signals.received is not None:
                    self.replicas.ask_to_stop()
                stopping = self.replicas.stop_agreed(result)
                if self._is_due(self.cadence.log) or stopping:
                    self._log_window(log, window, flat, learning_rates, bar)
                with window.apart():
                    stopping = self._keep(log, signals, stopping)
                if stopping:
                    return True
        return False

    def _change_schedule(self, log: run_log.Log) -> None:
        """Makes the changes of the schedule that hold from the next step on.

        They come after a validation of the present step, which belongs to the schedule
        that was trained with.
        """
        for change in self.changes[self.state.changes :]:
            if change.step > self.state.step:
                return
            before = self.schedule.learning_rates(self._epoch).weights
            change.schedule.take_over(self.schedule)
            self.schedule = change.schedule
            self.state.changes += 1
            after = self.schedule.learning_rates(self._epoch).weights
            for option in change.options:
                log.write_change(option)
            progress.say(
                f"step {self.state.step}: {', '.join(map(str, change.options))}; the "
                f"learning rate was {before:g} and is {after:g}"
            )

    @property
    def _epoch(self) -> float:
        """How many passes over the training split are done."""
        return self.state.step / self.steps_per_epoch

    def _is_due(self, steps: int) -> bool:
        """Whether something that is done every `steps` steps and at the end is due."""
        return self.state.step == self.last_step or self.state.step % steps == 0

    def _log_window(self, log, window, flat, learning_rates, bar) -> None:
        """Writes and shows the means of the steps since the previous line."""
        steps = len(window)
        means = window.close()
        loss, error = means["loss"], means["top1_error"]
        if not math.isfinite(loss):
            raise self._diverged(f"the loss is {loss}")
        log.write(
            "train",
            self.state.step,
            epoch=self._epoch,
            learning_rate=learning_rates.weights,
            **means,
        )
        bar.set_postfix(loss=f"{loss:.3f}", top1_error=f"{error:.1f}%")
        warning = flat.observe(steps, loss)
        if warning:
            logging.warning("step %d: %s", self.state.step, warning)

    def _keep(
        self, log: run_log.Log, signals: stop_signals.StopSignals, stopping: bool
    ) -> bool:
        """Logs the weights, validates, or saves a checkpoint, if that is due.

        Returns `stopping`, or True if a signal ends the validation. If a signal
        prevents a validation, the resumed run validates first.
        """
        if self._is_due(self.cadence.weights):
            statistics = diagnostics.weight_statistics(
                checkpoint_weights.weights_of(self.net), self.rule.velocities_by_path
            )
            # ReLU may hide a NaN from the loss: max(NaN, 0) is 0.
            for what, value in statistics.items():
                if not math.isfinite(value):
                    raise self._diverged(f"the mean of {what} is {value}")
            log.write("weights", self.state.step, **statistics)
        self.state.validation_due = self.validation is not None and self._is_due(
            self.cadence.validation
        )
        if stopping:
            return True
        if self.state.validation_due:
            return not self._validate(log, signals)
        if self._is_due(self.cadence.checkpoint):
            self._save(log)
        return False

    def _validate(self, log: run_log.Log, signals: stop_signals.StopSignals) -> bool:
        """Validates and saves; returns False if a signal to the chief stops it."""
        results = self.replicas.from_chief(lambda: self._measure(signals))
        if results is None:
            return False
        self.state.validation_due = False
        self.state.error = error = results["top1_error"]
        measured = {"split": self.validation_split, "epoch": self._epoch, **results}
        log.write("validation", self.state.step, **measured)
        # A validation that is due only because the run ends here must not change a
        # run that is extended.
        in_turn = self.state.step % self.cadence.validation == 0
        if in_turn and self.schedule.observe(error):
            progress.say(f"step {self.state.step}: learning rate divided by ten")
        if error < self.state.best_error:
            self.state.best_error = error
            self._save(log, checkpoint_files.BEST)
        self._save(log)
        if self.look is not None:  # at a net that is finite, or it would not be saved
            log.write_images(self.state.step, self.look)
        return True

    def _measure(self, signals: stop_signals.StopSignals) -> dict[str, float] | None:
        """Measures the validation errors; returns None if a signal stops that."""

        def heed_signal() -> None:
            if signals.received is not None:
                raise _StoppedError

        assert self.validation is not None
        with contextlib.suppress(_StoppedError):
            return self.validation(heed_signal)
        return None

    def _diverged(self, what: str) -> DivergedError:
        folder = self.checkpoints.run_dir / checkpoint_files.NEWEST
        last = checkpoint_files.newest_checkpoint(folder)
        return DivergedError(
            f"step {self.state.step}: {what}; the last good checkpoint is "
            f"{last or 'none'}. Try a lower --learning_rate"
        )
