"""Where pictures come from: a folder a class, or a TFDS dataset.

A source is a list of examples a split, each read on demand, and a part of a list can be
sent to another process, so that any number of workers may share the reading. Decoding is
Pillow's, which knows EXIF orientation, CMYK, palettes and WebP; what it refuses is a
`BadImageError` with the file's name.
"""

import array
import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np

from alexnet_tf.data import image_decoding, source_types
from alexnet_tf.runtime import progress


def open_folder(root: pathlib.Path, holdout: float) -> source_types.Source:
    if not root.is_dir():
        raise FileNotFoundError(f"--source=folder:{root}: no such folder")
    children = _subfolders(root)
    splits = {c.name: c for c in children if c.name in source_types.SPLIT_FOLDERS}
    if {"val", "validation"} <= splits.keys():
        raise ValueError(f"{root} has both val/ and validation/: leave one of them")
    if splits and "train" not in splits and len(splits) == len(children):
        raise ValueError(f"{root} has {', '.join(splits)} and no train: add train/")
    if "train" in splits:
        classes = tuple(c.name for c in _subfolders(splits["train"]))
        found = {
            source_types.SPLIT_FOLDERS[name]: _class_examples(folder, classes)
            for name, folder in sorted(splits.items())
        }
    else:
        classes = tuple(c.name for c in children)
        found = _hold_out(_class_examples(root, classes), holdout)
    if len(classes) < 2:
        raise ValueError(
            f"{root} must hold a folder a class, two or more, or train/ and "
            f"validation/ with such folders; found {len(classes)} classes"
        )
    if "train" not in found:
        raise ValueError(
            f"{root} leaves nothing to train on: lower --holdout={holdout}"
        )
    digest = hashlib.sha256()
    for split, examples in found.items():
        digest.update(os.fsencode("\0".join([split, *classes, *examples.files])))
        digest.update(examples.labels)
    return source_types.Source(root.resolve().name, classes, found, digest.hexdigest())


def _subfolders(folder: pathlib.Path) -> list[pathlib.Path]:
    with os.scandir(folder) as entries:
        names = sorted(e.name for e in entries if e.name[0] != "." and e.is_dir())
    return [folder / name for name in names]


@dataclasses.dataclass(frozen=True)
class _FolderExamples(Sequence[source_types.Example]):
    """Files of a folder a class; millions of them, so that no object is kept of each."""

    root: str
    classes: tuple[str, ...]
    files: list[str]  # below the class's folder
    labels: array.array

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return dataclasses.replace(
                self, files=self.files[index], labels=self.labels[index]
            )
        label = self.labels[index]
        path = os.path.join(self.root, self.classes[label], self.files[index])
        return source_types.Example(path, label, _FileReader(path))


@dataclasses.dataclass(frozen=True)
class _FileReader:
    path: str

    def __call__(self) -> np.ndarray:
        return image_decoding.decode(pathlib.Path(self.path).read_bytes(), self.path)


def _class_examples(folder: pathlib.Path, classes: tuple[str, ...]) -> _FolderExamples:
    unknown = {c.name for c in _subfolders(folder)} - set(classes)
    if unknown:
        raise ValueError(f"{folder} has classes that train/ lacks: {sorted(unknown)}")
    files, labels, ignored = [], array.array("i"), 0
    for label, name in enumerate(classes):
        found = sorted(_files(folder / name, ""))
        of_class = [
            file for file in found if file.lower().endswith(image_decoding.SUFFIXES)
        ]
        ignored += len(found) - len(of_class)
        if not of_class:
            raise ValueError(
                f"class folder {folder / name} has no picture "
                f"({', '.join(image_decoding.SUFFIXES)}): fill it or remove it"
            )
        files += of_class
        labels.extend([label] * len(of_class))
    if ignored:
        progress.say(
            f"{folder}: {ignored} files are left, whose names end in none of "
            f"{', '.join(image_decoding.SUFFIXES)}"
        )
    return _FolderExamples(str(folder), classes, files, labels)


def _files(folder: pathlib.Path, below: str) -> Iterator[str]:
    """The files in a folder at any depth, with `below` before each name.

    What a system hides is left, as the ._NAME.jpg of a Mac, which are no pictures. The
    kind of an entry comes with the listing: not one file is asked for it.
    """
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name[0] == ".":
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _files(folder / entry.name, f"{below}{entry.name}/")
            else:
                yield below + entry.name


def _hold_out(examples: _FolderExamples, part: float) -> dict[str, _FolderExamples]:
    """Splits off about `part` for validation; a split without pictures is none.

    By each name's hash: a file keeps its split when others come, and when the folder
    moves.
    """
    limit = part * 2**64
    chosen: dict[str, list[int]] = {"train": [], "validation": []}
    for index, file in enumerate(examples.files):
        name = f"{examples.classes[examples.labels[index]]}/{file}"
        number = int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:8], "big")
        chosen["validation" if number < limit else "train"].append(index)
    return {
        split: dataclasses.replace(
            examples,
            files=[examples.files[i] for i in indices],
            labels=array.array("i", [examples.labels[i] for i in indices]),
        )
        for split, indices in chosen.items()
        if indices
    }
