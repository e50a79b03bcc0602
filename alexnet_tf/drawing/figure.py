"""A figure: its picture, what is drawn as data, and what it shows in words."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from alexnet_tf.drawing import canvas
from alexnet_tf.runtime import files


@dataclasses.dataclass(frozen=True)
class Figure:
    """A picture with everything that is needed to understand it without the code.

    Attributes:
        name: the stem of its files, such as "filters" or "filters-conv2".
        picture: matplotlib's figure, or the text of an SVG file.
        caption: one to three sentences: what is shown, how it was normalized, and of
            which checkpoint.
        alternative: what someone who cannot see the picture reads instead, with the
            main numbers.
        data: what is drawn. If all values are arrays they become NAME.npz, and otherwise
            NAME.json.
        text: what the command prints about it, such as a table; may be "".
    """

    name: str
    picture: canvas.Picture | str
    caption: str
    alternative: str
    data: Mapping[str, Any]
    text: str = ""

    @property
    def suffix(self) -> str:
        """That of the picture's file: ".svg" or ".png"."""
        return ".svg" if isinstance(self.picture, str) else ".png"

    def encoded(self) -> bytes:
        """The picture as the bytes of a file with `suffix`."""
        if isinstance(self.picture, str):
            return self.picture.encode()
        return canvas.png(self.picture, self.name, self.caption)


def write(figure: Figure, folder: str | os.PathLike[str]) -> list[pathlib.Path]:
    """Writes a figure into a folder, which is made if it is missing.

    The files are the picture, its data, and NAME.txt with caption, alternative and text.
    Files of the same names are replaced, each as a whole.

    Returns: the three paths, that of the picture first.

    Raises:
        OSError: a file cannot be written.
    """
    folder = pathlib.Path(folder)
    files.make_folder(folder)
    arrays = all(isinstance(value, np.ndarray) for value in figure.data.values())
    texts = (figure.caption, figure.alternative, figure.text)
    parts: dict[str, Callable[[pathlib.Path], Any]] = {
        figure.suffix: lambda path: path.write_bytes(figure.encoded()),
        ".npz" if arrays else ".json": lambda path: (
            _write_arrays(path, figure.data)
            if arrays
            else path.write_text(json.dumps(figure.data, indent=1) + "\n")
        ),
        ".txt": lambda path: path.write_text(
            "\n\n".join(filter(None, texts)) + "\n", encoding="utf-8"
        ),
    }
    written = []
    for suffix, write_part in parts.items():
        path = folder / f"{figure.name}{suffix}"
        with files.written_aside(path) as temporary:
            write_part(temporary)
        written.append(path)
    return written


def _write_arrays(path: pathlib.Path, arrays: Mapping[str, np.ndarray]) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
