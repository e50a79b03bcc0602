"""Times preparation beside other ways to make the same squares.

    python tools/benchmarks/preparation.py --peers_dir=../peers --json=preparation.json

The images are JPEGs of 500 x 375 pixels and 109 kB on average, noise with the spectrum
and colors of photographs. Everything but the last two rows runs on one core
(sched_setaffinity, one thread), in turn, and the results are medians. "ours" is all of
a shard's work: reading, decoding, resizing, statistics, encoding, writing, and its
digest; the others do not write. img2dataset runs in an environment of its own below
--peers_dir; if that is missing, it is named and left out:

    python3 -m venv ../peers/img2dataset && ../peers/img2dataset/bin/pip install img2dataset

The last rows are the whole command with one and with two workers, start-up included,
in turn and as medians too. The tool exits with status 1 if a limit is missed.
"""

import functools
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import limits
import numpy as np
import synthetic_photographs
import timing
from absl import app, flags

from alexnet_tf.data import image_statistics, shards, sources
from alexnet_tf.models import background, resize_rule

_JSON = flags.DEFINE_string("json", None, "File to write the results to.")
_PEERS = flags.DEFINE_string("peers_dir", None, "Folder of the peers' environments.")
_IMAGES = flags.DEFINE_integer(
    "images", 5000, "Images of the whole command.", lower_bound=500
)
_ROUNDS = flags.DEFINE_integer(
    "rounds", 5, "Measurements of each variant, in turn.", lower_bound=1
)

_PER_ROUND = 250  # images that one core prepares in a round
_WAYS = {"jpeg": 256, "raw": 32}  # the side of the squares, by their encoding
_OURS = "ours"
_IMG2DATASET = "img2dataset"


def ours_s(few: pathlib.Path, output: pathlib.Path, side: int, encoding: str) -> float:
    """Seconds per image of a shard's whole work."""
    (output / "complete").mkdir(parents=True, exist_ok=True)
    (output / "notes").mkdir(exist_ok=True)
    (examples,) = sources.open_source(f"folder:{few}").splits.values()
    job = shards.Job(
        output / "complete" / f"shard.{encoding}",
        examples,
        side,
        encoding,
        background.WHITE,
        resize_rule.DEFAULT,
        for_statistics=True,
        max_bad_files=0,
    )
    start = time.perf_counter()
    shards.write_shard_of_job(job, lambda: None)
    return (time.perf_counter() - start) / len(examples)


def statistics_s(side: int) -> float:
    """Seconds per image of the statistics alone."""
    accumulator = image_statistics.StatisticsAccumulator(side)
    image = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    start = time.perf_counter()
    for _ in range(_PER_ROUND):
        accumulator.add(image)
    return (time.perf_counter() - start) / _PER_ROUND


def one_core_s(few: pathlib.Path, scratch: pathlib.Path) -> dict[str, dict[str, float]]:
    """Median seconds per image on one core, by encoding and variant."""
    peers = {"pillow": sys.executable, "opencv": sys.executable}
    if python := timing.python_of(_PEERS.value, _IMG2DATASET):
        peers[_IMG2DATASET] = python
    variants: dict[str, Callable[[], float]] = {}
    for encoding, side in _WAYS.items():
        variants[f"{encoding} {_OURS}"] = functools.partial(
            ours_s, few, scratch, side, encoding
        )
        variants[f"{encoding} statistics"] = functools.partial(statistics_s, side)
        for name, python in peers.items():
            if (encoding, name) != ("raw", _IMG2DATASET):
                variants[f"{encoding} {name}"] = functools.partial(
                    timing.number_of,
                    *(python, "preparation_peer.py", name, few, side, encoding),
                )
    found: dict[str, dict[str, float]] = {encoding: {} for encoding in _WAYS}
    for variant, seconds in timing.medians(variants, _ROUNDS.value).items():
        encoding, name = variant.split()
        found[encoding][name] = seconds
    return found


def commands_s(files: pathlib.Path, scratch: pathlib.Path) -> dict[str, float]:
    """Median seconds of the whole command, by encoding and number of workers."""
    variants = {
        f"{encoding}, {workers} worker{'s' * (workers > 1)}": functools.partial(
            command_s, files, scratch, encoding, workers
        )
        for encoding in _WAYS
        for workers in (1, 2)
    }
    return timing.medians(variants, _ROUNDS.value)


def command_s(
    files: pathlib.Path, scratch: pathlib.Path, encoding: str, workers: int
) -> float:
    """Seconds of the whole command."""
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        start = time.perf_counter()
        subprocess.run(
            [
                *(sys.executable, "-m", "alexnet_tf.prepare"),
                *(f"--source=folder:{files}", f"--output={folder}/data"),
                *(f"--size={_WAYS[encoding]}", f"--encoding={encoding}"),
                f"--workers={workers}",
            ],
            check=True,
            capture_output=True,
            cwd=pathlib.Path(__file__).parents[2],
        )
        return time.perf_counter() - start


def judge(
    per_image: dict[str, dict[str, float]], commands: dict[str, float]
) -> list[limits.Limit]:
    """What preparation is held to."""
    judged = []
    for encoding, taken in per_image.items():
        ours = taken[_OURS]
        name = f"{encoding}: rate beside"
        judged.append(limits.at_least(f"{name} Pillow", taken["pillow"] / ours, 1.3))
        judged.append(limits.at_least(f"{name} OpenCV", taken["opencv"] / ours, 0.9))
        if _IMG2DATASET in taken:
            ratio = taken[_IMG2DATASET] / ours
            judged.append(limits.more_than(f"{name} img2dataset", ratio, 1))
        share = 100 * taken["statistics"] / ours
        judged.append(limits.at_most(f"{encoding}: statistics, %", share, 10))
        speedup = commands[f"{encoding}, 1 worker"] / commands[f"{encoding}, 2 workers"]
        judged.append(limits.at_least(f"{encoding}: two workers", speedup, 1.8))
    return judged


def main(arguments):
    if len(arguments) > 1:
        raise app.UsageError(f"unexpected argument {arguments[1]!r}")
    cores = os.sched_getaffinity(0)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        few, many = folder / "few", folder / "many"
        synthetic_photographs.write_class_folders(few, _PER_ROUND)
        mean_bytes = synthetic_photographs.write_class_folders(many, _IMAGES.value)
        print(f"JPEGs of 500 x 375 pixels, {mean_bytes / 1000:.0f} kB each")
        os.sched_setaffinity(0, {min(cores)})
        per_image = one_core_s(few, folder / "scratch")
        os.sched_setaffinity(0, cores)
        commands = commands_s(many, folder / "scratch")
    for encoding, taken in per_image.items():
        for name, seconds in taken.items():
            print(f"{encoding:5} {name:12} {1 / seconds:9.0f} images/s on one core")
    for name, seconds in commands.items():
        rate = _IMAGES.value / seconds
        print(f"{name:18} {rate:9.0f} images/s, {seconds:.1f} s in all")
    report = {
        "cores": len(cores),
        "jpeg_bytes": mean_bytes,
        "images": _IMAGES.value,
        "seconds_per_image_on_one_core": per_image,
        "seconds_of_the_command": commands,
    }
    return limits.conclude(judge(per_image, commands), report, _JSON.value)


if __name__ == "__main__":
    app.run(main)
