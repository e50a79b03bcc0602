"""Every operation that a step puts on a GPU has a GPU kernel, by TensorFlow's registry.

No GPU is needed: see tests/support/gpu_kernels.py.
"""

import json

import pytest
import tensorflow as tf

from alexnet_tf import ops
from tests.support import ROOT, gpu_kernels, programs

pytestmark = pytest.mark.skipif(
    not gpu_kernels.has_gpu_kernels(), reason="this TensorFlow has no GPU kernels"
)


@pytest.fixture(scope="module")
def found():
    done = programs.run("tests.support.gpu_kernels", cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_every_operation_of_a_step_has_a_gpu_kernel_that_needs_no_compiler(found):
    assert len(found) == len(gpu_kernels.CASES)
    for case in found:
        ours_without_gpu_kernels = case["lrn"] == "op" and ops.cuda_version() is None
        faults = [
            fault
            for fault in case["faults"]
            if not (ours_without_gpu_kernels and fault.startswith("AlexnetTf>Local"))
        ]
        assert faults == [], case


def test_the_steps_that_were_traced_are_those_of_gpus(found):
    for case in found:
        types = set(case["types"])
        ours = {name for name in types if name.startswith("AlexnetTf>")}
        lrn = "AlexnetTf>LocalResponseNormalization"
        assert ours == ({lrn, f"{lrn}Grad"} if case["lrn"] == "op" else set())
        assert {"Conv2DBackpropFilter", "ResourceApplyKerasMomentum"} <= types
        if case["net"] == "cifar10_13pct":
            assert case["devices"] == ["CPU:1"]
        else:
            assert "StatelessRandomUniformV2" in types  # dropout
            assert case["devices"] == ["CPU:1", "CPU:2"]


def test_an_operation_without_a_gpu_kernel_is_found():
    with tf.Graph().as_default():
        narrow = tf.zeros([2], tf.uint8)
        number = tf.constant([7], tf.int64)
        for operation, fault in (
            (tf.strings.length(["text"]), "StringLength"),
            (tf.nn.lrn(tf.zeros([1, 1, 1, 1], tf.bfloat16)), "LRN .*bfloat16"),
            (tf.where(narrow > 0, narrow, narrow), "SelectV2 .*compiled at run time"),
            (number % 4, "FloorMod .*compiled at run time"),
        ):
            with pytest.raises(AssertionError, match=fault):
                assert gpu_kernels.why_not(operation.op) is None
        for operation in (
            tf.where(narrow > 0, 1.0, 0.0),
            tf.constant(7) % 4,
            tf.nn.relu(tf.zeros([2], tf.bfloat16)),
        ):
            assert gpu_kernels.why_not(operation.op) is None
