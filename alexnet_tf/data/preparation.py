"""Prepares a source: writes its images as square records, and their statistics.

The dataset appears under its name only when it is complete. Until then its shards are
collected in OUTPUT.partial, and a run that is interrupted in whatever way keeps the
complete ones. The bytes do not depend on who writes them: one process, several, or the
machines of Apache Beam.
"""

import json
import os
import pathlib
import shlex
import shutil
from collections.abc import Iterator, Sequence
from typing import Any

import PIL
import simplejpeg
from absl import logging

import alexnet_tf
from alexnet_tf.data import (
    beam_shards,
    folder_listing,
    image_decoding,
    image_statistics,
    prepared_dataset,
    shards,
    source_summary,
    source_types,
    sources,
)
from alexnet_tf.models import background as backgrounds
from alexnet_tf.models import resize_rule
from alexnet_tf.runtime import files, lock, plans, progress, worker_processes

# A split is cut into this many shards, so that several workers can share it, or into
# fewer if a shard would have less than _SHARD_IMAGES images, or into more if it would
# have more than _SHARD_BYTES.
_SHARDS = 32
_SHARD_IMAGES = 250
_SHARD_BYTES = 128 << 20

# A JPEG of quality 95 takes 26 kB at 256 x 256 pixels, which is 0.4 bytes per pixel.
_BYTES_PER_TEN_PIXELS = {"jpeg": 4, "raw": 30}


def prepare_dataset(
    source: source_types.Source,
    output: str | os.PathLike[str],
    *,
    size: int,
    encoding: str,
    background: backgrounds.Color = backgrounds.WHITE,
    resize: resize_rule.Rule = resize_rule.DEFAULT,
    max_bad_files: int = 0,
    workers: int | None = None,
    beam_pipeline_options: str | None = None,
) -> prepared_dataset.Dataset:
    """Writes the images of a source as records into the folder `output`.

    Every image is scaled so that its shorter side has `size` pixels, and the center
    square is cut out (paper, section 2); with `resize="squash"`, both sides are scaled.
    An interrupted preparation continues when it is called again with the same arguments.

    Args:
        source: the images.
        output: the folder to write.
        size: side of the records' images in pixels.
        encoding: "jpeg" (quality 95) or "raw".
        background: the color behind transparent pixels.
        resize: how an image becomes a square; see `resize_rule`.
        max_bad_files: how many unreadable images are left out, with a warning, before
            one is an error.
        workers: the number of processes; by default one per core, but fewer for few
            images. With one worker the work is done in this process.
        beam_pipeline_options: run on Apache Beam instead, with these options of Beam's,
            separated by commas.

    Raises:
        FileExistsError: `output` exists.
        image_decoding.BadImageError: more than `max_bad_files` images cannot be read.
        ValueError: a preparation with other settings was interrupted, another process
            is preparing this folder, or a split has no readable image.

    Example:
        >>> from alexnet_tf.data import sources
        >>> source = sources.open_source("folder:images")
        >>> dataset = prepare_dataset(source, "data/pets", size=8, encoding="raw")
        >>> dataset.classes, dataset.counts
        (('cat', 'dog'), {'train': 4, 'validation': 2})
        >>> dataset.statistics().mean.shape
        (8, 8, 3)
    """
    output = pathlib.Path(output)
    refuse_existing(output)
    if not set(prepared_dataset.EVALUATION_SPLITS) & source.splits.keys():
        progress.say(
            f"{source.name} has no validation or test split, so train with "
            "--validation=never. (--holdout takes a validation split from a folder "
            "without train/.)"
        )
    partial = output.with_name(output.name + ".partial")
    with lock.exclusive(partial, "wait for it, or choose another --output"):
        try:
            preparation = _Preparation(
                source, partial, size, encoding, background, resize, max_bad_files
            )
            preparation.write_missing_shards(workers, beam_pipeline_options)
            preparation.write_description()
            files.move(preparation.complete, output)
            shutil.rmtree(partial)
        finally:
            if not list(partial.glob("notes/*.npz")):
                # There is nothing that a later run could continue with.
                shutil.rmtree(partial, ignore_errors=True)
    return prepared_dataset.read_description(output)


def refuse_existing(output: pathlib.Path) -> None:
    """Raises FileExistsError if `output` exists, since nothing is ever overwritten."""
    if output.exists():
        raise FileExistsError(f"{output} exists: remove it, or choose another --output")


class _Preparation:
    """The shards of one source in a folder of unfinished work.

    The folder holds `plan.json` (the settings), `complete/` (the complete shards, which
    becomes the prepared dataset) and `notes/` (see `shards`).
    """

    def __init__(
        self,
        source: source_types.Source,
        partial: pathlib.Path,
        size: int,
        encoding: str,
        background: backgrounds.Color,
        resize: resize_rule.Rule,
        max_bad_files: int,
    ):
        self.complete = partial / "complete"
        self._source = source
        self._partial = partial
        self._size = size
        self._encoding = encoding
        self._background = background
        self._resize = resize
        self._max_bad_files = max_bad_files
        self._jobs: dict[str, list[shards.Job]] = {
            split: list(self._jobs_of_split(split, examples))
            for split, examples in source.splits.items()
        }

    def _jobs_of_split(
        self, split: str, examples: Sequence[source_types.Example]
    ) -> Iterator[shards.Job]:
        """One job for every shard."""
        count = _shard_count(len(examples), self._size, self._encoding)
        bounds = [len(examples) * shard // count for shard in range(count + 1)]
        for shard in range(count):
            name = prepared_dataset.shard_name(split, shard, count, self._encoding)
            yield shards.Job(
                self.complete / name,
                examples[bounds[shard] : bounds[shard + 1]],
                self._size,
                self._encoding,
                self._background,
                self._resize,
                for_statistics=split == "train",
                max_bad_files=self._max_bad_files,
            )

    def write_missing_shards(
        self, workers: int | None, beam_options: str | None
    ) -> None:
        """Writes every shard that an earlier run has not left complete."""
        jobs = [job for split in self._jobs.values() for job in split]
        self._refuse_other_settings()
        missing = self._remove_unfinished(jobs)
        files.write_json(self._plan_path, self._settings)
        if beam_options:
            beam_shards.write_shards(missing, self._partial / "jobs", beam_options)
            return
        images, missing_images = _count_images(jobs), _count_images(missing)
        workers = workers or shards.default_workers(missing_images)
        done = images - missing_images
        with progress.bar(images, self._source.name, "image", done) as bar:
            allowed = self._max_bad_files
            for finished in worker_processes.run_in_workers(
                shards.write_shard_of_job, missing, workers, bar.update
            ):
                allowed = _count_bad_files(finished.left_out, allowed)

    @property
    def _plan_path(self) -> pathlib.Path:
        return self._partial / "plan.json"

    @property
    def _settings(self) -> dict[str, Any]:
        """Everything that the bytes of the shards depend on."""
        return {
            "images": self._source.fingerprint,
            "counts": {s: len(e) for s, e in self._source.splits.items()},
            "classes": len(self._source.classes),
            "size": self._size,
            "encoding": self._encoding,
            "background": list(self._background),
            "resize": self._resize,
            "alexnet_tf": alexnet_tf.__version__,
            "pillow": PIL.__version__,
            "simplejpeg": simplejpeg.__version__,
        }

    def _refuse_other_settings(self) -> None:
        """Raises ValueError if complete shards were written with other settings."""
        if not self._plan_path.exists() or not list(self.complete.glob("[!.]*")):
            return
        earlier = json.loads(self._plan_path.read_text())
        plans.refuse_other(f"{self._partial} was started", earlier, self._settings)

    def _remove_unfinished(self, jobs: Sequence[shards.Job]) -> list[shards.Job]:
        """Removes what an interrupted run left incomplete; returns the jobs to do."""
        finished = {job.path: shards.read_finished(job.path) for job in jobs}
        # A shard from which bad files were left out is written again, because the files
        # may have been repaired.
        complete = {path for path, f in finished.items() if f and not f.left_out}
        keep = {name for path in complete for name in (path, shards.note_path(path))}
        for folder in (self.complete, self._partial / "notes"):
            folder.mkdir(exist_ok=True)
            for path in set(folder.iterdir()) - keep:
                # The process that writes the file may still live, and may remove it.
                path.unlink(missing_ok=True)
        return [job for job in jobs if job.path not in complete]

    def write_description(self) -> None:
        """Writes everything beside the shards; all of them must be complete."""
        class_counts, statistics, digests = self._sum_up()
        dataset = prepared_dataset.Dataset(
            self._source.name,
            self._size,
            self._encoding,
            self._source.classes,
            {split: sum(each) for split, each in class_counts.items()},
            self.complete,
            self._source.specification,
            self._source.fingerprint,
            class_counts,
            background=self._background,
            resize=self._resize,
        )
        prepared_dataset.write_description(dataset, statistics.result())
        for name in (prepared_dataset.DESCRIPTION, prepared_dataset.STATISTICS):
            digests[name] = files.sha256(self.complete / name)
        prepared_dataset.write_digests(self.complete, digests.items())

    def _sum_up(
        self,
    ) -> tuple[
        dict[str, list[int]], image_statistics.StatisticsAccumulator, dict[str, str]
    ]:
        """(records per split and class, statistics, SHA-256 by file name) of all."""
        statistics = image_statistics.StatisticsAccumulator(self._size)
        class_counts, digests, allowed = {}, {}, self._max_bad_files
        deep: set[image_decoding.Deep] = set()
        for split, jobs in self._jobs.items():
            counts = class_counts[split] = [0] * len(self._source.classes)
            for job in jobs:
                finished = shards.read_finished(job.path)
                if finished is None:
                    raise RuntimeError(
                        f"{job.path} was not written: run the same command again"
                    )
                for label, count in enumerate(finished.class_counts):
                    counts[label] += count
                statistics.merge(finished.statistics)
                digests[job.path.name] = finished.sha256
                deep |= finished.deep
                for reason in finished.left_out:
                    logging.warning("left out: %s", reason)
                allowed = _count_bad_files(finished.left_out, allowed)
            if not any(counts):
                raise ValueError(f"the {split} split has no readable image")
        if deep:
            progress.say(f"warning: {image_decoding.deep_summary(deep)}")
        return class_counts, statistics, digests


def _shard_count(examples: int, size: int, encoding: str) -> int:
    """How many shards a split is cut into: at least one, and no empty ones."""
    example_bytes = size**2 * _BYTES_PER_TEN_PIXELS[encoding] // 10
    for_bytes = -(-examples * example_bytes // _SHARD_BYTES)
    for_workers = min(_SHARDS, examples // _SHARD_IMAGES)
    return max(1, min(max(for_bytes, for_workers), examples))


def _count_images(jobs: Sequence[shards.Job]) -> int:
    return sum(len(job.examples) for job in jobs)


def _count_bad_files(left_out: Sequence[str], allowed: int) -> int:
    """How many more bad files are allowed; raises for the first one too many."""
    if len(left_out) > allowed:
        raise shards.too_many_bad_files(left_out[allowed])
    return allowed - len(left_out)


def find_or_prepare(
    dataset: str,
    *,
    size: int,
    encoding: str,
    data_dir: str,
    manual_dir: str | None = None,
    max_bad_files: int = 0,
) -> prepared_dataset.Dataset:
    """Finds the dataset that `--dataset` names, and prepares it on first use.

    Args:
        dataset: the folder of a prepared dataset, or the name of a source (garments,
            imagenet2012, ilsvrc2010, tfds:NAME or folder:/path). A source is prepared
            as `data_dir`/NAME-SIZE.
        size: side of the images in pixels that the network needs.
        encoding: how to store them if they must be prepared, "jpeg" or "raw".
        data_dir: the folder for prepared sources.
        manual_dir: the folder of archives that only the user can download.
        max_bad_files: how many unreadable images a preparation leaves out.

    Raises:
        FileNotFoundError: the folder does not hold a prepared dataset, or the source
            does not exist.
        ValueError: the dataset has images of another size, or was prepared from another
            source, or the source has changed since.
    """
    try:
        folder = pathlib.Path(data_dir) / f"{sources.name_of(dataset)}-{size}"
    except ValueError:
        folder = pathlib.Path(dataset)
        if folder.is_dir() and not (folder / prepared_dataset.DESCRIPTION).exists():
            raise FileNotFoundError(
                f"{dataset} is not a prepared dataset, because it has no "
                f"{prepared_dataset.DESCRIPTION}. If it holds a folder of images for "
                f"each class: --dataset={shlex.quote(f'folder:{dataset}')}"
            ) from None
    else:
        if folder.exists():
            found = prepared_dataset.read_description(folder)
            refuse_other_source(found, dataset, data_dir)
        else:
            progress.say(f"preparing {dataset} as {folder}")
            source = sources.open_source(
                dataset, data_dir=data_dir, manual_dir=manual_dir
            )
            found = prepare_dataset(
                source,
                folder,
                size=size,
                encoding=encoding,
                max_bad_files=max_bad_files,
            )
            progress.say(summary(found, source))
    found = prepared_dataset.read_description(folder)
    if found.size != size:
        raise ValueError(
            f"{found.path} has images of {found.size} pixels, but the network needs "
            f"{size}: prepare it again with --size={size} and another --output"
        )
    return found


def refuse_other_source(
    dataset: prepared_dataset.Dataset, specification: str, data_dir: str
) -> None:
    """Raises ValueError unless a dataset was prepared from this source as it is now.

    Args:
        dataset: the prepared dataset.
        specification: of the source; see `sources`.
        data_dir: TFDS keeps its own files in `data_dir`/tfds.

    Raises:
        ValueError: it was prepared from another source, or the source has changed; the
            message names both, and what to do.
        FileNotFoundError: the source does not exist.
    """
    wanted, fingerprint = sources.identify(specification, data_dir)
    if dataset.source != wanted:
        before = dataset.source or "images without a source"
        problem = f"was prepared from {before}, and not from {wanted}"
    elif fingerprint is not None and dataset.fingerprint != fingerprint:
        problem = f"was prepared from {wanted}, whose images have changed since"
    else:
        return
    raise ValueError(
        f"{dataset.path} {problem}. To use its records as they are, name the folder: "
        f"--dataset={dataset.path}. To use the images as they are now, prepare them "
        f"first: python -m alexnet_tf.prepare --source={specification} "
        f"--size={dataset.size} --output=ANOTHER_FOLDER, and name that folder"
    )


def summary(dataset: prepared_dataset.Dataset, source: source_types.Source) -> str:
    """What was prepared of a source, and what was not, in lines of text."""
    notes = list(source.notes)
    found = sum(map(len, source.splits.values()))
    if unreadable := found - sum(dataset.counts.values()):
        images = folder_listing.counted(unreadable, "image")
        notes.append(f"left out: {images} that cannot be read")
    return source_summary.text(
        source.specification,
        dataset.classes,
        dataset.counts,
        dataset.class_counts,
        notes,
    )
