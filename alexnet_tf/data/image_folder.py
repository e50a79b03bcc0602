"""A folder of image files as a source: one subfolder per class.

The class folders may lie below `train/`, `validation/` and `test/`, under any of the
names that `source_types.SPLIT_NAMES` lists, or directly in the folder. In that case a
part of the images is held out for validation.

A layout that could mean something else is refused, and what is not used is noted in the
source.
"""

import array
import dataclasses
import hashlib
import os
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from alexnet_tf.data import (
    folder_listing,
    holdout,
    image_decoding,
    image_files,
    source_types,
)
from alexnet_tf.data.folder_listing import counted, first_names
from alexnet_tf.runtime import names, suggestions

_SYNSET = re.compile(r"n\d{8}\b")


def open_folder(root: pathlib.Path, fraction: float) -> source_types.Source:
    """Lists the images of a folder, without opening a single file.

    Args:
        root: the folder.
        fraction: the part of the images that becomes the validation split, if `root`
            holds class folders directly and not splits.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: the folder's layout is not one of those above, a class is empty, or
            a name cannot be used; the message says what to do.
    """
    if not root.is_dir():
        meant = suggestions.did_you_mean_path(root, folders_only=True)
        missing = f"no such folder{meant}"
        problem = "a file: unpack it first" if root.is_file() else missing
        raise FileNotFoundError(f"folder:{names.escaped(root)}: {problem}")
    tree = _Tree(os.path.abspath(root))
    class_names, splits = tree.list_splits(fraction)
    resolved = root.resolve()
    return source_types.Source(
        resolved.name,
        class_names,
        splits,
        specification=f"folder:{resolved}",
        fingerprint=tree.digest.hexdigest(),
        class_counts={split: each.class_counts() for split, each in splits.items()},
        notes=tree.unused.texts(),
    )


class FolderExamples(Sequence[source_types.Example]):
    """The images of one split.

    There may be millions of them, so an `Example` is created only when it is asked for.
    """

    def __init__(
        self,
        root: str,
        folders: Sequence[str],
        files: list[str],
        labels: array.array,
    ):
        """
        Args:
            root: the folder of the class folders.
            folders: the name of the folder of each class.
            files: the path of each image below the folder of its class.
            labels: the class of each image.
        """
        self._root = root
        self._folders = tuple(folders)
        self._files = files
        self._labels = labels

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return FolderExamples(
                self._root, self._folders, self._files[index], self._labels[index]
            )
        label = self._labels[index]
        path = os.path.join(self._root, self._folders[label], self._files[index])
        return source_types.Example(path, label, _FileReader(path))

    def to_json(self) -> dict[str, Any]:
        """All of it, for a process on another machine."""
        return {
            "root": self._root,
            "folders": self._folders,
            "files": self._files,
            "labels": self._labels.tolist(),
        }

    @classmethod
    def from_json(cls, described: Mapping[str, Any]) -> "FolderExamples":
        """The examples that `to_json` described."""
        labels = array.array("i", described["labels"])
        return cls(described["root"], described["folders"], described["files"], labels)

    def class_counts(self) -> list[int]:
        """The number of images of each class."""
        return np.bincount(self._labels, minlength=len(self._folders)).tolist()

    def hold_out(self, class_names: Sequence[str], fraction: float) -> dict[str, Any]:
        """Two splits; see `holdout`. A split without images is left out."""
        chosen: set[int] = set()
        ends = np.cumsum(self.class_counts()).tolist()
        for name, start, end in zip(class_names, [0, *ends], ends, strict=False):
            found = holdout.held_out(name, self._files[start:end], fraction)
            chosen.update(start + index for index in found)
        everything = range(len(self))
        parts = {
            "train": [index for index in everything if index not in chosen],
            "validation": sorted(chosen),
        }
        return {split: self._part(part) for split, part in parts.items() if part}

    def _part(self, indices: Sequence[int]) -> "FolderExamples":
        return FolderExamples(
            self._root,
            self._folders,
            [self._files[index] for index in indices],
            array.array("i", [self._labels[index] for index in indices]),
        )


@dataclasses.dataclass(frozen=True)
class _FileReader:
    """Reads one image file; unlike a closure it can be sent to another process."""

    path: str

    def __call__(self) -> np.ndarray:
        data = image_files.read(self.path)
        return image_decoding.decode_with_alpha(data, self.path)


class _Tree:
    """The folders of a source while they are listed.

    Attributes:
        unused: what is not used.
        digest: of the name, the size and the modification time of every image that is.
    """

    def __init__(self, root: str):
        self.unused = folder_listing.Unused()
        self.digest = hashlib.sha256()
        self._root = root
        self._shown = names.escaped(root)

    def list_splits(
        self, fraction: float
    ) -> tuple[tuple[str, ...], dict[str, FolderExamples]]:
        """The names of the classes, and the examples of each split."""
        listing = self._list(self._root)
        self._note_loose_images(self._root, listing)
        split_folders = self._split_folders(listing.folders)
        if split_folders:
            self._note_other_folders(listing.folders, split_folders.values())
            return self._read_splits(split_folders)
        self._refuse_one_level_too_deep(listing.folders)
        class_folders = _class_folders(self._root, listing.folders)
        class_names = tuple(sorted(class_folders))
        if len(class_names) < 2:
            raise ValueError(
                f"{self._shown} must hold two or more class folders, or train/ and "
                f"validation/ with such folders; {_found(self._root, listing)}"
            )
        examples = self._read_classes(self._root, class_names, class_folders)
        self._refuse_empty_classes(self._root, class_folders, examples)
        splits = examples.hold_out(class_names, fraction)
        self._note_small_classes(class_names, examples.class_counts(), fraction)
        return class_names, splits

    def _list(self, folder: str) -> folder_listing.Listing:
        """Lists a folder of folders, and counts the other files in it."""
        listing = folder_listing.list_folder(folder, self.unused)
        self.unused.count_files(listing.others)
        return listing

    def _note_loose_images(self, folder: str, listing: folder_listing.Listing) -> None:
        if listing.images:
            self.unused.notes.append(
                f"not used: {counted(len(listing.images), 'image')} in "
                f"{names.escaped(folder)}, in no class folder: "
                f"{first_names(entry.name for entry in listing.images)}"
            )

    def _split_folders(self, folders: Sequence[str]) -> dict[str, str]:
        """The name of the folder of each split, train first; empty if there are none."""
        found: dict[str, str] = {}
        for folder in folders:
            split = source_types.split_of(folder)
            if split in found:
                raise ValueError(
                    f"{self._shown} has two folders for the {split} split, "
                    f"{found[split]}/ and {folder}/: remove or rename one of them"
                )
            if split is not None:
                found[split] = folder
        if found and "train" not in found:
            self._refuse_without_train(folders, list(found.values()))
        return {split: found[split] for split in source_types.SPLITS if split in found}

    def _refuse_without_train(
        self, folders: Sequence[str], splits: Sequence[str]
    ) -> None:
        others = [folder for folder in folders if folder not in splits]
        if not others:
            raise ValueError(
                f"{self._shown} has {', '.join(splits)} but no train: add train/"
            )
        found = " and ".join(f"{split}/" for split in splits)
        raise ValueError(
            f"{self._shown} has {found} beside {first_names(others)}, but no train/: "
            f"move the class folders of the training images into {self._shown}/train/ "
            f"(all folders, if {found} {'are classes' if splits[1:] else 'is a class'})"
        )

    def _note_other_folders(
        self, folders: Sequence[str], split_folders: Iterable[str]
    ) -> None:
        others = sorted(set(folders) - set(split_folders))
        if others:
            self.unused.notes.append(
                f"not used: what lies in {self._shown} beside the splits: "
                f"{first_names(others)}"
            )

    def _refuse_one_level_too_deep(self, folders: Sequence[str]) -> None:
        """Raises ValueError if the folders are not classes but hold them, or splits."""
        listings = [
            folder_listing.list_folder(os.path.join(self._root, folder))
            for folder in folders
        ]
        below = [set(listing.folders) for listing in listings]
        if not folders or not all(below) or any(each.images for each in listings):
            return
        each = f"each folder of {self._shown} ({first_names(folders)})"
        first = names.escaped(folders[0])
        if all(source_types.split_of(name) for found in below for name in found):
            raise ValueError(
                f"{each} holds splits ({first_names(sorted(set.union(*below)))}): to use "
                f"one of them, name it, as folder:{self._shown}/{first}; if they are "
                f"classes, put them below the splits, as {self._shown}/train/{first}"
            )
        common = sorted(set.intersection(*below))
        if len(folders) > 1 and len(common) > 1:
            raise ValueError(
                f"{each} holds the same folders ({first_names(common)}), so the classes "
                "seem to lie one level deeper: if these are splits, rename them to "
                "train, validation and test; to use one of them, name it, as "
                f"folder:{self._shown}/{first}; if they are classes, move them into "
                f"{self._shown}/train/"
            )

    def _read_splits(
        self, split_folders: Mapping[str, str]
    ) -> tuple[tuple[str, ...], dict[str, FolderExamples]]:
        """The names of the classes, and the examples of each split that can be used."""
        train = os.path.join(self._root, split_folders["train"])
        listing = self._list(train)
        self._note_loose_images(train, listing)
        class_folders = _class_folders(train, listing.folders)
        class_names = tuple(sorted(class_folders))
        self._refuse_other_than_classes(train, listing, class_names)
        examples = self._read_classes(train, class_names, class_folders)
        self._refuse_empty_classes(train, class_folders, examples)
        splits = {"train": examples}
        for split, name in split_folders.items():
            folder = os.path.join(self._root, name)
            if split == "train":
                continue
            if os.path.samefile(folder, train):
                self.unused.notes.append(
                    f"{names.escaped(folder)} and {names.escaped(train)} are the same "
                    f"folder, so the {split} split has the training images"
                )
            examples = self._read_split(folder, class_names)
            if examples:
                splits[split] = examples
        return class_names, splits

    def _refuse_other_than_classes(
        self, train: str, listing: folder_listing.Listing, class_names: Sequence[str]
    ) -> None:
        """Raises ValueError unless the folders in train/ can be classes."""
        shown = names.escaped(train)
        if len(class_names) < 2:
            raise ValueError(
                f"{shown} must hold two or more class folders; {_found(train, listing)}. "
                f"If {os.path.basename(shown)} is itself a class, move the folders of "
                f"all classes into {shown}/"
            )
        if all(map(source_types.split_of, class_names)):
            raise ValueError(
                f"{shown} holds splits ({first_names(class_names)}) where class folders "
                f"should be: name that folder, as folder:{shown}"
            )

    def _read_split(self, folder: str, class_names: tuple[str, ...]) -> FolderExamples:
        """The examples of a split other than train; none if it cannot be used."""
        shown = names.escaped(folder)
        listing = self._list(folder)
        if not listing.folders:
            text = f"left out: {shown}, because it has no class folders"
            if listing.images:
                images = counted(len(listing.images), "image")
                text += f" ({images} without labels)"
                if all(map(_SYNSET.match, class_names)):
                    text += (
                        "; --source=imagenet2012 takes the labels of ImageNet's "
                        "validation images from its archives"
                    )
            self.unused.notes.append(text)
            return FolderExamples(folder, (), [], array.array("i"))
        self._note_loose_images(folder, listing)
        class_folders = _class_folders(folder, listing.folders)
        unknown = sorted(set(class_folders) - set(class_names))
        if unknown:
            raise ValueError(
                f"{shown} has class folders that train/ lacks: {first_names(unknown)}: "
                "rename them as in train/, or move them elsewhere"
            )
        examples = self._read_classes(folder, class_names, class_folders)
        if not examples:
            self.unused.notes.append(f"left out: {shown}, because it has no images")
        return examples

    def _read_classes(
        self,
        folder: str,
        class_names: tuple[str, ...],
        class_folders: Mapping[str, str],
    ) -> FolderExamples:
        """The images of all classes of one split; a class may lack a folder."""
        walker = folder_listing.ClassWalker(self.unused)
        files, labels = [], array.array("i")
        for label, name in enumerate(class_names):
            if name not in class_folders:
                continue
            class_folder = os.path.join(folder, class_folders[name])
            images = walker.images(class_folder)
            below = os.path.relpath(class_folder, self._root)
            for image in images:
                entry = f"{below}/{image.name}\0{image.size}\0{image.modified_ns}\0"
                self.digest.update(os.fsencode(entry))
            files += [image.name for image in images]
            labels.extend([label] * len(images))
        on_disk = [class_folders.get(name, "") for name in class_names]
        return FolderExamples(folder, on_disk, files, labels)

    def _refuse_empty_classes(
        self, folder: str, class_folders: Mapping[str, str], examples: FolderExamples
    ) -> None:
        counts = examples.class_counts()
        pairs = zip(sorted(class_folders.items()), counts, strict=True)
        empty = [on_disk for (_, on_disk), count in pairs if not count]
        if empty:
            path = names.escaped(os.path.join(folder, empty[0]))
            others = f", nor have {first_names(empty[1:])}" if empty[1:] else ""
            raise ValueError(
                f"class folder {path} has no images "
                f"({', '.join(image_decoding.SUFFIXES)}){others}: add some or remove the "
                "folder"
            )

    def _note_small_classes(
        self, class_names: Sequence[str], counts: Sequence[int], fraction: float
    ) -> None:
        """Notes the classes whose share of held-out images is not what was asked for."""
        if not fraction:
            return
        counted = dict(zip(class_names, counts, strict=True))
        single = [name for name, n in counted.items() if n == 1]
        small = [name for name, n in counted.items() if n > 1 and n * fraction < 0.5]
        if single:
            self.unused.notes.append(
                "too small to split: the only image is for training, and none is held "
                f"out, in {_classes(single)}"
            )
        if small:
            self.unused.notes.append(
                f"small: one image is held out, which is more than {fraction:g} of them, "
                f"in {_classes(small)}"
            )


def _classes(class_names: Sequence[str]) -> str:
    """How many classes these are, and the first names."""
    number = f"{len(class_names)} classes" if class_names[1:] else "class"
    return f"{number} {first_names(class_names)}"


def _class_folders(folder: str, found: Sequence[str]) -> dict[str, str]:
    """The name on the disk of each class folder, by the name of the class."""
    checked = names.checked_all(found, names.escaped(folder))
    return dict(zip(checked, found, strict=True))


def _found(folder: str, listing: folder_listing.Listing) -> str:
    """What is there instead of two or more class folders, and perhaps where they are."""
    found = f"found {len(listing.folders)} classes"
    if listing.images:
        found += f" and {counted(len(listing.images), 'image')} in no class folder"
    for name in listing.folders:
        path = os.path.join(folder, name)
        below = folder_listing.list_folder(path).folders
        if len(below) > 1:
            found += (
                f". {names.escaped(path)} holds the folders {first_names(below)}: if "
                "these are the classes, move them one level up, or name their folder: "
                f"folder:{names.escaped(path)}"
            )
    return found
