"""Replicas, in one process and in several: one run, whoever computes it.

The processes of a cluster find each other on the loopback.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent import futures
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.models import architecture, checkpoint_files, devices, zoo
from alexnet_tf.runtime import options
from alexnet_tf.training import cluster, replication, run_log, trainer
from tests.models import test_towers
from tests.support import runs


def flags(dataset, run_dir, **changes):
    """A run of the CIFAR-10 net on the small pictures; three steps an epoch."""
    return dataclasses.replace(
        options.Config(
            dataset=str(dataset.path),
            run_dir=str(run_dir),
            architecture="cifar10_11pct",
            precision="float32",
            batch_size=8,
            learning_rate=0.0003,  # small, so that rounding stays rounding
            epochs=1000.0,
            drop_epochs=(),
            log_steps=1,
            checkpoint_steps=1,
        ),
        **changes,
    )


def run_alone(settings):
    """In this process, from the newest checkpoint on."""
    trainer.settle(dataclasses.replace(settings, resume=True))
    training = trainer.Training(settings)
    training.restore()
    training.run(run_log.Log(settings.run_dir, training.step))


def assert_the_same_run(one, other):
    """To rounding: another number of replicas adds in another order."""
    for kind in ("train", "validation"):
        ours, theirs = runs.log_of(one, kind), runs.log_of(other, kind)
        assert [r["step"] for r in ours] == [r["step"] for r in theirs]
        for record, expected in zip(ours, theirs, strict=True):
            assert record["loss"] == pytest.approx(expected["loss"], rel=1e-4)
            assert record["top1_error"] == pytest.approx(expected["top1_error"])
    ours, theirs = runs.weights(one), runs.weights(other)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        apart = np.linalg.norm(ours[name] - value)
        assert apart <= 1e-2 * np.linalg.norm(value), name


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in sockets:
            listener.bind(("localhost", 0))
        return [listener.getsockname()[1] for listener in sockets]


class Worker(NamedTuple):
    """A process of a cluster; what it says goes to a file, which is never full."""

    process: subprocess.Popen
    errors: pathlib.Path

    def said(self):
        """What it said to its end, a line each."""
        self.process.wait(timeout=300)
        return self.errors.read_text().splitlines()


@contextlib.contextmanager
def workers(count, settings):
    """The processes of one cluster, each continuing the run of `settings`."""
    addresses = [f"localhost:{port}" for port in free_ports(count)]
    path = pathlib.Path(f"{settings.run_dir}.flags")
    options.write(path, "train", settings)
    command = [sys.executable, "-m", "alexnet_tf.train", f"--flagfile={path}"]
    with contextlib.ExitStack() as stack:
        started = []
        for index in range(count):
            task = {"type": "worker", "index": index}
            cluster = {"cluster": {"worker": addresses}, "task": task}
            errors = path.with_suffix(f".worker{index}")
            with errors.open("w") as file:
                process = subprocess.Popen(
                    [*command, "--strategy=multi_worker", "--resume"],
                    stdout=subprocess.DEVNULL,
                    stderr=file,
                    env=dict(os.environ, TF_CONFIG=json.dumps(cluster)),
                )
            stack.callback(process.wait)
            stack.callback(process.kill)
            started.append(Worker(process, errors))
        yield started


def wait_for_steps(cluster, run_dir, count):
    deadline = time.monotonic() + 300
    while len(runs.log_of(run_dir)) < count:
        for worker in cluster:
            assert worker.process.poll() is None, worker.errors.read_text()[-3000:]
        assert time.monotonic() < deadline, f"fewer than {count} steps in 300 s"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def undisturbed(small_dataset, tmp_path_factory):
    """A run of eight steps, without replicas; validated after 3, 6 and 8."""
    run_dir = tmp_path_factory.mktemp("runs") / "undisturbed"
    run_alone(flags(small_dataset, run_dir, max_steps=8))
    return run_dir


def drop_validations_of_parts(run_dir):
    """Each part of a run ends with a validation; the undisturbed run has its epochs'."""
    path = run_dir / "log.jsonl"
    kept = [
        line
        for line in path.read_text().splitlines(keepends=True)
        if json.loads(line)["kind"] == "train" or json.loads(line)["step"] in (3, 6, 8)
    ]
    path.write_text("".join(kept))


def test_one_run_alone_and_on_one_two_and_four_workers(
    small_dataset, undisturbed, tmp_path
):
    changing = tmp_path / "changing"
    run_alone(flags(small_dataset, changing, max_steps=1))
    for count, start, until in ((1, 1, 2), (2, 2, 4), (4, 4, 6)):
        settings = flags(small_dataset, changing, max_steps=until)
        with workers(count, settings) as cluster:
            for worker in cluster:
                said = worker.said()
                assert worker.process.returncode == 0, "\n".join(said[-30:])
                assert any(f"{count} replicas" in line for line in said)
                assert any(f"step {start} to {until}" in line for line in said)
        assert len(runs.log_of(changing)) == until
    run_alone(flags(small_dataset, changing, max_steps=8))
    drop_validations_of_parts(changing)
    assert_the_same_run(changing, undisturbed)


def test_one_run_alone_and_on_two_processors(small_dataset, undisturbed, tmp_path):
    """The command takes up a checkpoint, validates and saves with --strategy=mirrored."""
    changing = tmp_path / "changing"
    run_alone(flags(small_dataset, changing, max_steps=2))
    mirrored = flags(
        small_dataset, changing, max_steps=4, strategy="mirrored", logical_cpus=2
    )
    path = tmp_path / "flags"
    options.write(path, "train", mirrored)
    done = subprocess.run(
        [sys.executable, "-m", "alexnet_tf.train", f"--flagfile={path}", "--resume"],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "/CPU:0, /CPU:1 of 1 processes, 2 replicas" in done.stderr
    assert "step 2 to 4" in done.stderr
    run_alone(flags(small_dataset, changing, max_steps=8))
    drop_validations_of_parts(changing)
    assert_the_same_run(changing, undisturbed)


def test_sigterm_stops_all_and_a_killed_worker_is_said(small_dataset, tmp_path):
    run_dir = tmp_path / "run"
    # Over many steps rounding grows, the more the more there is of it.
    endless = flags(small_dataset, run_dir, validate_epochs=0.0, winograd=False)
    with workers(2, endless) as cluster:
        wait_for_steps(cluster, run_dir, 2)
        cluster[1].process.send_signal(signal.SIGTERM)
        first, second = (worker.said() for worker in cluster)
        assert [w.process.returncode for w in cluster] == [0, 0], first[-30:]
    stopped = runs.log_of(run_dir)[-1]["step"]
    assert any(f"SIGTERM: stopped at step {stopped}" in line for line in second)
    assert any(f"another worker: stopped at step {stopped}" in line for line in first)
    assert checkpoint_files.newest_checkpoint(run_dir / "checkpoints").endswith(
        f"step-{stopped}"
    )

    with workers(2, endless) as cluster:
        wait_for_steps(cluster, run_dir, stopped + 2)
        cluster[1].process.kill()
        (line,) = [line for line in cluster[0].said() if line.startswith("alexnet_tf.")]
        assert cluster[0].process.returncode == 1
    assert re.search("worker 1 of the 2 is lost .* again with --resume", line)

    last = (
        int(
            checkpoint_files.newest_checkpoint(run_dir / "checkpoints").rsplit("-", 1)[
                1
            ]
        )
        + 2
    )
    run_alone(dataclasses.replace(endless, max_steps=last))
    whole = dataclasses.replace(
        endless, run_dir=str(tmp_path / "whole"), max_steps=last
    )
    run_alone(whole)
    assert_the_same_run(run_dir, tmp_path / "whole")


# Three steps of the small grouped net, spread and then alone, in each process.
SPREAD_AND_ALONE = """
from alexnet_tf.training import replication as distributed
spread, results = distributed.connect(STRATEGY), []
for replicas in (spread, distributed.Replicas()):
    with replicas.scope():
        net = build(None)
        rule = optimizer.MomentumSGD(net.trainable_variables, [5e-4] * 26)
    start, stop = replicas.rows(8)
    own = tf.nest.map_structure(lambda tensor: tensor[start:stop], batch(8))
    step = training_step.Step(net, rule, replicas).trace(tf.data.Dataset.from_tensors(own))
    rates = schedule.Rates(*(tf.constant(r) for r in (0.01, 0.02, 1.0)))
    losses = [step(*own, rates).numpy() for _ in range(3)]
    results.append((losses, net.get_weights()))
    if replicas is spread:
        found = {devices.canonical(op.device) for op in step.graph.get_operations()
                   if op.type == "Conv2DBackpropFilter"}
        print(replicas.count, stop - start, *sorted(found))
(one, weights), (two, copies) = results
np.testing.assert_allclose(one, two, rtol=1e-5)
for ours, theirs in zip(weights, copies, strict=True):
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-7)
"""


def test_replicas_of_the_grouped_net_compute_what_one_net_does():
    """Towers, normalisation and dropout's masks, on two logical processors."""
    said = test_towers.in_a_process(SPREAD_AND_ALONE.replace("STRATEGY", "'mirrored'"))
    assert said.split() == ["2", "8", "CPU:0", "CPU:1"]


def test_two_processes_with_the_grouped_net_compute_what_one_does():
    body = SPREAD_AND_ALONE.replace("STRATEGY", "'multi_worker'")
    addresses = [f"localhost:{port}" for port in free_ports(2)]

    def worker(index):
        task = {"type": "worker", "index": index}
        cluster = {"cluster": {"worker": addresses}, "task": task}
        return test_towers.in_a_process(body, TF_CONFIG=json.dumps(cluster))

    with futures.ThreadPoolExecutor() as pool:
        for said in pool.map(worker, range(2)):
            assert said.split() == ["2", "4", "CPU:0"]


def test_a_replica_has_its_rows_of_one_dropout_mask():
    """Bit for bit, also where its rows begin inside a block of Philox's four numbers."""
    test_towers.in_a_process("""
    from alexnet_tf.models import layers
    strategy = tf.distribute.MirroredStrategy(["/CPU:0", "/CPU:1"])
    for rows, units in ((1, 8), (3, 5), (1, 2)):
        alone = layers.Dropout(0.5, seed=7)
        alone.build((None, units))
        with strategy.scope():
            copies = layers.Dropout(0.5, seed=7)
            copies.build((None, units))

        def ours():
            return copies(tf.ones([rows, units]), training=True)

        @tf.function
        def everywhere():
            return strategy.experimental_local_results(strategy.run(ours))

        for step in (0, 3):
            alone.step.assign(step)
            copies.step.assign(step)
            for _ in range(2):
                mask = np.concatenate([part.numpy() for part in everywhere()])
                whole = alone(tf.ones([2 * rows, units]), training=True)
                np.testing.assert_array_equal(mask, whole.numpy())
    """)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "must be JSON"),
        ('{"cluster": {"worker": ["a:1"]}}', "cluster and task"),
        (
            '{"cluster": {"ps": ["a:1"]}, "task": {"type": "ps", "index": 0}}',
            "workers and one chief only",
        ),
        (
            '{"cluster": {"worker": ["a:1"]}, "task": {"type": "chief", "index": 0}}',
            "a 'chief' and the cluster has none",
        ),
        (
            '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
            "index 1 and the cluster has 1 of worker",
        ),
        (
            '{"cluster": {"worker": ["a"]}, "task": {"type": "worker", "index": 0}}',
            "names 'a' where host:port is wanted",
        ),
        (
            '{"cluster": {"worker": ["a:1", "a:1"]}, '
            '"task": {"type": "worker", "index": 0}}',
            "an address twice",
        ),
    ],
)
def test_a_mistake_in_tf_config_is_one_clear_error(monkeypatch, text, words):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ValueError, match=re.escape(words)) as error:
        replication.connect("multi_worker")
    assert "it looks like" in str(error.value)


@pytest.mark.parametrize(
    ("nodes", "tasks", "addresses"),
    [
        ("node[1-2]", "2(x2)", "node1:8888 node1:8889 node2:8888 node2:8889"),
        # In the list's order, along which SLURM_PROCID counts: 10 after 9.
        ("node[8-11]", "1(x4)", "node8:8888 node9:8888 node10:8888 node11:8888"),
        ("b,a[07,10]", "1,2,1", "b:8888 a07:8888 a07:8889 a10:8888"),
    ],
)
def test_slurm_names_the_workers(monkeypatch, nodes, tasks, addresses):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    for name, value in {
        "SLURM_PROCID": "2",
        "SLURM_STEP_NODELIST": nodes,
        "SLURM_STEP_TASKS_PER_NODE": tasks,
    }.items():
        monkeypatch.setenv(name, value)
    resolver = cluster.cluster_resolver()
    assert resolver.cluster_spec().as_dict() == {"worker": addresses.split()}
    assert (resolver.task_type, resolver.task_id) == ("worker", 2)
    gpus = tf.config.list_physical_devices("GPU")
    assert resolver.num_accelerators() == {"GPU": len(gpus)}


def test_what_cannot_be_spread_is_refused_with_what_to_type(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ValueError, match="neither TF_CONFIG nor a Slurm step"):
        replication.connect("multi_worker")
    with pytest.raises(ValueError, match="only /CPU:0: .* --logical_cpus=2"):
        replication.connect("mirrored")
    replicas = replication.Replicas(tf.distribute.OneDeviceStrategy("/CPU:0"))
    replicas.count = 3
    with pytest.raises(ValueError, match="--batch_size=8 .* a multiple of 3"):
        replicas.rows(8)
    with pytest.raises(ValueError, match="add --tower_devices=auto .* /GPU:0,/GPU:1"):
        replicas.tower_devices(["/GPU:0", "/GPU:1"], 2)


def test_workers_with_other_flags_are_told_apart(monkeypatch):
    replicas = replication.Replicas()
    monkeypatch.setattr(replicas, "from_chief", lambda _: {"seed": 0, "drops": [1]})
    replicas.agree({"seed": 0, "drops": (1,)}, "give the same")
    with pytest.raises(ValueError, match="seed=1 and the first one 0: give the same"):
        replicas.agree({"seed": 1, "drops": (1,)}, "give the same")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "Collective ops is aborted by: Error reported from /job:worker/task:1: ...\n"
            "/job:worker/replica:0/task:0 and /job:worker/replica:0/task:1",
            "worker 1 of the 2 is lost .*; see what it said, ",
        ),
        (
            "Graph execution error:\n\nDetected at node MatMul defined at:\n"
            '  File "train.py", line 1, in f\n\nBlas GEMM launch failed\nin '
            "/job:worker/replica:0/task:0/device:GPU:0",
            "this worker or another of the 2 has failed: Blas GEMM launch failed; see ",
        ),
    ],
)
def test_a_lost_worker_is_who_is_named_and_not_oneself(text, words):
    strategy = tf.distribute.OneDeviceStrategy("/CPU:0")
    strategy.extended._cluster_resolver = (
        tf.distribute.cluster_resolver.SimpleClusterResolver(
            tf.train.ClusterSpec({}), task_type="worker", task_id=0
        )
    )
    replicas = replication.Replicas(strategy)
    replicas.processes = 2
    with (
        pytest.raises(replication.LostWorkerError, match=f"^{words}"),
        replicas.watched(),
    ):
        raise tf.errors.InternalError(None, None, text)


DISK_FULL = tf.errors.ResourceExhaustedError(None, None, "no space left")


def fails(error):
    raise error


@pytest.mark.parametrize(
    ("function", "kind", "words"),
    [
        (lambda: fails(DISK_FULL), tf.errors.ResourceExhaustedError, "no space"),
        (lambda: fails(OSError("\U0001f600" * 100_000)), OSError, "\U0001f600{4096}$"),
        (lambda: {1, 2}, TypeError, "set is not JSON serializable"),
        (lambda: "long" * 100_000, ValueError, "65536 bytes at most, got 400013"),
    ],
)
def test_whatever_fails_at_the_chief_is_told_to_all(function, kind, words):
    sent = []
    chief, other = replication.Replicas(), replication.Replicas()
    chief.processes = other.processes = 2
    other.is_chief = False

    def receive(values):
        assert [v.shape for v in values] == [v.shape for v in sent]  # or all would hang
        return sent

    chief._sent = lambda values: sent.extend(values) or values
    other._sent = receive
    with pytest.raises(kind):
        chief.from_chief(function)
    with pytest.raises(RuntimeError, match=f"the first worker says: .*{words}"):
        other.from_chief(lambda: None)


def test_the_bytes_of_each_layout_are_those_worked_by_hand(monkeypatch):
    monkeypatch.syspath_prepend(
        str(pathlib.Path(__file__).resolve().parents[2] / "tools/studies")
    )
    import exchange

    net = zoo.PAPER
    # A ring of two sends once what it adds up; of four, 3/2 times.
    assert exchange.data(net, 2, 128) == 60_965_224 * 4
    assert exchange.data(net, 4, 128) == 60_965_224 * 4 * 1.5
    # Half of 13*13*256, 9216 and 4096 each way; of 4096 before fc8 one way only.
    crossing = 43_264 / 2 + 9_216 / 2 + 4_096 / 2 + 4_096 / 4
    assert exchange.towers(net, 2, 8) == 2 * 8 * crossing * 4
    assert exchange.towers(net, 4, 8) == 2 * 4 * crossing * 4 + 60_965_224 / 2 * 4
    convolutions = 34_944 + 307_456 + 885_120 + 663_936 + 442_624
    dense = 9_216 + 4_096 + 4_096
    # Besides them, of each picture's softmax two numbers are added up.
    assert exchange.hybrid(net, 2, 8) == convolutions * 4 + 8 * (dense + 2) * 4
    # 60,965,224 less the convolutions, by 17,410 numbers a picture.
    assert exchange.largest_batch(net, exchange.data, 8) == 3367
    assert exchange.most_workers(net, exchange.data, 128) == 26  # 26.3 times 128
    at = exchange.largest_batch(net, exchange.towers, 8)
    assert exchange.hybrid(net, 8, at) < exchange.towers(net, 8, at)
    assert exchange.hybrid(net, 8, at + 1) > exchange.towers(net, 8, at + 1)
    assert exchange.most_workers(net, exchange.towers, 128) == 14

    net = zoo.CIFAR10_11PCT  # unshared convolutions, and no towers
    dense = 32 * 6 * 6 * 10 + 10
    assert list(exchange.layouts(net)) == ["data", "hybrid"]
    others = architecture.parameters(net) - dense
    assert exchange.hybrid(net, 2, 8) == others * 4 + 8 * (32 * 6 * 6 + 2) * 4


def test_tf32_needs_a_gpu_that_has_it():
    with pytest.raises(ValueError, match="compute capability 8.0"):
        devices.precision("tf32")
