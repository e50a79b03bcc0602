"""The command `train`: what it sets up, records, and leaves to the chief."""

import dataclasses
import json
import signal

import pytest
import tensorflow as tf
from tensorflow.python.autograph.impl import api

from alexnet_tf import train
from alexnet_tf.models import architecture, builder, checkpoint_files, trained, zoo
from alexnet_tf.runtime import options
from alexnet_tf.training import replication, run_log, train_options
from tests.support import runs

pytestmark = pytest.mark.usefixtures("random_without_seeds")


@pytest.fixture
def chosen(small_dataset, tmp_path):
    return runs.train_options_of(small_dataset, tmp_path / "run", max_steps=2)


def test_the_precision_that_auto_stands_for_is_recorded(chosen, tmp_path, monkeypatch):
    called = []
    for name in ("enable_op_determinism", "enable_tensor_float_32_execution"):
        monkeypatch.setattr(
            tf.config.experimental,
            name,
            lambda *values, n=name: called.append((n, values)),
        )
    train.main(options.replace(chosen, precision="auto"), [])
    resolved = options.read(
        tmp_path / "run/resolved.flags", train_options.TrainOptions
    ).net.precision
    assert resolved in ("float32", "bfloat16")
    assert trained.read_trained_net(tmp_path / "run").precision == resolved
    assert called == [
        ("enable_op_determinism", ()),
        ("enable_tensor_float_32_execution", (False,)),
    ]


def test_nothing_is_converted_from_python_to_a_graph(chosen, monkeypatch):
    """Autograph would find no control flow on tensors, in seconds of every command."""
    converted = []

    def convert(function, _):
        converted.append(function)
        raise NotImplementedError  # it is called as it is

    monkeypatch.setattr(api, "_convert_actual", convert)
    train.main(chosen, [])  # which validates as well
    assert converted == []


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"dropout": None, "init": None}, ("inverted", "pytorch")),
        ({"dropout": "original", "init": "paper"}, ("original", "paper")),
    ],
)
def test_conventions_that_are_not_given_are_the_architectures_and_are_recorded(
    chosen, tmp_path, monkeypatch, given, expected
):
    net = zoo.find("cifar10_13pct")
    net = dataclasses.replace(
        net,
        layers=(*net.layers[:-1], architecture.Dropout(), net.layers[-1]),
        dropout="inverted",
        initialization="pytorch",
    )
    monkeypatch.setitem(zoo.ARCHITECTURES, "cifar10_13pct", net)
    started = []
    build = builder.build
    monkeypatch.setattr(
        builder,
        "build",
        lambda *given, **named: started.append(named) or build(*given, **named),
    )
    train.main(options.replace(chosen, architecture="cifar10_13pct", **given), [])
    recorded = options.read(tmp_path / "run/resolved.flags", train_options.TrainOptions)
    assert (recorded.net.dropout, recorded.net.init) == expected
    assert trained.read_trained_net(tmp_path / "run").dropout == expected[0]
    assert (started[0]["dropout"], started[0]["initialization"]) == expected


def test_a_run_is_not_resumed_to_overfit_a_batch(chosen):
    both = options.replace(chosen, overfit_one_batch=True, resume=True)
    with pytest.raises(ValueError, match="--overfit_one_batch begins with new weights"):
        train.main(both, [])


class Worker(replication.Replicas):
    """A process that does not speak for all; the schedule never changes."""

    def __init__(self):
        super().__init__()
        self.is_chief = False
        self.agreed = {}

    def from_chief(self, function):
        del function
        return [[0, {}]]

    def agree(self, what, advice):
        del advice
        self.agreed.update(what)


def test_a_worker_that_is_not_the_chief_writes_nothing(
    chosen, tmp_path, small_dataset, capsys
):
    worker = Worker()
    train._train(options.replace(chosen, validation="never"), worker)
    assert "step 2 of 2" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()
    assert worker.agreed["dataset digest"] == small_dataset.digest()
    assert worker.agreed["last_step"] == 2
    fixed = options.values_of(chosen, changeable=False)
    assert fixed.keys() <= worker.agreed.keys()
    assert {"learning_rate", "seed", "batch_size", "architecture"} <= fixed.keys()


def test_ctrl_c_saves_and_is_passed_on(chosen, tmp_path):
    run = runs.trainer_of(chosen)
    runs.record(chosen)
    original = run.batches

    def batches(first, last):
        signal.raise_signal(signal.SIGINT)
        return original(first, last)

    run.batches = batches
    with pytest.raises(KeyboardInterrupt, match="^--resume continues the run$"):
        run.run(run_log.Log(tmp_path / "run", 0))
    found = checkpoint_files.newest_checkpoint(tmp_path / "run/checkpoints")
    assert found.endswith("step-1")


def test_a_resumed_run_knows_its_best_validation(chosen, tmp_path):
    first = runs.train(options.replace(chosen, max_steps=3))
    (validation,) = runs.log_of(tmp_path / "run", "validation")
    assert first.state.best_error == validation["top1_error"]
    again = runs.trainer_of(options.replace(chosen, max_steps=6))
    again.validation = lambda each_batch: {"top1_error": 99.0}
    assert again.restore()
    assert again.state.best_error == first.state.best_error
    again.run(run_log.Log(tmp_path / "run", 3))
    best = checkpoint_files.list_checkpoints(tmp_path / "run/best")
    assert [prefix.rsplit("-", 1)[1] for prefix in best] == ["3"]
    again.validation = lambda each_batch: {"top1_error": 0.0}
    again.state.validation_due = True
    again.run(run_log.Log(tmp_path / "run", 6))
    best = checkpoint_files.list_checkpoints(tmp_path / "run/best")
    assert [prefix.rsplit("-", 1)[1] for prefix in best] == ["6"]
    lines = (tmp_path / "run/log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines if "validation" in line] == [
        *(3, 6, 6),
    ]


def said_of_a_new_run(capsys, **given):
    train._note_a_new_run(options.replace(train.OPTIONS(), **given))
    return capsys.readouterr().err


def test_a_folder_that_is_perhaps_mistyped_is_named_before_a_run_begins(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/my run").mkdir(parents=True)
    begins = "has no checkpoint to resume: the run begins here"
    mistyped = {"run_dir": "runs/myrun", "resume": True, "max_steps": 9}
    said = said_of_a_new_run(capsys, **mistyped)
    assert said == f"runs/myrun {begins}. Did you mean runs/my run?\n"
    # Whoever gives the options of a run means a new one, as a study does.
    said = said_of_a_new_run(capsys, **mistyped, architecture="small")
    assert said == f"runs/myrun {begins}\n"
    assert said_of_a_new_run(capsys, **mistyped | {"run_dir": "x"}) == f"x {begins}\n"
