"""Replicas in one process and in several: the run is the same on any number of them.

The processes of a cluster find each other on the loopback interface.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import tempfile
import textwrap
import time
from concurrent import futures
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.models import architecture, checkpoint_files, devices, zoo
from alexnet_tf.runtime import options
from alexnet_tf.training import (
    lost_workers,
    replication,
    run_log,
    schedule_changes,
    train_options,
)
from tests.models import test_towers
from tests.support import commands, programs, runs


def options_of(dataset, run_dir, **changes):
    """A run of the CIFAR-10 network on the small images, with three steps per epoch."""
    return runs.train_options_of(
        dataset,
        run_dir,
        # The learning rate is small, so that rounding stays rounding.
        **{"learning_rate": 0.0003, "epochs": 1000.0, **changes},
    )


def run_alone(chosen):
    """Continues a run from its newest checkpoint, in this process."""
    runs.record(options.replace(chosen, resume=True))
    run = runs.trainer_of(chosen)
    run.restore()
    run.run(run_log.Log(chosen.run.run_dir, run.state.step))


def assert_the_same_run(one, other):
    """Equal to rounding: a different number of replicas adds in another order."""
    for kind in ("train", "validation"):
        ours, theirs = runs.log_of(one, kind), runs.log_of(other, kind)
        assert [r["step"] for r in ours] == [r["step"] for r in theirs]
        for record, expected in zip(ours, theirs, strict=True):
            assert record["loss"] == pytest.approx(expected["loss"], rel=1e-4)
            assert record["top1_error"] == pytest.approx(expected["top1_error"])
    ours, theirs = runs.weights(one), runs.weights(other)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        # Roundings grow from step to step, and first in the small velocities, which a
        # step that is missing would change by a tenth or more.
        allowed = 5e-2 if name.startswith("velocities/") else 1e-2
        assert np.linalg.norm(ours[name] - value) <= allowed * np.linalg.norm(value)


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in sockets:
            listener.bind(("localhost", 0))
        return [listener.getsockname()[1] for listener in sockets]


class Worker(NamedTuple):
    """A process of a cluster; its messages go to a file, which cannot block it."""

    process: programs.Program
    errors: pathlib.Path

    def messages(self):
        """Waits until the process ends, and returns the lines of its messages."""
        self.process.wait(timeout_s=300)
        return self.errors.read_text().splitlines()


@contextlib.contextmanager
def workers(count, settings, more=None):
    """The processes of one cluster, all of which continue the run of `settings`.

    `more`, if given, has further flags of some of them, by their numbers.
    """
    addresses = [f"localhost:{port}" for port in free_ports(count)]
    path = pathlib.Path(f"{settings.run.run_dir}.flags")
    options.write(path, settings)
    with contextlib.ExitStack() as stack:
        started = []
        for index in range(count):
            task = {"type": "worker", "index": index}
            cluster = {"cluster": {"worker": addresses}, "task": task}
            errors = path.with_suffix(f".worker{index}")
            errors.unlink(missing_ok=True)
            process = commands.start(
                *("train", f"--flagfile={path}", "--strategy=multi_worker", "--resume"),
                *(more or {}).get(index, []),
                env=dict(os.environ, TF_CONFIG=json.dumps(cluster)),
                log=errors,
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
def uninterrupted(small_dataset, tmp_path_factory):
    """A run of eight steps without replicas, validated after steps 3, 6 and 8."""
    run_dir = tmp_path_factory.mktemp("runs") / "uninterrupted"
    run_alone(options_of(small_dataset, run_dir, max_steps=8))
    return run_dir


def drop_validations_of_parts(run_dir):
    """Removes the validations that end parts of a run and not an epoch."""
    path = run_dir / "log.jsonl"
    kept = [
        line
        for line in path.read_text().splitlines(keepends=True)
        if json.loads(line)["kind"] == "train" or json.loads(line)["step"] in (3, 6, 8)
    ]
    path.write_text("".join(kept))


@pytest.mark.long
def test_a_run_is_the_same_alone_and_on_any_number_of_workers(
    small_dataset, uninterrupted, tmp_path
):
    """Two of them are below."""
    changing = tmp_path / "changing"
    run_alone(options_of(small_dataset, changing, max_steps=1))
    until = 1
    for count in (1, 2, 4):
        start, until = until, until + 2
        settings = options_of(small_dataset, changing, max_steps=until)
        with workers(count, settings) as cluster:
            for worker in cluster:
                messages = worker.messages()
                assert worker.process.returncode == 0, "\n".join(messages[-30:])
                assert any(f"{count} replicas" in line for line in messages)
                assert any(f"step {start} to {until}" in line for line in messages)
        assert len(runs.log_of(changing)) == until
    run_alone(options_of(small_dataset, changing, max_steps=8))
    drop_validations_of_parts(changing)
    assert_the_same_run(changing, uninterrupted)


def test_two_workers_change_the_schedule_and_are_the_same_run_as_one(
    small_dataset, tmp_path
):
    """Also a later run of theirs, and one alone, go on with what was changed."""
    spread, alone = tmp_path / "spread", tmp_path / "alone"
    whole = options_of(small_dataset, alone, max_steps=1)
    run_alone(whole)
    shutil.copytree(alone, spread)
    changed = {"learning_rate": 0.002, "drop_epochs": (1.0,)}
    for steps, given in ((3, changed), (5, {})):
        again = {"strategy": "multi_worker", "max_steps": steps, **given}
        settings = train_options.complete(
            options.replace(options_of(small_dataset, spread, resume=True), **again),
            {"resume", *again},
        )
        with workers(2, settings) as cluster:
            for worker in cluster:
                messages = worker.messages()
                assert worker.process.returncode == 0, "\n".join(messages[-30:])
                assert any("2 replicas" in line for line in messages)
                said = [line for line in messages if "is now" in line]
                assert len(said) == bool(given), messages
    runs.resume(alone, max_steps=5, **changed)
    logs = [runs.log_of(folder, "change") for folder in (spread, alone)]
    assert logs[0] == logs[1]
    assert [record["option"] for record in logs[0]] == list(changed)
    rates = [[r["learning_rate"] for r in runs.log_of(f)] for f in (spread, alone)]
    assert rates[0] == rates[1] == pytest.approx([3e-4, 2e-3, 2e-3, 2e-4, 2e-4])
    assert_the_same_run(spread, alone)


def test_workers_that_are_given_another_schedule_stop(small_dataset, tmp_path):
    run_dir = tmp_path / "run"
    settings = options_of(small_dataset, run_dir, max_steps=1)
    run_alone(settings)
    settings = options.replace(settings, max_steps=3)
    more = {0: ["--learning_rate=0.002"]}  # the worker that writes the run folder
    with workers(2, settings, more) as cluster:
        lines = [worker.messages()[-1] for worker in cluster]
        assert all(worker.process.returncode == 1 for worker in cluster), lines
    differs = r"this worker has learning_rate=0\.0003, but the first one 0\.002"
    assert re.search(differs, lines[1])
    assert train_options.read_record(run_dir).recipe.learning_rate == 0.0003
    assert not (run_dir / schedule_changes.FILE).exists()


def test_a_run_is_the_same_alone_and_on_two_processors(
    small_dataset, uninterrupted, tmp_path
):
    """The command restores, validates and saves a run with --strategy=mirrored."""
    changing = tmp_path / "changing"
    run_alone(options_of(small_dataset, changing, max_steps=2))
    mirrored = options_of(
        small_dataset, changing, max_steps=4, strategy="mirrored", logical_cpus=2
    )
    path = tmp_path / "flags"
    options.write(path, mirrored)
    done = commands.run("train", f"--flagfile={path}", "--resume")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "/CPU:0, /CPU:1 of 1 processes, 2 replicas" in done.stderr
    assert "step 2 to 4" in done.stderr
    run_alone(options_of(small_dataset, changing, max_steps=8))
    drop_validations_of_parts(changing)
    assert_the_same_run(changing, uninterrupted)


def test_sigterm_stops_all_workers_and_a_killed_worker_is_named(
    small_dataset, tmp_path
):
    run_dir = tmp_path / "run"
    # How many steps the run takes depends on the load. At ten times this learning rate
    # rounding errors reach 1e-4 after some ten steps; at this one 2e-5 after thirty,
    # and a step changes the loss by 2e-3. Winograd convolution has larger errors.
    endless = options_of(
        small_dataset,
        run_dir,
        validation="end",
        winograd=False,
        learning_rate=0.00003,
    )
    with workers(2, endless) as cluster:
        wait_for_steps(cluster, run_dir, 2)
        cluster[1].process.send_signal(signal.SIGTERM)
        first, second = (worker.messages() for worker in cluster)
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
        (line,) = [
            line for line in cluster[0].messages() if line.startswith("alexnet_tf.")
        ]
        assert cluster[0].process.returncode == 1
    assert re.search("worker 1 of 2 was lost .* again with --resume", line)

    last = (
        int(
            checkpoint_files.newest_checkpoint(run_dir / "checkpoints").rsplit("-", 1)[
                1
            ]
        )
        + 2
    )
    run_alone(options.replace(endless, max_steps=last))
    whole = options.replace(endless, run_dir=str(tmp_path / "whole"), max_steps=last)
    run_alone(whole)
    assert_the_same_run(run_dir, tmp_path / "whole")


# Three steps of the small network, on all replicas and then alone, in each process.
SPREAD_AND_ALONE = """
from alexnet_tf.training import replication
spread, results = replication.connect(STRATEGY), []
for replicas in (spread, replication.Replicas()):
    with replicas.scope():
        net = build(None)
        rule = optimizer.MomentumSGD(net.trainable_variables, [5e-4] * 26)
    start, stop = replicas.rows(8)
    own = tf.nest.map_structure(lambda tensor: tensor[start:stop], batch(8))
    batches = tf.data.Dataset.from_tensors(own)
    step = training_step.Step(net, rule, replicas).trace(batches)
    learning_rates = schedule.LearningRates(0.01, 0.02, 1.0).tensors()
    losses = [step(*own, learning_rates).numpy() for _ in range(3)]
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


def in_a_process(body, **environment):
    """Runs `body` after the towers' prelude, on two logical CPUs; its standard output."""
    prelude = test_towers.PRELUDE.replace("LOGICAL", "logical_cpus")
    with tempfile.TemporaryDirectory() as folder:
        program = pathlib.Path(folder) / "program.py"
        program.write_text(textwrap.dedent(prelude) + textwrap.dedent(body))
        done = programs.run(program, env=os.environ | environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_replicas_of_a_network_with_towers_compute_the_same_as_one():
    """With towers, normalization and dropout masks, on two logical CPUs."""
    printed = in_a_process(SPREAD_AND_ALONE.replace("STRATEGY", "'mirrored'"))
    assert printed.split() == ["2", "8", "CPU:0", "CPU:1"]


def test_two_processes_with_towers_compute_the_same_as_one():
    body = SPREAD_AND_ALONE.replace("STRATEGY", "'multi_worker'")
    addresses = [f"localhost:{port}" for port in free_ports(2)]

    def worker(index):
        task = {"type": "worker", "index": index}
        cluster = {"cluster": {"worker": addresses}, "task": task}
        return in_a_process(body, TF_CONFIG=json.dumps(cluster))

    with futures.ThreadPoolExecutor() as pool:
        for printed in pool.map(worker, range(2)):
            assert printed.split() == ["2", "4", "CPU:0"]


def test_every_replica_draws_its_rows_of_one_dropout_mask():
    """Bit for bit, even if its rows begin inside a block of four Philox numbers."""
    in_a_process("""
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


def test_impossible_strategies_are_rejected_with_what_to_type(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ValueError, match="neither TF_CONFIG nor a Slurm step"):
        replication.connect("multi_worker")
    with pytest.raises(ValueError, match="only /CPU:0: .* --logical_cpus=2"):
        replication.connect("mirrored")
    replicas = replication.Replicas(tf.distribute.OneDeviceStrategy("/CPU:0"))
    replicas.count = 3
    with pytest.raises(ValueError, match="--batch_size=8 .* use a multiple of 3"):
        replicas.rows(8)
    with pytest.raises(ValueError, match="add --tower_devices=auto .*/GPU:0,/GPU:1"):
        replicas.tower_devices(["/GPU:0", "/GPU:1"], 2)


def test_workers_with_different_flags_are_rejected(monkeypatch):
    replicas = replication.Replicas()
    monkeypatch.setattr(replicas, "from_chief", lambda _: {"seed": 0, "drops": [1]})
    replicas.agree({"seed": 0, "drops": (1,)}, "give the same")
    with pytest.raises(ValueError, match="seed=1, but the first one 0: give the same"):
        replicas.agree({"seed": 1, "drops": (1,)}, "give the same")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "Collective ops is aborted by: Error reported from /job:worker/task:1: ...\n"
            "/job:worker/replica:0/task:0 and /job:worker/replica:0/task:1",
            "worker 1 of 2 was lost .*. Read its output, then start all workers again",
        ),
        (
            "Graph execution error:\n\nDetected at node MatMul defined at:\n"
            '  File "train.py", line 1, in f\n\nBlas GEMM launch failed\nin '
            "/job:worker/replica:0/task:0/device:GPU:0",
            "this worker or another of the 2 failed: Blas GEMM launch failed. Read ",
        ),
    ],
)
def test_the_error_names_the_lost_worker_and_not_this_one(text, words):
    strategy = tf.distribute.OneDeviceStrategy("/CPU:0")
    strategy.extended._cluster_resolver = (
        tf.distribute.cluster_resolver.SimpleClusterResolver(
            tf.train.ClusterSpec({}), task_type="worker", task_id=0
        )
    )
    replicas = replication.Replicas(strategy)
    replicas.processes = 2
    with (
        pytest.raises(lost_workers.LostWorkerError, match=f"^{words}"),
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
        (lambda: "long" * 100_000, ValueError, "65536 bytes .* at most, got 400013"),
    ],
)
def test_an_error_of_the_chief_reaches_all_workers(function, kind, words):
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
    with pytest.raises(RuntimeError, match=f"the first worker failed: .*{words}"):
        other.from_chief(lambda: None)


def test_the_bytes_of_each_layout_are_those_computed_by_hand(monkeypatch):
    monkeypatch.syspath_prepend(
        str(pathlib.Path(__file__).resolve().parents[2] / "tools/studies")
    )
    import exchange

    net = zoo.PAPER
    # A ring of two sends everything it adds up once, a ring of four 3/2 times.
    assert exchange.data(net, 2, 128) == 60_965_224 * 4
    assert exchange.data(net, 4, 128) == 60_965_224 * 4 * 1.5
    # Half of 13*13*256, 9216 and 4096 in both directions; of 4096 before fc8 in one.
    crossing = 43_264 / 2 + 9_216 / 2 + 4_096 / 2 + 4_096 / 4
    assert exchange.towers(net, 2, 8) == 2 * 8 * crossing * 4
    assert exchange.towers(net, 4, 8) == 2 * 4 * crossing * 4 + 60_965_224 / 2 * 4
    convolutions = 34_944 + 307_456 + 885_120 + 663_936 + 442_624
    dense = 9_216 + 4_096 + 4_096
    # In addition, two numbers of each image's softmax are added up.
    assert exchange.hybrid(net, 2, 8) == convolutions * 4 + 8 * (dense + 2) * 4
    # 60,965,224 minus the convolutions, divided by 17,410 numbers per image.
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
