"""TODO."""

import contextlib
import dataclasses
import math
import sys
from collections.abc import Sequence

import tensorflow as tf

from alexnet_tf.models import devices
from alexnet_tf.runtime import lock, options
from alexnet_tf.training import replication, run_log, trainer


def main(flags: options.Config, arguments: Sequence[str]) -> None:
    options.refuse_arguments(arguments)
    devices.configure(flags.logical_cpus, flags.logical_gpus, flags.logical_gpu_mib)
    tf.config.experimental.enable_op_determinism()
    precision = devices.precision(flags.precision)
    devices.allow_tf32(precision == "tf32")
    flags = dataclasses.replace(flags, precision=precision)
    replicas = replication.connect(flags.strategy)
    with contextlib.ExitStack() as held, replicas.watched():
        if flags.overfit_one_batch:
            steps = trainer.Training(flags, replicas).overfit_one_batch()
            print(f"the first batch is learnt: {steps} steps")
            return
        folder = lock.exclusive(flags.run_dir, "choose another --run_dir")
        replicas.from_chief(lambda: held.enter_context(folder))
        training = trainer.Training(flags, replicas)
        replicas.agree(
            options.defining(flags)
            | {
                "last_step": training.last_step,
                "pictures": training.dataset.digest(),
                # What they do together besides steps.
                "resume": flags.resume,
                "checkpoint_steps": flags.checkpoint_steps,
            },
            "give all workers the same flags and pictures",
        )
        replicas.from_chief(lambda: trainer.settle(flags))
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
        log = run_log.Log if replicas.is_chief else run_log.NoLog
        training.run(log(flags.run_dir, training.step))
    best = training.best_error
    validated = (
        f"; least validation top-1 error {best:.2f} %" if best < math.inf else ""
    )
    print(f"{flags.run_dir}: step {training.step} of {training.last_step}{validated}")


if __name__ == "__main__":
    options.run("train", main)
