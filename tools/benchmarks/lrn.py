"""Times the LRN op on the CPU, and compares a bare pass over memory and other LRNs.

    python tools/benchmarks/lrn.py --json=lrn.json

The others are stock TensorFlow's and oneDNN's. All variants run in turn, so that a
drift in the machine's speed affects all of them alike. The results are medians in
milliseconds. The tool exits with status 1 if a limit is missed. oneDNN needs its
headers (apt-get install libdnnl-dev) and g++.
"""

import itertools
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

import limits
import tensorflow as tf
import timing
from absl import app, flags

from alexnet_tf import ops
from alexnet_tf.ops import library

_JSON = flags.DEFINE_string("json", None, "File to write the results to.")
_REPEATS = flags.DEFINE_integer(
    "repeats", 25, "Runs of each variant, in turn.", lower_bound=1
)
_ONEDNN = flags.DEFINE_bool("onednn", True, "Also compile and time oneDNN's LRN.")

THREADS = 2  # of each variant
SHAPES = [(128, 55, 55, 96), (128, 27, 27, 256)]
DTYPES = [tf.float32, tf.bfloat16, tf.float16]
CONSTANTS = {"size": 5, "k": 2.0, "alpha": 1e-4, "beta": 0.75}

# How many times as long as a bare pass ours may take.
PASS_LIMITS = {"forward": 1.25, "gradient": 1.9}
# Instead, a 16-bit type may take this share of the time of our float32.
FLOAT32_LIMIT = 0.6
# How many times as long as ours the others must take, forward and gradient together.
OTHER_LIMITS = {"stock": 10.0, "onednn": 1.5}


class OneDnn:
    """A process that runs oneDNN's LRN for one shape and type."""

    def __init__(self, binary, shape, dtype):
        threads = str(THREADS)
        self._process = subprocess.Popen(
            [binary, *map(str, shape), dtype.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": threads, "OMP_WAIT_POLICY": "passive"},
        )
        self.implementation = self._process.stdout.readline().strip()

    def time_ms(self, direction: str) -> float:
        self._process.stdin.write(direction + "\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self):
        self._process.stdin.close()
        self._process.wait()


def compile_onednn(folder: str) -> pathlib.Path:
    """Compiles lrn_onednn.cc into `folder`."""
    source = pathlib.Path(__file__).with_name("lrn_onednn.cc")
    binary = pathlib.Path(folder) / source.stem
    command = ["g++", "-std=c++17", "-O2", source, "-o", binary, "-ldnnl"]
    if shutil.which("g++") is None or subprocess.run(command, check=False).returncode:
        raise app.UsageError(
            "lrn_onednn.cc does not compile. Install what it needs with `apt-get install "
            "g++ libdnnl-dev`, or leave it out with --noonednn."
        )
    return binary


def timed(function):
    """A call that runs `function` and returns the milliseconds that it took."""

    def time_ms():
        start = time.perf_counter()
        function()
        return (time.perf_counter() - start) * 1e3

    return time_ms


def tensorflow_variants(shape, dtype) -> dict:
    """Calls that return milliseconds, by name: the pass, ours, and stock in float32."""
    random = tf.random.Generator.from_seed(1)
    x = tf.cast(random.normal(shape, stddev=10.0), dtype)
    dy = tf.cast(random.normal(shape), dtype)
    gradient = library.ops.alexnet_tf_local_response_normalization_grad
    variants = {
        "pass": lambda: tf.abs(x),
        "forward": lambda: ops.local_response_normalization(x, **CONSTANTS),
        "gradient": lambda: gradient(dy, x, **CONSTANTS),
    }
    if dtype == tf.float32:
        stock = {"depth_radius": 2, "bias": 2.0, "alpha": 1e-4, "beta": 0.75}
        y = tf.nn.local_response_normalization(x, **stock)
        variants |= {
            "stock_forward": lambda: tf.nn.local_response_normalization(x, **stock),
            "stock_gradient": lambda: tf.raw_ops.LRNGrad(
                input_grads=dy, input_image=x, output_image=y, **stock
            ),
        }
    return {name: timed(function) for name, function in variants.items()}


def measure(shape, dtype, onednn_binary) -> tuple[dict[str, float], str | None]:
    """Median milliseconds by name, and which implementation oneDNN reports."""
    variants = tensorflow_variants(shape, dtype)
    onednn = None
    if onednn_binary is not None and dtype != tf.float16:
        onednn = OneDnn(onednn_binary, shape, dtype)
        variants["onednn_forward"] = lambda: onednn.time_ms("forward")
        variants["onednn_gradient"] = lambda: onednn.time_ms("backward")

    timing.in_turn(variants, 2)  # which fills caches and memory pools
    medians = timing.medians(variants, _REPEATS.value)
    if onednn is not None:
        onednn.close()
    return medians, onednn.implementation if onednn is not None else None


def judge(results) -> list[limits.Limit]:
    """Every limit, for the milliseconds by (shape, type)."""
    judged = []
    for (shape, dtype), ms in results.items():
        for direction, most in PASS_LIMITS.items():
            name = f"{shape} {dtype} {direction}"
            limit = limits.at_most(f"{name} / pass", ms[direction] / ms["pass"], most)
            if not limit.met and dtype != "float32":
                share = ms[direction] / results[shape, "float32"][direction]
                instead = limits.at_most(f"{name} / float32", share, FLOAT32_LIMIT)
                limit = instead if instead.met else limit
            judged.append(limit)
        both = ms["forward"] + ms["gradient"]
        for other, least in OTHER_LIMITS.items():
            if f"{other}_forward" in ms:
                speedup = (ms[f"{other}_forward"] + ms[f"{other}_gradient"]) / both
                name = f"{shape} {dtype} {other} / ours"
                judged.append(limits.at_least(name, speedup, least))
    return judged


def report(results, implementations) -> dict:
    """What --json writes."""
    return {
        "threads": THREADS,
        "repeats": _REPEATS.value,
        "tensorflow": tf.__version__,
        "isa": os.environ.get("ALEXNET_TF_ISA", ""),
        "milliseconds": {
            f"{shape} {dtype}": medians for (shape, dtype), medians in results.items()
        },
        "onednn": {
            f"{shape} {dtype}": text
            for (shape, dtype), text in implementations.items()
            if text is not None
        },
    }


def main(arguments):
    if len(arguments) > 1:
        raise app.UsageError(f"unexpected argument {arguments[1]!r}")
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    results, implementations = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        binary = compile_onednn(folder) if _ONEDNN.value else None
        for shape, dtype in itertools.product(SHAPES, DTYPES):
            key = "x".join(map(str, shape)), dtype.name
            results[key], implementations[key] = measure(shape, dtype, binary)
            row = "  ".join(f"{n} {t:.2f}" for n, t in results[key].items())
            print(f"{key[0]:14} {key[1]:9} ms: {row}", flush=True)
    judged = judge(results)
    return limits.conclude(judged, report(results, implementations), _JSON.value)


if __name__ == "__main__":
    app.run(main)
