# Copyright 2026 The alexnet_tf authors. Apache-2.0.
"""Times training steps of the paper's net: ours, stock TensorFlow, Keras, PyTorch.

    python tools/benchmarks/training.py --json=speed.json --torch_python=/env/with/torch/bin/python

A process a variant, each asked for one step in turn, so that a drifting machine hits all
alike; medians after a warm-up. Two ceilings are measured alongside: a large matrix
product in each type, and a large copy. Exits with 1 where a limit is missed. PyTorch is
timed where --torch_python names an interpreter that has it (torch==2.13.0; torchvision
is not needed).
"""

import collections
import contextlib
import json
import os
import pathlib
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from absl import app, flags

_JSON = flags.DEFINE_string("json", None, "Where to write the results.")
_BATCH = flags.DEFINE_integer("batch_size", 128, "Pictures a step.", lower_bound=1)
_REPEATS = flags.DEFINE_integer("repeats", 5, "Steps of each, in turn.", lower_bound=1)
_TORCH = flags.DEFINE_string("torch_python", None, "A Python that has PyTorch.")
_TYPES = flags.DEFINE_list("types", ["float32", "bfloat16"], "Which types.")
_PICTURE = flags.DEFINE_string("picture", None, "Where to draw seconds a layer, PNG.")
_WORKER = flags.DEFINE_string("worker", None, "Serve one variant (internal).")

ROOT = pathlib.Path(__file__).resolve().parents[2]
TORCH_WORKER = ROOT / "tools/benchmarks/training_torch.py"
TRAINING = ("ours", "stock", "stock_no_lrn", "keras_fit")
INFERENCE = ("ours_inference", "stock_inference")
TORCH = ("torch", "torch_one_tower")

# Least factors of our rate by another's, of the same type.
LIMITS = {
    "float32": {"stock": 1.2, "torch": 3.0, "floor": 0.8},
    "bfloat16": {"stock": 1.8, "stock_no_lrn": 1.0, "torch": 5.0},
}
INFERENCE_LIMITS = {128: 1.2, 1: 1.0}


class Worker:
    """One variant in a process of its own, which runs a step when it is told to."""

    def __init__(self, command):
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        self.ask("warm up")

    def ask(self, what: str):
        self._process.stdin.write(what + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("answer "):
                return json.loads(line.removeprefix("answer "))
        status = self._process.wait()
        self._errors.seek(0)
        said = self._errors.read()[-2000:]
        raise SystemExit(f"{self._process.args} ended with {status}: {said}")

    def close(self):
        self._process.stdin.close()
        self._process.wait()


def serve(
    step: Callable[[], None],
    profile: Callable[[], dict] | None = None,
    steps_a_call: int = 1,
) -> None:
    """Answers the questions of the parent until it closes the pipe."""
    for line in sys.stdin:
        if line.startswith("warm up"):
            for _ in range(2):
                step()
            answer = None
        elif line.startswith("profile"):
            answer = profile()
        elif line.startswith("memory"):
            answer = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        else:
            start = time.perf_counter()
            step()
            answer = (time.perf_counter() - start) / steps_a_call
        print("answer", json.dumps(answer), flush=True)


# ------------------------------------------------------------------- the variants


def our_net(precision: str, lrn: str = "op"):
    import synthetic

    from alexnet_tf.models import zoo

    return synthetic.model_of(zoo.PAPER, ["/CPU:0"] * 2, precision, lrn)


def ours(precision: str, batch_size: int):
    import synthetic
    import tensorflow as tf

    from alexnet_tf.models import zoo

    tf.config.experimental.enable_op_determinism()
    run, _ = synthetic.traced_step(zoo.PAPER, ["/CPU:0"] * 2, precision, batch_size)
    return run, lambda: shares_of_layers(run)


def ours_inference(precision: str, batch_size: int):
    import synthetic
    import tensorflow as tf

    from alexnet_tf.models import layers

    net = our_net(precision)
    images = synthetic.pictures(batch_size)[0]["image"]
    forward = tf.function(lambda x: net(layers.plain_inputs(x), training=False))
    return lambda: forward(images).numpy(), None


def keras_fit(precision: str, batch_size: int):
    """The same layers with the stock LRN under `Model.fit`, four steps a call."""
    import keras
    import synthetic
    import tensorflow as tf

    net = our_net(precision, lrn="stock")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile(keras.optimizers.SGD(1e-3, momentum=0.9), loss, jit_compile=False)
    batches = tf.data.Dataset.from_tensors(synthetic.pictures(batch_size)).repeat()
    return lambda: net.fit(batches, steps_per_epoch=4, verbose=0), None, 4


def stock_net(precision: str, with_lrn: bool):
    """The paper's net in plain operations, grouped kernels: (weights, logits of x)."""
    import tensorflow as tf

    kind = tf.as_dtype(precision)
    random = tf.random.Generator.from_seed(0)
    weights = []

    def weight(*shape):
        weights.append(tf.Variable(0.01 * random.normal(shape)))
        weights.append(tf.Variable(tf.zeros(shape[-1:])))

    for shape in (
        *((11, 11, 3, 96), (5, 5, 48, 256), (3, 3, 256, 384), (3, 3, 192, 384)),
        *((3, 3, 192, 256), (9216, 4096), (4096, 4096), (4096, 1000)),
    ):
        weight(*shape)

    def lrn(x):
        wide = tf.nn.local_response_normalization(
            tf.cast(x, tf.float32), 2, 2.0, 1e-4, 0.75
        )
        return tf.cast(wide, kind)

    def logits(x, training):
        w = [tf.cast(variable, kind) for variable in weights]
        x = tf.cast(tf.cast(x, tf.float32) - 118, kind)
        x = tf.pad(x, [[0, 0], [0, 3], [0, 3], [0, 0]])
        for layer in range(5):
            stride, padding = (4, "VALID") if layer == 0 else (1, "SAME")
            x = tf.nn.conv2d(x, w[2 * layer], stride, padding)
            x = tf.nn.relu(tf.nn.bias_add(x, w[2 * layer + 1]))
            if layer < 2 and with_lrn:
                x = lrn(x)
            if layer in (0, 1, 4):
                x = tf.nn.max_pool2d(x, 3, 2, "VALID")
        x = tf.reshape(x, [-1, 9216])
        for layer in (5, 6):
            x = tf.nn.relu(x @ w[2 * layer] + w[2 * layer + 1])
            x = tf.nn.dropout(x, 0.5) if training else x
        return tf.cast(x @ w[14] + w[15], tf.float32)

    return weights, logits


def stock(precision: str, batch_size: int, with_lrn: bool = True):
    import synthetic
    import tensorflow as tf

    weights, logits = stock_net(precision, with_lrn)
    velocities = [tf.Variable(tf.zeros_like(w)) for w in weights]
    inputs, labels = synthetic.pictures(batch_size)
    images = inputs["image"]

    @tf.function
    def step(x, labels):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits(x, True))
            )
        for w, v, g in zip(
            weights, velocities, tape.gradient(loss, weights), strict=True
        ):
            v.assign(0.9 * v - 0.0005 * 1e-3 * w - 1e-3 * g)
            w.assign_add(v)
        return loss

    return lambda: step(images, labels).numpy(), None


def stock_inference(precision: str, batch_size: int):
    import synthetic
    import tensorflow as tf

    _, logits = stock_net(precision, with_lrn=True)
    images = synthetic.pictures(batch_size)[0]["image"]
    forward = tf.function(lambda x: logits(x, False))
    return lambda: forward(images).numpy(), None


def product(precision: str, batch_size: int):
    """A product of two square matrices: 2 * SIDE^3 operations."""
    import tensorflow as tf

    side = tf.random.normal([SIDE, SIDE])
    matrix = tf.cast(side, precision)
    multiply = tf.function(lambda x: tf.matmul(x, x)[0, 0])
    return lambda: multiply(matrix).numpy(), None


def copy(precision: str, batch_size: int):
    """A pass over COPIED bytes: read once, written once."""
    import tensorflow as tf

    values = tf.zeros([COPIED // 4])
    move = tf.function(lambda x: tf.abs(x)[:1], autograph=False)
    return lambda: move(values).numpy(), None


SIDE = 4096
COPIED = 1 << 29
VARIANTS = {
    "ours": ours,
    "stock": stock,
    "stock_no_lrn": lambda *which: stock(*which, with_lrn=False),
    "keras_fit": keras_fit,
    "ours_inference": ours_inference,
    "stock_inference": stock_inference,
    "product": product,
    "copy": copy,
}

# ----------------------------------------------------------------- where time goes


def place_of(op: str) -> tuple[str, str] | None:
    """(layer, pass) of an operation's name in a profile; None for what is no work."""
    if op == "CpuExecutable::ExecuteAsyncOnStream":  # XLA: the pictures' last steps
        return "input", "forward"
    name, _, kind = op.rpartition(":")
    if not name or "::" in op or "__inference" in kind:
        return None
    if "DecayedMomentum" in kind:
        return "update", "update"
    layer = re.search(r"(conv\d|fc\d)", name)
    place = layer[1] if layer else "loss"
    name += kind.lower()  # of LRN the gradient may stand in the rectifier before it
    if kind == "Cast":
        return "casts", "backward" if name.startswith("gradients") else "forward"
    for other in ("responsenormalization", "maxpool"):
        if other in name:
            place = f"{place} {'lrn' if other[0] == 'r' else 'pool'}"
    return place, "backward" if name.startswith("gradients") else "forward"


def shares_of_layers(step: Callable[[], None]) -> dict[str, dict[str, float]]:
    """Layer -> pass -> share of a step: of all operations' time, two run at a time."""
    import synthetic

    sums: dict = collections.defaultdict(lambda: collections.defaultdict(float))
    for _, event, name in synthetic.profiled(step):
        place = place_of(name)
        if place:
            sums[place[0]][place[1]] += event.duration_ps
    total = sum(sum(passes.values()) for passes in sums.values())
    return {
        layer: {way: time_ps / total for way, time_ps in passes.items()}
        for layer, passes in sums.items()
    }


def draw(layers: dict[str, dict[str, float]], path: str) -> None:
    """Seconds a layer and pass of our step, as bars."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    names = sorted(layers)
    figure, axes = pyplot.subplots(figsize=(8, 5))
    left = [0.0] * len(names)
    for way in ("forward", "backward", "update"):
        widths = [1e3 * layers[name].get(way, 0.0) for name in names]
        axes.barh(names, widths, left=left, label=way)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    axes.invert_yaxis()
    axes.set_xlim(0, 1.05 * max(left))
    axes.set_xlabel("milliseconds of a step")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=100)


# ------------------------------------------------------------------------ the bench


def command(variant: str, precision: str, batch_size: int) -> list[str]:
    which = f"{variant},{precision},{batch_size}"
    if variant in TORCH:
        return [_TORCH.value, str(TORCH_WORKER), which]
    return [sys.executable, __file__, f"--worker={which}"]


def medians(variants, precision: str, batch_size: int, repeats: int):
    """Variant -> its median seconds, with the steps taken in turn; and the workers."""
    with contextlib.ExitStack() as stack:
        workers = {}
        for variant in variants:
            workers[variant] = Worker(command(variant, precision, batch_size))
            stack.callback(workers[variant].close)
        times = collections.defaultdict(list)
        for _ in range(repeats):
            for variant, worker in workers.items():
                times[variant].append(worker.ask("step"))
        step_s = {v: statistics.median(t) for v, t in times.items()}
        more = {}
        if "ours" in workers:
            more["memory_gib"] = {
                variant: workers[variant].ask("memory")
                for variant in workers
                if variant not in ("product", "copy")
            }
            more["layers"] = {
                layer: {way: share * step_s["ours"] for way, share in passes.items()}
                for layer, passes in workers["ours"].ask("profile").items()
            }
        return step_s, more


def measure(precision: str) -> dict:
    """Everything of one type."""
    from alexnet_tf.models import architecture, zoo

    batch = _BATCH.value
    torch = TORCH if _TORCH.value else ()
    variants = (*TRAINING, *torch, "product", "copy")
    step_s, more = medians(variants, precision, batch, _REPEATS.value)
    gflops = 2 * SIDE**3 / step_s.pop("product") / 1e9
    copy_gb_s = 2 * COPIED / step_s.pop("copy") / 1e9
    rate = {variant: batch / seconds for variant, seconds in step_s.items()}
    floor = gflops * 1e9 / architecture.training_flop(zoo.PAPER)
    found = {
        "product_gflop_s": gflops,
        "copy_gb_s": copy_gb_s,
        "images_per_s": rate,
        "floor_images_per_s": floor,
        "ours_by": {v: rate["ours"] / rate[v] for v in rate if v != "ours"},
        "inference": {},
        **more,
    }
    found["ours_by"]["floor"] = rate["ours"] / floor
    for size in INFERENCE_LIMITS:
        repeats = _REPEATS.value * (20 if size == 1 else 1)  # 30 ms are soon disturbed
        seconds, _ = medians(INFERENCE, precision, size, repeats)
        ours_s, stock_s = (seconds[variant] for variant in INFERENCE)
        found["inference"][str(size)] = {
            "ours_images_per_s": size / ours_s,
            "stock_images_per_s": size / stock_s,
            "ours_by_stock": stock_s / ours_s,
        }
    return found


def missed(results: dict) -> list[str]:
    """The limits that are missed, in words."""
    lines = []
    for precision, found in results.items():
        for peer, limit in LIMITS[precision].items():
            factor = found["ours_by"].get(peer)
            if factor is not None and factor < limit:
                lines.append(f"{precision}: {factor:.2f} of {peer}, limit {limit}")
        for size, limit in INFERENCE_LIMITS.items():
            factor = found["inference"][str(size)]["ours_by_stock"]
            if factor < limit:
                lines.append(
                    f"{precision}, inference of {size}: {factor:.2f} of stock, "
                    f"limit {limit}"
                )
    return lines


def table(results: dict) -> str:
    lines = []
    for precision, found in results.items():
        lines.append(
            f"{precision}: matrix product {found['product_gflop_s']:.0f} GFLOP/s, "
            f"copy {found['copy_gb_s']:.1f} GB/s"
        )
        for variant, rate in found["images_per_s"].items():
            factor = found["ours_by"].get(variant)
            beside = f"ours is {factor:.2f} times it" if factor else ""
            memory = found["memory_gib"].get(variant, 0)
            lines.append(f"  {variant:18}{rate:8.1f} img/s {memory:5.1f} GiB  {beside}")
        lines.append(
            f"  {'floor':18}{found['floor_images_per_s']:8.1f} img/s            "
            f"ours is {found['ours_by']['floor']:.2f} times it"
        )
        for size, inference in found["inference"].items():
            lines.append(
                f"  inference of {size:>3}   {inference['ours_images_per_s']:8.1f} "
                f"img/s, stock {inference['stock_images_per_s']:.1f}: "
                f"{inference['ours_by_stock']:.2f}"
            )
    return "\n".join(lines)


def main(arguments):
    if len(arguments) > 1:
        raise app.UsageError(f"unexpected argument {arguments[1]!r}")
    if _WORKER.value:
        variant, precision, batch_size = _WORKER.value.split(",")
        serve(*VARIANTS[variant](precision, int(batch_size)))
        return
    results = {precision: measure(precision) for precision in _TYPES.value}
    print(table(results))
    if not _TORCH.value:
        print("PyTorch was not timed: name a Python that has it with --torch_python")
    if _PICTURE.value:
        draw(results[_TYPES.value[-1]]["layers"], _PICTURE.value)
    if _JSON.value:
        pathlib.Path(_JSON.value).write_text(json.dumps(results, indent=1) + "\n")
    lines = missed(results)
    for line in lines:
        print(f"missed: {line}")
    sys.exit(1 if lines else 0)


if __name__ == "__main__":
    app.run(main)
