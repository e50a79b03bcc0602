"""Finds the processes of a cluster from TF_CONFIG or Slurm."""

import json
import os
import re

import tensorflow as tf
from tensorflow.python.distribute.cluster_resolver import slurm_cluster_resolver

_EXAMPLE = (
    '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, '
    '"task": {"type": "worker", "index": 0}}'
)


def cluster_resolver() -> tf.distribute.cluster_resolver.ClusterResolver:
    """Returns the processes of the cluster, and which of them this one is.

    Both come from the environment: from TF_CONFIG, or else from the variables of a
    Slurm step.

    Raises:
        ValueError: there is neither, or TF_CONFIG is invalid.
    """
    if "TF_CONFIG" in os.environ:
        _check_tf_config(os.environ["TF_CONFIG"])
        return tf.distribute.cluster_resolver.TFConfigClusterResolver()
    if "SLURM_STEP_NODELIST" in os.environ:
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
    hosts = slurm_cluster_resolver.expand_hostlist(os.environ["SLURM_STEP_NODELIST"])
    tasks = slurm_cluster_resolver.expand_tasks_per_node(
        os.environ["SLURM_STEP_TASKS_PER_NODE"]
    )
    addresses = [
        f"{host}:{8888 + number}"
        for host, count in zip(hosts, tasks, strict=True)
        for number in range(count)
    ]
    return tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": addresses}),
        task_type="worker",
        task_id=int(os.environ["SLURM_PROCID"]),
        rpc_layer="grpc",
        num_accelerators={"GPU": len(tf.config.list_physical_devices("GPU"))},
    )


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
    if kind not in jobs:
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
