"""Finds the checkpoints of a run, without TensorFlow; `checkpoint_weights` reads them.

RUN/checkpoints/step-200.index ...    the newest ones
RUN/best/step-100.index ...           the one with the least validation error

A checkpoint is whole when its index is there, which is written last and removed first.
No checkpoint is ever overwritten: the second one of a step is step-200-2.
"""

import contextlib
import os
import pathlib
import re

from alexnet_tf.runtime import files, paths, suggestions

NEWEST = "checkpoints"
BEST = "best"

_FILE_OF_A_CHECKPOINT = re.compile(r"\.(index|data-\d+-of-\d+)$")


class CheckpointError(OSError):
    """A checkpoint that cannot be written, found, or restored."""


def files_of(prefix: str | os.PathLike[str]) -> list[pathlib.Path]:
    """The files of one checkpoint; if it is whole, the first one is its index."""
    path = pathlib.Path(prefix)
    found = path.parent.glob(f"{path.name}.*")
    index = path.with_name(f"{path.name}.index")
    return sorted(
        (file for file in found if file.suffix != ".broken"),
        key=lambda file: (file != index, file.name),
    )


def remove_checkpoint(prefix: str) -> None:
    """Removes the files of a checkpoint; no reader ever finds a part of it."""
    for file in files_of(prefix):
        file.unlink()
        if file.suffix == ".index":
            files.sync(file.parent)


def remove_unfinished(folder: pathlib.Path) -> None:
    """Removes what writes that failed or were killed have left in a folder."""
    files.remove_leftovers(folder, locked=True)
    for path in folder.glob("step-*.data-*"):
        index = path.with_suffix(".index")
        if path.suffix != ".broken" and not index.exists():
            path.unlink()


def unused_name(folder: pathlib.Path, step: int) -> str:
    """The name for a new checkpoint of a step: step-200, or step-200-2 after that."""
    earlier = [again for other, again, _ in _found(folder) if other == step]
    return f"step-{step}-{max(earlier) + 1}" if earlier else f"step-{step}"


def list_checkpoints(folder: str | os.PathLike[str]) -> list[str]:
    """Returns the prefixes of the whole checkpoints in a folder, oldest first."""
    return [prefix for _, _, prefix in sorted(_found(pathlib.Path(folder)))]


def step_of(prefix: str) -> int:
    """The step of a checkpoint.

    Example:
        >>> step_of("runs/mine/checkpoints/step-200-2")
        200
    """
    return int(pathlib.Path(prefix).name.split("-")[1])


def _found(folder: pathlib.Path) -> list[tuple[int, int, str]]:
    """(step, which one of this step, prefix) of each whole checkpoint, in any order."""
    found = []
    for index in folder.glob("step-*.index"):
        if match := re.fullmatch(r"step-(\d+)(?:-(\d+))?\.index", index.name):
            again = int(match[2] or 1)
            found.append((int(match[1]), again, str(index.with_suffix(""))))
    return found


def newest_checkpoint(folder: str | os.PathLike[str]) -> str | None:
    """Returns the prefix of the newest whole checkpoint in a folder, or None."""
    found = list_checkpoints(folder)
    return found[-1] if found else None


def locate_checkpoint(checkpoint: str | os.PathLike[str]) -> tuple[pathlib.Path, str]:
    """Returns (run folder, checkpoint prefix) for a run folder or one checkpoint.

    Raises CheckpointError, which names what was expected, if there is no checkpoint.
    """
    path = pathlib.Path(checkpoint)
    expected = (
        "expected a run folder of alexnet_tf.train, or one checkpoint as "
        "RUN/checkpoints/step-200"
    )
    path = (
        path.with_name(_FILE_OF_A_CHECKPOINT.sub("", path.name)) if path.name else path
    )
    if path.is_dir():
        # A run may be called "best", and a path may be "." or end in "..".
        is_run = (path / NEWEST).is_dir() or _last_part(path) not in (NEWEST, BEST)
        run_dir = path if is_run else pathlib.Path(os.path.normpath(path / ".."))
        newest = newest_checkpoint(path / NEWEST if is_run else path)
        if newest is None:
            raise CheckpointError(
                f"{path} holds no checkpoint: {expected}{_hint(path)}"
            )
        return run_dir, newest
    # A step that was saved again has a new name, which the old one stands for.
    again = re.compile(rf"{re.escape(path.name)}(-\d+)?")
    found = [
        prefix
        for prefix in list_checkpoints(path.parent)
        if again.fullmatch(pathlib.Path(prefix).name)
    ]
    if not found:
        there = (
            f"{path} is not a checkpoint"
            if path.exists()
            else (f"there is no checkpoint {path}")
        )
        hint = _hint(path) or suggestions.did_you_mean_path(path, folders_only=True)
        raise CheckpointError(f"{there}: {expected}{hint}")
    return pathlib.Path(os.path.normpath(path.parent / "..")), found[-1]


def named_checkpoints(named: str) -> list[str]:
    """The paths of --checkpoint, where commas separate several.

    A comma may also be a part of a path, if the whole is a run folder or a checkpoint.

    Raises ValueError if one cannot be a path, for example because it is empty.
    """
    if "," in named:
        with contextlib.suppress(OSError):
            locate_checkpoint(named)
            return [named]
    try:
        return [paths.local(part) for part in named.split(",")]
    except ValueError as error:
        raise ValueError(f"--checkpoint={named}: {error}") from None


def _hint(path: pathlib.Path) -> str:
    """What to type instead, if something else than a checkpoint is named."""
    if path.is_dir():
        exported = [*path.glob("saved_model.pb"), *path.glob("*/saved_model.pb")]
        return (
            ". This is an export: name the run folder that it was made of"
            if exported
            else ""
        )
    if not path.is_file():
        return ""
    if path.suffix in (".keras", ".h5"):
        return (
            ". A file of export is for alexnet_tf.load, AlexNet(weights=...) and train "
            "--weights; python -m alexnet_tf.import_weights makes a run folder of it"
        )
    return (
        ". If this is a file of another framework, python -m alexnet_tf.import_weights "
        f"--from={path} --output=RUN makes a run folder of it"
    )


def _last_part(path: pathlib.Path) -> str:
    return os.path.basename(os.path.abspath(path))
