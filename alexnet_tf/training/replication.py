"""Replicas: copies of the whole network that train as one, on one machine or many.

`tf.distribute` copies the variables and moves the data. This module decides which rows
of the global batch each replica takes, what the replicas add up, and which process
speaks for all of them. Every replica takes the rows that a single process would have
computed in its place, so a run can continue with a different number of workers.

A replica is not a tower: towers are the halves of one network, and a replica has both.
"""

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import tensorflow as tf

from alexnet_tf.models import devices
from alexnet_tf.training import cluster, lost_workers

Strategy = Literal["none", "mirrored", "multi_worker"]


_MESSAGE_BYTES = 1 << 16  # the most that the chief can send at once


def connect(requested: Strategy) -> "Replicas":
    """Returns the replicas that `--strategy` asks for.

    It must be called before TensorFlow's first operation.

    Args:
        requested: "none" is a single replica. "mirrored" puts one replica on every GPU
            of this machine, or on every logical CPU if there is no GPU. "multi_worker"
            puts one on every GPU, or on the CPU, of every process that TF_CONFIG or
            else Slurm names, and waits until all of them have started.

    Raises:
        ValueError: there is only one device, or no valid description of a cluster.
    """
    tf.get_logger().setLevel("WARNING")  # or it would report every collective
    if requested == "none":
        return Replicas()
    if requested == "mirrored":
        gpus = tf.config.list_logical_devices("GPU")
        found = gpus or tf.config.list_logical_devices("CPU")
        if len(found) == 1:
            raise ValueError(
                f"--strategy=mirrored needs at least two devices, but there is only "
                f"/{devices.canonical(found[0].name)}: leave --strategy out, or split "
                "the device with --logical_cpus=2"
            )
        return Replicas(tf.distribute.MirroredStrategy([d.name for d in found]))
    return Replicas(
        tf.distribute.MultiWorkerMirroredStrategy(cluster.cluster_resolver())
    )


class Replicas:
    """The copies of a network that train together; one by default.

    Attributes:
        count: the number of replicas in all processes.
        processes: the number of processes that hold them.
        is_chief: whether this process is the one that writes the run folder.
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
        self._sent = tf.function(self._everywhere, autograph=False)

    def __str__(self) -> str:
        names = ", ".join(
            f"/{devices.canonical(name)}"
            for name in self._strategy.extended.worker_devices
        )
        return f"{names} of {self.processes} processes, {self.count} replicas"

    def scope(self) -> contextlib.AbstractContextManager:
        """A context: variables that are created inside exist in every replica."""
        return self._strategy.scope()

    def tower_devices(
        self, requested: Sequence[str], count: int
    ) -> tuple[str, ...] | None:
        """Returns the devices of `count` towers, or None if each replica has only one.

        Raises:
            ValueError: `requested` names devices, but there are replicas.
        """
        if self._alone:
            return devices.resolve(requested, count)
        if list(requested) != ["auto"]:
            raise ValueError(
                "--tower_devices and --strategy exclude each other, because a replica "
                "holds all towers on its own device (CUDA_VISIBLE_DEVICES chooses "
                "GPUs): add --tower_devices=auto if a recipe has "
                f"{','.join(requested)}"
            )
        return None

    def rows(self, batch_size: int) -> tuple[int, int]:
        """Returns (start, stop), this process's rows of the global batch.

        Raises:
            ValueError: the batch cannot be divided evenly between the replicas.
        """
        if batch_size % self.count:
            raise ValueError(
                f"--batch_size={batch_size} is the global batch, which must divide "
                f"evenly between {self.count} replicas: use a multiple of {self.count}"
            )
        each = batch_size // self.count
        return self._local.start * each, self._local.stop * each

    def run(self, step: Callable, inputs: Any, *others: Any) -> Any:
        """Calls `step(inputs, *others)` on every replica, inside a `tf.function` only.

        `inputs` are this process's rows, in any nested structure. Each replica receives
        its own rows of them. Returns the result of the first replica.
        """
        if self.count == 1:
            return step(inputs, *others)

        def on_replica(inputs, *others):
            own = _replica() - self._local.start

            def slice_of(tensor):
                each = tensor.shape[0] // len(self._local)
                return tensor[own * each : (own + 1) * each]

            if len(self._local) > 1:
                with tf.device("/CPU:0"):  # so that only its own rows go to a device
                    inputs = tf.nest.map_structure(slice_of, inputs)
            return step(inputs, *others)

        return self._first(self._strategy.run(on_replica, (inputs, *others)))

    def mean(self, tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Returns each tensor's mean over the replicas, inside `run` only."""
        if self.count == 1:
            return list(tensors)
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.MEAN, list(tensors))

    # Processes that receive a signal at different moments must stop at the same step.

    def ask_to_stop(self) -> None:
        """From the next step on, `vote` says that this process wants to stop."""
        self._stop = True
        self._vote.assign(1.0)

    def vote(self) -> tf.Tensor:
        """Returns 1 if this process wants to stop, or 0; a step averages all votes."""
        return self._vote.read_value()

    def stop_agreed(self, statistics: tf.Tensor) -> bool:
        """Returns whether to stop; the answer is the same in every process.

        `statistics` are the means that a step returns, with the vote last. Several
        processes use the votes of the previous step, which are already known, because
        waiting for the present ones would keep the device idle.
        """
        if self.processes == 1:
            return self._stop
        before, self._before = self._before, statistics
        return before is not None and bool(before[-1] > 0)

    # What one process knows and all of them need.

    def from_chief(self, function: Callable[[], Any]) -> Any:
        """Returns what `function` returns on the chief, which alone calls it.

        The other processes wait as long as that takes. The value must consist of JSON's
        types.

        Raises:
            ValueError: on the chief, if the value takes more than 64 KiB as JSON.
            RuntimeError: on the others, if the chief raised an error. The chief itself
                raises that error unchanged.
        """
        if self.processes == 1:
            return function()
        message, error = "", None
        if self.is_chief:
            try:
                message = json.dumps({"value": function()})
                if len(message) > _MESSAGE_BYTES:
                    raise ValueError(
                        f"the first worker can send {_MESSAGE_BYTES} bytes to the "
                        f"others at most, got {len(message)}"
                    )
            except Exception as raised:
                # JSON writes a character in at most twelve bytes.
                text = str(raised)[: _MESSAGE_BYTES // 16]
                message, error = json.dumps({"error": text}), raised
        padded = message.encode().ljust(_MESSAGE_BYTES)
        # As numbers of a type that every device adds up.
        (sent,) = self._sent([tf.constant(list(padded), tf.float32)])
        if error is not None:
            raise error
        received = json.loads(bytes(sent.numpy().astype("uint8")))
        if "error" in received:
            raise RuntimeError(f"the first worker failed: {received['error']}")
        return received["value"]

    def share(self, variables: Sequence[tf.Variable]) -> None:
        """Sets the variables in every process to the chief's values."""
        if self.processes > 1:
            values = [tf.convert_to_tensor(variable) for variable in variables]
            for variable, value in zip(variables, self._sent(values), strict=True):
                variable.assign(value)

    def agree(self, what: dict[str, Any], advice: str) -> None:
        """Raises ValueError if a value in `what` differs from the chief's."""
        own = json.loads(json.dumps(what))
        theirs = self.from_chief(lambda: own)
        for name, value in own.items():
            if value != theirs[name]:
                raise ValueError(
                    f"this worker has {name}={value}, but the first one "
                    f"{theirs[name]}: {advice}"
                )

    def _everywhere(self, values: list[tf.Tensor]) -> list[tf.Tensor]:
        """Returns the chief's `values` in every process."""

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
        """A context that explains TensorFlow's errors about lost workers.

        Raises:
            lost_workers.LostWorkerError: another process is gone.
        """
        try:
            yield
        except lost_workers.ERRORS as error:
            if self.processes == 1:
                raise
            resolver = self._strategy.cluster_resolver
            raise lost_workers.explanation(
                error,
                own_task=f"{resolver.task_type} {resolver.task_id}",
                processes=self.processes,
            ) from error


def _replica() -> int:
    """The number of the replica that is being traced, among all replicas."""
    context = tf.distribute.get_replica_context()
    return int(tf.get_static_value(context.replica_id_in_sync_group))
