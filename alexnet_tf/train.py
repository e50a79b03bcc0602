"""Trains a net on a prepared dataset, or resumes a run.

    python -m alexnet_tf.train                      # the embedded images, a few minutes
    python -m alexnet_tf.train --flagfile=tools/paper.flags --run_dir=runs/paper
    python -m alexnet_tf.train --run_dir=runs/mine --resume

The run folder holds the trained net (model.json, mean.npy, checkpoints/, best/), its
options (resolved.flags), what it was computed with (environment.json), and its log
(log.jsonl, and train/, validation/ and weights/ for TensorBoard). The last line names
the newest and the best checkpoint, each with its validation error.
"""

import contextlib
import os
import sys
from collections.abc import Sequence

from alexnet_tf.models import checkpoint_files
from alexnet_tf.runtime import command, loading, lock, options, suggestions
from alexnet_tf.training import train_options
from alexnet_tf.training.train_options import TrainOptions

OPTIONS = TrainOptions


def main(chosen: TrainOptions, arguments: Sequence[str]) -> None:
    options.refuse_arguments(arguments, "--dataset=folder:")
    if chosen.run.overfit_one_batch and chosen.run.resume:
        raise ValueError(
            "--overfit_one_batch begins with new weights and --resume with those of a "
            "run: leave one of them out"
        )
    if chosen.run.resume:
        _note_a_new_run(chosen)
    with loading.libraries():
        import tensorflow as tf

        from alexnet_tf.models import devices
        from alexnet_tf.training import assembly, overfitting, replication

        devices.configure(chosen.devices.logical_cpus, chosen.devices.logical_gpus)
    tf.config.experimental.enable_op_determinism()
    precision = devices.precision(chosen.net.precision)
    devices.allow_tf32(precision == "tf32")
    weights = chosen.start.weights
    chosen = options.replace(
        chosen, precision=precision, weights=weights and os.path.abspath(weights)
    )
    replicas = replication.connect(chosen.replicas.strategy)
    with contextlib.ExitStack() as held, replicas.watched():
        if chosen.run.overfit_one_batch:
            train_options.refuse_unread_options(chosen)
            run = assembly.assemble(chosen, replicas).trainer
            steps = overfitting.overfit_one_batch(run)
            print(f"the first batch is learned: {steps} steps")
            return
        folder = lock.exclusive(chosen.run.run_dir, "choose another --run_dir")
        replicas.from_chief(lambda: held.enter_context(folder))
        _train(chosen, replicas)


def _note_a_new_run(chosen: TrainOptions) -> None:
    """Says that there is nothing to resume, before a dataset is prepared for hours.

    If no other option is given, the folder is perhaps mistyped.
    """
    folder = chosen.run.run_dir
    if checkpoint_files.newest_checkpoint(
        os.path.join(folder, checkpoint_files.NEWEST)
    ):
        return
    given = options.values_of(chosen, changeable=False)
    meant = ""
    if given == options.values_of(TrainOptions(), changeable=False):
        meant = suggestions.did_you_mean_path(folder, folders_only=True)
    print(
        f"{folder} has no checkpoint to resume: the run begins here{meant}",
        file=sys.stderr,
    )


def _train(chosen: TrainOptions, replicas) -> None:
    """Trains the whole run; this process holds the lock of its folder."""
    from alexnet_tf.ops import library
    from alexnet_tf.training import assembly, resuming, run_folder, run_log

    # First, because preparing a dataset may take hours.
    replicas.from_chief(lambda: run_folder.check_options(chosen))
    assembled = assembly.assemble(chosen, replicas)
    started_from = assembled.trained.started_from
    chosen, run = assembled.options, assembled.trainer
    replicas.agree(
        options.values_of(chosen, changeable=False)
        | {
            "last_step": run.last_step,
            "dataset digest": assembled.trained.dataset_digest,
            "weights digest": started_from and started_from.digest,
            # Replicas that round in different ways would drift apart.
            "normalization": assembled.trained.normalization,
            "op library": "absent" if library.error else "present",
            # Besides the steps, the workers do the following together.
            "resume": chosen.run.resume,
            "checkpoint_steps": chosen.run.checkpoint_steps,
        },
        "give all workers the same flags and images",
    )
    resumed = resuming.begin_or_resume(chosen, assembled, replicas)
    per_replica = f" ({run.batch_size // replicas.count} per replica)"
    print(
        f"training {assembled.trained.architecture.name} in {chosen.net.precision} on "
        f"{assembled.devices}: {assembled.dataset.path}, batches of {run.batch_size}"
        f"{per_replica if replicas.count > 1 else ''}, step {run.state.step} to "
        f"{run.last_step}{' (resumed)' if resumed else ''}, run folder "
        f"{chosen.run.run_dir}",
        file=sys.stderr,
    )
    if started_from and assembled.taken and not resumed:
        print(f"weights of {started_from.path}: {assembled.taken}", file=sys.stderr)
        for note in assembled.taken.notes:
            print(f"note: {note}", file=sys.stderr)
    log = run_log.Log if replicas.is_chief else run_log.NoLog
    run.run(log(chosen.run.run_dir, run.state.step))
    done = f"{chosen.run.run_dir}: step {run.state.step} of {run.last_step}"
    found = run_folder.results(chosen.run.run_dir) if replicas.is_chief else []
    print("; ".join([done, *found]))


if __name__ == "__main__":
    command.run_command("train", OPTIONS, main, __doc__, train_options.complete)
