"""The tools that measure: what they would run, and how they read what came out."""

import importlib
import pathlib
import sys

import pytest
from absl import flags as absl_flags

from alexnet_tf.runtime import options

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tools" / name) for name in ("benchmarks", "studies")]


def _tool(name):
    """The tool, without its flags: the next one has some of the same names."""
    tool = importlib.import_module(name)
    for flag in list(absl_flags.FLAGS.flags_by_module_dict()[name]):
        delattr(absl_flags.FLAGS, flag.name)
    return tool


bench_convolution = _tool("convolution")
bench_input = _tool("input")
bench_train = _tool("training")
evidence = _tool("evidence")


@pytest.mark.parametrize(
    ("study", "count"),
    [("curves", 2), ("start", 22), ("precision", 6), ("kernels", 12), ("lrn", 6)],
)
def test_every_run_of_a_study_has_a_name_and_flags_that_exist(study, count):
    runs = list(evidence.runs(study))
    assert len({run.name for run in runs}) == len(runs) == count
    resolved = []
    for run in runs:
        values = absl_flags.FlagValues()
        options.define("train", values)
        values(["train", *options.with_recipes(run.flags)])
        resolved.append(options.collect("train", values))
    assert len({str(flags) for flags in resolved}) == count


def results(errors):
    ways = ("center_crop", "ten_crop")
    return [{way: {"top1_error": error} for way in ways} for error in errors]


def test_the_lrn_table_is_mean_and_deviation_over_the_seeds():
    with_lrn, without = results([10.0, 12.0]), results([13.0, 15.0])
    table = evidence.lrn_table(
        {f"cifar10_11pct-seed{n}": r for n, r in enumerate(with_lrn)}
        | {f"cifar10_11pct_no_lrn-seed{n}": r for n, r in enumerate(without)}
    )
    assert "| cifar10_11pct | 2 | 11.00 ± 1.41 | 11.00 ± 1.41 |" in table
    assert "| cifar10_11pct_no_lrn | 2 | 14.00 ± 1.41 | 14.00 ± 1.41 |" in table


def test_the_start_table_has_the_last_fifty_steps_of_each_seed():
    train = [[10 * n, 2.0 if n > 25 else 9.0, 50.0] for n in range(1, 31)]
    table = evidence.start_table({"code-original-32-seed0": {"train": train}})
    assert "| code | original | 32 | 2.00 | 50 |" in table
    assert "paper" not in table


def test_a_curve_begins_with_a_start(monkeypatch):
    (curve,) = [run for run in evidence.runs("curves") if run.name == "code"]
    (start,) = [
        r for r in evidence.runs("start") if r.name == "code-original-128-seed1"
    ]
    values = [absl_flags.FlagValues() for _ in range(2)]
    for run, found in zip((curve, start), values, strict=True):
        options.define("train", found)
        found(["train", *options.with_recipes(run.flags)])
    first, second = (found.flag_values_dict() for found in values)
    other = {name for name in first if first[name] != second[name]}
    assert other == {
        *("seed", "max_steps", "validate_epochs"),  # the rest: after START_STEPS
        *("drop_epochs", "bias_drop_epochs", "color_noise_end_epoch"),
        *("conv1_drop_epoch", "conv1_freeze_epoch"),
    }
    assert min(map(float, first["drop_epochs"])) * 468 > evidence.START_STEPS
    train = [[10 * n, 2.0, 50.0] for n in range(1, 151)]
    monkeypatch.setattr(
        evidence,
        "read",
        lambda study: {"curves": {"code": {"train": train}}}.get(study) or {},
    )
    (found,) = evidence.starts().values()
    assert found["train"] == train[:30]


def test_the_precisions_are_compared_on_the_starts_that_both_have(monkeypatch):
    def made(loss, seeds):
        train = [[10 * n, loss, 50.0] for n in range(1, 31)]
        return {f"code-original-32-seed{seed}": {"train": train} for seed in seeds}

    kernels = {
        f"paper-bfloat16-seed{seed}": {"train": [[10, 1.0 + seed, 50.0]]}
        for seed in range(2)
    }
    studies = {
        "precision": made(1.0, (0, 1)),
        "start": made(2.0, (0, 1, 2)),
        "kernels": kernels,
    }
    monkeypatch.setattr(evidence, "read", studies.get)
    table = evidence.precision_table(evidence.both_precisions())
    assert "| code | float32 | direct | 1.000, 1.000 | 1.000 ± 0.000 |" in table
    assert "| code | bfloat16 | direct | 2.000, 2.000 | 2.000 ± 0.000 |" in table
    assert "| paper | bfloat16 | fastest | 1.000, 2.000 | 1.500 ± 0.707 |" in table
    assert table.count("paper") == 1


def test_the_fastest_convolutions_are_tried_on_the_same_starts():
    starts = {run.name: run.flags for run in evidence.runs("start")}
    for run in evidence.runs("kernels"):
        recipe, precision, seed = run.name.split("-")
        same = set(starts[f"{recipe}-original-32-{seed}"])
        same -= {"--dropout=original", "--precision=bfloat16"}  # the recipes' own
        assert set(run.flags) == same | {f"--precision={precision}"}


def test_a_run_that_both_studies_make_differs_in_its_precision_alone():
    starts = {run.name: run.flags for run in evidence.runs("start")}
    for run in evidence.runs("precision"):
        assert set(run.flags) ^ set(starts[run.name]) == {
            "--precision=float32",
            "--precision=bfloat16",
        }


def test_the_bench_takes_the_papers_convolutions():
    found = [
        (layer.name, *extent) for layer, *extent in bench_convolution.convolutions()
    ]
    sides, channels = (224, 27, 13, 13, 13), (3, 48, 256, 192, 192)
    names = [f"conv{n}" for n in range(1, 6)]
    assert found == list(zip(names, sides, channels, strict=True))


@pytest.mark.parametrize(
    ("op", "place"),
    [
        ("paper_1/conv2_tower1_1/Conv2D:_MklNativeFusedConv2D", ("conv2", "forward")),
        (
            "gradients/paper_1/conv1_maxpool_tower0_1/MaxPoolGrad:_MklNativeMaxPoolGrad",
            ("conv1 pool", "backward"),
        ),
        (
            "paper_1/conv1_responsenormalization_tower0_1/LRN:LRN",
            ("conv1 lrn", "forward"),
        ),
        ("paper_1/fc6_tower0_1/Cast/Cast:Cast", ("casts", "forward")),
        (
            "AlexnetTf>ResourceApplyDecayedMomentum_6:"
            "AlexnetTf>ResourceApplyDecayedMomentum",
            ("update", "update"),
        ),
        ("CpuExecutable::ExecuteAsyncOnStream", ("input", "forward")),
        ("ExecutorState::Process", None),
        ("EagerLocalExecute: __inference__step_1", None),
    ],
)
def test_an_operation_of_a_profile_is_counted_where_it_belongs(op, place):
    assert bench_train.place_of(op) == place


def test_a_missed_limit_is_named_and_a_peer_that_was_not_timed_is_not():
    found = {
        "ours_by": {"stock": 1.1, "floor": 0.9},
        "inference": {"128": {"ours_by_stock": 1.3}, "1": {"ours_by_stock": 0.9}},
    }
    assert bench_train.missed({"float32": found}) == [
        "float32: 1.10 of stock, limit 1.2",
        "float32, inference of 1: 0.90 of stock, limit 1.0",
    ]


RATES = {
    "read jpeg": 50_000,
    "decode": 2_500,
    "jpeg": 2_400,
    "raw": 9_000,
    "dali": 2_500,
}


def test_a_limit_of_the_input_is_met_or_missed():
    steps = {"synthetic": 1.0, "real": 1.04, "preprocessing": 0.06}
    judged = {limit["name"]: limit["met"] for limit in bench_input.judge(RATES, steps)}
    assert judged == {
        "jpeg, images/s a core": True,
        "raw, images/s a core": False,
        "jpeg / dali": False,
        "real / synthetic speed": True,
        "preprocessing / step": False,
    }
    assert len(bench_input.judge(RATES, {})) == 3


@pytest.mark.parametrize(
    ("steps", "named"),
    [
        ({}, "of the input: decode"),
        ({"synthetic": 0.001}, "the input, its decode"),
        ({"synthetic": 1.0}, "the model, which takes 128 images/s"),
    ],
)
def test_the_bottleneck_is_named(steps, named):
    assert named in bench_input.bottleneck(RATES, steps)
