"""Numbered folders of an export, as a server counts them, each written whole or not at all.

FOLDER/1/  FOLDER/2/ ...    a server takes the highest, unless told another
"""

import contextlib
import os
import pathlib
import re
import shutil
from collections.abc import Iterator


def following(folder: pathlib.Path) -> int:
    """One more than the highest version in `folder`."""
    found = [int(c.stem) for c in folder.glob("*") if re.fullmatch(r"\d+", c.stem)]
    return max(found, default=0) + 1


def find(path: str | os.PathLike[str], flag: str) -> pathlib.Path:
    """`path` where it is a SavedModel, or the highest version in it.

    Raises FileNotFoundError, naming `flag`, where there is neither.
    """
    folder = pathlib.Path(path)
    if (folder / "saved_model.pb").exists():
        return folder
    found = [c for c in folder.glob("*") if c.name.isdigit() and c.is_dir()]
    if not found:
        raise FileNotFoundError(
            f"--{flag}={path}: no SavedModel there, and no version of one: "
            "python -m alexnet_tf.export makes one of a checkpoint"
        )
    return max(found, key=lambda c: int(c.name))


@contextlib.contextmanager
def whole(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A name to write under; what stands there becomes `path` when all went well."""
    if path.exists():
        raise FileExistsError(f"{path} exists: remove it, or export another version")
    # A leading dot, so that a server does not see it, and the suffix that Keras wants.
    partial = path.with_name(f".partial-{os.getpid()}-{path.name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield partial
        partial.rename(path)
    finally:
        if partial.is_dir():
            shutil.rmtree(partial)
        else:
            partial.unlink(missing_ok=True)
