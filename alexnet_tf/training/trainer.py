"""The training loop.

    python -m alexnet_tf.train --flagfile=tools/paper.flags
    python -m alexnet_tf.train                      # the embedded pictures, a few minutes

Paper section 5: batches of 128, momentum 0.9, weight decay 0.0005. A run folder holds
`resolved.flags`, `log.jsonl`, TensorBoard's `train/` and `validation/`, `checkpoints/`
and `best/`.
"""

import contextlib
import dataclasses
import json
import math
import os
import pathlib
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from alexnet_tf import (
    architecture,
    checkpoint,
    config,
    data,
    diagnosis,
    distributed,
    evaluate,
    files,
    layers,
    lock,
    model,
    optimizer,
    prepare,
    progress,
    records,
    schedule,
    towers,
)


class DivergedError(RuntimeError):
    """The loss is no number any more."""


class NotLearntError(RuntimeError):
    """The one batch of `--overfit_one_batch` is not known by heart."""


class _StoppedError(Exception):
    """A validation is given up: the process is to stop."""


@dataclasses.dataclass(frozen=True)
class Step:
    """One training step, traced once: batch in, loss, top-1 error and vote out."""

    net: keras.Model
    rule: optimizer.MomentumSGD
    replicas: distributed.Replicas = dataclasses.field(
        default_factory=distributed.Replicas
    )

    def trace(self, batches: tf.data.Dataset) -> tf.types.experimental.ConcreteFunction:
        """The step for batches of this form: (inputs, labels, rates) -> [3] float32.

        Means over the global batch, and over the processes whether to stop.
        """
        inputs, labels = batches.element_spec
        rate = tf.TensorSpec([], tf.float32)
        return tf.function(self._everywhere).get_concrete_function(
            inputs, labels, schedule.Rates(rate, rate, rate)
        )

    def _everywhere(self, inputs, labels, rates):
        return self.replicas.run(self._step, (inputs, labels), rates)

    def _step(self, batch, rates):
        inputs, labels = batch
        with layers.reading_copies(self.rule.copies):
            logits = tf.cast(self.net(inputs, training=True), tf.float32)
        loss = tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        )
        read = [self.rule.copies.get(v.path, v) for v in self.net.trainable_variables]
        gradients = towers.colocated_gradients(loss, read)
        error = 100 * (1 - tf.reduce_mean(evaluate.credit(logits, labels, 1)))
        statistics = tf.stack([loss, error, self.replicas.vote()])
        *gradients, statistics = self.replicas.mean([*gradients, statistics])
        self.rule.apply(gradients, rates)
        return statistics


def make_schedule(flags: config.Config) -> schedule.Schedule:
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
        self, flags: config.Config, replicas: distributed.Replicas | None = None
    ):
        net = architecture.find(flags.architecture)
        self.flags = flags
        self.replicas = replicas or distributed.Replicas()
        self._rows = self.replicas.rows(flags.batch_size)
        self.dataset = self._dataset(net)
        self.architecture = net.with_classes(len(self.dataset.classes))
        self.validates = flags.validate_epochs >= 0
        if self.validates:
            self.evaluation_split = self.dataset.evaluation_split
        devices = self.replicas.tower_devices(flags.tower_devices, net.towers)
        self.where = ", ".join(devices) if devices else str(self.replicas)
        with self.replicas.scope():
            self.net = model.build(
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
        self.evaluation = evaluate.Evaluation(self.net, ten_crop=False)
        self.schedule = make_schedule(flags)
        self.steps_per_epoch = data.steps_per_epoch(self.dataset, flags.batch_size)
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

    def _dataset(self, net: architecture.Architecture) -> records.Dataset:
        def find() -> records.Dataset:
            return prepare.find_or_prepare(
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
        return data.training_batches(
            self.dataset,
            data.Recipe(
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

    def save(self, folder: str = checkpoint.NEWEST) -> str:
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

    def run(self, log: "Log") -> None:
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

    def _train(self, log: "Log") -> bool:
        """The steps from this one to the last; True where a signal ends them."""
        flags = self.flags
        batches = self.batches()
        step_function = Step(self.net, self.rule, self.replicas).trace(batches)
        window = Window(flags.batch_size)
        flat = diagnosis.FlatLoss(self.architecture.classes, flags.flat_loss_steps)
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

    def _keep(self, log: "Log", stopping: bool) -> bool:
        """What is due after this step: the weights' line, a validation, a checkpoint.

        Returns `stopping`, or True where a signal ends the validation. A validation
        that a signal leaves out is the first thing that the resumed run does.
        """
        flags, ended = self.flags, self.step == self.last_step

        def due(steps: int) -> bool:
            return ended or self.step % steps == 0

        if flags.weights_log_steps and due(flags.weights_log_steps):
            statistics = diagnosis.weight_statistics(
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
        step_function = Step(self.net, self.rule, self.replicas).trace(batch)
        error = 100.0
        with progress.bar(self.last_step, "overfitting one batch", "step") as bar:
            for step in range(1, self.last_step + 1):
                rates = self.schedule.rates(0.0)
                loss, *_ = step_function(inputs, labels, rates.tensors()).numpy()
                bar.update(1)
                if step % self.flags.log_steps and step != self.last_step:
                    continue
                logits = self.net(inputs, training=False)
                credit = tf.reduce_mean(evaluate.credit(logits, labels, 1))
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

    def _validated(self, log: "Log") -> bool:
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
            self.save(checkpoint.BEST)
        self.save()
        return True

    def _diverged(self, what: str) -> DivergedError:
        folder = pathlib.Path(self.flags.run_dir) / checkpoint.NEWEST
        return DivergedError(
            f"step {self.step}: {what}; the last good checkpoint is "
            f"{checkpoint.newest(folder) or 'none'}. Try a lower --learning_rate"
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


class Window:
    """The steps between two lines of the log: their means, and their rate."""

    def __init__(self, batch_size: int):
        self._batch_size = batch_size
        self._open()

    def _open(self) -> None:
        self._results: list[tf.Tensor] = []
        self._since, self._apart_s = time.monotonic(), 0.0

    def __len__(self) -> int:
        return len(self._results)

    def add(self, result: tf.Tensor) -> None:
        self._results.append(result)

    @contextlib.contextmanager
    def apart(self) -> Iterator[None]:
        """What is no part of the rate: validation, checkpoints."""
        start = time.monotonic()
        yield
        self._apart_s += time.monotonic() - start

    def close(self) -> dict[str, float]:
        """The means since the window was opened; opens the next."""
        loss, error, _ = np.mean([result.numpy() for result in self._results], axis=0)
        seconds = time.monotonic() - self._since - self._apart_s
        rate = len(self) * self._batch_size / seconds
        self._open()
        return {
            "loss": float(loss),
            "top1_error": float(error),
            "pictures_per_s": rate,
        }


class Log:
    """`log.jsonl`, a line a record, and TensorBoard's event files, alike."""

    def __init__(self, run_dir: str | os.PathLike[str], step: int):
        """Continues the log of a run at `step`: lines from after it are dropped."""
        self._run_dir = pathlib.Path(run_dir)
        self._path = self._run_dir / "log.jsonl"
        kept = []
        if self._path.exists():
            for line in self._path.read_text().splitlines():
                with contextlib.suppress(json.JSONDecodeError):  # cut off by a kill
                    if json.loads(line)["step"] <= step:
                        kept.append(line + "\n")
        files.write_text(self._path, "".join(kept))
        self._writers: dict[str, Any] = {}

    def write(self, kind: str, step: int, **values: float) -> None:
        """One record of `kind`, train or validation."""
        with self._path.open("a") as file:
            file.write(json.dumps({"kind": kind, "step": step, **values}) + "\n")
        if kind not in self._writers:
            self._writers[kind] = tf.summary.create_file_writer(
                str(self._run_dir / kind)
            )
        with tf.device("/CPU:0"), self._writers[kind].as_default(step=step):
            for name, value in values.items():
                tf.summary.scalar(name, value)
        self._writers[kind].flush()


class NoLog(Log):
    """What a worker writes that does not speak for all."""

    def __init__(self, run_dir: str | os.PathLike[str], step: int):
        del run_dir, step

    def write(self, kind: str, step: int, **values: float) -> None:
        del kind, step, values


def settle(flags: config.Config) -> None:
    """Checks the flags against what is in the run folder, and leaves them there."""
    path = pathlib.Path(flags.run_dir) / "resolved.flags"
    if path.exists():
        if not flags.resume:
            raise ValueError(
                f"{flags.run_dir} holds a run already: continue it with --resume, or "
                "choose another --run_dir"
            )
        before = config.defining(config.read(path, "train"))
        for name, now in config.defining(flags).items():
            if before[name] != now:
                raise ValueError(
                    f"{flags.run_dir} was started with --{name}={before[name]}, now "
                    f"it is {now}: give the same, or choose another --run_dir"
                )
    path.parent.mkdir(parents=True, exist_ok=True)
    config.write(path, "train", flags)


def main(flags: config.Config, arguments: Sequence[str]) -> None:
    config.refuse_arguments(arguments)
    towers.configure(flags.logical_cpus, flags.logical_gpus, flags.logical_gpu_mib)
    tf.config.experimental.enable_op_determinism()
    precision = towers.precision(flags.precision)
    towers.allow_tf32(precision == "tf32")
    flags = dataclasses.replace(flags, precision=precision)
    replicas = distributed.connect(flags.strategy)
    with contextlib.ExitStack() as held, replicas.watched():
        if flags.overfit_one_batch:
            steps = Training(flags, replicas).overfit_one_batch()
            print(f"the first batch is learnt: {steps} steps")
            return
        folder = lock.exclusive(flags.run_dir, "choose another --run_dir")
        replicas.from_chief(lambda: held.enter_context(folder))
        training = Training(flags, replicas)
        replicas.agree(
            config.defining(flags)
            | {
                "last_step": training.last_step,
                "pictures": training.dataset.digest(),
                # What they do together besides steps.
                "resume": flags.resume,
                "checkpoint_steps": flags.checkpoint_steps,
            },
            "give all workers the same flags and pictures",
        )
        replicas.from_chief(lambda: settle(flags))
        resumed = training.restore() if flags.resume else False
        each = f" ({flags.batch_size // replicas.count} a replica)"
        print(
            f"{flags.architecture} in {flags.precision} on {training.where}; "
            f"{training.dataset.path}; batches of {flags.batch_size}"
            f"{each if replicas.count > 1 else ''}, first rate "
            f"{training.schedule.rates(0.0).weights:g}; step {training.step} to {training.last_step}"
            f"{' (resumed)' if resumed else ''}; run folder {flags.run_dir}",
            file=sys.stderr,
        )
        log = Log if replicas.is_chief else NoLog
        training.run(log(flags.run_dir, training.step))
    best = training.best_error
    validated = (
        f"; least validation top-1 error {best:.2f} %" if best < math.inf else ""
    )
    print(f"{flags.run_dir}: step {training.step} of {training.last_step}{validated}")


if __name__ == "__main__":
    config.run("train", main)
