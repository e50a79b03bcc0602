"""Replicas of the whole net that train as one, on the devices of one machine or many.

`tf.distribute` copies the variables and moves the bytes; here is which rows of the
global batch a replica takes, what the replicas add up, and who speaks for them. The
rows are those that one process would have in their place, so that one run may go on
with another number of workers. Not to be confused with `towers`, the halves of one net:
a replica holds both.
"""

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import tensorflow as tf

from alexnet_tf.models import devices
from alexnet_tf.training import cluster

Strategy = Literal["none", "mirrored", "multi_worker"]


_NOTE_BYTES = 1 << 16  # the most that the chief can say at once


class LostWorkerError(RuntimeError):
    """A process of the cluster is gone, and the others cannot go on."""


def connect(requested: Strategy) -> "Replicas":
    """The replicas that `--strategy` asks for; before TensorFlow's first operation.

    `mirrored`: one on each GPU of this machine, or on each logical processor where
    there is no GPU. `multi_worker`: one on each GPU, or the processor, of every process
    that TF_CONFIG or else Slurm names; waits for all of them.
    """
    tf.get_logger().setLevel("WARNING")  # it would tell of each collective
    if requested == "none":
        return Replicas()
    if requested == "mirrored":
        gpus = tf.config.list_logical_devices("GPU")
        found = gpus or tf.config.list_logical_devices("CPU")
        if len(found) == 1:
            raise ValueError(
                f"--strategy=mirrored needs two devices or more and there is only "
                f"/{devices.canonical(found[0].name)}: leave --strategy out, or split "
                "it with --logical_cpus=2"
            )
        return Replicas(tf.distribute.MirroredStrategy([d.name for d in found]))
    return Replicas(
        tf.distribute.MultiWorkerMirroredStrategy(cluster.cluster_resolver())
    )


class Replicas:
    """The copies of a net that train together; by default there is one.

    Attributes:
        count: replicas in all processes.
        processes: how many processes hold them.
        is_chief: whether this process speaks for all: it alone writes the run folder.
    """

    def __init__(self, strategy: tf.distribute.Strategy | None = None):
        self._alone = strategy is None
        self._strategy = strategy or tf.distribute.get_strategy()
        numbers = self._strategy.experimental_local_results(
            self._strategy.experimental_distribute_values_from_function(
                lambda context: tf.constant(context.replica_id_in_sync_group)
            )
        )
        self._local = range(int(numbers[0]), int(numbers[-1]) + 1)
        self.count = self._strategy.num_replicas_in_sync
        self.processes = self.count // len(self._local)
        self.is_chief = self._strategy.extended.should_checkpoint
        self._stop = False
        self._vote = tf.Variable(0.0, trainable=False)
        self._before: tf.Tensor | None = None
        self._sent = tf.function(self._everywhere)

    def __str__(self) -> str:
        names = ", ".join(
            f"/{devices.canonical(name)}"
            for name in self._strategy.extended.worker_devices
        )
        return f"{names} of {self.processes} processes, {self.count} replicas"

    def scope(self) -> contextlib.AbstractContextManager:
        """Where variables are made that each replica is to hold."""
        return self._strategy.scope()

    def tower_devices(
        self, requested: Sequence[str], count: int
    ) -> tuple[str, ...] | None:
        """The devices of `count` towers; None where each replica has one for all."""
        if self._alone:
            return devices.resolve(requested, count)
        if list(requested) != ["auto"]:
            raise ValueError(
                "--tower_devices and --strategy exclude each other: a replica holds "
                "every tower on its own device (CUDA_VISIBLE_DEVICES chooses GPUs); "
                f"add --tower_devices=auto where a recipe has {','.join(requested)}"
            )
        return None

    def rows(self, batch_size: int) -> tuple[int, int]:
        """(start, stop): this process's rows of the global batch."""
        if batch_size % self.count:
            raise ValueError(
                f"--batch_size={batch_size} is the global batch and does not divide by "
                f"the {self.count} replicas: take a multiple of {self.count}"
            )
        each = batch_size // self.count
        return self._local.start * each, self._local.stop * each

    def run(self, step: Callable, inputs: Any, *others: Any) -> Any:
        """`step(inputs, *others)` on every replica, each with its own rows of `inputs`.

        `inputs` are this process's rows, in any nest. Returns the first replica's
        result. Inside a `tf.function` only.
        """
        if self.count == 1:
            return step(inputs, *others)

        def on_replica(inputs, *others):
            own = _replica() - self._local.start

            def slice_of(tensor):
                each = tensor.shape[0] // len(self._local)
                return tensor[own * each : (own + 1) * each]

            if len(self._local) > 1:
                with tf.device("/CPU:0"):  # so that its rows alone go to a device
                    inputs = tf.nest.map_structure(slice_of, inputs)
            return step(inputs, *others)

        return self._first(self._strategy.run(on_replica, (inputs, *others)))

    def mean(self, tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Each tensor's mean over the replicas; inside `run`."""
        if self.count == 1:
            return list(tensors)
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.MEAN, list(tensors))

    # How processes that are told to stop at different moments stop at one step.

    def ask_to_stop(self) -> None:
        """This process wants to stop; from the next step on, its `vote` says so."""
        self._stop = True
        self._vote.assign(1.0)

    def vote(self) -> tf.Tensor:
        """Above 0 where this process wants to stop: to be averaged with the step."""
        return self._vote.read_value()

    def stop_agreed(self, statistics: tf.Tensor) -> bool:
        """Whether to stop, the same in every process; a step's means, the vote last.

        Several processes agree by the votes of the step before, which are known by now:
        waiting for those at hand would hold the device up.
        """
        if self.processes == 1:
            return self._stop
        before, self._before = self._before, statistics
        return before is not None and bool(before[-1] > 0)

    # What one process knows and all need.

    def from_chief(self, function: Callable[[], Any]) -> Any:
        """What `function` returns on the chief, which alone calls it; JSON's types.

        An error of the chief's is raised by all, and so is a value that is no JSON or
        above 64 KiB of it. The others wait as long as it takes.
        """
        if self.processes == 1:
            return function()
        note, error = "", None
        if self.is_chief:
            try:
                note = json.dumps({"value": function()})
                if len(note) > _NOTE_BYTES:
                    raise ValueError(
                        f"the first worker can tell the others {_NOTE_BYTES} bytes at "
                        f"most, got {len(note)}"
                    )
            except Exception as raised:
                # JSON writes a character in twelve bytes at most.
                said = str(raised)[: _NOTE_BYTES // 16]
                note, error = json.dumps({"error": said}), raised
        padded = note.encode().ljust(_NOTE_BYTES)
        (told,) = self._sent([tf.constant(list(padded), tf.int32)])
        if error is not None:
            raise error
        read = json.loads(bytes(told.numpy().astype("uint8")))
        if "error" in read:
            raise RuntimeError(f"the first worker says: {read['error']}")
        return read["value"]

    def share(self, variables: Sequence[tf.Variable]) -> None:
        """Gives every process the chief's values."""
        if self.processes > 1:
            values = [tf.convert_to_tensor(variable) for variable in variables]
            for variable, value in zip(variables, self._sent(values), strict=True):
                variable.assign(value)

    def agree(self, what: dict[str, Any], advice: str) -> None:
        """Raises where this process's `what` is not the chief's."""
        own = json.loads(json.dumps(what))
        theirs = self.from_chief(lambda: own)
        for name, value in own.items():
            if value != theirs[name]:
                raise ValueError(
                    f"this worker has {name}={value} and the first one {theirs[name]}: "
                    f"{advice}"
                )

    def _everywhere(self, values: list[tf.Tensor]) -> list[tf.Tensor]:
        """The chief's `values`, in every process."""

        def sent(values):
            keep = tf.identity if _replica() == 0 else tf.zeros_like
            context = tf.distribute.get_replica_context()
            kept = [keep(value) for value in values]
            return context.all_reduce(tf.distribute.ReduceOp.SUM, kept)

        return [self._first(v) for v in self._strategy.run(sent, (values,))]

    def _first(self, per_replica: Any) -> Any:
        return self._strategy.experimental_local_results(per_replica)[0]

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Says in words that a worker is lost, where TensorFlow says how."""
        try:
            yield
        except _LOST as error:
            if self.processes == 1:
                raise
            resolver = self._strategy.cluster_resolver
            peer = _peer(str(error), f"{resolver.task_type} {resolver.task_id}")
            if peer:
                what = (
                    f"{peer} of the {self.processes} is lost or has stopped with an "
                    "error; see what it said"
                )
            else:
                what = (
                    f"this worker or another of the {self.processes} has failed: "
                    f"{_cause(str(error))}; see what the others said"
                )
            raise LostWorkerError(
                f"{what}, then start all of them again with --resume"
            ) from error


_LOST = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
    tf.errors.UnavailableError,
)


def _peer(text: str, own: str) -> str | None:
    """The first task that an error of TensorFlow's names besides `own`: 'worker 1'."""
    named = re.findall(r"/job:(\w+)(?:/replica:\d+)?/task:(\d+)", text)
    return next((t for t in map(" ".join, named) if t != own), None)


def _cause(text: str) -> str:
    """The first line of an error of TensorFlow's, behind those on the place in the code."""
    place = r"Graph execution error|Detected at node|<stack traces|  File |\s*$"
    lines = text.splitlines()
    return next((line for line in lines if not re.match(place, line)), "")


def _replica() -> int:
    """Which replica of all the code at hand is traced for."""
    context = tf.distribute.get_replica_context()
    return int(tf.get_static_value(context.replica_id_in_sync_group))
