"""The benchmarks: what they time, how they judge it, and how they read a profile."""

import pytest

from tests.support import benchmarks

input_report = benchmarks.module("input_report")
layer_profile = benchmarks.module("layer_profile")
training_report = benchmarks.module("training_report")
convolution = benchmarks.command("convolution")
evaluation = benchmarks.command("evaluation")
prediction = benchmarks.command("prediction")


@pytest.mark.parametrize(
    "name",
    ["input", "lrn", "preparation", "trace_towers", "training"],
)
def test_every_command_can_be_imported(name):
    assert callable(benchmarks.command(name).main)


def test_convolution_benchmark_times_the_papers_convolutions():
    found = [
        (tower.layer.name, tower.side, tower.channels)
        for tower in convolution.convolutions()
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
def test_operation_in_a_profile_is_assigned_to_its_layer_and_pass(op, place):
    assert layer_profile.place_of(op) == place


def test_prediction_is_judged_by_inference_its_ceiling_peers_and_its_start():
    rates = {"inference": 100.0, "decoding": 400.0, "local": 79.0}
    rates |= {"server": 60.0, "checking": 300.0, "client": 39.0}
    assert prediction.ceiling(rates, "inference", "decoding") == pytest.approx(80)
    assert prediction.ceiling(rates, "server", "checking") == pytest.approx(50)
    starts = {"tensorflow_and_model": 4.0, "predict": 6.4}

    def missed(**changes):
        judged = prediction.judge(rates | changes, starts)
        return [limit.name for limit in judged if not limit.met]

    assert missed() == [
        "local, of inference",
        "client, of its ceiling",
        "cold start, of TensorFlow and model",
    ]
    assert "local, beside PyTorch" in missed(torch=79.0)
    assert "local, beside PyTorch" not in missed(torch=78.0)
    assert "local, of its ceiling" in missed(local=71.0)


def test_missed_training_limit_is_named_and_a_variant_that_was_not_timed_is_not():
    found = {
        "ours_by": {"stock": 1.1, "matmul_bound": 0.9},
        "inference": {"128": {"ours_by_stock": 1.3}, "1": {"ours_by_stock": 0.9}},
    }
    judged = {limit.name: limit for limit in training_report.judge({"float32": found})}
    assert [name for name, limit in judged.items() if not limit.met] == [
        "float32: ours / stock",
        "float32: inference at batch 1, ours / stock",
    ]
    stock = judged["float32: ours / stock"]
    assert (stock.value, stock.limit) == (1.1, ">= 1.2")
    assert judged["float32: ours / matmul bound"].met
    assert not any("torch" in name for name in judged)


RATES = {
    "read jpeg": 50_000,
    "decode": 2_500,
    "jpeg": 2_400,
    "raw": 9_000,
    "dali": 2_500,
}


def test_input_limits_are_met_or_missed():
    step_s = {"synthetic": 1.0, "real": 1.04, "preprocessing": 0.06}
    judged = {limit.name: limit.met for limit in input_report.judge(RATES, step_s)}
    assert judged == {
        "jpeg, images/s per core": True,
        "raw, images/s per core": False,
        "jpeg / dali": False,
        "real / synthetic speed": True,
        "preprocessing / step": False,
    }
    assert len(input_report.judge(RATES, {})) == 3


@pytest.mark.parametrize(
    ("step_s", "named"),
    [
        ({}, "of the input: decode"),
        ({"synthetic": 0.001}, "the input, namely decode"),
        ({"synthetic": 1.0}, "the model, which takes 128 images/s"),
    ],
)
def test_bottleneck_is_named(step_s, named):
    assert named in input_report.bottleneck(RATES, step_s)


def test_evaluation_limits_hold_the_parts_that_were_measured():
    rates = {"ten_crop": {"command": 94.0, "bare": 100.0}}
    (missed,) = evaluation.judge(rates)
    assert (missed.value, missed.limit, missed.met) == (94, ">= 95", False)
    rates["features"] = {"command": 90.0, "bare": 100.0}
    seconds = {"command": 15.0, "bare": 10.0, "help": 0.2, "mistyped_flag": 1.1}
    judged = {
        each.name: each.met for each in evaluation.judge(rates | {"start": seconds})
    }
    assert judged == {
        "ten crops, % of inference": False,
        "features, % of inference": True,
        "first step / bare parts": True,
        "train --help, s": True,
        "mistyped flag, s": False,
    }
