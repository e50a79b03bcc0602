"""Verifies a prepared dataset: reads all its files back and decodes every record."""

import functools
import os
import pathlib
from collections.abc import Callable, Mapping

from alexnet_tf.data import prepared_dataset, record_files, records, shards
from alexnet_tf.runtime import files, progress, worker_processes


def verify_dataset(
    folder: str | os.PathLike[str], workers: int | None = None
) -> prepared_dataset.Dataset:
    """Checks that a prepared dataset is as it was written.

    Compares the SHA-256 of every file, decodes every record, and compares sizes, labels
    and counts with `dataset.json`.

    Args:
        folder: the prepared dataset.
        workers: the number of processes; by default one per core, but fewer for few
            images.

    Returns:
        The description of the dataset.

    Raises:
        FileNotFoundError: the folder does not hold a prepared dataset.
        ValueError: something differs; the message names the file and the record.
    """
    dataset = prepared_dataset.read_description(folder)
    digests = prepared_dataset.read_digests(dataset.path)
    _check_file_list(dataset, digests)
    for name in (prepared_dataset.DESCRIPTION, prepared_dataset.STATISTICS):
        _check_digest(dataset.path / name, digests.get(name, "nothing"))
    counts = _verify_shards(dataset, digests, workers)
    if counts != dataset.counts:
        raise ValueError(
            f"{dataset.path} has {counts} records, but dataset.json says "
            f"{dataset.counts}: prepare the dataset again"
        )
    return dataset


def _check_file_list(
    dataset: prepared_dataset.Dataset, digests: Mapping[str, str]
) -> None:
    """Raises ValueError unless the shards are exactly those that have a digest."""
    found = {path.name for split in dataset.counts for path in dataset.shards(split)}
    suffix = record_files.SUFFIXES[dataset.encoding]
    listed = {name for name in digests if name.endswith(suffix)}
    if found != listed:
        raise ValueError(
            f"{dataset.path}: missing {sorted(listed - found)}, unknown "
            f"{sorted(found - listed)}, compared with {prepared_dataset.DIGESTS}"
        )


def _check_digest(path: pathlib.Path, expected: str) -> None:
    found = files.sha256(path)
    if found != expected:
        raise ValueError(
            f"{path} is damaged: its SHA-256 is {found}, but "
            f"{prepared_dataset.DIGESTS} says {expected}"
        )


def _verify_shards(
    dataset: prepared_dataset.Dataset,
    digests: Mapping[str, str],
    workers: int | None,
) -> dict[str, int]:
    """Verifies all shards; returns the number of records of each split."""
    tasks = [
        (split, path, digests[path.name])
        for split in dataset.counts
        for path in dataset.shards(split)
    ]
    images = sum(dataset.counts.values())
    counts = dict.fromkeys(dataset.counts, 0)
    with progress.bar(images, f"verify {dataset.name}", "image") as bar:
        for split, count in worker_processes.run_in_workers(
            functools.partial(_verify_task, dataset),
            tasks,
            workers or shards.default_workers(images),
            bar.update,
        ):
            counts[split] += count
    return counts


def _verify_task(
    dataset: prepared_dataset.Dataset,
    task: tuple[str, pathlib.Path, str],
    advance: Callable[[], object],
) -> tuple[str, int]:
    split, path, digest = task
    return split, verify_shard(path, digest, dataset, advance)


def verify_shard(
    path: pathlib.Path,
    digest: str,
    dataset: prepared_dataset.Dataset,
    advance: Callable[[], object],
) -> int:
    """Reads every record of a shard back and returns how many there are.

    Args:
        path: the shard.
        digest: the SHA-256 that it should have.
        dataset: the dataset to which it belongs.
        advance: called after each record.

    Raises:
        ValueError: something is not as it was written; the message names the file and
            the number of the record.
    """
    _check_digest(path, digest)
    shard = record_files.open_shard(path)
    if shard.lost:
        raise ValueError(f"{path}: {shard.lost}")
    for number in range(len(shard)):
        try:
            encoded, label = shard.read(number)
            records.decode_image(encoded, dataset.size, dataset.encoding)
        except record_files.DamagedRecordError as error:
            raise ValueError(f"{path}, record {number}: {error}") from error
        if not 0 <= label < len(dataset.classes):
            raise ValueError(
                f"{path}, record {number}: its label is {label}, but there are only "
                f"{len(dataset.classes)} classes"
            )
        advance()
    return len(shard)
