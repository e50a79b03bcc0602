"""The command `study`: whole studies, stopped ones, and ones in which a run fails."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from alexnet_tf import study
from alexnet_tf.studies import plan as plans
from alexnet_tf.studies import processes, results, trial
from tests.support import runs

STEPS = 4


@pytest.fixture
def trainings(monkeypatch):
    """The names of the runs that are trained, by a stand-in that takes no time.

    A run named in `trainings.failing` fails.
    """

    class Trainings(list):
        def __init__(self):
            super().__init__()
            self.failing = set()

    made = Trainings()

    def run(arguments, log):
        command = arguments[1]
        folder = next(
            pathlib.Path(a.partition("=")[2])
            for a in arguments
            if a.startswith(("--run_dir=", "--checkpoint="))
        )
        log.parent.mkdir(exist_ok=True)
        if folder.name in made.failing:
            log.write_text("alexnet_tf.train: step 3: The loss became NaN.\n")
            return 1
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        if command == "alexnet_tf.evaluate":
            errors = {"top1_error": 10.0 + int(folder.name[-1]), "top5_error": 1.0}
            evaluation = {"split": "test", "images": 9}
            evaluation |= {"center_crop": errors, "ten_crop": errors}
            (folder / "evaluation.json").write_text(json.dumps(evaluation))
            return 0
        made.append(folder.name)
        record = {"kind": "train", "step": STEPS, "loss": 1.0, "top1_error": 20.0}
        record["images_per_s"] = 10.0
        (folder / "log.jsonl").write_text(json.dumps(record) + "\n")
        about = {"cores": "2", "processor": "P", "GPUs": ""}
        (folder / "environment.json").write_text(json.dumps(about))
        (folder / "checkpoints" / f"step-{STEPS}.index").touch()
        return 0

    monkeypatch.setattr(processes, "run", run)
    monkeypatch.setattr(
        trial,
        "lengths_of",
        lambda arguments, evaluated: [trial.Length(STEPS, 2)] * len(arguments),
    )
    return made


def make(output, *, vary=("without=,lrn",), common=("--architecture=small",), **other):
    group = study.StudyGroup(
        vary=vary, output=str(output), **{"seeds": (0, 1), **other}
    )
    study.run_study(group, common)
    return json.loads((output / "study.json").read_text())


def test_a_study_trains_every_run_and_compares_the_settings(
    trainings, tmp_path, capsys
):
    found = make(tmp_path / "s")
    assert trainings == [
        *("without=none-seed0", "without=lrn-seed0"),
        *("without=none-seed1", "without=lrn-seed1"),
    ]
    assert (found["finished"], found["trainings"], found["failed"]) == (4, 4, {})
    whole, without = found["settings"]
    assert whole["measures"]["ten_crop"]["mean"] == 10.5
    assert without["differences"]["ten_crop"]["by_seed"] == {"0": 0.0, "1": 0.0}
    printed = capsys.readouterr()
    assert "lrn      2" in printed.out
    assert "== 2 of 4: without=lrn-seed0" in printed.err
    assert (tmp_path / "s" / "commands.sh").read_text().count("python -m") == 4
    table = (tmp_path / "s" / "table.md").read_text()
    assert table.startswith("| without | seeds |")


def test_nets_are_evaluated_as_they_were_trained(trainings, tmp_path, monkeypatch):
    """In the same precision and on the same devices."""
    evaluations, run = [], processes.run

    def watched(arguments, log):
        if "alexnet_tf.evaluate" in arguments:
            evaluations.append(arguments[2:])
        return run(arguments, log)

    monkeypatch.setattr(processes, "run", watched)
    same = ("--tower_devices=/CPU:0,/CPU:1", "--logical_cpus=2", "--logical_gpus=3")
    make(
        tmp_path / "s",
        vary=("precision=float32,bfloat16",),
        common=("--architecture=small", *same),
        seeds=(0,),
    )
    for precision, (checkpoint, *given) in zip(
        ("float32", "bfloat16"), evaluations, strict=True
    ):
        folder = tmp_path / "s" / f"precision={precision}-seed0"
        assert checkpoint == f"--checkpoint={folder}"
        assert sorted(given) == sorted([f"--precision={precision}", *same])


def test_finished_runs_are_not_repeated(trainings, tmp_path):
    make(tmp_path / "s")
    first = (tmp_path / "s" / "study.json").read_text()
    trainings.clear()
    make(tmp_path / "s")
    assert trainings == []
    assert (tmp_path / "s" / "study.json").read_text() == first


def test_more_seeds_and_values_extend_a_study(trainings, tmp_path):
    make(tmp_path / "s")
    trainings.clear()
    found = make(tmp_path / "s", vary=("without=,lrn,conv3",), seeds=(0, 1, 2))
    assert trainings == [
        *("without=conv3-seed0", "without=conv3-seed1", "without=none-seed2"),
        *("without=lrn-seed2", "without=conv3-seed2"),
    ]
    assert found["finished"] == 9


def test_a_training_that_fails_does_not_stop_the_others(trainings, tmp_path):
    trainings.failing = {"without=lrn-seed0"}
    with pytest.raises(
        RuntimeError, match=r"1 of 4 .*without=lrn-seed0 \(train failed: .*NaN"
    ):
        make(tmp_path / "s")
    found = json.loads((tmp_path / "s" / "study.json").read_text())
    assert list(found["failed"]) == ["without=lrn-seed0"]
    assert found["finished"] == 3
    assert "3 of 4 trainings" in (tmp_path / "s" / "table.md").read_text()
    # Settings are in the order of the values, whichever of their runs is missing.
    assert [s["values"]["without"] for s in found["settings"]] == ["", "lrn"]
    trainings.clear()
    trainings.failing = set()
    assert make(tmp_path / "s")["failed"] == {}
    assert trainings == ["without=lrn-seed0"]


def test_the_first_value_is_what_the_others_are_compared_with_even_if_it_fails(
    trainings, tmp_path
):
    trainings.failing = {"without=none-seed0"}
    with pytest.raises(RuntimeError):
        make(tmp_path / "s")
    found = json.loads((tmp_path / "s" / "study.json").read_text())
    assert [s["values"]["without"] for s in found["settings"]] == ["", "lrn"]
    assert found["settings"][1]["differences"]["ten_crop"]["by_seed"] == {"1": 0.0}


def test_parts_together_make_the_whole_study(trainings, tmp_path):
    make(tmp_path / "s", part="1/2")
    first = list(trainings)
    trainings.clear()
    found = make(tmp_path / "s", part="2/2")
    assert not set(first) & set(trainings)
    assert found["finished"] == 4


def test_a_run_that_another_process_finishes_meanwhile_is_not_repeated(
    trainings, tmp_path, monkeypatch
):
    train = processes.run

    def finish_the_last_one_too(arguments, log):
        done = train(arguments, log)
        last = tmp_path / "s" / "without=lrn-seed1"
        last.mkdir(exist_ok=True)
        first = tmp_path / "s" / "without=none-seed0" / results.RESULT
        if first.exists():
            made = json.loads(first.read_text())
            made |= {"name": last.name, "values": {"without": "lrn"}, "seed": 1}
            (last / results.RESULT).write_text(json.dumps(made))
        return done

    monkeypatch.setattr(processes, "run", finish_the_last_one_too)
    assert make(tmp_path / "s")["finished"] == 4
    assert "without=lrn-seed1" not in trainings


def test_flags_of_another_study_are_refused(trainings, tmp_path):
    make(tmp_path / "s")
    trainings.clear()
    with pytest.raises(ValueError, match="holds another study: .*--momentum=0.5"):
        make(tmp_path / "s", common=("--architecture=small", "--momentum=0.5"))
    assert trainings == []


@pytest.mark.parametrize(
    "vary", [("dropout_rate=0.5,0",), ("without=,lrn", "dropout_rate=0.5,0"), ()]
)
def test_a_study_of_other_flags_is_refused_and_loses_nothing(trainings, tmp_path, vary):
    before = make(tmp_path / "s")
    trainings.clear()
    with pytest.raises(ValueError, match="another study, which varies --without, and"):
        make(tmp_path / "s", vary=vary)
    assert trainings == []
    assert json.loads((tmp_path / "s" / "study.json").read_text()) == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vary": ("without=,conv9",)}, "conv9 is no part of small"),
        ({"seeds": (0, 0)}, "--seeds names 0 twice"),
        ({"seeds": ()}, "--seeds is empty"),
        ({"best": "momentum"}, "--best=momentum is no flag of --vary"),
        ({"part": "9/9"}, "there are only 4 trainings"),
    ],
)
def test_a_study_that_cannot_be_trained_writes_nothing(
    trainings, tmp_path, changes, message
):
    with pytest.raises(ValueError, match=message):
        make(tmp_path / "s", **changes)
    assert trainings == []
    assert not (tmp_path / "s").exists()


def test_what_only_training_would_refuse_is_refused_before_it(
    trainings, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        trial,
        "lengths_of",
        lambda arguments, evaluated: [trial.Length(STEPS, 2), "there is no such layer"],
    )
    with pytest.raises(ValueError, match="without=lrn-seed0: there is no such layer"):
        make(tmp_path / "s")
    assert trainings == []


@pytest.mark.long
def test_a_study_that_is_killed_continues_exactly(small_dataset, tmp_path):
    """Kills a study in the middle of a training, and compares the weights."""
    common = [
        *(f"--dataset={small_dataset.path}", "--architecture=cifar10_11pct"),
        *("--batch_size=8", "--precision=float32", "--tower_devices=auto"),
        *("--max_steps=40", "--checkpoint_steps=1", "--log_steps=1"),
    ]

    def command(output):
        arguments = ["--vary=without=,lrn", "--seeds=0", f"--output={output}", *common]
        return [sys.executable, "-m", "alexnet_tf.study", *arguments]

    killed = tmp_path / "killed"
    process = subprocess.Popen(command(killed))
    log = killed / "without=none-seed0"
    end = time.monotonic() + 300
    while len(runs.log_of(log)) < 3 and time.monotonic() < end:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    subprocess.run(command(killed), check=True)
    subprocess.run(command(tmp_path / "whole"), check=True)
    for name in ("without=none-seed0", "without=lrn-seed0"):
        one, other = (runs.weights(tmp_path / f / name) for f in ("killed", "whole"))
        assert one.keys() == other.keys()
        assert all(np.array_equal(one[key], other[key]) for key in one)
    plan = plans.Plan((), (plans.factor_of("without=,lrn"),), (0,), str(killed))
    assert len(results.read_results(plan)) == 2
