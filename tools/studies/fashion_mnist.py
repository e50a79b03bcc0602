"""Fashion-MNIST as image files in one folder per class."""

import gzip
import pathlib
from collections.abc import Collection

import numpy as np
from PIL import Image


def write_images(
    source: pathlib.Path,
    folder: pathlib.Path,
    classes: Collection[int] = range(10),
    most: int | None = None,
) -> None:
    """Writes the IDX files of `source` as FOLDER/SPLIT/classN/NUMBER.png.

    With `most`, it writes only the first so many images of each class and split.
    """
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
