"""The files that features are written to, and the work that an interruption leaves.

    features.npz    an array per layer, and `names`, `labels`, `classes` and `about`
    features.npy    the array of one layer, and all else in features.json beside it

Until the last image is done, everything is in OUTPUT.partial: `plan.json` says what
decides the numbers, each array grows by rows in a file of its own, and `progress.json`
says how many rows count. It is written after these rows are on the disk, so a process
that is killed at any moment leaves work that the next one continues. No array is ever
in memory as a whole. This module does not import TensorFlow.
"""

import contextlib
import dataclasses
import json
import math
import os
import pathlib
import shutil
import time
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, Any

import numpy as np

from alexnet_tf.runtime import array_files, files, lock, plans

SUFFIXES = (".npz", ".npy")

# Rows that a killed process computed in the last seconds are computed again.
SAVE_INTERVAL_S = 2.0

_COPIED_BYTES = 1 << 20

_LABELS = "labels"
_PLAN = "plan.json"
_PROGRESS = "progress.json"


def check_output(output: str | os.PathLike[str], layers: Sequence[str]) -> pathlib.Path:
    """Returns the path of the file to write, if features of `layers` can be written there.

    Raises:
        ValueError: it does not end in .npz or .npy, or it is an .npy file for several
            layers.
        FileExistsError: the file, or the .json file beside it, exists.
    """
    path = pathlib.Path(output)
    if path.suffix not in SUFFIXES:
        raise ValueError(
            f"--output={output} must end in .npz, or in .npy for sets that do not fit in "
            "memory"
        )
    if path.suffix == ".npy" and len(layers) > 1:
        raise ValueError(
            f"--output={output} holds one array, and --layer names {len(layers)} layers: "
            "choose an .npz file, or one layer"
        )
    _refuse_existing(path)
    return path


def _refuse_existing(output: pathlib.Path) -> None:
    begun = (_partial(output) / _PROGRESS).exists()  # perhaps between the two files
    for path in (output, *([_beside(output)] if output.suffix == ".npy" else [])):
        if path.exists() and (path == output or not begun):
            raise FileExistsError(
                f"{path} exists: remove it, or choose another --output"
            )


def _partial(output: pathlib.Path) -> pathlib.Path:
    return output.with_name(f"{output.name}.partial")


def _beside(output: pathlib.Path) -> pathlib.Path:
    return output.with_suffix(".json")


@dataclasses.dataclass
class Progress:
    """How far the work is.

    Attributes:
        next_image: the index of the first image that has not been looked at.
        rows: how many images have their features.
        left_out: the index of each image that has none, and the reason.
    """

    next_image: int = 0
    rows: int = 0
    left_out: list[tuple[int, str]] = dataclasses.field(default_factory=list)


class UnfinishedFeatures:
    """The work on one file of features, which an earlier process may have begun.

    Attributes:
        progress: what is done, including rows that are not saved yet.
    """

    def __init__(
        self,
        output: pathlib.Path,
        shapes: Mapping[str, tuple[int, ...]],
        plan: Mapping[str, Any],
        images: int,
    ):
        """Continues what is there, or begins. The folder must be locked: see `unfinished`.

        Raises:
            ValueError: it was begun with another `plan`, or the disk has too little
                space.
        """
        self._output, self._folder = output, _partial(output)
        self._layers = list(shapes)
        types = {f"{n}": ("<f4", shape) for n, shape in enumerate(shapes.values())}
        types[_LABELS] = ("<i8", ())
        self.progress = self._read_progress(plan, types)
        self._check_space(types, images - self.progress.next_image)
        rows = self.progress.rows
        self._arrays = {
            name: _GrowingArray(self._folder / f"{name}.npy", kind, shape, rows)
            for name, (kind, shape) in types.items()
        }
        self._saved_at = time.monotonic()

    def _read_progress(
        self, plan: Mapping[str, Any], arrays: Iterable[str]
    ) -> Progress:
        """What an earlier process saved; nothing if it, or the removal of it, is partial."""
        path, planned = self._folder / _PROGRESS, self._folder / _PLAN
        needed = [path, planned, *(self._folder / f"{name}.npy" for name in arrays)]
        if not all(each.exists() for each in needed):
            path.unlink(missing_ok=True)
            files.write_json(planned, plan)
            return Progress()
        earlier = json.loads(planned.read_text(encoding="utf-8"))
        plans.refuse_other(f"{self._folder} was started", earlier, plan)
        found = json.loads(path.read_text(encoding="utf-8"))
        left_out = [(index, reason) for index, reason in found.pop("left_out")]
        return Progress(**found, left_out=left_out)

    def _check_space(
        self, types: Mapping[str, tuple[str, tuple[int, ...]]], images: int
    ) -> None:
        row = sum(
            np.dtype(kind).itemsize * math.prod(shape) for kind, shape in types.values()
        )
        needed, advice = row * images, "choose a smaller layer, or another disk"
        if self._output.suffix == ".npz":  # which is written beside the arrays
            needed += row * (self.progress.rows + images)
            advice += ", or an .npy file, which needs half the space"
        free = shutil.disk_usage(self._folder).free
        if needed > free:
            raise ValueError(
                f"{self._output} needs {needed / 1e9:.1f} GB more for the features of "
                f"{images:,} images, and {free / 1e9:.1f} GB are free: {advice}"
            )

    def append(
        self,
        features: Mapping[str, np.ndarray],
        labels: Sequence[int],
        next_image: int,
    ) -> None:
        """Adds the rows of a batch.

        Args:
            features: of each layer, float32 [N, ...].
            labels: of the N images.
            next_image: the index of the first image after the batch.
        """
        for number, layer in enumerate(self._layers):
            self._arrays[f"{number}"].append(features[layer])
        self._arrays[_LABELS].append(np.array(labels, "<i8"))
        self.progress.rows += len(labels)
        self.progress.next_image = next_image
        if time.monotonic() - self._saved_at >= SAVE_INTERVAL_S:
            self.save()

    def save(self) -> None:
        """Makes what was added so far survive anything that happens from now on."""
        for each in self._arrays.values():
            each.sync()
        done = self.progress
        # What was left out after the last batch is looked at again.
        left_out = [each for each in done.left_out if each[0] < done.next_image]
        saved = dataclasses.asdict(done) | {"left_out": left_out}
        files.write_text(self._folder / _PROGRESS, json.dumps(saved) + "\n")
        self._saved_at = time.monotonic()

    def finish(
        self, names: Sequence[str], classes: Sequence[str], about: Mapping[str, Any]
    ) -> None:
        """Makes the file of all rows, and removes the folder of the work.

        Args:
            names: of the images of all rows.
            classes: the names of the classes, in the order of their labels.
            about: what else the file shall say, as JSON.
        """
        self.save()
        for each in self._arrays.values():
            each.finish()
        labels = np.load(self._folder / f"{_LABELS}.npy")
        if self._output.suffix == ".npy":
            described = {**about, "classes": list(classes), "names": list(names)}
            described["labels"] = labels.tolist()
            files.write_json(_beside(self._output), described)
            files.move(self._folder / "0.npy", self._output)
        else:
            path = self._folder / self._output.name
            described = {
                "names": np.array(names, np.str_),
                _LABELS: labels,
                "classes": np.array(classes, np.str_),
                "about": np.array(json.dumps(about)),
            }
            self._write_npz(path, described)
            files.move(path, self._output)
        shutil.rmtree(self._folder)

    def _write_npz(self, path: pathlib.Path, others: Mapping[str, np.ndarray]) -> None:
        """Writes what `numpy.savez` would, which reads whole arrays: an archive of files."""
        with path.open("wb") as file, zipfile.ZipFile(file, "w") as archive:
            for number, layer in enumerate(self._layers):
                with (
                    (self._folder / f"{number}.npy").open("rb") as array,
                    archive.open(f"{layer}.npy", "w", force_zip64=True) as entry,
                ):
                    shutil.copyfileobj(array, entry, _COPIED_BYTES)
            for name, other in others.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                    entry.write(array_files.npy_bytes(other))

    def close(self) -> None:
        """Closes the files; what is not saved is computed again by the next process."""
        for each in self._arrays.values():
            each.close()


@contextlib.contextmanager
def unfinished(
    output: pathlib.Path,
    shapes: Mapping[str, tuple[int, ...]],
    plan: Mapping[str, Any],
    images: int,
) -> Iterator[UnfinishedFeatures]:
    """Locks the work on a file of features, and continues it, until the block ends.

    Args:
        output: the file, as `check_output` returns it.
        shapes: of one image's features of each layer.
        plan: everything that decides the numbers, as JSON.
        images: how many images there are.

    Raises:
        ValueError: another process is at work on it, or as `UnfinishedFeatures`.
        FileExistsError: as `check_output`.
    """
    folder = _partial(output)
    with lock.exclusive(folder, "wait for it, or choose another --output"):
        try:
            _refuse_existing(output)  # which another process may have completed
            work = UnfinishedFeatures(output, shapes, plan, images)
            with contextlib.closing(work):
                yield work
        finally:
            if not (folder / _PROGRESS).exists():
                # There is nothing that a later process could continue with.
                shutil.rmtree(folder, ignore_errors=True)


class _GrowingArray:
    """An .npy file that grows by rows and is never in memory.

    NumPy pads headers so that the number of rows may grow, so a header is written over
    the first one at the end.
    """

    def __init__(
        self, path: pathlib.Path, kind: str, shape: tuple[int, ...], rows: int
    ):
        self._path, self._kind, self._shape = path, kind, shape
        start = self._header(0)
        end = len(start) + rows * np.dtype(kind).itemsize * math.prod(shape)
        if rows and path.stat().st_size < end:
            raise ValueError(
                f"{path} is damaged: it has fewer rows than {_PROGRESS} beside it says. "
                f"Remove {path.parent} to start over"
            )
        mode = "r+b" if rows else "wb"
        self._file: IO[bytes] = open(path, mode)  # noqa: SIM115
        if not rows:
            self._write(start)
        self._file.truncate(end)
        self._file.seek(end)
        self._rows = rows

    def _header(self, rows: int) -> bytes:
        return array_files.npy_header(self._kind, (rows, *self._shape))

    def _write(self, data: bytes | memoryview) -> None:
        try:
            self._file.write(data)
            self._file.flush()
        except OSError as error:  # which names no file
            raise OSError(error.errno, error.strerror, str(self._path)) from None

    def append(self, rows: np.ndarray) -> None:
        if rows.shape[1:] != self._shape:
            raise ValueError(f"rows must be {self._shape}, got {rows.shape[1:]}")
        self._write(np.ascontiguousarray(rows, self._kind).data)
        self._rows += len(rows)

    def sync(self) -> None:
        os.fsync(self._file.fileno())

    def finish(self) -> None:
        self._file.seek(0)
        self._write(self._header(self._rows))
        self.sync()
        self.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):  # every write was flushed
            self._file.close()
