"""Checks and reads the archives of ImageNet, which only a registered user can download.

The sizes and digests of ILSVRC-2012 are those that TFDS publishes in its
`imagenet2012/checksums.tsv`. None could be found for ILSVRC-2010, so only the form of
its archives is checked.
"""

import dataclasses
import io
import os
import pathlib
import tarfile
import zlib
from typing import NamedTuple

from alexnet_tf.runtime import files, progress


@dataclasses.dataclass(frozen=True)
class Archive:
    """A file to download, with its size in bytes and SHA-256 if they are published."""

    name: str
    size: int | None = None
    sha256: str | None = None


# Where each dataset's archives can be downloaded.
WHERE = {
    "imagenet2012": "https://image-net.org/download-images (after registering)",
    "ilsvrc2010": "https://image-net.org/challenges/LSVRC/2010 (after registering)",
}

ARCHIVES = {
    "imagenet2012": (
        Archive(
            "ILSVRC2012_img_train.tar",
            147_897_477_120,
            "b08200a27a8e34218a0e58fde36b0fe8f73bc377f4acea2d91602057c3ca45bb",
        ),
        Archive(
            "ILSVRC2012_img_val.tar",
            6_744_924_160,
            "c7e06a6c0baccf06d8dbeb6577d71efff84673a5dbdd50633ab44f8ea0456ae0",
        ),
    ),
    "ilsvrc2010": (
        Archive("ILSVRC2010_images_train.tar"),
        Archive("ILSVRC2010_images_val.tar"),
        Archive("ILSVRC2010_images_test.tar"),
        Archive("ILSVRC2010_devkit-1.0.tar.gz"),
        Archive("ILSVRC2010_test_ground_truth.txt"),
    ),
}

DEVKIT_2010 = "ILSVRC2010_devkit-1.0.tar.gz"
DEVKIT_2012 = "ILSVRC2012_devkit_t12.tar.gz"

# What reading a damaged archive may raise.
DAMAGE = (tarfile.TarError, EOFError, OSError, zlib.error)

# A tar archive ends with two blocks of zeros. `tarfile` does not insist on them: it
# takes any truncated header for the end.
_TAR_END = bytes(1024)


def check_archives(
    dataset: str, folder: str | os.PathLike[str], *, checksums: bool = False
) -> None:
    """Checks that every archive of a dataset is there and complete.

    Args:
        dataset: a key of `ARCHIVES`.
        folder: the folder that should hold the archives.
        checksums: read each archive and compare its SHA-256. The digest of an archive
            for which none is published is printed.

    Raises:
        ValueError: archives are missing, incomplete or damaged; the message names all
            of them.
    """
    problems = []
    for archive in ARCHIVES[dataset]:
        path = pathlib.Path(folder) / archive.name
        problem = _size_problem(archive, path)
        if not problem and checksums:
            problem = _digest_problem(archive, path)
        if problem:
            problems.append(f"{archive.name} {problem}")
    if problems:
        raise ValueError(
            f"{dataset} needs archives in {folder} that only you can download, from "
            f"{WHERE[dataset]}. If they are elsewhere, name their folder with "
            f"--manual_dir. Found: {'; '.join(problems)}"
        )


def _size_problem(archive: Archive, path: pathlib.Path) -> str:
    """What the size or the end of an archive reveals; empty if it seems complete."""
    if not path.is_file():
        return "is missing"
    size = path.stat().st_size
    if archive.size is not None and size != archive.size:
        advice = "resume its download" if size < archive.size else "download it again"
        return f"has {size:,} bytes instead of {archive.size:,}: {advice}"
    unpublished_tar = path.suffix == ".tar" and archive.size is None
    if not size or (unpublished_tar and not _has_tar_end(path)):
        return f"has {size:,} bytes and is not complete: resume its download"
    return ""


def _has_tar_end(path: pathlib.Path) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(_TAR_END)))
        return file.read() == _TAR_END


def _digest_problem(archive: Archive, path: pathlib.Path) -> str:
    """Why the SHA-256 of an archive is wrong; empty if it is not, which is printed."""
    with progress.bar(path.stat().st_size, path.name, "B", scale=True) as bar:
        digest = files.sha256(path, bar.update)
    if archive.sha256 is None:
        progress.say(f"{path}: SHA-256 {digest}; no official digest is published")
    elif digest == archive.sha256:
        progress.say(f"{path}: SHA-256 matches the published one")
    else:
        return (
            f"has SHA-256 {digest} instead of the published {archive.sha256}: "
            "download it again"
        )
    return ""


class DevelopmentKit(NamedTuple):
    """What the development kit of a challenge says.

    Attributes:
        classes: (synset, words) of each class in the order of the challenge's ids,
            which begin with 1. The classes are the synsets of `data/meta.mat` that have
            no children.
        ground_truths: the class ids in each `data/*_ground_truth.txt`, by file name.
    """

    classes: list[tuple[str, str]]
    ground_truths: dict[str, list[int]]


def read_devkit(path: str | os.PathLike[str]) -> DevelopmentKit:
    """Reads a development kit, a .tar.gz file.

    Raises:
        ValueError: the kit is damaged, or the file is not a kit; the message names it.
        RuntimeError: SciPy, which reads `data/meta.mat`, is not installed.
    """
    classes, ground_truths = None, {}
    try:
        with tarfile.open(path) as kit:
            for member in kit:
                name = pathlib.PurePath(member.name)
                file = kit.extractfile(member)
                if file is None or name.parent.name != "data":
                    continue
                if name.name == "meta.mat":
                    classes = _read_classes(file.read(), path)
                elif name.name.endswith("_ground_truth.txt"):
                    ground_truths[name.name] = read_ground_truth(
                        file.read(), f"{path}, {name}"
                    )
    except DAMAGE as error:
        raise ValueError(f"{path} is damaged ({error}): download it again") from error
    if classes is None:
        raise ValueError(
            f"{path} is not a development kit, because it has no data/meta.mat: "
            "download it again"
        )
    return DevelopmentKit(classes, ground_truths)


def read_ground_truth(data: bytes, name: str) -> list[int]:
    """The class ids in a ground truth file, one per line.

    Args:
        data: the contents of the file.
        name: the name of the file, for the error message.

    Raises:
        ValueError: the file does not consist of numbers.

    Example:
        >>> read_ground_truth(b"3\\n1\\n", "truth.txt")
        [3, 1]
    """
    try:
        return [int(line) for line in data.split()]
    except ValueError as error:
        raise ValueError(
            f"{name} is not a ground truth file, which has one number per line "
            f"({error}): download it again"
        ) from error


def _read_classes(data: bytes, path: str | os.PathLike[str]) -> list[tuple[str, str]]:
    """(synset, words) of each class in the order of the ids, from `data/meta.mat`."""
    try:
        import scipy.io  # large, and only the challenges' metadata has this format
    except ImportError as error:
        raise RuntimeError(
            f"reading {path} needs SciPy: pip install 'alexnet_tf[ilsvrc]'"
        ) from error
    synsets = scipy.io.loadmat(io.BytesIO(data), squeeze_me=True)["synsets"]
    key = next(name for name in synsets.dtype.names if name.endswith("_ID"))
    leaves = [row for row in synsets.ravel() if not row["num_children"]]
    leaves.sort(key=lambda row: int(row[key]))
    ids = [int(row[key]) for row in leaves]
    if ids != list(range(1, len(ids) + 1)):
        raise ValueError(
            f"{path}: the ids of the classes must be 1, 2, 3 ..., got {ids[:5]}"
        )
    return [(str(row["WNID"]), str(row["words"])) for row in leaves]
