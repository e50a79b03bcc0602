"""Times training steps of the paper's net: ours, stock TensorFlow, Keras and PyTorch.

    python tools/benchmarks/training.py --json=speed.json \\
      --torch_python=/env/with/torch/bin/python

Each variant has a process of its own, and the processes take one step each in turn, so
that a drift in the machine's speed affects all of them alike. The results are medians
after a warm-up. Two ceilings are measured as well: a large matrix product in each type,
and a large copy. The tool exits with status 1 if a limit is missed. PyTorch is timed if
--torch_python names an interpreter that has it (torch==2.13.0; torchvision is not
needed).

The variants are in training_variants.py and training_torch.py, the limits and the
printed table in training_report.py.
"""

import contextlib
import pathlib
import sys
from collections.abc import Iterator, Sequence

import layer_profile
import limits
import step_worker
import timing
import training_report
import training_variants
from absl import app, flags

from alexnet_tf.models import architecture, zoo

_JSON = flags.DEFINE_string("json", None, "File to write the results to.")
_BATCH = flags.DEFINE_integer("batch_size", 128, "Images per step.", lower_bound=1)
_REPEATS = flags.DEFINE_integer(
    "repeats", 5, "Steps that each variant takes, in turn.", lower_bound=1
)
_TORCH = flags.DEFINE_string("torch_python", None, "A Python that has PyTorch.")
_IMAGE = flags.DEFINE_string(
    "image", None, "PNG file for a chart of the seconds per layer of our step."
)

TYPES = ("float32", "bfloat16")
TRAINING = ("ours", "stock", "stock_no_lrn", "keras_fit")
TORCH = ("torch", "torch_one_tower")
CEILINGS = ("product", "copy")
INFERENCE = ("ours_inference", "stock_inference")


@contextlib.contextmanager
def started_workers(
    variants: Sequence[str], precision: str, batch_size: int
) -> Iterator[dict[str, step_worker.StepWorker]]:
    """One warmed-up process per variant; they end with the block."""
    folder = pathlib.Path(__file__).parent
    with contextlib.ExitStack() as stack:
        workers = {}
        for variant in variants:
            python, script = sys.executable, "training_variants.py"
            if variant in TORCH:
                python, script = _TORCH.value, "training_torch.py"
            workers[variant] = step_worker.StepWorker(
                [python, str(folder / script), f"{variant},{precision},{batch_size}"]
            )
            stack.callback(workers[variant].close)
        yield workers


def median_step_s(
    workers: dict[str, step_worker.StepWorker], repeats: int
) -> dict[str, float]:
    """Variant -> the median seconds of its steps, which are taken in turn."""
    steps = {variant: worker.step_s for variant, worker in workers.items()}
    return timing.medians(steps, repeats)


def measure_training(precision: str) -> dict:
    """Measures speed and memory of every variant, the ceilings, and layer times."""
    batch = _BATCH.value
    variants = (*TRAINING, *(TORCH if _TORCH.value else ()), *CEILINGS)
    with started_workers(variants, precision, batch) as workers:
        step_s = median_step_s(workers, _REPEATS.value)
        memory = {v: w.memory_gib() for v, w in workers.items() if v not in CEILINGS}
        shares = workers["ours"].profile()
    flop_s = training_variants.MATRIX_FLOP / step_s.pop("product")
    copy_gb_s = 2 * training_variants.COPIED_BYTES / step_s.pop("copy") / 1e9
    rates = {variant: batch / seconds for variant, seconds in step_s.items()}
    bound = flop_s / architecture.training_flop(zoo.PAPER)
    others = {v: rate for v, rate in rates.items() if v != "ours"}
    others[training_report.MATMUL_BOUND] = bound
    return {
        "product_gflop_s": flop_s / 1e9,
        "copy_gb_s": copy_gb_s,
        "images_per_s": rates,
        f"{training_report.MATMUL_BOUND}_images_per_s": bound,
        "ours_by": {v: rates["ours"] / rate for v, rate in others.items()},
        "memory_gib": memory,
        "layers": {
            layer: {way: share * step_s["ours"] for way, share in passes.items()}
            for layer, passes in shares.items()
        },
    }


def measure_inference(precision: str, batch_size: int) -> dict:
    # A single image takes 30 ms, which is easily disturbed, so it is repeated more
    # often.
    repeats = _REPEATS.value * (20 if batch_size == 1 else 1)
    with started_workers(INFERENCE, precision, batch_size) as workers:
        seconds = median_step_s(workers, repeats)
    ours_s, stock_s = (seconds[variant] for variant in INFERENCE)
    return {
        "ours_images_per_s": batch_size / ours_s,
        "stock_images_per_s": batch_size / stock_s,
        "ours_by_stock": stock_s / ours_s,
    }


def measure(precision: str) -> dict:
    """Everything in one type."""
    training = measure_training(precision)
    inference = {
        str(size): measure_inference(precision, size)
        for size in training_report.INFERENCE_FACTORS
    }
    return training | {"inference": inference}


def main(arguments):
    if len(arguments) > 1:
        raise app.UsageError(f"unexpected argument {arguments[1]!r}")
    results = {precision: measure(precision) for precision in TYPES}
    print(training_report.table(results))
    if not _TORCH.value:
        print("PyTorch was not timed: name a Python that has it with --torch_python")
    if _IMAGE.value:
        layer_profile.draw(results[TYPES[-1]]["layers"], _IMAGE.value)
    return limits.conclude(training_report.judge(results), results, _JSON.value)


if __name__ == "__main__":
    app.run(main)
