"""Finds out whether a stock server can run an export, before the server is asked to.

Loading an export in Python proves little, because Python accepts functions that a
server rejects. Therefore the graph and its function library are read operation by
operation, and the warm-up requests are run through a session, as a server runs them.
This happens in a process of its own that has loaded none of this package's operations.
For that reason this module must not import any module that loads them.
"""

import functools
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from google.protobuf import message as protobuf_message
from tensorflow.core.framework import graph_pb2, kernel_def_pb2, node_def_pb2
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2
from tensorflow.python.framework import kernels, op_def_registry
from tensorflow_serving.apis import prediction_log_pb2

from alexnet_tf.runtime import errors, loading
from alexnet_tf.serving import warmup_requests

# These call Python functions, which exist only in the process that made them.
_PYTHON_OPERATIONS = ("PyFunc", "PyFuncStateless", "EagerPyFunc")

# The attribute of a function or a node that XLA has to compile.
_XLA = "_XlaMustCompile"

# The exit status of the process if the export was refused. Python itself uses 1 and 2.
_REFUSED = 3


class CheckError(ValueError):
    """Why a server would refuse an export, or would answer wrongly."""


class Replay(NamedTuple):
    """One warm-up request, and what the export answered; arrays by name."""

    signature: str
    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]


def check_export(path: str | os.PathLike[str]) -> list[Replay]:
    """Examines an export in a process of its own.

    Args:
        path: the folder of a SavedModel.

    Returns:
        Every warm-up request with its answer.

    Raises:
        CheckError: a server would refuse the export. The message says why.

    Example::

        for replay in preflight.check_export("runs/demo/export/1"):
            print(replay.signature, replay.outputs["scores"])
    """
    with tempfile.TemporaryDirectory() as folder:
        answers = pathlib.Path(folder) / "replays"
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "alexnet_tf.serving.preflight",
                os.fspath(path),
                str(answers),
            ],
            capture_output=True,
            text=True,
            check=False,
            # The CPU's kernels are the ones that every server has.
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
        )
        if done.returncode == _REFUSED:
            raise CheckError(done.stderr.strip().splitlines()[-1])
        if done.returncode:
            raise CheckError(
                f"{path}: the process that ran the export {_how_it_ended(done)}"
            )
        try:
            return _read_replays(answers)
        except (tf.errors.OpError, protobuf_message.DecodeError) as error:
            raise CheckError(
                f"{path}: the answers of the process that ran the export cannot be "
                f"read: {errors.first_line(error)}"
            ) from None


def _how_it_ended(done: subprocess.CompletedProcess[str]) -> str:
    """For example "was ended by SIGSEGV: last line of its output"."""
    last = errors.one_line(done.stderr.strip().rpartition("\n")[2]) or "no message"
    if done.returncode < 0:
        return f"was ended by {signal.Signals(-done.returncode).name}: {last}"
    return f"ended with status {done.returncode}: {last}"


# The process has run a graph that may be a stranger's. Therefore its answers come as
# the records of requests and responses that servers log, which hold nothing but arrays;
# reading a pickle would run what it says.


def _write_replays(replays: Iterable[Replay], file: str) -> None:
    with tf.io.TFRecordWriter(file) as writer:
        for replay in replays:
            log = prediction_log_pb2.PredictLog()
            log.request.model_spec.signature_name = replay.signature
            for arrays, message in (
                (replay.inputs, log.request.inputs),
                (replay.outputs, log.response.outputs),
            ):
                for name, array in arrays.items():
                    message[name].CopyFrom(tf.make_tensor_proto(array))
            writer.write(log.SerializeToString())


def _read_replays(file: pathlib.Path) -> list[Replay]:
    replays = []
    for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
        log = prediction_log_pb2.PredictLog.FromString(record)
        inputs, outputs = (
            {name: tf.make_ndarray(value) for name, value in message.items()}
            for message in (log.request.inputs, log.response.outputs)
        )
        name = log.request.model_spec.signature_name
        replays.append(Replay(name, inputs, outputs))
    return replays


def examine_export(path: pathlib.Path) -> list[Replay]:
    """Does the work of `check_export`, in this process.

    Raises:
        CheckError: as in `check_export`.
        FileNotFoundError: the export carries no warm-up requests.
    """
    graph = _read_served_graph(path)
    check_operations(graph.graph_def)
    check_batch_dimensions(graph)
    return list(_replay_requests(path, _signatures(graph)))


def _read_served_graph(path: pathlib.Path) -> meta_graph_pb2.MetaGraphDef:
    try:
        saved = saved_model_pb2.SavedModel.FromString(
            (path / "saved_model.pb").read_bytes()
        )
    except (OSError, protobuf_message.DecodeError) as error:
        raise CheckError(f"{path}: the SavedModel cannot be read: {error}") from None
    served = [g for g in saved.meta_graphs if "serve" in g.meta_info_def.tags]
    if len(served) != 1:
        raise CheckError(
            f"{path} must have one graph with the tag serve, it has {len(served)}"
        )
    return served[0]


def check_operations(graph: graph_pb2.GraphDef) -> None:
    """Checks that a stock server on a CPU has a kernel for every operation.

    Raises:
        CheckError: naming the first operation that it has none for.
    """
    functions = {function.signature.name for function in graph.library.function}
    for function in graph.library.function:
        if function.attr[_XLA].b:
            raise CheckError(
                f"function {function.signature.name} must be compiled by XLA, which a "
                "stock server does not do"
            )
    for node in _nodes(graph):
        if node.op not in functions:
            _check_operation(node)


def _check_operation(node: node_def_pb2.NodeDef) -> None:
    if op_def_registry.get(node.op) is None:
        raise CheckError(
            f"{node.name} is {node.op}, which is not an operation of TensorFlow "
            f"{tf.__version__}, and a server loads no libraries"
        )
    if node.op in _PYTHON_OPERATIONS:
        raise CheckError(f"{node.name} is {node.op}, and a server does not run Python")
    if node.op.startswith("Xla") or node.attr[_XLA].b:
        raise CheckError(
            f"{node.name} ({node.op}) must be compiled by XLA, which a stock server "
            "does not do"
        )
    if not _has_cpu_kernel(node):
        types = {name: value.type for name, value in node.attr.items() if value.type}
        shown = ", ".join(f"{n}={tf.as_dtype(t).name}" for n, t in types.items())
        raise CheckError(f"{node.name}: {node.op} has no CPU kernel for {shown}")


def _nodes(graph: graph_pb2.GraphDef) -> Iterator[node_def_pb2.NodeDef]:
    yield from graph.node
    for function in graph.library.function:
        yield from function.node_def


def _has_cpu_kernel(node: node_def_pb2.NodeDef) -> bool:
    return any(
        all(
            node.attr[c.name].type in c.allowed_values.list.type
            for c in kernel.constraint
            # Without a type, it is the operation's default, or a list of types.
            if node.attr[c.name].type
        )
        for kernel in _cpu_kernels(node.op)
    )


@functools.cache  # TensorFlow looks through all its kernels for it
def _cpu_kernels(operation: str) -> list[kernel_def_pb2.KernelDef]:
    return [
        kernel
        for kernel in kernels.get_registered_kernels_for_op(operation).kernel
        if kernel.device_type in ("CPU", "DEFAULT")
    ]


def check_batch_dimensions(graph: meta_graph_pb2.MetaGraphDef) -> None:
    """Checks that the first dimension of every input and output is a batch of any size.

    Raises:
        CheckError: naming the first input or output for which it is not.
    """
    for name, signature in _signatures(graph).items():
        for key, tensor in [*signature.inputs.items(), *signature.outputs.items()]:
            shape = tf.TensorShape(tensor.tensor_shape)
            if shape.rank is not None and (shape.rank == 0 or shape[0] is not None):
                raise CheckError(
                    f"signature {name}: {key} must have a batch of any size as its "
                    f"first dimension, its shape is {shape}"
                )


def _signatures(
    graph: meta_graph_pb2.MetaGraphDef,
) -> dict[str, meta_graph_pb2.SignatureDef]:
    return {
        name: graph.signature_def[name]
        for name in sorted(graph.signature_def)
        if not name.startswith("__")  # by which a SavedModel initializes itself
    }


def _replay_requests(
    path: pathlib.Path, signatures: Mapping[str, meta_graph_pb2.SignatureDef]
) -> Iterator[Replay]:
    """Runs every warm-up request, once as it is and once with its rows repeated."""
    requests = list(warmup_requests.read_warmup_requests(path))
    asked = {name for name, _ in requests}
    if missing := set(signatures) - asked:
        raise CheckError(
            f"{path} has no warm-up request for {', '.join(sorted(missing))}"
        )
    if unknown := asked - set(signatures):
        raise CheckError(
            f"{path}: a warm-up request asks for the signature {min(unknown)}, which "
            "does not exist"
        )
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        try:
            tf.compat.v1.saved_model.loader.load(session, ["serve"], str(path))
        except (tf.errors.OpError, OSError, ValueError) as error:
            raise CheckError(
                f"{path} does not load: {errors.first_line(error)}"
            ) from None
        for name, inputs in requests:
            outputs = _run_request(session, name, signatures[name], inputs)
            twice = {key: np.concatenate([rows] * 2) for key, rows in inputs.items()}
            _run_request(session, name, signatures[name], twice)
            yield Replay(name, inputs, outputs)


def _run_request(
    session: tf.compat.v1.Session,
    name: str,
    signature: meta_graph_pb2.SignatureDef,
    inputs: Mapping[str, np.ndarray],
) -> dict[str, np.ndarray]:
    """Runs a signature and checks that each output has as many rows as the inputs."""
    try:
        outputs = session.run(
            {key: value.name for key, value in signature.outputs.items()},
            {signature.inputs[key].name: rows for key, rows in inputs.items()},
        )
    except (tf.errors.OpError, KeyError) as error:
        raise CheckError(
            f"signature {name} fails on its warm-up request: {errors.first_line(error)}"
        ) from None
    (rows,) = {len(value) for value in inputs.values()}
    for key, value in outputs.items():
        if value.shape[:1] != (rows,):
            raise CheckError(
                f"signature {name}: {key} is not batched: {rows} images gave an output "
                f"of shape {value.shape}"
            )
    return outputs


def _main(path: str, answers: str) -> None:
    """Writes the replays of the export `path` to the file `answers`."""
    loading.end_without_collecting()
    try:
        found = examine_export(pathlib.Path(path))
    except (CheckError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        sys.exit(_REFUSED)
    _write_replays(found, answers)


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2])
