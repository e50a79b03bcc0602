"""What the benchmarks and checks of a device make of their measurements."""

import doctest
import itertools
import json
import pathlib
import sys
import types

import pytest

sys.path.insert(
    0, str(pathlib.Path(__file__).resolve().parents[2] / "tools/benchmarks")
)
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools/checks"))

import gpu_run
import kernel_profile
import throughput


def test_examples_hold():
    found = doctest.testmod(kernel_profile)
    assert found.attempted > 0
    assert found.failed == 0


def test_a_failed_row_is_printed_and_the_next_one_follows(capsys):
    class ResourceExhaustedError(Exception):
        pass

    rows = throughput.Rows(seconds=60)
    rows.row("a", lambda: "1 images/s")
    rows.row("b", lambda: [][0])
    rows.row("c", lambda: (_ for _ in ()).throw(ResourceExhaustedError("OOM")))
    with pytest.raises(SystemExit, match="1 rows are missing"):
        rows.finish()
    assert capsys.readouterr().out.splitlines() == [
        "result: a: 1 images/s",
        "result: b: FAILED: IndexError: list index out of range",
        "result: c: does not fit into the memory of the device",
    ]


def test_rows_without_time_are_named_and_are_an_error(capsys):
    rows = throughput.Rows(seconds=-1)
    rows.row("a", lambda: "1 images/s")
    with pytest.raises(SystemExit, match="1 rows are missing"):
        rows.finish()
    assert "result: a: not measured, because no time" in capsys.readouterr().out
    throughput.Rows(seconds=-1).finish()  # nothing is missing


def test_the_time_of_a_step_leaves_the_warm_up_out_and_waits_for_the_last(monkeypatch):
    clock = itertools.count()
    monkeypatch.setattr(throughput.time, "perf_counter", lambda: next(clock))
    steps, waited = itertools.count(1), []
    taken = throughput.step_s(lambda: next(steps), waited.append, 10)
    assert taken == 0.1  # each round takes one tick of the clock
    assert waited == [1, 2, 3, 13, 23, 33]


def profiled(line, name, milliseconds):
    event = types.SimpleNamespace(duration_ps=milliseconds * 1e9)
    return types.SimpleNamespace(name=line), event, name


def test_kernels_are_those_of_streams_and_operations_those_of_the_cpu():
    events = [
        profiled("Stream #13(Compute)", "ampere_sgemm", 2),
        profiled("TensorFlow Ops", "fc6/MatMul:MatMul", 2),
    ]
    assert kernel_profile.ran_on("/GPU:0", events) == [("ampere_sgemm", 0.002)]
    events = [
        profiled("tf_threads", "fc6/MatMul:MatMul", 2),
        profiled("tf_threads", "ThreadpoolListener::Process", 5),
        profiled("tf_threads", "step:__inference_step_1", 7),
    ]
    assert kernel_profile.ran_on("/CPU:0", events) == [("MatMul", 0.002)]


def test_losses_of_a_resumed_run_are_the_last_of_each_step(tmp_path):
    records = [(1, 2.0), (2, 1.5), (3, 9.0), (3, 1.0), (4, 0.5)]
    lines = [json.dumps({"kind": "train", "step": s, "loss": v}) for s, v in records]
    lines.insert(1, json.dumps({"kind": "weights", "step": 1}))
    (tmp_path / "log.jsonl").write_text("\n".join([*lines, '{"kind": "tr']))
    assert gpu_run.losses(tmp_path) == [2.0, 1.5, 1.0, 0.5]
    assert gpu_run.losses(tmp_path / "none") == []


def test_losses_far_from_the_cpus_are_an_error(capsys):
    gpu_run.compare([2.0, 1.0, 0.5], [2.0, 1.01])
    assert "largest difference in 2 steps 0.99 %" in capsys.readouterr().out
    for wrong in ([2.1, 1.0], [2.0, 2.0], [float("nan"), 1.0], [2.0, float("nan")]):
        with pytest.raises(SystemExit, match="differ from the CPU's"):
            gpu_run.compare(wrong, [2.0, 1.0])
