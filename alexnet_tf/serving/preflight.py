"""Whether a stock server can run an export, found out before it is asked to.

Loading in Python proves little: it takes functions that a server refuses. So the graph
and its function library are read operation by operation, and the warm-up requests are
run through a session, as a server runs them, in a process of its own that has loaded
nothing of this package's operations. Imports TensorFlow only, for that reason.
"""

import os
import pathlib
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from google.protobuf import message
from tensorflow.core.framework import graph_pb2, node_def_pb2
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2
from tensorflow.python.framework import kernels, op_def_registry

from alexnet_tf.serving import warmup_requests

# Python functions live in the process that made them; a server has no such process.
_PYTHON = ("PyFunc", "PyFuncStateless", "EagerPyFunc")


_XLA = "_XlaMustCompile"


class CheckError(ValueError):
    """Why a server would refuse an export, or answer wrongly."""


class Replay(NamedTuple):
    """One warm-up request and what the export answered, by name."""

    signature: str
    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]


def check(path: str | os.PathLike[str]) -> list[Replay]:
    """Examines the SavedModel in `path`, in a process of its own.

    Returns every warm-up request with its answer. Raises CheckError.
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
            # A server has the CPU's kernels for certain.
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
        )
        if done.returncode == 1:
            raise CheckError(done.stderr.strip().splitlines()[-1])
        if done.returncode:
            raise CheckError(
                f"{path}: running it ended the process with status {done.returncode}: "
                f"{done.stderr[-1000:]}"
            )
        return [Replay(*parts) for parts in pickle.loads(answers.read_bytes())]


def examine(path: pathlib.Path) -> list[Replay]:
    """`check`, in this process."""
    try:
        saved = saved_model_pb2.SavedModel.FromString(
            (path / "saved_model.pb").read_bytes()
        )
    except (OSError, message.DecodeError) as error:
        raise CheckError(f"{path}: no SavedModel can be read there: {error}") from None
    served = [g for g in saved.meta_graphs if "serve" in g.meta_info_def.tags]
    if len(served) != 1:
        raise CheckError(f"{path}: {len(served)} graphs are tagged serve, not one")
    check_operations(served[0].graph_def)
    check_batched(served[0])
    return list(_replay(path, served[0]))


def check_operations(graph: graph_pb2.GraphDef) -> None:
    """Raises CheckError for what a stock server on a CPU has no kernel for."""
    functions = {function.signature.name for function in graph.library.function}
    for function in graph.library.function:
        if function.attr[_XLA].b:
            raise CheckError(
                f"function {function.signature.name} must be compiled by XLA"
            )
    for node in _nodes(graph):
        if node.op in functions:
            continue
        if op_def_registry.get(node.op) is None:
            raise CheckError(
                f"{node.name} is {node.op}: no operation of TensorFlow "
                f"{tf.__version__}, and a server loads no libraries"
            )
        if node.op in _PYTHON:
            raise CheckError(f"{node.name} is {node.op}: a server runs no Python")
        if node.op.startswith("Xla") or node.attr[_XLA].b:
            raise CheckError(f"{node.name} ({node.op}) must be compiled by XLA")
        if not _has_cpu_kernel(node):
            kinds = {
                name: value.type for name, value in node.attr.items() if value.type
            }
            told = ", ".join(f"{n}={tf.as_dtype(t).name}" for n, t in kinds.items())
            raise CheckError(f"{node.name}: {node.op} has no CPU kernel for {told}")


def _nodes(graph: graph_pb2.GraphDef) -> Iterator[node_def_pb2.NodeDef]:
    yield from graph.node
    for function in graph.library.function:
        yield from function.node_def


def _has_cpu_kernel(node: node_def_pb2.NodeDef) -> bool:
    return any(
        all(
            node.attr[c.name].type in c.allowed_values.list.type
            for c in kernel.constraint
            if node.attr[c.name].type  # else the operation's own default, or a list
        )
        for kernel in kernels.get_registered_kernels_for_op(node.op).kernel
        if kernel.device_type in ("CPU", "DEFAULT")
    )


def check_batched(graph: meta_graph_pb2.MetaGraphDef) -> None:
    """Raises CheckError for an input or output whose first dimension is no batch."""
    for name, signature in _signatures(graph):
        for key, tensor in [*signature.inputs.items(), *signature.outputs.items()]:
            shape = tf.TensorShape(tensor.tensor_shape)
            if shape.rank is not None and (shape.rank == 0 or shape[0] is not None):
                raise CheckError(
                    f"signature {name}: {key} must have a batch of any size in its "
                    f"first dimension, its shape is {shape}"
                )


def _signatures(graph: meta_graph_pb2.MetaGraphDef):
    return [
        (name, graph.signature_def[name])
        for name in sorted(graph.signature_def)
        if not name.startswith("__")  # how a SavedModel initializes itself
    ]


def _replay(path: pathlib.Path, graph: meta_graph_pb2.MetaGraphDef) -> Iterator[Replay]:
    """Runs every warm-up request, once as it is and once with its rows twice."""
    signatures = dict(_signatures(graph))
    requests = list(warmup_requests.read(path))
    silent = set(signatures) - {name for name, _ in requests}
    if silent:
        raise CheckError(
            f"{path} has no warm-up request for {', '.join(sorted(silent))}"
        )
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        try:
            tf.compat.v1.saved_model.loader.load(session, ["serve"], str(path))
        except (tf.errors.OpError, OSError, ValueError) as error:
            raise CheckError(f"{path} does not load: {_first_line(error)}") from None
        for name, inputs in requests:
            if name not in signatures:
                raise CheckError(
                    f"a warm-up request asks for {name}: no such signature"
                )
            signature = signatures[name]
            for times in (1, 2):
                fed = {
                    key: np.concatenate([rows] * times) for key, rows in inputs.items()
                }
                try:
                    outputs = session.run(
                        {key: value.name for key, value in signature.outputs.items()},
                        {signature.inputs[key].name: rows for key, rows in fed.items()},
                    )
                except (tf.errors.OpError, KeyError) as error:
                    raise CheckError(
                        f"signature {name} fails on its warm-up request: "
                        f"{_first_line(error)}"
                    ) from None
                (rows,) = {len(value) for value in fed.values()}
                for key, value in outputs.items():
                    if value.shape[:1] != (rows,):
                        raise CheckError(
                            f"signature {name}: {key} is not batched: {rows} pictures "
                            f"gave the shape {value.shape}"
                        )
                if times == 1:
                    yield Replay(name, inputs, outputs)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


if __name__ == "__main__":
    try:
        found = examine(pathlib.Path(sys.argv[1]))
    except (CheckError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    pathlib.Path(sys.argv[2]).write_bytes(pickle.dumps([*map(tuple, found)]))
