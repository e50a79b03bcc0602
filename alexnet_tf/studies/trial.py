"""Puts the runs of a study together without training them.

    python -m alexnet_tf.studies.trial < questions.json > answers.json

A process of its own does it, because the study itself needs no TensorFlow. So whatever
`train` would refuse is found before the first training begins: unknown layers, a dataset
of another size, or weights that are not there.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import NamedTuple

from absl import flags

from alexnet_tf.runtime import errors, loading, log_noise, options
from alexnet_tf.training import train_options


class Length(NamedTuple):
    """How long a training is: its last step, and the steps of one pass."""

    last_step: int
    steps_per_epoch: int


def lengths_of(
    arguments: Sequence[Sequence[str]], *, evaluated: bool
) -> list[Length | str]:
    """Returns how long trainings are, or why `train` would refuse them.

    Args:
        arguments: of `python -m alexnet_tf.train`, for each training.
        evaluated: whether the dataset must have a split to evaluate on.

    Raises RuntimeError if the process that finds it out ends early.
    """
    question = json.dumps({"arguments": list(arguments), "evaluated": evaluated})
    done = subprocess.run(
        [sys.executable, "-m", __name__],
        input=question,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(
            f"the trainings could not be put together (status {done.returncode}); what "
            "is printed above says why"
        )
    answers = json.loads(done.stdout.splitlines()[-1])
    return [a if isinstance(a, str) else Length(*a) for a in answers]


def _length_of(arguments: Sequence[str], evaluated: bool) -> Length | str:
    import keras

    from alexnet_tf.models import devices
    from alexnet_tf.training import assembly, replication

    chosen = options.parse(train_options.TrainOptions, arguments)
    try:
        assembled = assembly.assemble(
            options.replace(chosen, precision=devices.precision(chosen.net.precision)),
            replication.connect(chosen.replicas.strategy),
        )
        if evaluated:
            _ = assembled.dataset.evaluation_split
        run = assembled.trainer
        return Length(run.last_step, run.steps_per_epoch)
    except (ValueError, OSError, RuntimeError) as error:
        return errors.one_line(error)
    finally:
        keras.backend.clear_session()


def main() -> None:
    """Answers one question on standard input."""
    loading.end_without_collecting()
    flags.FLAGS([""])
    question = json.loads(sys.stdin.read())
    first = options.parse(train_options.TrainOptions, question["arguments"][0])
    with loading.libraries():
        import tensorflow as tf

        from alexnet_tf.models import devices

        devices.configure(first.devices.logical_cpus, first.devices.logical_gpus)
        tf.config.list_physical_devices("GPU")  # CUDA prints if it finds none
    log_noise.show_only_own_messages()
    tf.config.experimental.enable_op_determinism()
    answers = [
        _length_of(each, question["evaluated"]) for each in question["arguments"]
    ]
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
