"""One point of tools/benchmarks/scaling.py, in a process of its own.

    python tools/benchmarks/scaling_points.py train '{"batch_size": 32, "cores": 2}'

prints the point as JSON in its last line. A process of its own starts cold, and its
largest memory is that of the point.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable

import timing

ROOT = pathlib.Path(__file__).resolve().parents[2]
_DENSE = ("fc6", "fc7")
_SAMPLED_S = 0.1
_TINY_FILES = 100


def train(batch_size: int, cores: int) -> dict[str, float]:
    """A step of the paper's net in the precision that `train` chooses."""
    _use_cores(cores)
    import synthetic
    import tensorflow as tf

    from alexnet_tf.models import devices, zoo

    tf.config.experimental.enable_op_determinism()
    run, _ = synthetic.traced_step(
        zoo.PAPER, ["/CPU:0"] * 2, devices.precision("auto"), batch_size
    )
    return {"seconds": timing.seconds_of(run), "memory_mib": own_memory_mib()}


def prepare(images: int, workers: int) -> dict[str, float]:
    """The whole command on JPEGs of 500 x 375 pixels, which become 256 x 256."""
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder, "files")
        _write_photographs(source, images)
        return _command(
            "prepare",
            f"--source=folder:{source}",
            f"--output={folder}/records",
            f"--workers={workers}",
        )


def prepare_tiny(images: int, workers: int) -> dict[str, float]:
    """The whole command on JPEGs of 8 x 8 pixels, which become raw records."""
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder, "files")
        _write_tiny(source, images)
        return _command(
            "prepare",
            *(f"--source=folder:{source}", f"--output={folder}/records"),
            *("--size=8", "--encoding=raw", f"--workers={workers}"),
        )


def predict(images: int, export: str, cores: int) -> dict[str, float]:
    """The whole command on JPEGs of 500 x 375 pixels."""
    _use_cores(cores)
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder, "files")
        _write_photographs(source, images)
        return _command("predict", f"--model={export}", str(source))


def checkpoint(units: int) -> dict[str, float]:
    """Writes the weights and velocities of a net with `units` in fc6 and in fc7."""
    import untrained

    net = _net(units)
    model = untrained.build(net)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        untrained.write_checkpoint(folder, model, net)
        return _written(model, folder, start)


def export(units: int) -> dict[str, float]:
    """Writes a SavedModel of a net with `units` in fc6 and in fc7, as `export` does."""
    import untrained

    from alexnet_tf.serving import exporting

    with tempfile.TemporaryDirectory() as folder:
        model = untrained.write_run(folder, _net(units))
        start = time.perf_counter()
        return _written(model, exporting.export(folder), start)


def resume(records: int, shards: int) -> dict[str, float]:
    """From opening a prepared dataset to the first batch of a run in its eighth epoch."""
    import numpy as np

    from alexnet_tf.data import (
        image_statistics,
        input_pipeline,
        prepared_dataset,
        record_files,
    )

    with tempfile.TemporaryDirectory() as folder:
        for shard in range(shards):
            bounds = [records * (shard + n) // shards for n in (0, 1)]
            record_files.write_shard(
                pathlib.Path(
                    folder, prepared_dataset.shard_name("train", shard, shards, "raw")
                ),
                (("", record_files.Record(b"abc", n % 1000)) for n in range(*bounds)),
                encoding="raw",
                size=1,
            )
        accumulator = image_statistics.StatisticsAccumulator(1)
        for level in range(4):
            accumulator.add(np.full((1, 1, 3), level, np.uint8))
        tiny = prepared_dataset.Dataset(
            *("tiny", 1, "raw", tuple("ab"), {"train": records}, pathlib.Path(folder))
        )
        prepared_dataset.write_description(tiny, accumulator.result())
        recipe = input_pipeline.Recipe(128, 1, 0, "cuda_convnet", float("inf"), 1)
        step = 7 * (records // 128) + 5
        before = own_memory_mib()
        start = time.perf_counter()
        batches = input_pipeline.training_batches(
            prepared_dataset.read_description(folder),
            recipe,
            first_step=step,
            last_step=step + 1,
        )
        for _ in batches:
            pass
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "memory_mib": own_memory_mib() - before}


def serve(batch_size: int, address: str, process: int) -> dict[str, float]:
    """A request of `batch_size` JPEGs of 500 x 375 pixels to a server that is running."""
    import serving

    from alexnet_tf.serving import client

    images = [serving.jpeg()] * batch_size
    with client.Client(address, timeout_s=100, max_batch=batch_size) as asked:
        seconds = timing.seconds_of(
            lambda: asked.predict("serving_default", {"image_bytes": images})
        )
    return {"seconds": seconds, "memory_mib": _largest_mib(process)}


def _use_cores(count: int) -> None:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def own_memory_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _net(units: int):
    """The paper's net with another number of units in fc6 and in fc7."""
    from alexnet_tf.models import zoo

    layers = tuple(
        dataclasses.replace(layer, units=units)
        if getattr(layer, "name", "") in _DENSE
        else layer
        for layer in zoo.PAPER.layers
    )
    return dataclasses.replace(zoo.PAPER, layers=layers)


def _written(model, path: str | os.PathLike[str], start: float) -> dict[str, float]:
    """What it has cost to write a model below `path` since `start`."""
    seconds = time.perf_counter() - start
    sizes = [each.stat().st_size for each in pathlib.Path(path).rglob("*")]
    return {
        "parameters": model.count_params(),
        "seconds": seconds,
        "mb": sum(sizes) / 1e6,
        "memory_mib": own_memory_mib(),
    }


def _write_photographs(folder: pathlib.Path, count: int) -> None:
    import synthetic_photographs

    synthetic_photographs.write_class_folders(folder, count)


def _write_tiny(folder: pathlib.Path, count: int) -> None:
    """Training images of ten classes, of 8 x 8 pixels: hard links to a hundred files.

    A file system allows 65,000 links to a file, and links are quick to make.
    """
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    files = []
    for number in range(count):
        path = folder / f"train/class{number % 10}/{number:08}.jpg"
        if number >= _TINY_FILES:
            os.link(files[number % _TINY_FILES], path)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(pixels).save(path)
        files.append(path)


def _command(name: str, *arguments: str) -> dict[str, float]:
    """The seconds of a command, and the largest memory of its processes.

    Processes share pages, so the sum over them is an upper bound.
    """
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", f"alexnet_tf.{name}", *arguments],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    largest: dict[int, float] = {}
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(process.pid, largest, ended))
    watcher.start()
    _, errors = process.communicate()
    seconds = time.perf_counter() - start
    ended.set()
    watcher.join()
    if process.returncode:
        raise SystemExit(f"{name} exited with {process.returncode}: {errors[-1000:]}")
    parent = largest.pop(process.pid)
    return {
        "seconds": seconds,
        "memory_mib": parent + sum(largest.values()),
        "parent_mib": parent,
        "worker_mib": max(largest.values(), default=0.0),
    }


def _watch(pid: int, largest: dict[int, float], ended: threading.Event) -> None:
    """Keeps the largest memory of a process and of its children, in MiB."""
    while not ended.wait(_SAMPLED_S):
        for each in (pid, *_children(pid)):
            with contextlib.suppress(OSError):  # it has ended
                largest[each] = _largest_mib(each) or largest.get(each, 0.0)


def _largest_mib(pid: int) -> float:
    """The largest memory of a process so far, in MiB; 0 if it is ending."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    peak = re.search(r"^VmHWM:\s+(\d+)", status, re.MULTILINE)
    return int(peak[1]) / 1024 if peak else 0.0


def _children(pid: int) -> list[int]:
    """The processes that a process has started."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            after_name = path.read_text().rpartition(")")[2].split()
            if int(after_name[1]) == pid:
                found.append(int(path.parent.name))
    return found


MEASURES: dict[str, Callable[..., dict[str, float]]] = {
    measure.__name__: measure
    for measure in (
        *(train, prepare, prepare_tiny, predict),
        *(checkpoint, export, resume, serve),
    )
}


if __name__ == "__main__":
    name, arguments = sys.argv[1], json.loads(sys.argv[2])
    print(json.dumps(MEASURES[name](**arguments)))
