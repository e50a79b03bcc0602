"""The numbered folders of an export. Each one is written whole or not at all.

FOLDER/1/  FOLDER/2/ ...    a server takes the highest, unless its config names others
"""

import contextlib
import json
import os
import pathlib
import re
import shlex
from collections.abc import Iterator
from typing import Any

from alexnet_tf.runtime import files, suggestions

# The folders that a server takes for versions, and what is written in any format.
_DIGITS = re.compile("[0-9]+")
# What a SavedModel holds beside the model, and the file there that says which checkpoint
# it was made of.
EXTRA_ASSETS = "assets.extra"
ORIGIN = "alexnet_tf.json"

# What that file has of every SavedModel.
RECORDED = (
    *("checkpoint", "checkpoint_from_here", "made_of"),
    *("background", "resize", "size", "dtype", "crops", "top"),
)

_EXPORT = re.compile(r"([0-9]+)(\.keras|\.tflite|\.onnx)?")


def next_version(folder: pathlib.Path) -> int:
    """Returns the highest version in `folder` plus one, or 1 if there is none.

    Files such as 3.tflite count as versions too.
    """
    found = [_EXPORT.fullmatch(child.name) for child in folder.glob("*")]
    return max((int(match[1]) for match in found if match), default=0) + 1


def _what_else(folder: pathlib.Path, flag: str) -> str:
    """What a folder without a SavedModel holds, and what to type instead."""
    make = "python -m alexnet_tf.export --checkpoint="
    if not (folder / "model.json").exists():
        return (
            "neither a SavedModel nor numbered versions of one. Make one from a "
            f"checkpoint with: {make}RUN_FOLDER"
            f"{suggestions.did_you_mean_path(folder, folders_only=True)}"
        )
    export = folder / "export"
    if list(export.glob("*/saved_model.pb")):
        return f"a run and not an export. It was exported: --{flag}={shlex.quote(str(export))}"
    return (
        f"a run and not an export. Export it with {make}{shlex.quote(str(folder))}, and "
        f"then give --{flag}={shlex.quote(str(export))}"
    )


def find_version(path: str | os.PathLike[str], flag: str) -> pathlib.Path:
    """Returns the folder of a SavedModel.

    Args:
        path: the folder of a SavedModel, or a folder with model versions. Of several
            versions the highest is returned.
        flag: the name of the flag that gave `path`, for the error.

    Raises:
        FileNotFoundError: `path` is neither of these.
    """
    folder = pathlib.Path(path)
    if (folder / "saved_model.pb").exists():
        return folder
    found = [c for c in folder.glob("*") if _DIGITS.fullmatch(c.name) and c.is_dir()]
    if not found:
        raise FileNotFoundError(f"--{flag}={path} holds {_what_else(folder, flag)}")
    return max(found, key=lambda c: int(c.name))


def origin_file(version: pathlib.Path) -> pathlib.Path:
    """The file of a SavedModel that says which checkpoint it was made of, as JSON."""
    return version / EXTRA_ASSETS / ORIGIN


def read_origin(version: pathlib.Path) -> dict[str, Any]:
    """What `exporting.export` recorded of a SavedModel.

    Raises:
        ValueError: the file does not exist, is damaged, or lacks something.
    """
    file = origin_file(version)
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        problem = "does not exist"
    except (ValueError, RecursionError):
        problem = "is damaged"
    else:
        recorded = found if isinstance(found, dict) else {}
        if not (lacking := [each for each in RECORDED if each not in recorded]):
            return recorded
        problem = f"has no {', '.join(lacking)}"
    raise ValueError(
        f"{file}, which says what the export was made of and how it reads images, "
        f"{problem}. Export the checkpoint again"
    )


@contextlib.contextmanager
def new_version(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a name to write a new version under, which may be a file or a folder.

    What was written becomes `path` if the block ends without an error; see
    `files.written_aside`. A server does not see it before that.

    Raises:
        FileExistsError: `path` exists already, because a server may be using it.

    Example::

        with new_version(pathlib.Path("runs/demo/export/2")) as aside:
            saved_model.save_model(net, aside, ...)
    """
    _require_absent(path)
    files.make_folder(path.parent)
    with files.written_aside(path) as aside:
        yield aside
        _require_absent(path)  # another export may have written it meanwhile


def _require_absent(path: pathlib.Path) -> None:
    if path.exists():
        raise FileExistsError(
            f"{path} already exists and is not overwritten: remove it, or choose "
            "another number with --version"
        )
