"""The benchmarks: what they time, how they judge it, and how they read a profile."""

import importlib
import pathlib
import sys

import pytest
from absl import flags as absl_flags

sys.path.insert(
    0, str(pathlib.Path(__file__).resolve().parents[2] / "tools/benchmarks")
)

import input_report
import layer_profile
import training_report


def command(name):
    """A benchmark's command without its flags, because commands share flag names."""
    module = importlib.import_module(name)
    for flag in list(absl_flags.FLAGS.flags_by_module_dict()[name]):
        delattr(absl_flags.FLAGS, flag.name)
    return module


convolution = command("convolution")


@pytest.mark.parametrize(
    "name",
    ["input", "lrn", "prediction", "preparation", "trace_towers", "training"],
)
def test_every_command_can_be_imported(name):
    assert callable(command(name).main)


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
    prediction = command("prediction")
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
