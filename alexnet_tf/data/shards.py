"""One shard of a preparation, written completely or not at all, by any process.

Beside the shards lies a folder `notes` with one file for each complete shard. It holds
what a later run, and the process that puts the dataset together, must know about it.
"""

import dataclasses
import pathlib
import zipfile
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from alexnet_tf.data import (
    image_decoding,
    image_statistics,
    record_files,
    records,
    source_types,
)
from alexnet_tf.models import background as backgrounds
from alexnet_tf.models import resize_rule, resizing
from alexnet_tf.runtime import cores, files

# Starting a worker process takes as long as preparing this many images.
_IMAGES_PER_WORKER = 2000


@tf.function(reduce_retracing=True)
def _resize(image: tf.Tensor, size: tf.Tensor, rule: resize_rule.Rule) -> tf.Tensor:
    """One trace for all shapes, which is three times faster than eager execution."""
    return resizing.resize(image, size, rule)


@dataclasses.dataclass(frozen=True)
class Job:
    """All that a process needs to write one shard.

    Attributes:
        path: the file to write.
        examples: the images of the shard.
        size: side of the records' images in pixels.
        encoding: "jpeg" or "raw".
        background: the color behind transparent pixels.
        resize: how an image becomes a square.
        for_statistics: whether the images count in the statistics, as those of the
            training split do.
        max_bad_files: how many unreadable images are left out before one is an error.
    """

    path: pathlib.Path
    examples: Sequence[source_types.Example]
    size: int
    encoding: str
    background: backgrounds.Color
    resize: resize_rule.Rule
    for_statistics: bool
    max_bad_files: int


@dataclasses.dataclass(frozen=True)
class Finished:
    """What is known of a complete shard.

    Attributes:
        images: the number of its records.
        bytes: the size of its file.
        sha256: the digest of its file.
        class_counts: the number of its records with each label.
        left_out: for each image that could not be read, the reason.
        statistics: the sums over its images.
        deep: which of its images have 16 bits per sample.
    """

    images: int
    bytes: int
    sha256: str
    class_counts: tuple[int, ...]
    left_out: tuple[str, ...]
    statistics: image_statistics.StatisticsAccumulator
    deep: frozenset[image_decoding.Deep] = frozenset()


def default_workers(images: int) -> int:
    """The default number of worker processes: one per core, but fewer for few images."""
    return min(cores.usable_cores(), 1 + images // _IMAGES_PER_WORKER)


def write_shard_of_job(job: Job, advance: Callable[[], object]) -> Finished:
    """Writes the shard that `job` describes, and the note about it.

    Several processes may write the same shard at once, for example one that was left
    behind by a parent that was killed, or a second attempt of Apache Beam. They write
    the same bytes, each under its own name.

    Args:
        job: what to write.
        advance: called after each image.

    Raises:
        image_decoding.BadImageError: one more image than `job.max_bad_files` could not
            be read.
    """
    statistics = image_statistics.StatisticsAccumulator(job.size)
    left_out: list[str] = []
    labels: list[int] = []

    def counted_records() -> Iterator[tuple[str, record_files.Record]]:
        for name, image, label in _readable_squares(job, left_out, advance):
            if job.for_statistics:
                statistics.add(image)
            labels.append(label)
            encoded = records.encode_image(image, job.encoding)
            yield name, record_files.Record(encoded, label)

    with files.written_aside(job.path) as aside, image_decoding.deep_images() as deep:
        record_files.write_shard(
            aside, counted_records(), encoding=job.encoding, size=job.size
        )
        size, digest = aside.stat().st_size, files.sha256(aside)
    class_counts = tuple(np.bincount(np.array(labels, int)).tolist())
    finished = Finished(
        len(labels),
        size,
        digest,
        class_counts,
        tuple(left_out),
        statistics,
        frozenset(deep),
    )
    _write_note(finished, job.path)  # only now, when the shard is on the disk
    return finished


def _readable_squares(
    job: Job, left_out: list[str], advance: Callable[[], object]
) -> Iterator[tuple[str, np.ndarray, int]]:
    """(name, square uint8 image, label) of each example that can be read.

    The reasons why others cannot be read are added to `left_out`.
    """
    for example in job.examples:
        try:
            if example.label < 0:
                raise image_decoding.BadImageError(f"{example.name}: it has no label")
            image = backgrounds.compose(example.read(), job.background)
            image = _resized_square(image, job.size, job.resize)
        except image_decoding.BadImageError as error:
            if len(left_out) == job.max_bad_files:
                raise too_many_bad_files(str(error)) from error
            left_out.append(str(error))
        else:
            yield example.name, image, example.label
        advance()


def _resized_square(image: np.ndarray, size: int, rule: resize_rule.Rule) -> np.ndarray:
    with tf.device("/CPU:0"):
        return _resize(image, size, rule).numpy()


def too_many_bad_files(reason: str) -> image_decoding.BadImageError:
    """The error for the first bad file that is not allowed; `reason` names the file."""
    return image_decoding.BadImageError(
        f"{reason}. Repair or remove the file, or allow such files with "
        "--max_bad_files=N"
    )


def note_path(path: pathlib.Path) -> pathlib.Path:
    """Where the note about the shard at `path` is kept."""
    return path.parent.with_name("notes") / f"{path.name}.npz"


def _write_note(finished: Finished, path: pathlib.Path) -> None:
    deep = sorted(finished.deep)
    with files.written_aside(note_path(path)) as aside:
        np.savez(
            aside,
            images=finished.images,
            bytes=finished.bytes,
            sha256=finished.sha256,
            class_counts=np.array(finished.class_counts, int),
            left_out=np.array(finished.left_out, dtype=np.str_),
            count=finished.statistics.count,
            sum=finished.statistics.sum,
            products=finished.statistics.products,
            deep=np.array([name for name, _ in deep], dtype=np.str_),
            dark=np.array([dark for _, dark in deep], dtype=bool),
        )


def read_finished(path: pathlib.Path) -> Finished | None:
    """Reads the note about the shard at `path`; None if the shard is not complete."""
    try:
        size = path.stat().st_size
        with np.load(note_path(path)) as note:
            statistics = image_statistics.StatisticsAccumulator(note["sum"].shape[0])
            statistics.count = int(note["count"])
            statistics.sum, statistics.products = note["sum"], note["products"]
            finished = Finished(
                int(note["images"]),
                int(note["bytes"]),
                str(note["sha256"]),
                tuple(note["class_counts"].tolist()),
                tuple(map(str, note["left_out"])),
                statistics,
                frozenset(
                    zip(note["deep"].tolist(), note["dark"].tolist(), strict=True)
                ),
            )
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
        return None
    return finished if finished.bytes == size else None
