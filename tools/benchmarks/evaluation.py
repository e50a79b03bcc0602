"""Times evaluation, features and the start of training beside their bare parts.

    python tools/benchmarks/evaluation.py --json=docs/results/evaluation.json

- `ten_crop`: views/s of an evaluation with ten crops, from JPEG records to errors,
  beside the inference of as many views that are in memory.
- `features`: images/s of fc7, from JPEG records to the file, beside the inference of
  the same model.
- `start`: seconds from the command `train` to the log line of the first step, beside a
  process that imports TensorFlow, traces the same step and makes it once on images that
  are in memory. And the seconds that `train --help` and a mistyped flag take.

The net is the paper's with its initial weights, the photographs are synthetic, and the
precision is the one that the commands choose. The variants run in turn, and the
results are medians. The tool exits with status 1 if a limit is missed. --part runs one
of the three, and keeps the others that the JSON file has.
"""

import gc
import json
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import limits
import synthetic
import synthetic_photographs
import tensorflow as tf
import timing
import untrained
from absl import app, flags

from alexnet_tf.data import preparation as preparing
from alexnet_tf.data import prepared_dataset, sources
from alexnet_tf.evaluation import evaluator, features, image_sets
from alexnet_tf.models import devices, layers, resizing, trained, zoo

_JSON = flags.DEFINE_string("json", None, "File to write the results to.")
_PART = flags.DEFINE_enum(
    "part", None, ["ten_crop", "features", "start"], "The only part to run."
)
_ROUNDS = flags.DEFINE_integer(
    "rounds", 3, "Measurements of each variant, in turn.", lower_bound=1
)

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_NET = zoo.PAPER
_BATCH = 128
_EVALUATED = 240  # images, which are 2,400 views
_FEATURES = 1280  # images
_WARM_BATCHES = 2  # of each measurement, which are not counted
_BARE_BATCHES = 6


def bare_rate(forward: Callable[[tf.Tensor], tf.Tensor], count: int) -> float:
    """Images/s of a traced net on one batch that is in memory."""
    images = synthetic.images(count, _NET.input_size)[0]["image"]
    forward(images).numpy()
    start = time.perf_counter()
    for _ in range(_BARE_BATCHES):
        forward(images).numpy()
    return count * _BARE_BATCHES / (time.perf_counter() - start)


def ten_crop(dataset: prepared_dataset.Dataset, run: pathlib.Path) -> dict[str, float]:
    """Median views/s of the evaluation and of the bare net."""
    model = trained.restore(run, precision=devices.precision("auto")).model
    measure = evaluator.Evaluation(model)
    bare = tf.function(lambda x: model(layers.plain_inputs(x), training=False))
    views = _BATCH // resizing.VIEWS * resizing.VIEWS  # in a batch of whole images

    def evaluated() -> float:
        ends: list[float] = []
        measure(
            dataset,
            "train",
            crop=_NET.input_size,
            batch_size=_BATCH,
            each_batch=lambda: ends.append(time.perf_counter()),
        )
        counted = ends[_WARM_BATCHES:]
        return views * (len(counted) - 1) / (counted[-1] - counted[0])

    return timing.medians(
        {"command": evaluated, "bare": lambda: bare_rate(bare, views)}, _ROUNDS.value
    )


def feature_rates(
    dataset: prepared_dataset.Dataset, run: pathlib.Path
) -> dict[str, float]:
    """Median images/s of fc7 to a file, and of the bare model."""
    restored = trained.restore(
        run, precision=devices.precision("auto"), inputs="pixels"
    )
    images = image_sets.split_images(dataset, "train", side=_NET.input_size)
    model = features.feature_model(restored.model, ["fc7"])
    bare = tf.function(lambda x: model(x, training=False)["fc7"])

    def written() -> float:
        begun: list[float] = []  # once per image, before it is used
        with tempfile.TemporaryDirectory() as folder:
            features.write_features(
                restored,
                images,
                pathlib.Path(folder, "fc7.npy"),
                layers=["fc7"],
                batch_size=_BATCH,
                settings={},
                stop_signal=lambda: begun.append(time.perf_counter()),
            )
        counted = begun[_WARM_BATCHES * _BATCH :: _BATCH]
        return _BATCH * (len(counted) - 1) / (counted[-1] - counted[0])

    return timing.medians(
        {"command": written, "bare": lambda: bare_rate(bare, _BATCH)}, _ROUNDS.value
    )


_ONE_STEP = """
import sys
import tensorflow as tf
import synthetic
from alexnet_tf.models import devices, zoo
tf.config.experimental.enable_op_determinism()
net = zoo.find(sys.argv[1]).with_classes(10)
step, _ = synthetic.traced_step(
    net, ["/CPU:0"] * net.towers, devices.precision("auto"), int(sys.argv[2])
)
step()
"""


def start(dataset: prepared_dataset.Dataset) -> dict[str, float]:
    """Median seconds until training's first step is made, and of its bare parts."""

    def first_step_s() -> float:
        with tempfile.TemporaryDirectory() as folder:
            log = pathlib.Path(folder, "run/log.jsonl")
            begun = time.perf_counter()
            process = _command(
                *("train", f"--dataset={dataset.path}", f"--run_dir={folder}/run"),
                *("--validation=never", "--max_steps=2", "--log_steps=1"),
                *(f"--architecture={_NET.name}", f"--batch_size={_BATCH}"),
            )
            while process.poll() is None and not _has_step(log):
                time.sleep(0.01)
            seconds = time.perf_counter() - begun
            if process.wait():
                raise SystemExit("train failed: run the command by hand")
            return seconds

    def bare_s() -> float:
        begun = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", _ONE_STEP, _NET.name, str(_BATCH)],
            check=True,
            capture_output=True,
            cwd=_ROOT,
            env={"PYTHONPATH": f"{_ROOT}:{pathlib.Path(__file__).parent}"},
        )
        return time.perf_counter() - begun

    def answer_s(flag: str) -> float:
        begun = time.perf_counter()
        _command("train", flag).wait()
        return time.perf_counter() - begun

    return timing.medians(
        {
            "command": first_step_s,
            "bare": bare_s,
            "help": lambda: answer_s("--help"),
            "mistyped_flag": lambda: answer_s("--no_such_flag=1"),
        },
        _ROUNDS.value,
    )


def _command(name: str, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", f"alexnet_tf.{name}", *arguments],
        cwd=_ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _has_step(log: pathlib.Path) -> bool:
    return log.exists() and '"train"' in log.read_text()


def judge(report: dict[str, dict[str, float]]) -> list[limits.Limit]:
    """What the parts that were measured are held to."""
    judged = []
    if rates := report.get("ten_crop"):
        share = 100 * rates["command"] / rates["bare"]
        judged.append(limits.at_least("ten crops, % of inference", share, 95))
    if rates := report.get("features"):
        share = 100 * rates["command"] / rates["bare"]
        judged.append(limits.at_least("features, % of inference", share, 90))
    if seconds := report.get("start"):
        ratio = seconds["command"] / seconds["bare"]
        judged.append(limits.at_most("first step / bare parts", ratio, 1.5))
        judged.append(limits.at_most("train --help, s", seconds["help"], 1))
        judged.append(limits.at_most("mistyped flag, s", seconds["mistyped_flag"], 1))
    return judged


def _prepared(folder: pathlib.Path, images: int) -> prepared_dataset.Dataset:
    synthetic_photographs.write_class_folders(folder / "files", images)
    return preparing.prepare_dataset(
        sources.open_source(f"folder:{folder}/files"),
        folder / "records",
        size=_NET.record_size,
        encoding="jpeg",
    )


def measure(folder: pathlib.Path) -> dict[str, dict[str, float]]:
    """Writes the datasets and the net, and measures each part that is asked for."""
    dataset = _prepared(folder / "many", _FEATURES)
    few = _prepared(folder / "few", _EVALUATED)
    untrained.write_run(folder / "run", _NET)
    parts = {
        "ten_crop": lambda: ten_crop(few, folder / "run"),
        "features": lambda: feature_rates(dataset, folder / "run"),
        "start": lambda: start(dataset),
    }
    return {name: part() for name, part in parts.items() if _PART.value in (None, name)}


def main(arguments):
    if len(arguments) > 1:
        raise app.UsageError(f"unexpected argument {arguments[1]!r}")
    gc.freeze()  # as the commands do when they have loaded TensorFlow
    with tempfile.TemporaryDirectory() as folder:
        report = measure(pathlib.Path(folder))
    for part, found in report.items():
        for name, value in found.items():
            print(f"{part:10} {name:14} {value:9.2f}")
    if _PART.value and _JSON.value and pathlib.Path(_JSON.value).exists():
        report = json.loads(pathlib.Path(_JSON.value).read_text()) | report
    return limits.conclude(judge(report), report, _JSON.value)


if __name__ == "__main__":
    app.run(main)
