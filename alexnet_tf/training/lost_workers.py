"""Explains TensorFlow's errors about a worker that is gone."""

import re

import tensorflow as tf

from alexnet_tf.runtime import errors

# What TensorFlow raises in the remaining workers.
ERRORS = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
    tf.errors.UnavailableError,
)


class LostWorkerError(RuntimeError):
    """A process of the cluster is gone, and the others cannot continue."""


def explanation(error: Exception, *, own_task: str, processes: int) -> LostWorkerError:
    """Returns an error that names the lost worker and what to do.

    Args:
        error: one of `ERRORS`.
        own_task: this process's own task, such as "worker 0".
        processes: the number of processes in the cluster.
    """
    task = _other_task(str(error), own_task)
    if task:
        what = (
            f"{task} of {processes} was lost or stopped with an error. Read its output"
        )
    else:
        what = (
            f"this worker or another of the {processes} failed: "
            f"{errors.first_line(error)}. Read the output of the others"
        )
    return LostWorkerError(f"{what}, then start all workers again with --resume")


def _other_task(text: str, own_task: str) -> str | None:
    """The first task besides `own_task` that a text names, such as "worker 1"."""
    named = re.findall(r"/job:(\w+)(?:/replica:\d+)?/task:(\d+)", text)
    return next((t for t in map(" ".join, named) if t != own_task), None)
