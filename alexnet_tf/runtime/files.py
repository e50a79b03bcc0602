"""Files that are written whole or not at all."""

import os
import pathlib


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Replaces the file at `path`; a kill or a full disk leaves the one before."""
    path = pathlib.Path(path)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text)
    partial.replace(path)
