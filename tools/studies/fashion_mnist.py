"""Writes Fashion-MNIST as image files, FOLDER/SPLIT/classN/NUMBER.png.

    apt-get install dataset-fashion-mnist
    python tools/studies/fashion_mnist.py FOLDER
    python tools/studies/fashion_mnist.py FOLDER --classes=0,2,4,6 --most=250

`alexnet_tf.prepare` prepares the folder.
"""

import gzip
import pathlib
from collections.abc import Collection, Sequence

import numpy as np
from absl import app, flags
from PIL import Image

_SOURCE = flags.DEFINE_string(
    "source", "/usr/share/datasets/fashion-mnist", "Folder of the four IDX files."
)
_CLASSES = flags.DEFINE_list("classes", list("0123456789"), "The classes to write.")
_MOST = flags.DEFINE_integer(
    "most", None, "Write only the first so many images of each class and split."
)


def write_images(
    source: pathlib.Path,
    folder: pathlib.Path,
    classes: Collection[int],
    most: int | None = None,
) -> None:
    """Writes the images of some classes, or the first ones of each class and split."""
    for split, prefix in (("train", "train"), ("test", "t10k")):
        images, labels = (
            _read_idx(source / f"{prefix}-{kind}-ubyte.gz")
            for kind in ("images-idx3", "labels-idx1")
        )
        written = dict.fromkeys(classes, 0)
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            if label not in written or written[label] == most:
                continue
            written[label] += 1
            path = folder / split / f"class{label}" / f"{index:05}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)


def _read_idx(path: pathlib.Path) -> np.ndarray:
    """The array of bytes in a compressed IDX file."""
    if not path.exists():
        raise SystemExit(
            f"{path} does not exist. Install it with `apt-get install "
            "dataset-fashion-mnist`, or name another folder with --source."
        )
    content = gzip.decompress(path.read_bytes())
    rank = content[3]
    shape = np.frombuffer(content, ">i4", rank, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)


def main(arguments: Sequence[str]) -> None:
    if len(arguments) != 2:
        raise app.UsageError("name one folder to write into")
    classes = list(map(int, _CLASSES.value))
    write_images(
        pathlib.Path(_SOURCE.value), pathlib.Path(arguments[1]), classes, _MOST.value
    )


if __name__ == "__main__":
    app.run(main)
