"""Whatever attributes and shapes a saved model has, an op computes or refuses.

The short run uses the library that is installed. The long one builds it with the
address and undefined-behavior sanitizers, which end the process at the first fault.
"""

import os
import re
import shutil
import subprocess
import sys

import pytest

from alexnet_tf.ops import library
from tests.support import cpp

# GCC rejects constants in TensorFlow's headers if it checks for null pointers, and
# TensorFlow has no type information for checks of `vptr`.
SANITIZERS = (
    "-fsanitize=address,undefined -fno-sanitize-recover=all "
    "-fno-sanitize=vptr,null,nonnull-attribute,returns-nonnull-attribute"
)


def fuzz(built, seed, cases, **environment):
    """Runs tests/support/op_fuzz.py on the library `built`."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.op_fuzz", built, str(seed), str(cases)],
        cwd=cpp.ROOT,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    print(done.stdout)
    counts = re.fullmatch(
        r"(\d+) cases, \{'accepted': (\d+), .*\}, 0 faults\n", done.stdout
    )
    # A fuzzer that only ever meets one answer tests nothing.
    assert int(counts[1]) == cases
    assert cases / 4 < int(counts[2]) < cases * 3 / 4


def test_400_random_attributes_and_shapes_are_computed_or_refused():
    fuzz(library._LIBRARY, seed=20120930, cases=400)


@pytest.mark.long
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_20000_random_attributes_and_shapes_pass_the_sanitizers(tmp_path):
    subprocess.run(
        [
            *(sys.executable, "setup.py", "-q", "build_ext"),
            *("--build-lib", tmp_path, "--build-temp", tmp_path / "objects"),
        ],
        cwd=cpp.ROOT,
        env=os.environ
        | {"CXX": f"g++ {SANITIZERS}", "ALEXNET_TF_OPS": "1", "ALEXNET_TF_CUDA": "0"},
        check=True,
    )
    # Without the C++ library the sanitizer's runtime could not follow exceptions.
    preloaded = [
        subprocess.run(
            ["g++", f"-print-file-name={name}"],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout.strip()
        for name in ("libasan.so", "libstdc++.so")
    ]
    for seed, isa in enumerate(("", "avx512", "avx2", "baseline")):
        fuzz(
            tmp_path / "alexnet_tf" / "_alexnet_ops.so",
            seed,
            5000,
            LD_PRELOAD=" ".join(preloaded),
            ASAN_OPTIONS="detect_leaks=0:allocator_may_return_null=1:"
            "max_allocation_size_mb=512",
            ALEXNET_TF_ISA=isa,
            # oneDNN's allocator would hide from the sanitizer where a tensor ends.
            TF_ENABLE_ONEDNN_OPTS="0",
        )
