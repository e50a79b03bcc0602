"""Where memory is short, an op raises ResourceExhaustedError and the process goes on."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.support import cpp

# Each op allocates a result below the limit, and scratch space above it. There are two
# images, so that the work is shared out to the threads of the pool.
PROGRAM = """
import ctypes
import sys
import tensorflow as tf
from alexnet_tf.ops import library

tf.config.threading.set_intra_op_parallelism_threads(2)
ops = library.ops
allocator = ctypes.CDLL(sys.argv[1])
allocator.fail_allocations_from.argtypes = [ctypes.c_size_t]

def run(name, limit, op):
    allocator.fail_allocations_from(limit)
    try:
        op()
    except tf.errors.ResourceExhaustedError as error:
        print(name, "exhausted" if "OOM when allocating" in error.message else error)
    else:
        print(name, "needed no memory")
    finally:
        allocator.fail_allocations_from(2**63)

x = tf.ones([1, 1, 2, 100_000])
run("lrn", 1_200_000, lambda: ops.alexnet_tf_local_response_normalization(x, size=7))
run("lrn gradient", 1_200_000,
    lambda: ops.alexnet_tf_local_response_normalization_grad(x, x, size=7))

x = tf.ones([2, 1, 1000, 100])
constants = dict(size=5, k=1.0, alpha=1.0, beta=0.75)
run("spatial", 1_000_000,
    lambda: ops.alexnet_tf_spatial_normalization(x, **constants))
run("spatial gradient", 1_000_000,
    lambda: ops.alexnet_tf_spatial_normalization_grad(x, x, **constants))

constants = dict(
    side="output", outputs=4, kernel_size=3, padding_before=1, padding_after=1)
x = tf.ones([2, 64, 64, 64], tf.bfloat16)
tiles = ops.alexnet_tf_winograd_to_tiles(x, **constants)
run("winograd", 1_100_000,
    lambda: ops.alexnet_tf_winograd_from_tiles(tiles, x.shape, **constants))

x = tf.ones([2, 128, 128, 16], tf.bfloat16)
constants = dict(kernel_size=1, padding_before=0, padding_after=0)
run("packed images", 1_000_000,
    lambda: ops.alexnet_tf_convolution_weight_gradients(x, x, **constants))
x, dy = tf.ones([2, 40, 40, 1], tf.bfloat16), tf.ones([2, 8, 8, 1], tf.bfloat16)
constants["kernel_size"] = 33
run("partial sums", 1_000_000,
    lambda: ops.alexnet_tf_convolution_weight_gradients(x, dy, **constants))

variable, velocity = tf.Variable(tf.ones([300_000])), tf.Variable(tf.ones([300_000]))
gradient = tf.ones([300_000])
update = lambda: ops.alexnet_tf_resource_apply_decayed_momentum(
    variable.handle, velocity.handle, gradient, 0.1, [],
    momentum=0.9, weight_decay=0.0)
update()
reads = variable.read_value(), velocity.read_value()  # the update needs new buffers
run("momentum", 1_000_000, update)
for value, read in zip((variable, velocity), reads):
    assert (value.numpy() == read.numpy()).all()
"""

NAMES = [
    "lrn",
    "lrn gradient",
    "spatial",
    "spatial gradient",
    "winograd",
    "packed images",
    "partial sums",
    "momentum",
]


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_an_op_without_memory_is_an_error_and_not_the_end_of_the_process(tmp_path):
    allocator = tmp_path / "failing_allocator.so"
    source = cpp.ROOT / "tests" / "support" / "failing_allocator.c"
    subprocess.run(
        ["gcc", "-O1", "-shared", "-fPIC", source, "-o", allocator], check=True
    )
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, allocator],
        cwd=cpp.ROOT,
        # oneDNN's allocator keeps memory for later, and then nothing would fail.
        env=os.environ | {"LD_PRELOAD": str(allocator), "TF_ENABLE_ONEDNN_OPTS": "0"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert done.stdout.splitlines() == [f"{name} exhausted" for name in NAMES]
