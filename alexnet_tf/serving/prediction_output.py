"""Predictions in a file, which grows as they are made and survives any interruption.

    FILE.jsonl    one object per image: its file with classes and scores, or an error
    FILE.csv      one line per image and class, or one with the error
    FILE.npz      `names`, `labels` [N, K] into `classes`, `scores` [N, K]; `failed` are
                  the rows without an answer, and `errors` say why

Beside it, FILE.about.json says what the predictions are of, and how many of them are on
the disk. Rows are saved in whole batches, always the same ones, so that a command that
was interrupted at any moment writes the same bytes in the end. An .npz file cannot grow:
its rows are in FILE.partial until the last one is there. This module does not import
TensorFlow.
"""

import contextlib
import csv
import hashlib
import io
import json
import os
import pathlib
import shutil
import time
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from alexnet_tf.runtime import array_files, files, lock, names, plans

SUFFIXES = (".jsonl", ".csv", ".npz")

# What a killed process computed in the last seconds is computed again.
SAVE_INTERVAL_S = 2.0

_COLUMNS = ("file", "rank", "class", "score", "error")
_ROWS = "rows.jsonl"


class Prediction(NamedTuple):
    """The best classes of one file, best first; or none of them, and the reason."""

    file: str
    classes: list[str]
    scores: list[float]
    error: str = ""


def check_output(output: str) -> pathlib.Path:
    """Returns the path of the file to write.

    Raises:
        ValueError: it has another suffix, or it is a folder.
    """
    path = pathlib.Path(output)
    if path.suffix not in SUFFIXES:
        raise ValueError(
            f"--output={names.escaped(output)} must end in {', '.join(SUFFIXES[:-1])} or "
            f"{SUFFIXES[-1]}"
        )
    if path.is_dir():
        raise ValueError(f"--output={names.escaped(output)} is a folder: name a file")
    return path


def images_identity(paths: Sequence[str]) -> str:
    """A text that changes when files are added, removed, renamed or changed.

    Names, sizes and times of modification decide, as for the images of a dataset.
    """
    digest = hashlib.sha256()
    for path in paths:
        try:
            status = os.stat(path)
            what = f"{status.st_size}\0{status.st_mtime_ns}"
        except (OSError, ValueError):  # reading it will say what is wrong
            what = ""
        digest.update(os.fsencode(path) + f"\0{what}\0".encode())
    return f"{len(paths):,} files, digest {digest.hexdigest()[:16]}"


class PredictionFile:
    """The work on one file of predictions, which an earlier process may have begun.

    Attributes:
        rows: how many images have their rows, those included that are not saved yet.
        failed: how many of them have an error.
        complete: whether nothing is left to do.
    """

    def __init__(self, output: pathlib.Path, plan: Mapping[str, Any]):
        """Continues what is there, or begins. `output` must be locked: see `unfinished`.

        Raises:
            ValueError: it was begun with another plan, or is not what it was.
            FileExistsError: something else wrote the file.
        """
        self._output, self._about = output, _about(output)
        self._plan = plan
        self._grows = output.suffix != ".npz"
        self._path = output if self._grows else _partial(output) / _ROWS
        found = self._read_about()
        self.rows: int = found["rows"]
        self.failed: int = found["failed"]
        self.complete: bool = found["complete"]
        self._waiting: list[str] = []
        self._bytes: int = found["bytes"]
        self._saved_at = time.monotonic()
        if self.complete:
            return
        if not self._bytes:
            self._write_about()  # before the file, which would be a stranger's without it
        # Unbuffered, so that closing it after a failure does not write and fail again.
        mode = "r+b" if self._bytes else "wb"
        self._file = open(self._path, mode, buffering=0)  # noqa: SIM115
        self._file.truncate(self._bytes)
        self._file.seek(self._bytes)
        if not self._bytes:
            files.sync(self._path.parent)
            if output.suffix == ".csv":
                self._waiting.append(_csv_text([_COLUMNS]))

    def _read_about(self) -> dict[str, Any]:
        """What an earlier process saved, if it is of this plan and still there."""
        nothing = {"rows": 0, "bytes": 0, "failed": 0, "complete": False}
        shown = names.escaped(self._output)
        if not self._about.exists():
            if self._output.exists() or self._output.is_symlink():
                raise FileExistsError(
                    f"{shown} exists, and {self._about.name} is not beside it: remove "
                    "it, or choose another --output"
                )
            return nothing
        try:
            found = json.loads(self._about.read_text(encoding="utf-8"))
            done = {key: type(value)(found[key]) for key, value in nothing.items()}
            earlier = dict(found["plan"])
        except (ValueError, KeyError, TypeError):
            raise ValueError(
                f"{names.escaped(self._about)} is damaged: remove it and {shown} to "
                "start over, or choose another --output"
            ) from None
        path = self._output if done["complete"] else self._path
        if not path.exists():  # somebody removed it to start over
            return nothing
        state = "was made" if done["complete"] else "was begun"
        plans.refuse_other(f"{shown} {state}", earlier, self._plan)
        if path.stat().st_size < done["bytes"]:
            raise ValueError(
                f"{names.escaped(path)} is shorter than {self._about.name} says: remove "
                f"{shown} to start over, or choose another --output"
            )
        return done

    def append(self, prediction: Prediction) -> None:
        """Adds the row of one image; it is written with its batch: see `end_batch`."""
        self.rows += 1
        self.failed += bool(prediction.error)
        as_csv = self._output.suffix == ".csv"
        self._waiting.append((_as_csv if as_csv else _as_json)(prediction))

    def end_batch(self) -> None:
        """Writes the rows of a batch, and saves them if some time has passed."""
        data = "".join(self._waiting).encode("utf-8", "backslashreplace")
        self._waiting.clear()
        try:
            left = memoryview(data)
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:  # which names no file
            raise OSError(error.errno, error.strerror, str(self._path)) from None
        self._bytes += len(data)
        if time.monotonic() - self._saved_at >= SAVE_INTERVAL_S:
            self._save()

    def _save(self) -> None:
        """Makes the rows that were written survive anything that happens from now on."""
        os.fsync(self._file.fileno())
        self._write_about()
        self._saved_at = time.monotonic()

    def _write_about(self) -> None:
        about = {
            "plan": self._plan,
            "rows": self.rows,
            "failed": self.failed,
            "bytes": self._bytes,
            "complete": self.complete,
        }
        files.write_json(self._about, about)

    def finish(self) -> None:
        """Completes the file once every image has its row."""
        self.end_batch()
        os.fsync(self._file.fileno())
        if not self._grows:
            with files.written_aside(self._output) as temporary:
                _write_npz(temporary, self._path, self.rows)
            self._bytes = self._output.stat().st_size
        self.complete = True
        self._write_about()

    def close(self) -> None:
        """Closes the file; what is not saved is computed again by the next process."""
        if hasattr(self, "_file"):
            self._file.close()


@contextlib.contextmanager
def unfinished(
    output: pathlib.Path, plan: Mapping[str, Any]
) -> Iterator[PredictionFile]:
    """Locks the work on a file of predictions, and continues it, until the block ends.

    Args:
        output: the file, as `check_output` returns it.
        plan: everything that decides the rows, as JSON.

    Raises:
        ValueError: another process is at work on it, or as `PredictionFile`.
        FileExistsError: as `PredictionFile`.
    """
    folder = _partial(output)
    with lock.exclusive(folder, "wait for it, or choose another --output"):
        try:
            with contextlib.closing(PredictionFile(output, plan)) as work:
                yield work
        finally:
            if not (folder / _ROWS).exists() or _is_complete(output):
                shutil.rmtree(folder, ignore_errors=True)


def _partial(output: pathlib.Path) -> pathlib.Path:
    return output.with_name(f"{output.name}.partial")


def _about(output: pathlib.Path) -> pathlib.Path:
    return output.with_name(f"{output.name}.about.json")


def _is_complete(output: pathlib.Path) -> bool:
    about = _about(output)
    with contextlib.suppress(OSError, ValueError):
        return json.loads(about.read_text(encoding="utf-8")).get("complete") is True
    return False


def _as_json(prediction: Prediction) -> str:
    row: dict[str, Any]
    if prediction.error:
        row = {"file": prediction.file, "error": prediction.error}
    else:
        scores = [float(f"{score:.6g}") for score in prediction.scores]
        row = {"file": prediction.file, "classes": prediction.classes, "scores": scores}
    return json.dumps(row) + "\n"


def _as_csv(prediction: Prediction) -> str:
    file = names.escaped(prediction.file)  # so that it is one line
    if prediction.error:
        return _csv_text([[file, "", "", "", prediction.error]])
    best = zip(prediction.classes, prediction.scores, strict=True)
    return _csv_text(
        [file, rank, name, f"{score:.6g}", ""]
        for rank, (name, score) in enumerate(best, 1)
    )


def _csv_text(rows: Iterable[Sequence[Any]]) -> str:
    sheet = io.StringIO()
    csv.writer(sheet, lineterminator="\n").writerows(rows)
    return sheet.getvalue()


def _write_npz(path: pathlib.Path, rows: pathlib.Path, count: int) -> None:
    """Writes the rows of a .jsonl file as arrays."""
    file_names, failed, errors = [], [], []
    labels: list[np.ndarray] = []
    scores: list[np.ndarray] = []
    classes: dict[str, int] = {}
    width = 0
    with rows.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            row = json.loads(line)
            file_names.append(names.escaped(row["file"]))
            if "error" in row:
                failed.append(number)
                errors.append(row["error"])
            found = [
                classes.setdefault(name, len(classes))
                for name in row.get("classes", ())
            ]
            labels.append(np.array(found, "<i4"))
            scores.append(np.array(row.get("scores", ()), "<f4"))
            width = max(width, len(found))
    arrays = {
        "names": np.array(file_names, np.str_),
        "labels": _rectangle(labels, width, -1),
        "classes": np.array(list(classes), np.str_),
        "scores": _rectangle(scores, width, np.nan),
        "failed": np.array(failed, "<i8"),
        "errors": np.array(errors, np.str_),
    }
    assert len(file_names) == count
    with path.open("wb") as file, zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            # With the time of the entry, each run would write other bytes.
            entry = zipfile.ZipInfo(f"{name}.npy")
            archive.writestr(entry, array_files.npy_bytes(array))


def _rectangle(rows: Sequence[np.ndarray], width: int, missing: float) -> np.ndarray:
    """Rows of at most `width` numbers as [N, width], filled up with `missing`."""
    kind = rows[0].dtype if rows else np.dtype("<f4")
    table = np.full((len(rows), width), missing, kind)
    for number, row in enumerate(rows):
        table[number, : len(row)] = row
    return table
