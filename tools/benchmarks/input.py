"""Times the way from records to the model, piece by piece, and compares other loaders.

    python tools/benchmarks/input.py --peers_dir=../peers --json=input.json

Everything except the training step runs on one core (sched_setaffinity, one thread).
All variants run in turn, and the results are medians. The images are noise with the
spectrum and colors of photographs; at 256x256 and quality 95, their JPEGs are as large
as those of photographs. Other loaders read the same JPEGs, each in an environment of
its own below --peers_dir (docs/input.md explains how to make them); a missing one is
named and left out. The last line names the bottleneck. The tool exits with status 1 if
a limit is missed.

What is timed is in input_loaders.py and input_training.py, the limits in
input_report.py.
"""

import os
import pathlib
import tempfile

import input_loaders
import input_report
import input_training
import limits
import numpy as np
import synthetic_photographs
import tensorflow as tf
import timing
from absl import app, flags

_JSON = flags.DEFINE_string("json", None, "File to write the results to.")
_PEERS = flags.DEFINE_string(
    "peers_dir", None, "Folder of the other loaders' environments."
)
_IMAGES = flags.DEFINE_integer("images", 1024, "Number of images.", lower_bound=256)
_ROUNDS = flags.DEFINE_integer(
    "rounds", 5, "Measurements of each variant, in turn.", lower_bound=1
)
_STEPS = flags.DEFINE_integer("steps", 4, "Training steps per round.", lower_bound=1)
_SKIP_MODEL = flags.DEFINE_bool("skip_model", False, "Do not time training steps.")


def measure(folder: pathlib.Path) -> dict:
    """Writes the datasets, times everything, and prints each result."""
    rng = np.random.default_rng(0)
    images = [synthetic_photographs.photograph(rng) for _ in range(_IMAGES.value)]
    jpeg, raw = (
        synthetic_photographs.write_dataset(folder / kind, kind, images)
        for kind in ("jpeg", "raw")
    )
    sizes = synthetic_photographs.write_files(jpeg, folder / "files")
    print(
        f"{len(sizes)} images; JPEGs of {np.mean(sizes) / 1000:.1f} kB on average, "
        f"{min(sizes) / 1000:.1f} to {max(sizes) / 1000:.1f}; {timing.processor()}"
    )
    with input_loaders.one_core(min(os.sched_getaffinity(0))):
        seconds = input_loaders.median_s(
            jpeg,
            raw,
            folder / "files",
            peers_dir=_PEERS.value,
            rounds=_ROUNDS.value,
        )
    rates = {name: 1 / taken for name, taken in seconds.items()}
    for name, rate in rates.items():
        print(f"{name:24} {rate:9.0f} images/s on one core {1e6 / rate:8.1f} us")
    step_s, precision = {}, None
    if not _SKIP_MODEL.value:
        step_s, precision = input_training.median_step_s(
            jpeg, rounds=_ROUNDS.value, steps=_STEPS.value
        )
        for name, taken in step_s.items():
            rate = input_loaders.BATCH / taken
            print(f"{name:24} {rate:9.1f} images/s {1e3 * taken:12.1f} ms")
    return {
        "cpu": timing.processor(),
        "cores": timing.cores(),
        "tensorflow": tf.__version__,
        "images": len(sizes),
        "jpeg_bytes": float(np.mean(sizes)),
        "images_per_s_per_core": rates,
        "step_s": step_s,
        "precision": precision,
    }


def main(arguments):
    if len(arguments) > 1:
        raise app.UsageError(f"unexpected argument {arguments[1]!r}")
    with tempfile.TemporaryDirectory() as folder:
        report = measure(pathlib.Path(folder))
    rates, step_s = report["images_per_s_per_core"], report["step_s"]
    report["bottleneck"] = input_report.bottleneck(rates, step_s)
    judged = input_report.judge(rates, step_s)
    status = limits.conclude(judged, report, _JSON.value)
    print(report["bottleneck"])
    return status


if __name__ == "__main__":
    app.run(main)
