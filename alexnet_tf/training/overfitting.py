"""Checks the whole pipeline: a net must be able to learn one batch by heart."""

import tensorflow as tf

from alexnet_tf.evaluation import metrics
from alexnet_tf.runtime import progress
from alexnet_tf.training import trainer, training_step


class NotLearnedError(RuntimeError):
    """The net did not learn the one batch of `--overfit_one_batch`."""


def overfit_one_batch(run: trainer.Trainer) -> int:
    """Trains on the first batch alone until every image is right; returns the steps.

    This uses everything from the records to the update, and writes nothing.

    Raises:
        NotLearnedError: some images are still wrong at the last step of the run.
        ValueError: several processes train together.
    """
    if run.replicas.processes > 1:
        raise ValueError(
            "--overfit_one_batch is a check of one process: leave "
            "--strategy=multi_worker out"
        )
    inputs, labels = next(iter(run.batches(0, run.last_step)))
    batch = tf.data.Dataset.from_tensors((inputs, labels))
    step = training_step.Step(run.net, run.rule, run.replicas).trace(batch)
    learning_rates = run.schedule.learning_rates(0.0).tensors()
    error = 100.0
    with progress.bar(run.last_step, "overfitting one batch", "step") as bar:
        for number in range(1, run.last_step + 1):
            loss, *_ = step(inputs, labels, learning_rates).numpy()
            bar.update(1)
            if number % run.cadence.log and number != run.last_step:
                continue
            logits = run.net(inputs, training=False)
            credit = tf.reduce_mean(metrics.credit(logits, labels, 1))
            error = 100 * (1 - float(credit))
            bar.set_postfix(loss=f"{loss:.3f}", top1_error=f"{error:.1f}%")
            if error == 0:
                return number
    raise NotLearnedError(
        f"the first batch of {run.batch_size} images is not learned: its top-1 error is "
        f"{error:.1f} % after {run.last_step} steps, expected 0. Give it more "
        "--max_steps, or another --learning_rate; if that does not help, the labels or "
        "the images are wrong"
    )
