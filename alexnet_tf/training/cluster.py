"""Finds the processes of a cluster from TF_CONFIG or Slurm."""

import json
import os
import re
from collections.abc import Callable

import tensorflow as tf
from tensorflow.python.distribute.cluster_resolver import (
    slurm_cluster_resolver as slurm,
)

_EXAMPLE = (
    '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, '
    '"task": {"type": "worker", "index": 0}}'
)
_SLURM_NODES = "SLURM_STEP_NODELIST"
_SLURM_TASKS = "SLURM_STEP_TASKS_PER_NODE"
_SLURM_TASK = "SLURM_PROCID"
_BY_SRUN = "start the workers with srun, or set TF_CONFIG"


def cluster_resolver() -> tf.distribute.cluster_resolver.ClusterResolver:
    """Returns the processes of the cluster, and which of them this one is.

    Both come from the environment: from TF_CONFIG, or else from the variables of a
    Slurm step.

    Raises:
        ValueError: there is neither, or a variable is missing or invalid. The message
            names it.
    """
    # An empty variable is one that a shell or a scheduler has cleared.
    if tf_config := os.environ.get("TF_CONFIG", "").strip():
        _check_tf_config(tf_config)
        return tf.distribute.cluster_resolver.TFConfigClusterResolver()
    if os.environ.get(_SLURM_NODES):
        return _slurm_resolver()
    raise ValueError(
        "--strategy=multi_worker finds neither TF_CONFIG nor a Slurm step in the "
        f"environment: start the workers with srun, or set TF_CONFIG as in {_EXAMPLE!r}"
    )


def _slurm_resolver() -> tf.distribute.cluster_resolver.ClusterResolver:
    """One worker per task, with ports from 8888 up on each node.

    TensorFlow's `SlurmClusterResolver` sorts node10 before node8, although SLURM_PROCID
    counts along the list of nodes. It also gives every task the same number of GPUs,
    whatever the task sees.
    """
    hosts = _expand_slurm(_SLURM_NODES, "node[8-10]", slurm.expand_hostlist)
    tasks = _expand_slurm(_SLURM_TASKS, "2(x3)", slurm.expand_tasks_per_node)
    if len(hosts) != len(tasks):
        raise ValueError(
            f"{_SLURM_NODES}={os.environ[_SLURM_NODES]} names {len(hosts)} nodes, and "
            f"{_SLURM_TASKS}={os.environ[_SLURM_TASKS]} is for {len(tasks)}: {_BY_SRUN}"
        )
    addresses = [
        f"{host}:{8888 + number}"
        for host, count in zip(hosts, tasks, strict=True)
        for number in range(count)
    ]
    if len(set(addresses)) != len(addresses):
        raise ValueError(
            f"{_SLURM_NODES}={os.environ[_SLURM_NODES]} names a node twice: {_BY_SRUN}"
        )
    task = _slurm_variable(_SLURM_TASK, "0")
    if not task.isdecimal() or int(task) >= len(addresses):
        raise ValueError(
            f"{_SLURM_TASK} must be the number of this task, from 0 to "
            f"{len(addresses) - 1}, got {task!r}: {_BY_SRUN}"
        )
    return tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": addresses}),
        task_type="worker",
        task_id=int(task),
        rpc_layer="grpc",
        num_accelerators={"GPU": len(tf.config.list_physical_devices("GPU"))},
    )


def _slurm_variable(name: str, example: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise ValueError(
            f"{name} is missing from the environment, although {_SLURM_NODES} is there. "
            f"It looks like {example!r}: {_BY_SRUN}"
        )
    return value


def _expand_slurm(name: str, example: str, expand: Callable[[str], list]) -> list:
    """Returns the list that a variable of Slurm abbreviates."""
    value = _slurm_variable(name, example)
    try:
        expanded = expand(value)
    except ValueError:
        expanded = []
    if not expanded:
        raise ValueError(
            f"{name} must look like {example!r}, got {value!r}: {_BY_SRUN}"
        )
    return expanded


def _check_tf_config(text: str) -> None:
    """Raises ValueError if TensorFlow would wait forever, or for the wrong process."""

    def refuse(what: str) -> None:
        raise ValueError(f"TF_CONFIG {what}, got {text!r}; it looks like {_EXAMPLE!r}")

    try:
        parsed = json.loads(text)
        jobs, task = parsed["cluster"], parsed["task"]
        kind, index = task["type"], task["index"]
        addresses = [address for job in jobs.values() for address in job]
    except (ValueError, KeyError, TypeError, AttributeError):
        refuse("must be JSON with a cluster, and a task with type and index")
    if not set(jobs) <= {"chief", "worker"} or len(jobs.get("chief", [])) > 1:
        refuse("may name workers and one chief only")
    if not isinstance(kind, str) or kind not in jobs:
        refuse(f"calls this process a {kind!r}, but the cluster has none")
    if not isinstance(index, int) or not 0 <= index < len(jobs[kind]):
        refuse(
            f"gives index {index!r}, but the cluster has {len(jobs[kind])} of {kind}"
        )
    for address in addresses:
        if not re.fullmatch(r"[^\s/]+:\d+", str(address)):
            refuse(f"names {address!r}, expected host:port")
    if len(set(addresses)) != len(addresses):
        refuse("names an address twice")
