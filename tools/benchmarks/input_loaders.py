"""Times the input on one core: reading, decoding, whole pipelines, other loaders."""

import contextlib
import functools
import gc
import math
import os
import pathlib
import time
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf
import timing

from alexnet_tf.data import input_pipeline, prepared_dataset, records

CROP, BATCH = 224, 128
PEERS = {  # name of a loader: folder of its environment
    "torch DataLoader": "torch",
    "webdataset": "torch",
    "dali": "dali",
    "grain": "grain",
}


@contextlib.contextmanager
def one_core(core: int) -> Iterator[None]:
    """Keeps every thread of this process, and what they start, on one core."""
    every = os.sched_getaffinity(0)
    _pin({core})
    try:
        yield
    finally:
        _pin(every)


def _pin(cores: set[int]) -> None:
    for task in os.listdir("/proc/self/task"):
        os.sched_setaffinity(int(task), cores)


def batches(dataset: prepared_dataset.Dataset, *, one_thread: bool) -> tf.data.Dataset:
    """The batches that `train` gets, with color noise."""
    recipe = input_pipeline.Recipe(BATCH, CROP, 0, "cuda_convnet", math.inf, 1)
    found = input_pipeline.training_batches(
        dataset, recipe, first_step=0, last_step=10**9
    )
    if not one_thread:
        return found
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    return found.with_options(options)


def read_s(dataset: prepared_dataset.Dataset) -> float:
    """Seconds per image to read the records in shuffled order."""
    source = records.open_records(dataset, "train")
    order = np.random.default_rng(0).permutation(len(source)).tolist()
    start = time.perf_counter()
    for index in order:
        source[index]
    return (time.perf_counter() - start) / len(order)


def decode_s(encoded: Sequence[bytes], size: int) -> float:
    """Seconds per image to decode whole JPEGs that are in memory."""
    whole = np.empty((size, size, 3), np.uint8)
    start = time.perf_counter()
    for image in encoded:
        records.decode_image(image, size, "jpeg", into=whole)
    return (time.perf_counter() - start) / len(encoded)


def pipeline_s(dataset: prepared_dataset.Dataset) -> float:
    """Seconds per image from the records to a batch of crops."""
    iterator = iter(batches(dataset, one_thread=True))
    for _ in range(3):  # fills thread pools, and uses up what was prefetched
        next(iterator)
    count = max(2, dataset.counts["train"] // BATCH)
    start = time.perf_counter()
    for _ in range(count):
        next(iterator)
    taken = (time.perf_counter() - start) / (count * BATCH)
    del iterator
    gc.collect()  # ends the iterator's threads
    return taken


def median_s(
    jpeg: prepared_dataset.Dataset,
    raw: prepared_dataset.Dataset,
    jpegs: pathlib.Path,
    *,
    peers_dir: str | None,
    rounds: int,
) -> dict[str, float]:
    """Name -> median seconds per image; all variants run in turn.

    Loaders whose environment is missing in `peers_dir` are named and left out.
    """
    source = records.open_records(jpeg, "train")
    encoded = [source[index].encoded for index in range(256)]
    variants = {
        "read jpeg": lambda: read_s(jpeg),
        "read raw": lambda: read_s(raw),
        "decode": lambda: decode_s(encoded, jpeg.size),
        "jpeg": lambda: pipeline_s(jpeg),
        "raw": lambda: pipeline_s(raw),
    }
    for name, folder in PEERS.items():
        if python := timing.python_of(peers_dir, folder):
            variants[name] = functools.partial(
                timing.number_of, python, "input_peer.py", name, jpegs, CROP, BATCH
            )
    return timing.medians(variants, rounds)
