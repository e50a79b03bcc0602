"""Any source -> square records with their statistics.

    python -m alexnet_tf.prepare --source=folder:/pictures --output=data/pictures
    python -m alexnet_tf.prepare --source=garments --output=data/garments-256

The result stands under its name only once it is whole.
"""

import concurrent.futures
import itertools
import os
import pathlib
import shutil
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf
from absl import logging

from alexnet_tf import augment, config, lock, progress, records, sources

_SHARD_BYTES = 128 << 20

# One trace for every shape: three times faster than eager.
_resize = tf.function(
    augment.resize,
    input_signature=[
        tf.TensorSpec([None, None, 3], tf.uint8),
        tf.TensorSpec([], tf.int32),
    ],
)


def prepare(
    source: sources.Source,
    output: str | os.PathLike[str],
    *,
    size: int,
    encoding: str,
    max_bad_files: int = 0,
    workers: int | None = None,
) -> records.Dataset:
    """Writes `source` as records of `size` x `size` pictures into folder `output`.

    Args:
        encoding: "jpeg" (quality 95) or "raw".
        max_bad_files: how many unreadable pictures are named and left out before one
            stops the work.
        workers: threads; default one a core.

    Raises:
        FileExistsError: `output` is there already.
        sources.BadImageError: one bad picture too many.
    """
    output = pathlib.Path(output)
    if output.exists():
        raise FileExistsError(f"{output} exists: remove it, or choose another --output")
    partial = output.with_name(output.name + ".partial")
    whole = partial / "whole"
    with lock.exclusive(partial, "wait for it, or choose another --output"):
        try:
            shutil.rmtree(whole, ignore_errors=True)  # left by a killed process
            whole.mkdir()
            preparation = _Preparation(size, encoding, max_bad_files)
            with concurrent.futures.ThreadPoolExecutor(
                workers or os.cpu_count()
            ) as executor:
                counts = {
                    split: preparation.write_split(split, examples, whole, executor)
                    for split, examples in source.splits.items()
                }
            dataset = records.Dataset(
                source.name, size, encoding, source.classes, counts, whole
            )
            records.write_description(dataset, preparation.statistics.result())
            whole.rename(output)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return records.read_description(output)


class _Preparation:
    """What is counted while the splits of one source are written."""

    def __init__(self, size: int, encoding: str, max_bad_files: int):
        self.statistics = records.StatisticsAccumulator(size)
        self._size = size
        self._encoding = encoding
        self._may_fail = max_bad_files

    def write_split(
        self,
        split: str,
        examples: Sequence[sources.Example],
        folder: pathlib.Path,
        executor: concurrent.futures.Executor,
    ) -> int:
        """Writes the shards of one split; returns how many pictures they hold."""
        an_example = 3 * self._size**2 // (1 if self._encoding == "raw" else 4)
        shards = max(1, -(-len(examples) * an_example // _SHARD_BYTES))
        total = 0
        with progress.bar(len(examples), split, "picture") as bar:
            for shard in range(shards):
                bounds = [len(examples) * s // shards for s in (shard, shard + 1)]
                part = (examples[i] for i in range(*bounds))
                serialized = []
                for picture in _in_order(executor, self._square, part):
                    bar.update()
                    if isinstance(picture, sources.BadImageError):
                        self._count_bad(picture)
                        continue
                    image, record = picture
                    if split == "train":
                        self.statistics.add(image)
                    serialized.append(record)
                name = records.shard_name(split, shard, shards)
                records.write_shard(folder / name, serialized)
                total += len(serialized)
        if not total:
            raise ValueError(f"the {split} split has no readable picture")
        return total

    def _square(
        self, example: sources.Example
    ) -> tuple[np.ndarray, bytes] | sources.BadImageError:
        try:
            whole = example.read()
        except sources.BadImageError as error:
            return error
        with tf.device("/CPU:0"):
            image = _resize(whole, self._size).numpy()
            encoded = records.encode_image(image, self._encoding)
        return image, records.serialize(encoded, example.label, example.name)

    def _count_bad(self, error: sources.BadImageError) -> None:
        if not self._may_fail:
            raise sources.BadImageError(
                f"{error}. Mend or remove it, or allow for it with --max_bad_files"
            ) from error
        self._may_fail -= 1
        logging.warning("left out: %s", error)


def _in_order(executor, function, items) -> Iterator:
    """`executor.map`, but with a bounded number of results waiting."""
    waiting = []
    items = iter(items)
    for item in itertools.islice(items, 64):
        waiting.append(executor.submit(function, item))
    try:
        while waiting:
            result = waiting.pop(0).result()
            for item in itertools.islice(items, 1):
                waiting.append(executor.submit(function, item))
            yield result
    finally:
        for future in waiting:
            future.cancel()


def find_or_prepare(
    dataset: str, *, size: int, encoding: str, data_dir: str
) -> records.Dataset:
    """The dataset that `--dataset` names: a prepared folder, garments, or tfds:NAME.

    The latter two are prepared on first use, as `data_dir`/NAME-SIZE. A dataset of
    another size raises.
    """
    if dataset == "garments" or dataset.startswith("tfds:"):
        name = dataset.removeprefix("tfds:").replace("/", "-")
        folder = pathlib.Path(data_dir) / f"{name}-{size}"
        if not folder.exists():
            progress.say(f"preparing {dataset} as {folder}")
            source = sources.open_source(dataset, data_dir=data_dir)
            prepare(source, folder, size=size, encoding=encoding)
        found = records.read_description(folder)
    else:
        found = records.read_description(dataset)
    if found.size != size:
        raise ValueError(
            f"{found.path} holds pictures of {found.size} pixels and the net wants "
            f"{size}: prepare it again with --size={size}"
        )
    return found


def main(flags: config.Config, arguments: Sequence[str]) -> None:
    config.refuse_arguments(arguments)
    encoding = flags.encoding
    if encoding == "auto":
        encoding = "jpeg" if flags.size > 64 else "raw"
    source = sources.open_source(
        flags.source, holdout=flags.holdout, data_dir=flags.data_dir
    )
    dataset = prepare(
        source,
        flags.output or f"{flags.data_dir}/{source.name}-{flags.size}",
        size=flags.size,
        encoding=encoding,
        max_bad_files=flags.max_bad_files,
        workers=flags.workers or None,
    )
    counts = ", ".join(f"{n} {split}" for split, n in dataset.counts.items())
    stdevs = ", ".join(f"{s:.1f}" for s in dataset.statistics().stdevs)
    print(
        f"{dataset.path}: {counts} pictures of {dataset.size} x {dataset.size} pixels "
        f"({dataset.encoding}), {len(dataset.classes)} classes; standard deviations "
        f"along the colour axes {stdevs}"
    )


if __name__ == "__main__":
    config.run("prepare", main)
