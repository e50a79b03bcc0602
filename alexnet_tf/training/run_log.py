"""The log of a run: log.jsonl and TensorBoard's event files.

Every line of `log.jsonl` is a record with its `kind` and its `step`:

    train       means since the line before: loss (nats), top1_error (percent), speed,
                and the learning rate and epoch (passes over the training split) of step
    validation  top1_error, top5_error and loss of the center crop, the split that they
                were measured on, and the epoch
    weights     for every weight its mean magnitude and that of its last update
    change      an option of the schedule that was changed from this step on
"""

import contextlib
import json
import os
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorboard.plugins.histogram import metadata as histogram_metadata

from alexnet_tf.runtime import files
from alexnet_tf.training import log_records, schedule_changes, validation_images

_CHANGE = "change"  # the kind of the records of a changed schedule


class Window:
    """The steps between two lines of the log: their mean results and their speed."""

    def __init__(self, batch_size: int):
        self._batch_size = batch_size
        self._open()

    def _open(self) -> None:
        self._results: list[tf.Tensor] = []
        self._since, self._apart_s = time.monotonic(), 0.0

    def __len__(self) -> int:
        return len(self._results)

    def add(self, result: tf.Tensor) -> None:
        self._results.append(result)

    @contextlib.contextmanager
    def apart(self) -> Iterator[None]:
        """Leaves the block, such as a validation or a checkpoint, out of the speed."""
        start = time.monotonic()
        yield
        self._apart_s += time.monotonic() - start

    def close(self) -> dict[str, float]:
        """Returns the means since the window was opened, and opens the next one."""
        loss, error, _ = np.mean([result.numpy() for result in self._results], axis=0)
        seconds = time.monotonic() - self._since - self._apart_s
        images_per_s = len(self) * self._batch_size / seconds
        self._open()
        return {
            "loss": float(loss),
            "top1_error": float(error),
            "images_per_s": images_per_s,
        }


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record) + "\n"


class Log:
    """Writes records to `log.jsonl`, one per line, and to TensorBoard's event files."""

    def __init__(self, run_dir: str | os.PathLike[str], step: int):
        """Continues the log of a run at `step`, and drops the lines of later steps.

        It drops the changes of the schedule at `step` too: the run writes those that
        hold for its next step.
        """
        self._run_dir = pathlib.Path(run_dir)
        self._path = self._run_dir / log_records.FILE
        kept = [
            record
            for record in log_records.read(run_dir)
            if record["step"] <= (step - 1 if record["kind"] == _CHANGE else step)
        ]
        files.write_text(self._path, "".join(map(_line, kept)))
        self._writers: dict[str, Any] = {}

    def write(self, kind: str, step: int, **values: float | str) -> None:
        """Writes one record; `kind` is "train", "validation" or "weights".

        TensorBoard gets the numbers of it.

        Raises OSError if it cannot be written, for example because the disk is full.
        """
        self._append({"kind": kind, "step": step, **values})
        with self._events(kind, step):
            for name, value in values.items():
                if not isinstance(value, str):
                    tf.summary.scalar(name, value)

    def write_change(self, change: schedule_changes.Change) -> None:
        """Writes one option of the schedule that holds from this step on.

        Raises OSError as `write` does.
        """
        self._append({"kind": _CHANGE, **change._asdict()})
        with self._events("train", change.step):
            tf.summary.text("changes", str(change))

    def write_images(
        self, step: int, look: Callable[[], validation_images.Shown]
    ) -> None:
        """Writes what is shown of the net at a validation, for TensorBoard alone."""
        shown = look()
        with self._events("validation", step):
            tf.summary.image("filters", shown.filters[None])
            for number, image in enumerate(shown.predictions):
                tf.summary.image(f"predictions/{number}", image[None])
        with self._events("weights", step):
            metadata = histogram_metadata.create_summary_metadata(None, None)
            for name, buckets in shown.histograms.items():
                tf.summary.write(f"{name}/histogram", buckets, metadata=metadata)

    def _append(self, record: dict[str, Any]) -> None:
        try:
            with self._path.open("a") as file:
                file.write(_line(record))
        except OSError as error:
            raise OSError(
                f"cannot write {self._path} ({error.strerror}): free the disk, then "
                "--resume"
            ) from error

    @contextlib.contextmanager
    def _events(self, kind: str, step: int) -> Iterator[None]:
        """A context whose summaries go to TensorBoard's events of this kind."""
        if kind not in self._writers:
            self._writers[kind] = tf.summary.create_file_writer(
                str(self._run_dir / kind)
            )
        with tf.device("/CPU:0"), self._writers[kind].as_default(step=step):
            yield
        self._writers[kind].flush()

    def sync(self) -> None:
        """Flushes `log.jsonl` to the disk, so that it reaches as far as a checkpoint."""
        files.sync(self._path)


class NoLog(Log):
    """The log of the workers that are not the chief, which write nothing."""

    def __init__(self, run_dir: str | os.PathLike[str], step: int):
        del run_dir, step

    def write(self, kind: str, step: int, **values: float | str) -> None:
        del kind, step, values

    def write_change(self, change: schedule_changes.Change) -> None:
        del change

    def write_images(
        self, step: int, look: Callable[[], validation_images.Shown]
    ) -> None:
        del step, look

    def sync(self) -> None:
        pass
