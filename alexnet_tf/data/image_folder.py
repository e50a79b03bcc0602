"""A folder of image files as a source: one subfolder per class.

The class folders may lie below `train/`, `validation/` (or `val/`) and `test/`, or
directly in the folder. In that case a part of the images is held out for validation.
"""

import array
import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np

from alexnet_tf.data import image_decoding, image_files, source_types
from alexnet_tf.runtime import progress


def open_folder(root: pathlib.Path, holdout: float) -> source_types.Source:
    """Lists the images of a folder, without opening a single file.

    Args:
        root: the folder.
        holdout: the fraction of the images that becomes the validation split, if `root`
            holds class folders directly and not splits.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: the folder's layout is not one of those above, or a class is empty.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"--source=folder:{root}: no such folder")
    class_names, splits = _list_splits(root, holdout)
    if len(class_names) < 2:
        raise ValueError(
            f"{root} must hold two or more class folders, or train/ and validation/ "
            f"with such folders; found {len(class_names)} classes"
        )
    if "train" not in splits:
        raise ValueError(
            f"{root} has no images left to train on: lower --holdout={holdout}"
        )
    return source_types.Source(
        root.resolve().name, class_names, splits, _fingerprint(class_names, splits)
    )


def _list_splits(
    root: pathlib.Path, holdout: float
) -> tuple[tuple[str, ...], dict[str, "_FolderExamples"]]:
    """The names of the classes, and the examples of each split."""
    children = _subfolders(root)
    folders = {c.name: c for c in children if c.name in source_types.SPLIT_NAMES}
    if {"val", "validation"} <= folders.keys():
        raise ValueError(f"{root} has both val/ and validation/: remove one of them")
    if folders and "train" not in folders and len(folders) == len(children):
        raise ValueError(f"{root} has {', '.join(folders)} but no train: add train/")
    if "train" not in folders:
        class_names = tuple(child.name for child in children)
        return class_names, _hold_out(_class_examples(root, class_names), holdout)
    class_names = tuple(child.name for child in _subfolders(folders["train"]))
    return class_names, {
        source_types.SPLIT_NAMES[name]: _class_examples(folder, class_names)
        for name, folder in sorted(folders.items())
    }


def _fingerprint(
    class_names: tuple[str, ...], splits: dict[str, "_FolderExamples"]
) -> str:
    """A digest of all names and labels in their order."""
    digest = hashlib.sha256()
    for split, examples in splits.items():
        digest.update(os.fsencode("\0".join([split, *class_names, *examples.files])))
        digest.update(examples.labels)
    return digest.hexdigest()


def _subfolders(folder: pathlib.Path) -> list[pathlib.Path]:
    with os.scandir(folder) as entries:
        names = sorted(e.name for e in entries if e.name[0] != "." and e.is_dir())
    return [folder / name for name in names]


@dataclasses.dataclass(frozen=True)
class _FolderExamples(Sequence[source_types.Example]):
    """The images of one split.

    There may be millions of them, so an `Example` is created only when it is asked for.
    """

    root: str
    classes: tuple[str, ...]
    files: list[str]  # paths below the folder of the class
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
    """Reads one image file; unlike a closure it can be sent to another process."""

    path: str

    def __call__(self) -> np.ndarray:
        return image_decoding.decode_with_alpha(image_files.read(self.path), self.path)


def _class_examples(folder: pathlib.Path, classes: tuple[str, ...]) -> _FolderExamples:
    """All images below the class folders of `folder`."""
    unknown = {c.name for c in _subfolders(folder)} - set(classes)
    if unknown:
        raise ValueError(f"{folder} has classes that train/ lacks: {sorted(unknown)}")
    suffixes = ", ".join(image_decoding.SUFFIXES)
    files, labels, ignored = [], array.array("i"), 0
    for label, name in enumerate(classes):
        found = sorted(_files_below(folder / name, ""))
        images = [f for f in found if f.lower().endswith(image_decoding.SUFFIXES)]
        ignored += len(found) - len(images)
        if not images:
            raise ValueError(
                f"class folder {folder / name} has no images ({suffixes}): add some or "
                "remove the folder"
            )
        files += images
        labels.extend([label] * len(images))
    if ignored:
        progress.say(
            f"{folder}: ignored {ignored} files whose names do not end in one of "
            f"{suffixes}"
        )
    return _FolderExamples(str(folder), classes, files, labels)


def _files_below(folder: pathlib.Path, prefix: str) -> Iterator[str]:
    """The paths of all files in a folder at any depth, each with `prefix` before it.

    Hidden files are ignored, such as the `._NAME.jpg` files that a Mac writes, which
    are not images. The listing says what is a folder, so no file is queried on its own.
    """
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name[0] == ".":
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _files_below(folder / entry.name, f"{prefix}{entry.name}/")
            else:
                yield prefix + entry.name


def _hold_out(examples: _FolderExamples, fraction: float) -> dict[str, _FolderExamples]:
    """Splits off about `fraction` of the examples for validation.

    The hash of each file's name decides, so a file keeps its split when others are
    added and when the folder moves. A split without images is left out.
    """
    limit = fraction * 2**64
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
