"""Lists the folders and the image files of a source, and tallies what is not used."""

import collections
import dataclasses
import os
import pathlib
import stat
from collections.abc import Iterable
from typing import NamedTuple

from alexnet_tf.data import image_decoding, image_files
from alexnet_tf.runtime import names

# Folders that systems and programs put among a user's own, in small letters. Those
# whose names begin with a dot are ignored in any case.
SYSTEM_FOLDERS = frozenset(
    {
        "$recycle.bin",
        "#recycle",
        "#snapshot",
        "@eadir",
        "@recently-snapshot",
        "@recycle",
        "@tmp",
        "__macosx",
        "__pycache__",
        "lost+found",
        "lost.dir",
        "recycler",
        "system volume information",
    }
)

# How many names a message lists before it only counts the others.
_NAMES_SHOWN = 5


def first_names(found: Iterable[str], shown: int = _NAMES_SHOWN) -> str:
    """The first of some names, and how many there are if not all are shown.

    Example:
        >>> first_names("abc", 2)
        'a, b, ... (3 in all)'
    """
    listed = [names.escaped(name) for name in found]
    if len(listed) <= shown:
        return ", ".join(listed)
    return f"{', '.join(listed[:shown])}, ... ({len(listed)} in all)"


def counted(count: int, thing: str) -> str:
    """A number of things in words.

    Example:
        >>> counted(1, "image"), counted(2, "image")
        ('1 image', '2 images')
    """
    return f"{count} {thing}{'' if count == 1 else 's'}"


@dataclasses.dataclass
class Unused:
    """What was found in a source and is not used.

    Attributes:
        notes: sentences, each about one thing.
        suffixes: the number of files that are not images by their suffix.
        system_folders: the number of folders of a system by their name.
        hidden: the number of files and folders whose names begin with a dot.
    """

    notes: list[str] = dataclasses.field(default_factory=list)
    suffixes: collections.Counter[str] = dataclasses.field(
        default_factory=collections.Counter
    )
    system_folders: collections.Counter[str] = dataclasses.field(
        default_factory=collections.Counter
    )
    hidden: int = 0

    def count_files(self, file_names: Iterable[str]) -> None:
        """Counts files that are not images by their names."""
        self.suffixes.update(
            pathlib.PurePath(name).suffix.lower() for name in file_names
        )

    def texts(self) -> tuple[str, ...]:
        """Everything in sentences."""
        found = list(self.notes)
        if self.suffixes:
            ordered = sorted(
                self.suffixes.items(), key=lambda each: (-each[1], each[0])
            )
            counts = ", ".join(
                f"{count} {names.escaped(suffix) or 'without a suffix'}"
                for suffix, count in ordered
            )
            found.append(
                f"ignored {counted(self.suffixes.total(), 'file')} not named as images: "
                f"{counts}"
            )
        if self.system_folders:
            counts = ", ".join(
                f"{n} {name}" for name, n in sorted(self.system_folders.items())
            )
            found.append(f"ignored system folders: {counts}")
        if self.hidden:
            entries = "file or folder" if self.hidden == 1 else "files and folders"
            found.append(f"ignored {self.hidden} hidden {entries}")
        return tuple(found)


class Listing(NamedTuple):
    """What a folder holds, in the order of the names.

    Attributes:
        folders: the names of its folders, and of links to folders.
        images: everything else that is named as an image, whatever it is.
        others: the names of the other files.
    """

    folders: list[str]
    images: list[os.DirEntry]
    others: list[str]


def list_folder(folder: str, unused: Unused | None = None) -> Listing:
    """Lists one folder without its hidden entries and system folders.

    No file is queried on its own, because there may be millions.

    Args:
        folder: the folder.
        unused: where the entries that are left out are counted.

    Raises:
        ValueError: the folder cannot be listed, or it holds a link that leads nowhere
            and is not named as an image; the message names it.
    """
    unused = Unused() if unused is None else unused
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        reason = image_files.reason(folder, error)
        raise ValueError(
            f"{names.escaped(folder)}: this folder cannot be listed: {reason}"
        ) from None
    listing = Listing([], [], [])
    for entry in found:
        if entry.name.startswith("."):
            unused.hidden += 1
            continue
        named_as_image = is_named_as_image(entry.name)
        if entry.is_symlink() and not named_as_image:
            _refuse_broken_link(entry.path)
        if _is_folder(entry):
            if entry.name.lower() in SYSTEM_FOLDERS:
                unused.system_folders[entry.name] += 1
            else:
                listing.folders.append(entry.name)
        elif named_as_image:
            listing.images.append(entry)
        else:
            listing.others.append(entry.name)
    return listing


def is_named_as_image(name: str) -> bool:
    """Whether a name has one of the suffixes of images."""
    return name.lower().endswith(image_decoding.SUFFIXES)


def _refuse_broken_link(path: str) -> None:
    """Raises ValueError for a link that leads nowhere, so no folder vanishes unseen."""
    try:
        os.stat(path)
    except OSError as error:
        raise ValueError(
            f"{names.escaped(path)}: {image_files.reason(path, error)}: mend the link, "
            "or remove it"
        ) from None


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads back to itself
        return False


class ImageFile(NamedTuple):
    """An image file below the folder of a class.

    Attributes:
        name: its path below that folder.
        size: in bytes; -1 if it cannot be known.
        modified_ns: the time of its last modification.
    """

    name: str
    size: int
    modified_ns: int


class ClassWalker:
    """Finds the images of classes. No folder is walked twice, whatever links there are.

    Attributes:
        unused: where the files that are not images are counted.
    """

    def __init__(self, unused: Unused):
        self.unused = unused
        self._walked: dict[tuple[int, int], tuple[str, str]] = {}

    def images(self, class_folder: str) -> list[ImageFile]:
        """All images below the folder of a class at any depth, in order.

        A folder that is named as an image is listed as one; it cannot be read later.

        Raises:
            ValueError: a folder cannot be listed, or it belongs to two classes by links.
        """
        found, waiting = [], [("", class_folder)]
        while waiting:
            prefix, folder = waiting.pop()
            if not self._is_new(folder, class_folder):
                continue
            listing = list_folder(folder, self.unused)
            self.unused.count_files(listing.others)
            for entry in listing.images:
                found.append(_image_file(prefix + entry.name, entry.path))
            for name in listing.folders:
                path = os.path.join(folder, name)
                if is_named_as_image(name):
                    found.append(_image_file(prefix + name, path))
                else:
                    waiting.append((f"{prefix}{name}/", path))
        return sorted(found)

    def _is_new(self, folder: str, class_folder: str) -> bool:
        """Whether this folder has not been walked; raises if another class has it."""
        status = os.stat(folder)
        first, owner = self._walked.setdefault(
            (status.st_dev, status.st_ino), (folder, class_folder)
        )
        if first == folder:
            return True
        pair = f"{names.escaped(folder)} and {names.escaped(first)} are the same folder"
        if owner != class_folder:
            raise ValueError(f"{pair}, in two classes: remove one of the links")
        self.unused.notes.append(f"{pair}, and its images are used once")
        return False


def _image_file(name: str, path: str) -> ImageFile:
    try:
        status = os.stat(path)
    except OSError:  # reading the file will say why
        return ImageFile(name, -1, 0)
    if stat.S_ISREG(status.st_mode):
        return ImageFile(name, status.st_size, status.st_mtime_ns)
    return ImageFile(name, -1, 0)
