"""The processes of a cluster, from TF_CONFIG or from the variables of Slurm."""

import re

import pytest
import tensorflow as tf

from alexnet_tf.training import cluster


def set_slurm(monkeypatch, **changes):
    """Sets the environment of task 2 of three nodes; None removes a variable."""
    monkeypatch.delenv("TF_CONFIG", raising=False)
    variables = {
        "SLURM_PROCID": "2",
        "SLURM_STEP_NODELIST": "node[1-3]",
        "SLURM_STEP_TASKS_PER_NODE": "1(x3)",
        **changes,
    }
    for name, value in variables.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "must be JSON"),
        ('{"cluster": {"worker": ["a:1"]}}', "a cluster, and a task"),
        (
            '{"cluster": {"ps": ["a:1"]}, "task": {"type": "ps", "index": 0}}',
            "workers and one chief only",
        ),
        (
            '{"cluster": {"worker": ["a:1"]}, "task": {"type": "chief", "index": 0}}',
            "a 'chief', but the cluster has none",
        ),
        (
            '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
            "index 1, but the cluster has 1 of worker",
        ),
        (
            '{"cluster": {"worker": ["a"]}, "task": {"type": "worker", "index": 0}}',
            "names 'a', expected host:port",
        ),
        (
            '{"cluster": {"worker": ["a:1", "a:1"]}, '
            '"task": {"type": "worker", "index": 0}}',
            "an address twice",
        ),
        (
            '{"cluster": {"worker": ["a:1"]}, "task": {"type": ["worker"], "index": 0}}',
            "a ['worker'], but the cluster has none",
        ),
        (
            '{"cluster": ["a:1"], "task": {"type": "worker", "index": 0}}',
            "must be JSON",
        ),
    ],
)
def test_a_mistake_in_tf_config_is_rejected_with_an_example(monkeypatch, text, words):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ValueError, match=re.escape(words)) as error:
        cluster.cluster_resolver()
    assert "it looks like" in str(error.value)


@pytest.mark.parametrize(
    ("nodes", "tasks", "addresses"),
    [
        ("node[1-2]", "2(x2)", "node1:8888 node1:8889 node2:8888 node2:8889"),
        # In the order of the list, as SLURM_PROCID counts: 10 comes after 9.
        ("node[8-11]", "1(x4)", "node8:8888 node9:8888 node10:8888 node11:8888"),
        ("b,a[07,10]", "1,2,1", "b:8888 a07:8888 a07:8889 a10:8888"),
    ],
)
def test_the_workers_are_those_of_the_slurm_step(monkeypatch, nodes, tasks, addresses):
    set_slurm(monkeypatch, SLURM_STEP_NODELIST=nodes, SLURM_STEP_TASKS_PER_NODE=tasks)
    resolver = cluster.cluster_resolver()
    assert resolver.cluster_spec().as_dict() == {"worker": addresses.split()}
    assert (resolver.task_type, resolver.task_id) == ("worker", 2)
    gpus = tf.config.list_physical_devices("GPU")
    assert resolver.num_accelerators() == {"GPU": len(gpus)}


@pytest.mark.parametrize("tf_config", ["", "  \n"])
def test_an_empty_tf_config_does_not_hide_slurm(monkeypatch, tf_config):
    set_slurm(monkeypatch)
    monkeypatch.setenv("TF_CONFIG", tf_config)
    addresses = [f"node{n}:8888" for n in (1, 2, 3)]
    found = cluster.cluster_resolver().cluster_spec().as_dict()
    assert found == {"worker": addresses}


def test_tf_config_is_preferred_to_slurm(monkeypatch):
    set_slurm(monkeypatch)
    text = '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}'
    monkeypatch.setenv("TF_CONFIG", text)
    assert cluster.cluster_resolver().cluster_spec().as_dict() == {"worker": ["a:1"]}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"SLURM_PROCID": None}, "SLURM_PROCID is missing from the environment"),
        ({"SLURM_PROCID": ""}, "SLURM_PROCID is missing from the environment"),
        (
            {"SLURM_PROCID": "two"},
            "SLURM_PROCID must be the number .* 0 to 2, got 'two'",
        ),
        ({"SLURM_PROCID": "-1"}, "SLURM_PROCID must be the number .* got '-1'"),
        ({"SLURM_PROCID": "3"}, "SLURM_PROCID must be the number .* 0 to 2, got '3'"),
        ({"SLURM_STEP_TASKS_PER_NODE": None}, "SLURM_STEP_TASKS_PER_NODE is missing"),
        (
            {"SLURM_STEP_TASKS_PER_NODE": "1(x"},
            r"SLURM_STEP_TASKS_PER_NODE must look like '2\(x3\)', got '1\(x'",
        ),
        (
            {"SLURM_STEP_TASKS_PER_NODE": "1(x2)"},
            r"node\[1-3\] names 3 nodes, and SLURM_STEP_TASKS_PER_NODE=1\(x2\) is for 2",
        ),
        (
            {"SLURM_STEP_NODELIST": "node[1-"},
            r"SLURM_STEP_NODELIST must look like 'node\[8-10\]', got 'node\[1-'",
        ),
        ({"SLURM_STEP_NODELIST": ","}, "SLURM_STEP_NODELIST must look like"),
        ({"SLURM_STEP_NODELIST": "a,a,b"}, "names a node twice"),
    ],
)
def test_a_slurm_variable_that_is_missing_or_wrong_is_named(
    monkeypatch, changes, words
):
    set_slurm(monkeypatch, **changes)
    with pytest.raises(ValueError, match=words) as error:
        cluster.cluster_resolver()
    assert "srun" in str(error.value)


def test_without_tf_config_and_slurm_both_are_named(monkeypatch):
    set_slurm(monkeypatch, SLURM_STEP_NODELIST="")
    with pytest.raises(ValueError, match="neither TF_CONFIG nor a Slurm step"):
        cluster.cluster_resolver()
