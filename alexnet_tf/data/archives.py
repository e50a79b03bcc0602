"""The archives that only their user can download: whether they are there, and whole.

Sizes and digests are those that TFDS publishes in its `imagenet2012/checksums.tsv`; for
ILSVRC-2010 none could be found, so that an archive's form is all that is checked.
"""

import dataclasses
import hashlib
import io
import os
import pathlib
import tarfile
import zlib

from alexnet_tf.runtime import progress


@dataclasses.dataclass(frozen=True)
class Archive:
    """A file to download: its bytes and SHA-256 where they are published."""

    name: str
    size: int | None = None
    sha256: str | None = None


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


# What reading an archive raises where it is damaged.
DAMAGE = (tarfile.TarError, EOFError, OSError, zlib.error)


# Two blocks of zeros end a tar archive. `tarfile` takes any cut-off header for the end.
_TAR_END = bytes(1024)


_READ_BYTES = 16 << 20


def check(
    dataset: str, folder: str | os.PathLike[str], *, checksums: bool = False
) -> None:
    """Raises, naming every archive of `dataset` that is missing or not whole.

    `checksums` reads each archive through; a digest with nothing published to compare it
    with is printed.
    """
    problems = []
    for archive in ARCHIVES[dataset]:
        path = pathlib.Path(folder) / archive.name
        problem = _problem(archive, path)
        if not problem and checksums:
            digest = _sha256(path)
            if archive.sha256 is None:
                progress.say(f"{path}: sha256 {digest}, none is published")
            elif digest == archive.sha256:
                progress.say(f"{path}: sha256 as published")
            else:
                problem = (
                    f"has sha256 {digest} and should have {archive.sha256}: "
                    "download it again"
                )
        if problem:
            problems.append(f"{archive.name} {problem}")
    if problems:
        raise ValueError(
            f"{dataset} needs archives in {folder} that only you can download, from "
            f"{WHERE[dataset]}, or --manual_dir where they are: {'; '.join(problems)}"
        )


def _problem(archive: Archive, path: pathlib.Path) -> str:
    if not path.is_file():
        return "is missing"
    size = path.stat().st_size
    if archive.size is not None and size != archive.size:
        advice = "resume its download" if size < archive.size else "download it again"
        return f"has {size:,} of {archive.size:,} bytes: {advice}"
    if not size or (path.suffix == ".tar" and archive.size is None and _is_cut(path)):
        return f"has {size:,} bytes, which is no whole archive: resume its download"
    return ""


def _is_cut(path: pathlib.Path) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(_TAR_END)))
        return file.read() != _TAR_END


def _sha256(path: pathlib.Path) -> str:
    digest = hashlib.sha256()
    with (
        path.open("rb") as file,
        progress.bar(path.stat().st_size, path.name, "B", scale=True) as bar,
    ):
        while data := file.read(_READ_BYTES):
            digest.update(data)
            bar.update(len(data))
    return digest.hexdigest()


def read_devkit(
    path: str | os.PathLike[str],
) -> tuple[list[tuple[str, str]], dict[str, list[int]]]:
    """What a development kit, .tar.gz, knows: (classes, ground truths).

    Classes are (synset, words) in the order of the challenge's ids, which begin with 1:
    those synsets of `data/meta.mat` that have no children. Ground truths are the ids in
    each `data/*_ground_truth.txt`, by the file's name. Raises ValueError, naming the kit,
    where it is damaged or none.
    """
    found, truths = None, {}
    try:
        with tarfile.open(path) as kit:
            for member in kit:
                name = pathlib.PurePath(member.name)
                file = kit.extractfile(member)
                if file is None or name.parent.name != "data":
                    continue
                if name.name == "meta.mat":
                    found = _read_synsets(file.read(), path)
                elif name.name.endswith("_ground_truth.txt"):
                    truths[name.name] = read_truth(file.read(), f"{path}, {name}")
    except DAMAGE as error:
        raise ValueError(f"{path} is damaged ({error}): download it again") from error
    if found is None:
        raise ValueError(f"{path} is no development kit: it has no data/meta.mat")
    return found, truths


def read_truth(data: bytes, name: str) -> list[int]:
    """The ids of a ground truth, one a line; ValueError with its name where it is none."""
    try:
        return [int(line) for line in data.split()]
    except ValueError as error:
        raise ValueError(f"{name} is no ground truth ({error})") from error


def _read_synsets(data: bytes, path: str | os.PathLike[str]) -> list[tuple[str, str]]:
    try:
        import scipy.io  # large, and only the challenges' own metadata is in this form
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
        raise ValueError(f"{path}: the classes' ids are not 1, 2, 3 ... but {ids[:5]}")
    return [(str(row["WNID"]), str(row["words"])) for row in leaves]
