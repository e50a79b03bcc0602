"""Reads every record of a prepared dataset back."""

import functools
import os
import pathlib
from collections.abc import Callable

from alexnet_tf.data import preparation, prepared_dataset, record_files, shards
from alexnet_tf.runtime import progress, worker_processes


def verify(
    folder: str | os.PathLike[str], workers: int | None = None
) -> prepared_dataset.Dataset:
    """Reads every record of a prepared folder back and decodes it.

    Raises ValueError with the file, and the record, that is not as it was written.
    """
    dataset = prepared_dataset.read_description(folder)
    try:
        lines = (dataset.path / preparation.SUMS).read_text().splitlines()
        sums = {name: digest for digest, name in (line.split() for line in lines)}
    except FileNotFoundError:
        raise ValueError(
            f"{dataset.path} has no {preparation.SUMS}: it was prepared by an older alexnet_tf; "
            "prepare it again"
        ) from None
    paths = {split: dataset.shards(split) for split in dataset.counts}
    expected = {path.name for split in paths.values() for path in split}
    listed = {
        name for name in sums if name.endswith(record_files.SUFFIXES[dataset.encoding])
    }
    if expected != listed:
        raise ValueError(
            f"{dataset.path}: missing {sorted(listed - expected)}, unknown "
            f"{sorted(expected - listed)}, compared with {preparation.SUMS}"
        )
    for name in ("dataset.json", "statistics.npz"):
        if shards.sha256(dataset.path / name) != sums.get(name):
            raise ValueError(f"{dataset.path / name} is damaged: its sha256 is another")
    tasks = [(path, sums[path.name]) for split in paths.values() for path in split]
    pictures = sum(dataset.counts.values())
    workers = workers or min(
        len(os.sched_getaffinity(0)), 1 + pictures // preparation.PICTURES_A_WORKER
    )
    counts = dict.fromkeys(dataset.counts, 0)
    with progress.bar(pictures, f"verify {dataset.name}", "picture") as bar:
        task = functools.partial(_verify, dataset)
        for split, count in worker_processes.run(task, tasks, workers, bar):
            counts[split] += count
    if counts != dataset.counts:
        raise ValueError(
            f"{dataset.path} has {counts} records and dataset.json says {dataset.counts}"
        )
    return dataset


def _verify(
    dataset: prepared_dataset.Dataset,
    task: tuple[pathlib.Path, str],
    advance: Callable[[], None],
) -> tuple[str, int]:
    path, digest = task
    return path.name.partition("-")[0], shards.verify(path, digest, dataset, advance)
