"""Any source -> square records with their statistics.

    python -m alexnet_tf.prepare --source=folder:/pictures --output=data/pictures
    python -m alexnet_tf.prepare --source=imagenet2012 --manual_dir=/archives
    python -m alexnet_tf.prepare --output=data/pictures --verify

The result stands under its name only once it is whole. Until then its shards gather in
OUTPUT.partial; a run that was stopped, however it was, keeps those that are whole. The
bytes are the same whoever wrote them: one process, many, or Apache Beam's machines.
"""

import dataclasses
import json
import os
import pathlib
import pickle
import shutil
from collections.abc import Iterator, Sequence

import PIL
import tensorflow as tf
import tqdm
from absl import logging

import alexnet_tf
from alexnet_tf.data import (
    image_statistics,
    prepared_dataset,
    shards,
    source_types,
    sources,
)
from alexnet_tf.runtime import files, lock, progress, worker_processes

_SHARD_BYTES = 128 << 20


# Starting a worker takes as long as this many pictures.
PICTURES_A_WORKER = 2000


SUMS = "SHA256SUMS"


def prepare(
    source: source_types.Source,
    output: str | os.PathLike[str],
    *,
    size: int,
    encoding: str,
    max_bad_files: int = 0,
    workers: int | None = None,
    beam_pipeline_options: str = "",
) -> prepared_dataset.Dataset:
    """Writes `source` as records of `size` x `size` pictures into folder `output`.

    Args:
        encoding: "jpeg" (quality 95) or "raw".
        max_bad_files: how many unreadable pictures are named and left out before one
            stops the work.
        workers: processes; default one a core, fewer for few pictures. With one the
            work is done in this process.
        beam_pipeline_options: run on Apache Beam instead, with these options of its
            own, separated by commas.

    Raises:
        FileExistsError: `output` is there already.
        sources.BadImageError: one bad picture too many.
        ValueError: what a stopped run left is of another preparation.
    """
    output = pathlib.Path(output)
    refuse_what_is_there(output)
    if not set(prepared_dataset.EVALUATION_SPLITS) & source.splits.keys():
        progress.say(
            f"{source.name} has no validation or test split (--holdout takes one from a "
            "folder without train/): train with --validate_epochs=-1"
        )
    partial = output.with_name(output.name + ".partial")
    with lock.exclusive(partial, "wait for it, or choose another --output"):
        try:
            whole = _Preparation(source, partial, size, encoding, max_bad_files).run(
                workers, beam_pipeline_options
            )
            whole.rename(output)
            shutil.rmtree(partial)
        finally:
            if not list(partial.glob("notes/*.npz")):
                # Nothing there that a later run could go on with.
                shutil.rmtree(partial, ignore_errors=True)
    return prepared_dataset.read_description(output)


def refuse_what_is_there(output: pathlib.Path) -> None:
    if output.exists():
        raise FileExistsError(f"{output} exists: remove it, or choose another --output")


class _Preparation:
    """The shards of one source, and what is found while they are written."""

    def __init__(
        self,
        source: source_types.Source,
        partial: pathlib.Path,
        size: int,
        encoding: str,
        max_bad_files: int,
    ):
        self._source = source
        self._size = size
        self._encoding = encoding
        self._max_bad_files = max_bad_files
        self._partial = partial
        self._whole = partial / "whole"
        self._plan: dict[str, list[shards.Job]] = {
            split: list(self._jobs_of(split, examples))
            for split, examples in source.splits.items()
        }

    def _jobs_of(self, split: str, examples: Sequence) -> Iterator[shards.Job]:
        # 26 kB a JPEG of 256 x 256 pixels.
        an_example = self._size**2 * (30 if self._encoding == "raw" else 4) // 10
        count = -(-len(examples) * an_example // _SHARD_BYTES)
        count = max(1, min(count, len(examples)))
        bounds = [len(examples) * shard // count for shard in range(count + 1)]
        for shard in range(count):
            yield shards.Job(
                self._whole
                / prepared_dataset.shard_name(split, shard, count, self._encoding),
                examples[bounds[shard] : bounds[shard + 1]],
                self._size,
                self._encoding,
                split == "train",
                self._max_bad_files,
            )

    def run(self, workers: int | None, beam_pipeline_options: str) -> pathlib.Path:
        """Writes what is still to be written; returns the folder that holds it all."""
        jobs = [job for split in self._plan.values() for job in split]
        pictures = sum(len(job.examples) for job in jobs)
        missing = self._resume(jobs)
        kept = pictures - sum(len(job.examples) for job in missing)
        if beam_pipeline_options:
            _run_on_beam(missing, self._partial / "jobs", beam_pipeline_options)
        else:
            with progress.bar(pictures, self._source.name, "picture", kept) as bar:
                self._run_here(missing, workers, bar)
        return self._finish()

    def _resume(self, jobs: list[shards.Job]) -> list[shards.Job]:
        """Clears away what a stopped run left half-done; returns what is to do."""
        description = {
            "pictures": self._source.fingerprint,
            "counts": {s: len(e) for s, e in self._source.splits.items()},
            "classes": len(self._source.classes),
            "size": self._size,
            "encoding": self._encoding,
            "alexnet_tf": alexnet_tf.__version__,
            "tensorflow": tf.__version__,
            "pillow": PIL.__version__,
        }
        plan = self._partial / "plan.json"
        finished = {job.path: shards.read_finished(job.path) for job in jobs}
        # A picture that was bad may have been mended.
        whole = {
            path for path, found in finished.items() if found and not found.left_out
        }
        if plan.exists() and list(self._partial.glob("notes/*")):
            found = json.loads(plan.read_text())
            others = [key for key in description if found.get(key) != description[key]]
            if others:
                raise ValueError(
                    f"{self._partial} was begun with another {' and '.join(others)}: go "
                    "on as it was begun, or remove it, or choose another --output"
                )
        keep = {name for path in whole for name in (path, shards.note_of(path))}
        for folder in (self._whole, self._partial / "notes"):
            folder.mkdir(exist_ok=True)
            for path in set(folder.iterdir()) - keep:
                path.unlink(missing_ok=True)  # by its writer, which may still live
        files.write_text(plan, json.dumps(description, indent=1) + "\n")
        return [job for job in jobs if job.path not in whole]

    def _run_here(
        self, jobs: list[shards.Job], workers: int | None, bar: tqdm.tqdm
    ) -> None:
        allowed = self._max_bad_files
        for finished in worker_processes.run(
            shards.write, jobs, workers or _workers_for(jobs), bar
        ):
            allowed = _count_bad(finished.left_out, allowed)

    def _finish(self) -> pathlib.Path:
        """Adds up what the shards hold, and writes the description beside them."""
        statistics = image_statistics.StatisticsAccumulator(self._size)
        counts, sums, allowed = {}, [], self._max_bad_files
        for split, jobs in self._plan.items():
            counts[split] = 0
            for job in jobs:
                finished = shards.read_finished(job.path)
                if finished is None:
                    raise RuntimeError(f"{job.path} was not written")
                counts[split] += finished.pictures
                statistics.merge(finished.statistics)
                sums.append((finished.sha256, job.path.name))
                for reason in finished.left_out:
                    logging.warning("left out: %s", reason)
                allowed = _count_bad(finished.left_out, allowed)
            if not counts[split]:
                raise ValueError(f"the {split} split has no readable picture")
        source, whole = self._source, self._whole
        prepared_dataset.write_description(
            prepared_dataset.Dataset(
                source.name, self._size, self._encoding, source.classes, counts, whole
            ),
            statistics.result(),
        )
        for name in ("dataset.json", "statistics.npz"):
            sums.append((shards.sha256(whole / name), name))
        (whole / SUMS).write_text("".join(f"{d}  {name}\n" for d, name in sums))
        return whole


def _count_bad(left_out: Sequence[str], allowed: int) -> int:
    """How many more may be bad; raises with the one that is one too many."""
    if len(left_out) > allowed:
        raise shards.one_too_many(left_out[allowed])
    return allowed - len(left_out)


def _workers_for(jobs: Sequence[shards.Job]) -> int:
    pictures = sum(len(job.examples) for job in jobs)
    return min(len(os.sched_getaffinity(0)), 1 + pictures // PICTURES_A_WORKER)


def _run_on_beam(jobs: list[shards.Job], folder: pathlib.Path, options: str) -> None:
    """Writes shards with Apache Beam; `folder` must be one that its workers see.

    As TFDS does with its own: a pipeline of the runner that the options name.
    """
    try:
        import apache_beam as beam
        from apache_beam.options import pipeline_options
    except ImportError as error:
        raise RuntimeError(
            "--beam_pipeline_options needs Apache Beam: pip install 'alexnet_tf[beam]'"
        ) from error
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    paths = []
    for job in jobs:
        # Bad files are counted at the end: a runner would try again and again.
        job = dataclasses.replace(
            job, path=job.path.resolve(), max_bad_files=len(job.examples)
        )
        path = folder.resolve() / f"{job.path.name}.pickle"
        path.write_bytes(pickle.dumps(job))
        paths.append(str(path))
    flags = [f"--{option}" for option in options.split(",")]
    with beam.Pipeline(options=pipeline_options.PipelineOptions(flags)) as pipeline:
        _ = pipeline | beam.Create(paths) | beam.Reshuffle() | beam.Map(_write_pickled)


def _write_pickled(path: str) -> None:
    shards.write(pickle.loads(pathlib.Path(path).read_bytes()), lambda: None)


def find_or_prepare(
    dataset: str, *, size: int, encoding: str, data_dir: str, manual_dir: str = ""
) -> prepared_dataset.Dataset:
    """The dataset that `--dataset` names: a prepared folder, or a source by its name.

    A source (garments, imagenet2012, ilsvrc2010, tfds:NAME) is prepared on first use, as
    `data_dir`/NAME-SIZE. A dataset of another size raises.
    """
    try:
        folder = pathlib.Path(data_dir) / f"{sources.name_of(dataset)}-{size}"
    except ValueError:
        folder = pathlib.Path(dataset)
    else:
        if not folder.exists():
            progress.say(f"preparing {dataset} as {folder}")
            source = sources.open_source(
                dataset, data_dir=data_dir, manual_dir=manual_dir
            )
            prepare(source, folder, size=size, encoding=encoding)
    found = prepared_dataset.read_description(folder)
    if found.size != size:
        raise ValueError(
            f"{found.path} holds pictures of {found.size} pixels and the net wants "
            f"{size}: prepare it again with --size={size}"
        )
    return found
