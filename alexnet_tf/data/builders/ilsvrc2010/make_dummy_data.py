"""Writes small archives with the layout of ILSVRC-2010: three classes of a few images.

    python -m alexnet_tf.data.builders.ilsvrc2010.make_dummy_data FOLDER

They serve as the dummy data of the tests, and to try the commands. SciPy is needed.
"""

import gzip
import io
import pathlib
import sys
import tarfile
from collections.abc import Mapping

import numpy as np
from PIL import Image

# (id, synset, words, number of children): the first two synsets of the challenge, a
# third one, and the root of their hierarchy. They are not in the order of their ids,
# and the last one has children; readers must handle both.
SYNSETS = (
    (3, "n07767549", "apple", 0),
    (1, "n07711080", "french fries, french-fried potatoes, fries, chips", 0),
    (1001, "n00001740", "entity", 3),
    (2, "n07711569", "mashed potato", 0),
)
# The number of training images of each class, and the ids of the other images.
TRAIN, VALIDATION, TEST = (4, 3, 2), (2, 1, 3, 1), (3, 3, 2, 1, 2)
GZIPPED = "n07711569_1.JPEG"


def dummy_image(number: int) -> bytes:
    """A small JPEG; the mean of its red channel is 8 times its number."""
    buffer = io.BytesIO()
    Image.new("RGB", (12, 10), (8 * number, 128, 255 - 8 * number)).save(buffer, "JPEG")
    return buffer.getvalue()


def tar_archive(files: Mapping[str, bytes]) -> bytes:
    """A tar archive of files, given by their names."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def metadata() -> bytes:
    """The file `data/meta.mat` of the development kit."""
    import scipy.io

    columns = ("ILSVRC2010_ID", "WNID", "words", "num_children")
    row_type = [(name, "O") for name in columns]
    synsets = np.array([tuple(row) for row in SYNSETS], dtype=row_type).reshape(-1, 1)
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, {"synsets": synsets})
    # The first 116 bytes are a text that contains the time of day.
    return b"MATLAB 5.0 MAT-file".ljust(116) + buffer.getvalue()[116:]


def numbered_images(split: str, count: int) -> dict[str, bytes]:
    """The images of the validation or test archive, by name, the last one first."""
    return {
        f"{split}/ILSVRC2010_{split}_{number:08}.JPEG": dummy_image(20 + number)
        for number in range(count, 0, -1)
    }


def ground_truth(ids: tuple[int, ...]) -> bytes:
    """A ground truth file, with one id per line."""
    return "".join(f"{number}\n" for number in ids).encode()


def training_archives() -> dict[str, bytes]:
    """The archive of each class, by name."""
    classes = sorted(row for row in SYNSETS if not row[3])
    archives, number = {}, 0
    for (_, synset, *_), count in zip(classes, TRAIN, strict=True):
        images = {}
        for index in range(count):
            name, number = f"{synset}_{index}.JPEG", number + 1
            data = dummy_image(number)
            images[name] = gzip.compress(data, mtime=0) if name == GZIPPED else data
        archives[f"{synset}.tar"] = tar_archive(images)
    return archives


def write_archives(folder: pathlib.Path) -> None:
    """Writes all archives of the challenge into `folder`."""
    kit = tar_archive(
        {
            "devkit-1.0/readme.txt": b"Not the kit's own.\n",
            "devkit-1.0/data/meta.mat": metadata(),
            "devkit-1.0/data/ILSVRC2010_validation_ground_truth.txt": ground_truth(
                VALIDATION
            ),
        }
    )
    validation = tar_archive(numbered_images("val", len(VALIDATION)))
    files = {
        "ILSVRC2010_images_train.tar": tar_archive(training_archives()),
        "ILSVRC2010_images_val.tar": validation,
        "ILSVRC2010_images_test.tar": tar_archive(numbered_images("test", len(TEST))),
        "ILSVRC2010_devkit-1.0.tar.gz": gzip.compress(kit, mtime=0),
        "ILSVRC2010_test_ground_truth.txt": ground_truth(TEST),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)


if __name__ == "__main__":
    write_archives(pathlib.Path(sys.argv[1]))
