"""The training loop.

    python -m alexnet_tf.train --flagfile=tools/paper.flags
    python -m alexnet_tf.train                      # the embedded pictures, a few minutes

Paper section 5: batches of 128, momentum 0.9, weight decay 0.0005. A run folder holds
`resolved.flags`, `log.jsonl`, TensorBoard's `train/` and `validation/`, `checkpoints/`
and `best/`.
"""

import contextlib
import math
import pathlib
import signal
from collections.abc import Iterator

import tensorflow as tf
from absl import logging

from alexnet_tf.data import input_pipeline, preparation, prepared_dataset
from alexnet_tf.evaluation import evaluator, metrics
from alexnet_tf.models import architecture, builder, checkpoint_files, layers, zoo
from alexnet_tf.runtime import options, progress
from alexnet_tf.training import (
    checkpoint,
    diagnostics,
    optimizer,
    replication,
    run_log,
    schedule,
    training_step,
)


class DivergedError(RuntimeError):
    """The loss is no number any more."""


class NotLearntError(RuntimeError):
    """The one batch of `--overfit_one_batch` is not known by heart."""


class _StoppedError(Exception):
    """A validation is given up: the process is to stop."""


def make_schedule(flags: options.Config) -> schedule.Schedule:
    """The schedule that the flags name."""
    initial = schedule.scaled_rate(
        flags.learning_rate,
        flags.rate_scaling,
        flags.batch_size / flags.reference_batch_size,
    )
    apart = flags.update == "code"
    bias_factor = 2.0 if apart else 1.0
    if flags.schedule == "plateau":
        return schedule.Plateau(
            initial,
            patience=flags.plateau_patience,
            gain=flags.plateau_gain,
            most_drops=flags.plateau_drops,
            bias_factor=bias_factor,
        )
    return schedule.Epochs(
        initial,
        flags.drop_epochs,
        bias_factor=bias_factor,
        bias_drops=(flags.bias_drop_epochs or None) if apart else None,
        conv1_drop=flags.conv1_drop_epoch,
        conv1_freeze=flags.conv1_freeze_epoch,
    )


class Training:
    """One run: what it consists of, and the loop over its steps."""

    def __init__(
        self, flags: options.Config, replicas: replication.Replicas | None = None
    ):
        net = zoo.find(flags.architecture)
        self.flags = flags
        self.replicas = replicas or replication.Replicas()
        self._rows = self.replicas.rows(flags.batch_size)
        self.dataset = self._dataset(net)
        self.architecture = net.with_classes(len(self.dataset.classes))
        self.validates = flags.validate_epochs >= 0
        if self.validates:
            self.evaluation_split = self.dataset.evaluation_split
        devices = self.replicas.tower_devices(flags.tower_devices, net.towers)
        self.where = ", ".join(devices) if devices else str(self.replicas)
        with self.replicas.scope():
            self.net = builder.build(
                self.architecture,
                mean=self.dataset.statistics().mean_crop(net.input_size),
                devices=devices,
                precision=flags.precision,
                initialization=flags.init,
                dropout=flags.dropout,
                lrn=flags.lrn,
                winograd=flags.winograd,
                seed=flags.seed,
            )
            variables = self.net.trainable_variables
            decay = None if flags.weight_decay < 0 else flags.weight_decay
            self.rule = optimizer.MomentumSGD(
                variables,
                optimizer.decays_of(self.architecture, variables, decay),
                flags.momentum,
                # What replicas exchange stays float32.
                layers.copied_kernels(self.net) if self.replicas.count == 1 else (),
            )
        self.evaluation = evaluator.Evaluation(self.net, ten_crop=False)
        self.schedule = make_schedule(flags)
        self.steps_per_epoch = input_pipeline.steps_per_epoch(
            self.dataset, flags.batch_size
        )
        self.last_step = flags.max_steps or math.ceil(
            flags.epochs * self.steps_per_epoch
        )
        self.checkpoints = checkpoint.Checkpoints(
            flags.run_dir, self.net, self.rule.velocities, flags.keep_checkpoints
        )
        self.step = 0
        self.best_error = math.inf
        self.validation_due = False
        self._stopped_by: int | None = None

    def _dataset(self, net: architecture.Architecture) -> prepared_dataset.Dataset:
        def find() -> prepared_dataset.Dataset:
            return preparation.find_or_prepare(
                self.flags.dataset,
                size=net.record_size,
                encoding=net.record_encoding,
                data_dir=self.flags.data_dir,
                manual_dir=self.flags.manual_dir,
            )

        # The first worker first: where the folder is shared, the others find its work.
        self.replicas.from_chief(lambda: str(find().path))
        return find()

    def batches(self) -> tf.data.Dataset:
        """The batches from this step to the last; of each, this process's rows."""
        flags = self.flags
        return input_pipeline.training_batches(
            self.dataset,
            input_pipeline.Recipe(
                flags.batch_size,
                self.architecture.input_size,
                flags.seed,
                flags.color_noise,
                flags.color_noise_end_epoch,
                flags.crop_sharing,
            ),
            first_step=self.step,
            last_step=self.last_step,
            rows=self._rows,
            damaged=flags.damaged_records,
        )

    def restore(self) -> bool:
        """Takes up the newest checkpoint of the run folder, if there is one."""
        found = self.replicas.from_chief(self.checkpoints.restore)
        if found is None:
            return False
        self.replicas.share(self.checkpoints.variables)
        self.rule.refresh()
        self.step, state = found
        if state["pictures"] != self.dataset.digest():
            raise ValueError(
                f"{self.flags.run_dir} was trained on other pictures than those now in "
                f"{self.dataset.path}: give the former, or choose another --run_dir"
            )
        self.best_error = state["best_error"]
        self.validation_due = state["validation_due"]
        self.schedule.restore(state["schedule"])
        for layer in self.net.layers:
            if isinstance(layer, layers.Dropout):
                layer.step.assign(self.step)
        return True

    def save(self, folder: str = checkpoint_files.NEWEST) -> str:
        """Writes a checkpoint, unless the weights are no numbers any more."""
        for variable in self.net.trainable_variables:
            if not bool(tf.reduce_all(tf.math.is_finite(variable.value))):
                raise self._diverged(f"{variable.path} is not finite")
        state = {
            "pictures": self.dataset.digest(),
            "best_error": self.best_error,
            "validation_due": self.validation_due,
            "schedule": self.schedule.state(),
        }
        return self.replicas.from_chief(
            lambda: self.checkpoints.save(self.step, state, folder)
        )

    def run(self, log: run_log.Log) -> None:
        """Trains from this step to the last, or to a signal."""
        with self._signals():
            # A validation that a signal left out comes first.
            stopping = self.validation_due and not self._validated(log)
            if not stopping and self.step < self.last_step:
                stopping = self._train(log)
            if not stopping:
                return
            prefix = self.save()
        by = self._stopped_by
        name = "another worker" if by is None else signal.Signals(by).name
        logging.warning("%s: stopped at step %d, saved %s", name, self.step, prefix)
        if by == signal.SIGINT:
            raise KeyboardInterrupt

    def _train(self, log: run_log.Log) -> bool:
        """The steps from this one to the last; True where a signal ends them."""
        flags = self.flags
        batches = self.batches()
        step_function = training_step.Step(self.net, self.rule, self.replicas).trace(
            batches
        )
        window = run_log.Window(flags.batch_size)
        flat = diagnostics.FlatLoss(self.architecture.classes, flags.flat_loss_steps)
        total = self.last_step * flags.batch_size
        done = self.step * flags.batch_size
        stopping = False
        with progress.bar(total, "training", "picture", done) as bar:
            for inputs, labels in batches:
                rates = self.schedule.rates(self.step / self.steps_per_epoch)
                result = step_function(inputs, labels, rates.tensors())
                window.add(result)
                self.step += 1
                bar.update(flags.batch_size)
                if self._stopped_by is not None:
                    self.replicas.ask_to_stop()
                stopping = self.replicas.stop_agreed(result)
                last = self.step == self.last_step or stopping
                if self.step % flags.log_steps == 0 or last:
                    steps = len(window)
                    means = window.close()
                    loss, error = means["loss"], means["top1_error"]
                    if not math.isfinite(loss):
                        raise self._diverged(f"the loss is {loss}")
                    log.write("train", self.step, rate=rates.weights, **means)
                    bar.set_postfix(loss=f"{loss:.3f}", top1_error=f"{error:.1f}%")
                    warning = flat.observe(steps, loss)
                    if warning:
                        logging.warning("step %d: %s", self.step, warning)
                with window.apart():
                    stopping = self._keep(log, stopping)
                if stopping:
                    break
        return stopping

    def _keep(self, log: run_log.Log, stopping: bool) -> bool:
        """What is due after this step: the weights' line, a validation, a checkpoint.

        Returns `stopping`, or True where a signal ends the validation. A validation
        that a signal leaves out is the first thing that the resumed run does.
        """
        flags, ended = self.flags, self.step == self.last_step

        def due(steps: int) -> bool:
            return ended or self.step % steps == 0

        if flags.weights_log_steps and due(flags.weights_log_steps):
            statistics = diagnostics.weight_statistics(
                self.net.trainable_variables, self.rule.velocities
            )
            log.write("weights", self.step, **statistics)
        every = max(1, round(flags.validate_epochs * self.steps_per_epoch))
        if not flags.validate_epochs:
            every = self.last_step
        self.validation_due = self.validates and due(every)
        if stopping:
            return True
        if self.validation_due:
            return not self._validated(log)
        if due(flags.checkpoint_steps):
            self.save()
        return False

    def overfit_one_batch(self) -> int:
        """Trains on the first batch alone until it is all right; returns the steps.

        A check of the whole machine, from records to update: nothing is written.
        Raises NotLearntError where the last step comes first.
        """
        if self.replicas.processes > 1:
            raise ValueError(
                "--overfit_one_batch is a check of one process: leave "
                "--strategy=multi_worker out"
            )
        inputs, labels = next(iter(self.batches()))
        batch = tf.data.Dataset.from_tensors((inputs, labels))
        step_function = training_step.Step(self.net, self.rule, self.replicas).trace(
            batch
        )
        error = 100.0
        with progress.bar(self.last_step, "overfitting one batch", "step") as bar:
            for step in range(1, self.last_step + 1):
                rates = self.schedule.rates(0.0)
                loss, *_ = step_function(inputs, labels, rates.tensors()).numpy()
                bar.update(1)
                if step % self.flags.log_steps and step != self.last_step:
                    continue
                logits = self.net(inputs, training=False)
                credit = tf.reduce_mean(metrics.credit(logits, labels, 1))
                error = 100 * (1 - float(credit))
                bar.set_postfix(loss=f"{loss:.3f}", top1_error=f"{error:.1f}%")
                if error == 0:
                    return step
        raise NotLearntError(
            f"the first batch of {self.flags.batch_size} pictures is not learnt: top-1 "
            f"error {error:.1f} % on it after {self.last_step} steps, expected 0. Give "
            "it more --max_steps, or another --learning_rate; if that "
            "does not help, the labels or the pictures are at fault"
        )

    def _validated(self, log: run_log.Log) -> bool:
        """Validates and saves; False where a signal to the chief ends it before."""

        def heed_signal() -> None:
            if self._stopped_by is not None:
                raise _StoppedError

        def measure() -> dict[str, float] | None:
            with contextlib.suppress(_StoppedError):
                return self.evaluation(
                    self.dataset,
                    self.evaluation_split,
                    crop=self.architecture.input_size,
                    batch_size=self.flags.batch_size,
                    damaged=self.flags.damaged_records,
                    each_batch=heed_signal,
                )["center_crop"]
            return None

        results = self.replicas.from_chief(measure)
        if results is None:
            return False
        self.validation_due = False
        log.write("validation", self.step, **results)
        if self.schedule.observe(results["top1_error"]):
            progress.say(f"step {self.step}: learning rate divided by ten")
        if results["top1_error"] < self.best_error:
            self.best_error = results["top1_error"]
            self.save(checkpoint_files.BEST)
        self.save()
        return True

    def _diverged(self, what: str) -> DivergedError:
        folder = pathlib.Path(self.flags.run_dir) / checkpoint_files.NEWEST
        return DivergedError(
            f"step {self.step}: {what}; the last good checkpoint is "
            f"{checkpoint_files.newest(folder) or 'none'}. Try a lower --learning_rate"
        )

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGTERM (a preemption) and Ctrl-C end the loop after the step at hand."""

        def stop(number, frame):
            del frame
            self._stopped_by = number

        kinds = (signal.SIGTERM, signal.SIGINT)
        before = [signal.signal(kind, stop) for kind in kinds]
        try:
            yield
        finally:
            for kind, handler in zip(kinds, before, strict=True):
                signal.signal(kind, handler)


def settle(flags: options.Config) -> None:
    """Checks the flags against what is in the run folder, and leaves them there."""
    path = pathlib.Path(flags.run_dir) / "resolved.flags"
    if path.exists():
        if not flags.resume:
            raise ValueError(
                f"{flags.run_dir} holds a run already: continue it with --resume, or "
                "choose another --run_dir"
            )
        before = options.defining(options.read(path, "train"))
        for name, now in options.defining(flags).items():
            if before[name] != now:
                raise ValueError(
                    f"{flags.run_dir} was started with --{name}={before[name]}, now "
                    f"it is {now}: give the same, or choose another --run_dir"
                )
    path.parent.mkdir(parents=True, exist_ok=True)
    options.write(path, "train", flags)
