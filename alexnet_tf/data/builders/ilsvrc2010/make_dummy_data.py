"""Writes archives laid out as the challenge's: three classes, a few small pictures each.

    python -m alexnet_tf.data.builders.ilsvrc2010.make_dummy_data FOLDER

The tests' dummy data, and a way to try the commands. Needs SciPy.
"""

import gzip
import io
import pathlib
import sys
import tarfile
from collections.abc import Mapping

import numpy as np
from PIL import Image

# The first two synsets of the challenge, a third, and the root of their hierarchy. Not
# in the order of their ids, and the last has children: neither must matter.
SYNSETS = (
    (3, "n07767549", "apple", 0),
    (1, "n07711080", "french fries, french-fried potatoes, fries, chips", 0),
    (1001, "n00001740", "entity", 3),
    (2, "n07711569", "mashed potato", 0),
)
TRAIN, VALIDATION, TEST = (4, 3, 2), (2, 1, 3, 1), (3, 3, 2, 1, 2)
GZIPPED = "n07711569_1.JPEG"


def picture(number: int) -> bytes:
    """A small JPEG whose brightness is its number."""
    buffer = io.BytesIO()
    Image.new("RGB", (12, 10), (8 * number, 128, 255 - 8 * number)).save(buffer, "JPEG")
    return buffer.getvalue()


def tar(files: Mapping[str, bytes]) -> bytes:
    """An archive of `files`, by name."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def metadata() -> bytes:
    """The kit's `data/meta.mat`."""
    import scipy.io

    kinds = [
        ("ILSVRC2010_ID", "O"),
        ("WNID", "O"),
        ("words", "O"),
        ("num_children", "O"),
    ]
    synsets = np.array([tuple(row) for row in SYNSETS], dtype=kinds).reshape(-1, 1)
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, {"synsets": synsets})
    # The first 116 bytes are a text with the time of day.
    return b"MATLAB 5.0 MAT-file".ljust(116) + buffer.getvalue()[116:]


def numbered(split: str, count: int) -> dict[str, bytes]:
    return {
        f"{split}/ILSVRC2010_{split}_{number:08}.JPEG": picture(20 + number)
        for number in range(count, 0, -1)
    }


def truth(ids: tuple[int, ...]) -> bytes:
    return "".join(f"{number}\n" for number in ids).encode()


def write(folder: pathlib.Path) -> None:
    """Writes all of the challenge's archives into `folder`."""
    synsets = sorted(row for row in SYNSETS if not row[3])
    train, number = {}, 0
    for (_, synset, *_), count in zip(synsets, TRAIN, strict=True):
        pictures = {}
        for index in range(count):
            name, number = f"{synset}_{index}.JPEG", number + 1
            data = picture(number)
            pictures[name] = gzip.compress(data, mtime=0) if name == GZIPPED else data
        train[f"{synset}.tar"] = tar(pictures)
    kit = tar(
        {
            "devkit-1.0/readme.txt": b"Not the kit's own.\n",
            "devkit-1.0/data/meta.mat": metadata(),
            "devkit-1.0/data/ILSVRC2010_validation_ground_truth.txt": truth(VALIDATION),
        }
    )
    files = {
        "ILSVRC2010_images_train.tar": tar(train),
        "ILSVRC2010_images_val.tar": tar(numbered("val", len(VALIDATION))),
        "ILSVRC2010_images_test.tar": tar(numbered("test", len(TEST))),
        "ILSVRC2010_devkit-1.0.tar.gz": gzip.compress(kit, mtime=0),
        "ILSVRC2010_test_ground_truth.txt": truth(TEST),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)


if __name__ == "__main__":
    write(pathlib.Path(sys.argv[1]))
