"""Placement of two towers, forward and backward, on two logical CPUs or GPUs.

The tests share a process of their own, because logical devices are fixed at
TensorFlow's first operation.
"""

import collections
import json
import os
import pathlib
import re
import subprocess
import sys
import textwrap
import threading

import pytest
import tensorflow as tf

from alexnet_tf.models import devices

# tools/checks/gpu.sh runs the tests marked `gpu` on two parts of a GPU.
KIND = os.environ.get("ALEXNET_TF_TEST_TOWERS", "CPU")

PRELUDE = """
import keras
import numpy as np
import tensorflow as tf
from alexnet_tf.models import architecture as A, builder, devices, towers
from alexnet_tf.training import optimizer, schedule, training_step

devices.configure(LOGICAL=2)
# As `train` does. TF32 would round the products of convolutions to ten bits.
tf.config.experimental.enable_op_determinism()
devices.allow_tf32(False)
keras.utils.clear_session()
HOST = "/cpu:0"
# Relative errors. On one kind of device, the towers' sums are the same but for their
# order. Another kind of device computes convolutions by other algorithms.
SAME_DEVICE, OTHER_DEVICE = 1e-6, 1e-4
NET = A.Architecture(
    name="small",
    description="the paper's network, narrow",
    input_size=67,
    record_size=80,
    towers=2,
    layers=(
        A.Convolution("conv1", filters=8, kernel_size=11, stride=4, padding=(0, 3)),
        A.Relu(),
        A.ResponseNormalization(),
        A.MaxPool(),
        A.Convolution(
            "conv2", filters=16, kernel_size=5, padding=(2, 2), initial_bias=1.0
        ),
        A.Relu(),
        A.ResponseNormalization(),
        A.Convolution(
            "conv3", filters=24, kernel_size=3, padding=(1, 1), inputs="both"
        ),
        A.Relu(),
        A.Convolution(
            "conv4", filters=24, kernel_size=3, padding=(1, 1), initial_bias=1.0
        ),
        A.Relu(),
        A.MaxPool(),
        A.Dense("fc6", units=32, initial_bias=1.0, inputs="both"),
        A.Relu(),
        A.Dropout(),
        A.Dense("fc7", units=32, initial_bias=1.0, inputs="both"),
        A.Relu(),
        A.Dropout(),
        A.Dense("fc8", units=10, inputs="both", split=False),
    ),
)

def build(devices):
    return builder.build(NET, mean=np.full(3, 127.0), devices=devices, seed=5)

def batch(count=6):
    rng = np.random.default_rng(0)
    return {
        "image": tf.constant(rng.integers(0, 256, (count, 67, 67, 3)), tf.uint8),
        "mirror": tf.constant(rng.integers(0, 2, count), tf.bool),
        "shift": tf.constant(rng.normal(size=(count, 3)), tf.float32),
        "gain": tf.ones([count]),
    }, tf.constant(rng.integers(0, 10, count), tf.int32)
"""


# Runs each program that it reads, and answers with what that printed and its error.
SERVER = """
import contextlib, io, json, sys, traceback
for line in sys.stdin:
    printed, error = io.StringIO(), None
    try:
        with contextlib.redirect_stdout(printed):
            exec(json.loads(line), {})
    except BaseException:
        error = traceback.format_exc()
    print("answer", json.dumps([printed.getvalue(), error]), flush=True)
"""


@pytest.fixture(scope="module")
def in_a_process():
    """A function that runs a program after the prelude; its standard output."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:

        def run(body):
            code = textwrap.dedent(PRELUDE) + textwrap.dedent(body)
            code = code.replace("CPU:", f"{KIND}:")
            code = code.replace("LOGICAL", f"logical_{KIND.lower()}s")
            limit = threading.Timer(300, process.kill)
            limit.start()
            process.stdin.write(json.dumps(code) + "\n")
            process.stdin.flush()
            for line in process.stdout:
                if line.startswith("answer "):
                    break
            else:
                pytest.fail("the process ended, or took longer than 300 seconds")
            limit.cancel()
            printed, error = json.loads(line.removeprefix("answer "))
            assert error is None, error
            return printed

        yield run
        process.stdin.close()


@pytest.mark.gpu
def test_variables_and_velocities_are_on_their_towers_devices(in_a_process):
    in_a_process("""
    net = build(["/CPU:0", "/CPU:1"])
    rule = optimizer.MomentumSGD(net.trainable_variables, [0.0] * 26)
    assert len(net.trainable_variables) == 26
    for variable, velocity in zip(net.trainable_variables, rule.velocities):
        device = "CPU:1" if "_tower1/" in variable.path else "CPU:0"
        assert devices.canonical(variable.value.device) == device, variable.path
        assert devices.canonical(velocity.device) == device, variable.path
    """)


@pytest.mark.gpu
@pytest.mark.parametrize("chosen_for", ["CPU", "GPU"])
def test_every_operation_runs_on_its_towers_device_forward_and_backward(
    in_a_process, chosen_for
):
    """With the ops that are chosen for a CPU, and with those chosen for a GPU."""
    if KIND == "GPU" and chosen_for == "CPU":
        pytest.skip("these kernels are for a CPU")
    in_a_process(
        f"chosen_for = {chosen_for!r}\n"
        + textwrap.dedent("""
    from unittest import mock
    from alexnet_tf.ops import availability, tracing

    net = build(["/CPU:0", "/CPU:1"])
    rule = optimizer.MomentumSGD(net.trainable_variables, [0.0] * 26)
    batches = tf.data.Dataset.from_tensors(batch())
    usable, cpu = availability.is_usable, chosen_for == "CPU"
    with (
        mock.patch.object(tracing, "runs_on_cpu", lambda device: cpu),
        mock.patch.object(
            availability, "is_usable",
            lambda op, *a, **k: (cpu or op == availability.LRN) and usable(op, *a, **k),
        ),
    ):
        graph = training_step.Step(net, rule).trace(batches).graph

    # An operation's name contains its layer: small/conv1_tower1/Conv2D, and for the
    # gradient gradients/small/conv1_tower1/Conv2D_grad/Conv2DBackpropFilter.
    kinds = (
        "Conv2D", "Conv2DBackpropFilter", "Conv2DBackpropInput", "MatMul", "MaxPool",
        "MaxPoolGrad", "AlexnetTf>LocalResponseNormalization",
        "AlexnetTf>LocalResponseNormalizationGrad", "BiasAdd", "BiasAddGrad", "Relu",
        "ReluGrad", "StatelessRandomUniformV2", "AlexnetTf>ResourceApplyDecayedMomentum",
        "ResourceApplyKerasMomentum",
    )
    count = {kind: {"CPU:0": 0, "CPU:1": 0} for kind in kinds}
    for op in graph.get_operations():
        if op.type in kinds:
            count[op.type][devices.canonical(op.device)] += 1
    # The trace also has operations that nothing reads and that never run: conv1's input
    # gradient, and on a CPU, where a normalization's gradient is fused with that of the
    # ReLU before it, the one that is not fused.
    halves = {
        "Conv2D": 4, "Conv2DBackpropFilter": 4, "Conv2DBackpropInput": 4, "MaxPool": 2,
        "MaxPoolGrad": 2, "AlexnetTf>LocalResponseNormalization": 2,
        "AlexnetTf>LocalResponseNormalizationGrad": 4 if cpu else 2,
        "Relu": 6, "ReluGrad": 4 if cpu else 6,
        "StatelessRandomUniformV2": 2,
    }
    for kind, half in halves.items():
        assert count[kind] == {"CPU:0": half, "CPU:1": half}, (kind, count[kind])
    # fc6 and fc7 are on both, with one product forward and two backward; fc8 is on the
    # first only.
    assert count["MatMul"] == {"CPU:0": 9, "CPU:1": 6}, count["MatMul"]
    updates = ["AlexnetTf>ResourceApplyDecayedMomentum", "ResourceApplyKerasMomentum"]
    assert count[updates[not cpu]] == {"CPU:0": 14, "CPU:1": 12}, count
    assert count[updates[cpu]] == {"CPU:0": 0, "CPU:1": 0}, count
    for op in graph.get_operations():
        if "_tower1" in op.name and op.type in kinds:
            assert devices.canonical(op.device) == "CPU:1", op.name
        if "_tower0" in op.name and op.type in kinds:
            assert devices.canonical(op.device) == "CPU:0", op.name
    """)
    )


@pytest.mark.gpu
def test_activations_cross_only_at_conv3_fc6_fc7_and_fc8(in_a_process):
    crossing = in_a_process("""
    net = build(["/CPU:0", "/CPU:1"])
    forward = tf.function(lambda x: net(x, training=False))
    graph = forward.get_concrete_function(batch()[0]).graph
    for op in graph.get_operations():
        for tensor in op.inputs:
            if tensor.op.device and op.device and tensor.op.device != op.device:
                print(op.name.split("/")[1].removesuffix("_1"))
    """)
    assert set(crossing.split()) == {
        "conv3_inputs_0",
        "conv3_inputs_1",
        "fc6_inputs_0",
        "fc6_inputs_1",
        "fc7_inputs_0",
        "fc7_inputs_1",
        "fc8_inputs_0",
    }


def test_in_a_training_step_only_the_exchanges_and_their_gradients_cross(in_a_process):
    """What TensorFlow really sends, from the profiler's trace of a step."""
    crossing = in_a_process(
        """
    import sys
    sys.path.insert(0, TOOLS)
    import trace_towers

    net = build(["/CPU:0", "/CPU:1"])
    rule = optimizer.MomentumSGD(net.trainable_variables, [0.0] * 26)
    step = training_step.Step(net, rule).trace(tf.data.Dataset.from_tensors(batch()))
    learning_rates = schedule.LearningRates(0.01, 0.02, 1.0).tensors()
    step(*batch(), learning_rates)
    events = trace_towers.traced(lambda: step(*batch(), learning_rates))
    device_of = {op.name: devices.canonical(op.device)
               for op in step.graph.get_operations() if op.device}
    assert set(trace_towers.busy(events, device_of)) == {"CPU:0", "CPU:1"}
    for name in trace_towers.crossings(events):
        print(name)
    """.replace(
            "TOOLS",
            repr(str(pathlib.Path(__file__).resolve().parents[2] / "tools/benchmarks")),
        )
    )
    # The layers by name, without the suffix of each call: conv3_inputs_1_1 is conv3's.
    sent = collections.Counter()
    for name in crossing.split():
        if name.startswith("gradients/"):
            sent["gradient of " + name.split("/")[2].split("_inputs_")[0]] += 1
        elif not name.startswith(
            ("inputs", "learning_rates", "GroupCrossDeviceControlEdges")
        ):
            sent[re.sub(r"_\d+$", "", name.split("/")[1])] += 1
    assert sent == {
        "conv2_responsenormalization_tower0": 1,
        "conv2_responsenormalization_tower1": 1,
        "flatten_0": 1,
        "flatten_1": 1,
        "fc6_dropout_tower0": 1,
        "fc6_dropout_tower1": 1,
        "fc7_dropout_tower1": 1,  # fc8 is on the first
        "gradient of conv3": 2,
        "gradient of fc6": 2,
        "gradient of fc7": 2,
        "gradient of fc8": 1,
    }


@pytest.mark.gpu
def test_two_devices_compute_the_same_as_one_and_as_the_cpu(in_a_process):
    """The losses and gradients of the first step, and what three steps make of them."""
    in_a_process("""
    results = []
    for placement in (["/CPU:0", "/CPU:0"], ["/CPU:0", "/CPU:1"], [HOST, HOST]):
        net = build(placement)
        rule = optimizer.MomentumSGD(net.trainable_variables, [5e-4] * 26)
        batches = tf.data.Dataset.from_tensors(batch())
        step = training_step.Step(net, rule).trace(batches)
        learning_rates = schedule.LearningRates(0.01, 0.02, 1.0).tensors()
        losses, values = [], []
        for number in range(3):
            losses.append(step(*batch(), learning_rates).numpy())
            if number != 1:
                values += [v.numpy() for v in rule.velocities] + net.get_weights()
        results.append((losses, values))
    (losses, values), two, host = results
    for other, relative in ((two, SAME_DEVICE), (host, OTHER_DEVICE)):
        np.testing.assert_allclose(other[0], losses, rtol=relative)
        for theirs, ours in zip(other[1], values, strict=True):
            largest = np.abs(ours).max()
            np.testing.assert_allclose(theirs, ours, rtol=0, atol=10 * relative * largest)
    """)


# The net whose normalizations read the channels of both towers, as Caffe's do.
BOTH = """
import dataclasses
NET = dataclasses.replace(NET, layers=tuple(
    dataclasses.replace(layer, inputs="both")
    if isinstance(layer, A.ResponseNormalization) else layer for layer in NET.layers
))
"""


@pytest.mark.gpu
def test_normalization_over_all_channels_equals_that_of_one_tower_on_two_devices(
    in_a_process,
):
    in_a_process(f"""
    {textwrap.indent(BOTH, "    ").strip()}
    import keras
    from alexnet_tf import ops

    weight = tf.constant(np.random.default_rng(1).normal(size=(6, 15, 15, 8)), tf.float32)
    gradients = []
    for placement in (["/CPU:0", "/CPU:0"], ["/CPU:0", "/CPU:1"]):
        net = build(placement)
        names = ("conv1_relu_tower", "conv1_responsenormalization_tower")
        parts = keras.Model(net.input, [
            [net.get_layer(f"{{name}}{{tower}}").output for tower in (0, 1)]
            for name in names
        ])
        kernels = [net.get_layer(f"conv1_tower{{tower}}").kernel for tower in (0, 1)]

        @tf.function
        def run(inputs):
            relu, normalized = (tf.concat(part, -1) for part in parts(inputs))
            alone = ops.local_response_normalization(relu)
            return relu, normalized, alone, [
                towers.colocated_gradients(tf.reduce_sum(weight * y), kernels)
                for y in (normalized, alone)
            ]

        relu, found, alone, (ours, expected) = run(batch()[0])
        assert float(tf.reduce_max(relu)) > 10
        np.testing.assert_array_equal(found, alone)
        for one, other in zip(ours, expected):
            scale = np.abs(other).max()
            np.testing.assert_allclose(one, other, rtol=0, atol=10 * SAME_DEVICE * scale)
        gradients.append(ours)
    for one, two in zip(*gradients):
        np.testing.assert_allclose(one, two, rtol=0, atol=10 * SAME_DEVICE * np.abs(one).max())
    """)


@pytest.mark.gpu
def test_normalization_over_all_channels_runs_on_both_devices_forward_and_backward(
    in_a_process,
):
    crossing = in_a_process(f"""
    {textwrap.indent(BOTH, "    ").strip()}
    net = build(["/CPU:0", "/CPU:1"])
    rule = optimizer.MomentumSGD(net.trainable_variables, [0.0] * 26)
    batches = tf.data.Dataset.from_tensors(batch())
    graph = training_step.Step(net, rule).trace(batches).graph
    count = {{}}
    for op in graph.get_operations():
        if "LocalResponseNormalization" in op.type:
            places = count.setdefault(op.type, [])
            places.append(devices.canonical(op.device))
            assert ("_device1" in op.name) == (places[-1] == "CPU:1"), op.name
    assert {{kind: sorted(places) for kind, places in count.items()}} == {{
        "AlexnetTf>LocalResponseNormalization": ["CPU:0"] * 2 + ["CPU:1"] * 2,
        "AlexnetTf>LocalResponseNormalizationGrad": ["CPU:0"] * 2 + ["CPU:1"] * 2,
    }}
    forward = tf.function(lambda x: net(x, training=False))
    for op in forward.get_concrete_function(batch()[0]).graph.get_operations():
        for tensor in op.inputs:
            if tensor.op.device and op.device and tensor.op.device != op.device:
                print(op.name.split("/")[1].removesuffix("_1"))
    """)
    assert {
        name for name in crossing.split() if name.startswith(("conv1", "conv2"))
    } == {
        "conv1_responsenormalization_inputs_0",
        "conv1_responsenormalization_inputs_1",
        "conv2_responsenormalization_inputs_0",
        "conv2_responsenormalization_inputs_1",
    }


@pytest.mark.gpu
def test_with_normalization_over_all_channels_two_devices_train_as_one(in_a_process):
    in_a_process(f"""
    {textwrap.indent(BOTH, "    ").strip()}
    results = []
    for placement in (["/CPU:0", "/CPU:0"], ["/CPU:0", "/CPU:1"]):
        net = build(placement)
        rule = optimizer.MomentumSGD(net.trainable_variables, [5e-4] * 26)
        step = training_step.Step(net, rule).trace(tf.data.Dataset.from_tensors(batch()))
        learning_rates = schedule.LearningRates(0.01, 0.02, 1.0).tensors()
        for _ in range(3):
            loss = step(*batch(), learning_rates).numpy()
        results.append((loss, net.get_weights()))
    (one_loss, one), (two_loss, two) = results
    np.testing.assert_allclose(one_loss, two_loss, rtol=SAME_DEVICE)
    for ours, theirs in zip(one, two, strict=True):
        largest = np.abs(ours).max()
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=10 * SAME_DEVICE * largest)
    """)


def test_a_gradient_tape_does_not_split_the_backward_pass(in_a_process):
    """Why `colocated_gradients` exists: if this fails, a tape is good enough."""
    devices = in_a_process("""
    net = build(["/CPU:0", "/CPU:1"])
    @tf.function
    def step(inputs):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(net(inputs, training=True))
        return tape.gradient(loss, [v.value for v in net.trainable_variables])
    found = towers.devices_of(step.get_concrete_function(batch()[0]))
    print(found["Conv2DBackpropFilter"])
    """)
    assert "CPU:1" not in devices


def test_device_names_are_normalized_to_tensorflows_form():
    assert devices.canonical("/GPU:1") == "GPU:1"
    assert devices.canonical("gpu:0") == "GPU:0"
    assert devices.canonical("/job:localhost/replica:0/task:0/device:CPU:1") == "CPU:1"
    with pytest.raises(ValueError, match="/GPU:0 or /CPU:0, got 'nonsense'"):
        devices.canonical("nonsense")


def test_a_missing_device_is_rejected_with_what_to_type():
    with pytest.raises(ValueError, match=re.escape("asks for /GPU:0")) as error:
        devices.resolve(["/GPU:0", "/GPU:1"], towers=2)
    for advice in ("nvidia-smi", "--tower_devices=/CPU:0", "--logical_cpus=2"):
        assert advice in str(error.value)
    assert "--tower_devices=/GPU:0" not in str(error.value)


def test_a_missing_device_beside_a_gpu_is_rejected_with_what_to_type(monkeypatch):
    there = [tf.config.LogicalDevice(f"/device:{n}:0", n) for n in ("CPU", "GPU")]
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda: there)
    with pytest.raises(
        ValueError, match=re.escape("finds only /CPU:0, /GPU:0")
    ) as error:
        devices.resolve(["/GPU:0", "/GPU:1"], towers=2)
    for advice in ("--tower_devices=/GPU:0", "--logical_gpus=2"):
        assert advice in str(error.value)
    assert "nvidia-smi" not in str(error.value)


def test_one_device_may_serve_all_towers():
    assert devices.resolve(["/CPU:0"], towers=2) == ("/CPU:0", "/CPU:0")
    assert devices.resolve(["auto"], towers=2) == ("/CPU:0", "/CPU:0")
    with pytest.raises(
        ValueError, match="names 2 devices, but the network has 1 tower"
    ):
        devices.resolve(["/CPU:0", "/CPU:1"], towers=1)


def test_logical_gpus_without_a_gpu_are_rejected():
    with pytest.raises(ValueError, match="TensorFlow finds none"):
        devices.configure(logical_gpus=2)
