"""The studies of docs/results.md make the right runs and tables."""

import json
import pathlib
import sys

import pytest

from alexnet_tf.runtime import options
from alexnet_tf.studies import plan as plans
from alexnet_tf.training.train_options import TrainOptions

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools/studies"))

import results_tables
import study_results
import study_runs


def runs(study):
    return list(study_runs.STUDIES[study]())


def flags_by_name(study):
    return {run.name: run.flags for run in runs(study)}


@pytest.mark.parametrize(
    ("study", "count"),
    [
        ("curves", 2),
        ("start", 22),
        ("precision", 6),
        ("kernels", 12),
        ("lrn", 6),
        ("transfer", 9),
    ],
)
def test_every_run_of_a_study_has_its_own_name_and_flags_that_exist(study, count):
    found = runs(study)
    assert len({run.name for run in found}) == len(found) == count
    resolved = {str(options.parse(TrainOptions, run.flags)) for run in found}
    assert len(resolved) == count


@pytest.mark.parametrize("study", study_runs.STUDIES)
def test_the_runs_of_a_setting_are_one_study_that_differs_only_in_the_seed(
    study, monkeypatch
):
    monkeypatch.setattr(plans, "_refuse_no_dataset", lambda _: None)  # none is here
    groups = study_runs.settings(runs(study))
    folders = {group[0].setting for group in groups.values()}
    assert len(folders) == len(groups)
    for flags, group in groups.items():
        assert len({run.evaluated for run in group}) == 1
        plan = plans.Plan(flags, (), tuple(run.seed for run in group), "out")
        plan.check()
        for made, run in zip(plan.runs(), group, strict=True):
            one, other = (
                options.values_of(options.parse(TrainOptions, each))
                for each in (plan.flags_of(made), run.flags)
            )
            differing = {name for name in one if one[name] != other[name]}
            assert differing <= {"run_dir", "resume"}


def test_a_study_is_trained_by_the_command_and_its_results_are_recorded(
    tmp_path, monkeypatch
):
    import evidence

    commands, recorded = [], {}

    def command(name, *arguments):
        commands.append((name, *arguments))
        given = dict(a.removeprefix("--").partition("=")[::2] for a in arguments)
        for seed in given["seeds"].split(","):
            folder = pathlib.Path(given["output"]) / f"run-seed{seed}"
            folder.mkdir(parents=True)
            found = {"train": [[10, 1.0, 5.0]], "validation": [], "machine": "M"}
            (folder / "result.json").write_text(json.dumps(found))

    monkeypatch.setattr(evidence, "run_command", command)
    monkeypatch.setattr(
        study_results, "read", lambda study: {"scratch-seed1": "recorded before"}
    )
    monkeypatch.setattr(
        study_results,
        "add",
        lambda study, name, result: recorded.update({name: result}),
    )
    evidence.make_runs("transfer", tmp_path)
    assert {name for name, *_ in commands} == {"study"}
    expected = {run.name for run in runs("transfer")} - {"scratch-seed1"}
    assert recorded.keys() == expected
    assert recorded["tuned-seed2"]["train"] == [[10, 1.0, 5.0]]
    assert "validation" not in recorded["tuned-seed2"]
    # The nets that others start from stay, where these expect them.
    assert (tmp_path / "transfer/pretrained/run-seed2").exists()
    assert not (tmp_path / "transfer/scratch/run-seed0").exists()
    (tuned,) = (c for c in commands if c[-2].endswith("tuned-seed2"))
    assert f"--weights={tmp_path}/transfer/pretrained/run-seed2" in tuned


def evaluations(net, errors):
    """Results of one net, one per seed, with the same error in both ways."""
    ways = ("center_crop", "ten_crop")
    return {
        f"{net}-seed{seed}": {way: {"top1_error": error} for way in ways}
        for seed, error in enumerate(errors)
    }


def test_lrn_table_shows_mean_and_standard_deviation_over_the_seeds():
    with_lrn = evaluations("cifar10_11pct", [10.0, 12.0])
    without = evaluations("cifar10_11pct_no_lrn", [13.0, 15.0])
    table = results_tables.lrn_table(with_lrn | without)
    assert "| cifar10_11pct | 2 | 11.00 ± 1.41 | 11.00 ± 1.41 |" in table
    assert "| cifar10_11pct_no_lrn | 2 | 14.00 ± 1.41 | 14.00 ± 1.41 |" in table


def test_start_table_shows_the_last_fifty_steps_of_each_seed():
    train = [[10 * n, 2.0 if n > 25 else 9.0, 50.0] for n in range(1, 31)]
    table = results_tables.start_table(
        {"cuda_convnet-original-32-seed0": {"train": train}}
    )
    assert "| cuda_convnet | original | 32 | 2.00 | 50 |" in table
    assert "paper" not in table


def test_beginning_of_a_curve_is_a_run_of_the_start_study(monkeypatch):
    curve = flags_by_name("curves")["cuda_convnet"]
    start = flags_by_name("start")["cuda_convnet-original-128-seed1"]
    first, second = (
        options.values_of(options.parse(TrainOptions, flags))
        for flags in (curve, start)
    )
    other = {name for name in first if first[name] != second[name]}
    assert other == {
        *("seed", "max_steps", "validation"),
        # These take effect only after START_STEPS:
        *("drop_epochs", "bias_drop_epochs", "color_noise_end_epoch"),
        *("conv1_drop_epoch", "conv1_freeze_epoch"),
    }
    assert min(first["drop_epochs"]) * 468 > study_runs.START_STEPS
    train = [[10 * n, 2.0, 50.0] for n in range(1, 151)]
    monkeypatch.setattr(
        study_results,
        "read",
        lambda study: {"curves": {"cuda_convnet": {"train": train}}}.get(study) or {},
    )
    (found,) = study_results.starts().values()
    assert found["train"] == train[:30]


def test_precisions_are_compared_on_the_starts_that_both_have(monkeypatch):
    def made(loss, seeds):
        train = [[10 * n, loss, 50.0] for n in range(1, 31)]
        return {f"cuda_convnet-original-32-seed{n}": {"train": train} for n in seeds}

    kernels = {
        f"paper-bfloat16-seed{seed}": {"train": [[10, 1.0 + seed, 50.0]]}
        for seed in range(2)
    }
    studies = {
        "precision": made(1.0, (0, 1)),
        "start": made(2.0, (0, 1, 2)),
        "kernels": kernels,
    }
    monkeypatch.setattr(study_results, "read", studies.get)
    table = results_tables.precision_table(study_results.both_precisions())
    for row in (
        "| cuda_convnet | float32 | direct | 1.000, 1.000 | 1.000 ± 0.000 |",
        "| cuda_convnet | bfloat16 | direct | 2.000, 2.000 | 2.000 ± 0.000 |",
        "| paper | bfloat16 | fastest | 1.000, 2.000 | 1.500 ± 0.707 |",
    ):
        assert row in table
    assert table.count("paper") == 1


def test_fastest_convolutions_are_tried_on_the_same_starts():
    starts = flags_by_name("start")
    for name, flags in flags_by_name("kernels").items():
        recipe, precision, seed = name.split("-")
        same = set(starts[f"{recipe}-original-32-{seed}"])
        # The recipes themselves have the original dropout.
        same -= {"--dropout=original", "--precision=bfloat16"}
        assert set(flags) == same | {f"--precision={precision}"}


def test_run_that_two_studies_make_differs_only_in_its_precision():
    starts = flags_by_name("start")
    for name, flags in flags_by_name("precision").items():
        assert set(flags) ^ set(starts[name]) == {
            "--precision=float32",
            "--precision=bfloat16",
        }


def test_recorded_results_have_the_names_of_the_runs():
    for study in study_runs.STUDIES:
        assert study_results.read(study).keys() == flags_by_name(study).keys()


def test_transfer_table_shows_when_an_error_was_first_low_enough():
    def run(*errors):
        return {"validation": [[31 * n, 1.0, e] for n, e in enumerate(errors, 1)]}

    results = {
        "tuned-seed0": run(49.0, 44.0, 46.0, 41.0),
        "tuned-seed1": run(52.0, 50.0, 43.0, 43.0),
        "scratch-seed0": run(60.0, 55.0, 50.5, 50.1),
    }
    table = results_tables.transfer_table(results)
    assert "| tuned | 31, 62 | 62, 93 | 124, never | 41.0, 43.0 |" in table
    assert "| scratch | never | never | never | 50.1 |" in table


def test_the_first_images_of_the_chosen_classes_are_written(tmp_path, monkeypatch):
    import fashion_mnist
    import numpy as np

    labels = np.array([0, 1, 0, 2, 0, 2], np.uint8)
    images = np.arange(6, dtype=np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8)
    monkeypatch.setattr(
        fashion_mnist,
        "_read_idx",
        lambda path: images if "images" in path.name else labels,
    )
    fashion_mnist.write_images(tmp_path, tmp_path / "out", classes=(0, 2), most=2)
    written = sorted(
        path.relative_to(tmp_path / "out") for path in tmp_path.rglob("*.png")
    )
    assert [str(path) for path in written if path.parts[0] == "train"] == [
        *("train/class0/00000.png", "train/class0/00002.png"),
        *("train/class2/00003.png", "train/class2/00005.png"),
    ]
