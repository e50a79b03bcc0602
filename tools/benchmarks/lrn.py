# Copyright 2026 The alexnet_tf authors. Apache-2.0.
"""Times the LRN op on the CPU beside a bare pass over memory, stock TensorFlow, oneDNN.

    python tools/benchmarks/lrn.py --json=lrn.json

Ours, peers and ceilings run in turn, so that a drifting machine hits all alike; the
figures are medians in milliseconds. Exits with 1 where a limit is missed. oneDNN needs
its headers (apt-get install libdnnl-dev) and g++.
"""

import json
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time

import tensorflow as tf
from absl import app, flags

from alexnet_tf import ops
from alexnet_tf.ops import library

_JSON = flags.DEFINE_string("json", None, "Where to write the results.")
_REPEATS = flags.DEFINE_integer("repeats", 25, "Runs of each, in turn.", lower_bound=1)
_THREADS = flags.DEFINE_integer("threads", 2, "Threads for everyone.", lower_bound=1)
_ONEDNN = flags.DEFINE_bool("onednn", True, "Compile and time oneDNN's LRN too.")

SHAPES = [(128, 55, 55, 96), (128, 27, 27, 256)]
DTYPES = [tf.float32, tf.bfloat16, tf.float16]
CONSTANTS = {"size": 5, "k": 2.0, "alpha": 1e-4, "beta": 0.75}

# Largest factors of a bare pass, and for 16-bit types, instead, of our float32; least
# factors by which the sum of forward and gradient is faster than a peer's.
PASS_LIMITS = {"forward": 1.25, "gradient": 1.9}
FLOAT32_LIMIT = 0.6
STOCK_LIMIT = 10.0
ONEDNN_LIMIT = 1.5


class OneDnn:
    """The peer program, one process for each shape and type."""

    def __init__(self, binary, shape, dtype):
        threads = str(_THREADS.value)
        self._process = subprocess.Popen(
            [binary, *map(str, shape), dtype.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": threads, "OMP_WAIT_POLICY": "passive"},
        )
        self.implementation = self._process.stdout.readline().strip()

    def time_ms(self, direction):
        self._process.stdin.write(direction + "\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self):
        self._process.stdin.close()
        self._process.wait()


def compile_onednn(folder):
    source = pathlib.Path(__file__).with_name("lrn_onednn.cc")
    binary = pathlib.Path(folder) / source.stem
    command = ["g++", "-std=c++17", "-O2", source, "-o", binary, "-ldnnl"]
    if shutil.which("g++") is None or subprocess.run(command, check=False).returncode:
        raise app.UsageError(
            "oneDNN's peer program does not compile: apt-get install g++ libdnnl-dev, "
            "or leave it out with --noonednn"
        )
    return binary


def timed(function):
    def time_ms():
        start = time.perf_counter()
        function()
        return (time.perf_counter() - start) * 1e3

    return time_ms


def measure(shape, dtype, onednn_binary):
    """Medians in milliseconds by name, and what oneDNN says it runs."""
    random = tf.random.Generator.from_seed(1)
    x = tf.cast(random.normal(shape, stddev=10.0), dtype)
    dy = tf.cast(random.normal(shape), dtype)
    gradient = library.ops.alexnet_tf_local_response_normalization_grad
    contenders = {
        "pass": timed(lambda: tf.abs(x)),
        "forward": timed(lambda: ops.local_response_normalization(x, **CONSTANTS)),
        "gradient": timed(lambda: gradient(dy, x, **CONSTANTS)),
    }
    if dtype == tf.float32:
        stock = {"depth_radius": 2, "bias": 2.0, "alpha": 1e-4, "beta": 0.75}
        y = tf.nn.local_response_normalization(x, **stock)
        contenders["stock_forward"] = timed(
            lambda: tf.nn.local_response_normalization(x, **stock)
        )
        contenders["stock_gradient"] = timed(
            lambda: tf.raw_ops.LRNGrad(
                input_grads=dy, input_image=x, output_image=y, **stock
            )
        )
    peer = None
    if onednn_binary is not None and dtype != tf.float16:
        peer = OneDnn(onednn_binary, shape, dtype)
        contenders["onednn_forward"] = lambda: peer.time_ms("forward")
        contenders["onednn_gradient"] = lambda: peer.time_ms("backward")

    times = {name: [] for name in contenders}
    for repeat in range(_REPEATS.value + 2):
        for name, time_ms in contenders.items():
            taken = time_ms()
            if repeat >= 2:  # the first ones fill caches and pools
                times[name].append(taken)
    if peer is not None:
        peer.close()
    medians = {name: statistics.median(values) for name, values in times.items()}
    return medians, peer.implementation if peer is not None else None


def judge(results):
    """Every limit as {"name", "value", "limit", "met"}."""
    judged = []

    def add(name, value, limit, met):
        judged.append({"name": name, "value": value, "limit": limit, "met": met})

    for (shape, dtype), ms in results.items():
        both = ms["forward"] + ms["gradient"]
        for direction, limit in PASS_LIMITS.items():
            value = ms[direction] / ms["pass"]
            name, met, asked = f"{direction} / pass", value <= limit, f"<= {limit}"
            wide = ms[direction] / results[shape, "float32"][direction]
            if not met and dtype != "float32" and wide <= FLOAT32_LIMIT:
                name, value, met = f"{direction} / float32", wide, True
                asked = f"<= {FLOAT32_LIMIT}"
            add(f"{shape} {dtype} {name}", value, asked, met)
        for peer, least in (("stock", STOCK_LIMIT), ("onednn", ONEDNN_LIMIT)):
            if f"{peer}_forward" in ms:
                speedup = (ms[f"{peer}_forward"] + ms[f"{peer}_gradient"]) / both
                name = f"{shape} {dtype} {peer} / ours"
                add(name, speedup, f">= {least}", speedup >= least)
    return judged


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    tf.config.threading.set_intra_op_parallelism_threads(_THREADS.value)
    results, implementations = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        binary = compile_onednn(folder) if _ONEDNN.value else None
        for shape in SHAPES:
            for dtype in DTYPES:
                key = "x".join(map(str, shape)), dtype.name
                results[key], implementations[key] = measure(shape, dtype, binary)
                row = "  ".join(f"{n} {t:.2f}" for n, t in results[key].items())
                print(f"{key[0]:14} {key[1]:9} ms: {row}", flush=True)
    judged = judge(results)
    for limit in judged:
        met = "met" if limit["met"] else "MISSED"
        print(f"{limit['name']:48} {limit['value']:6.2f}  {limit['limit']:10} {met}")
    if _JSON.value:
        report = {
            "threads": _THREADS.value,
            "repeats": _REPEATS.value,
            "tensorflow": tf.__version__,
            "isa": os.environ.get("ALEXNET_TF_ISA", ""),
            "milliseconds": {
                f"{shape} {dtype}": medians
                for (shape, dtype), medians in results.items()
            },
            "onednn": {
                f"{shape} {dtype}": text
                for (shape, dtype), text in implementations.items()
                if text is not None
            },
            "limits": judged,
        }
        pathlib.Path(_JSON.value).write_text(json.dumps(report, indent=2) + "\n")
    return 0 if all(limit["met"] for limit in judged) else 1


if __name__ == "__main__":
    app.run(main)
