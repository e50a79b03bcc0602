"""The image files that a user names: files, folders, patterns and lists of files.

    photo.jpg           a file of any name; whether it is an image, its contents decide
    photos              all images below a folder, in the order of their names
    'photos/**/*.jpg'   a pattern that the shell has not replaced: what matches it, in
                        the order of the names
    a list              of files, one path per line

A file that is named and cannot be read is one bad file, which the caller reports. A
folder or a pattern without images is a mistake, which is refused before any work begins.
"""

import glob
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from alexnet_tf.data import folder_listing, image_decoding
from alexnet_tf.runtime import names, paths, suggestions

STANDARD_INPUT = "-"


class Images(NamedTuple):
    """Image files in the order in which they were named, each of them once.

    Attributes:
        files: their paths.
        notes: what was found and is not used, in sentences.
    """

    files: list[str]
    notes: tuple[str, ...]


def find_images(arguments: Sequence[str], images_from: str | None = None) -> Images:
    """Returns the files that are named by arguments, and then those of a list.

    Args:
        arguments: files, folders and patterns.
        images_from: a file with one path per line, or "-" for standard input.

    Raises:
        ValueError: a folder or a pattern has no images, a folder cannot be listed, there
            is nothing under a name that is not one of an image, or the list is empty or
            not one of paths.
        OSError: the list cannot be read.

    Example:
        >>> find_images(["b.png", "a.png", "./b.png"])
        Images(files=['b.png', 'a.png'], notes=('1 file is named more than once, and is used once',))
    """
    unused = folder_listing.Unused()
    found: dict[str, str] = {}
    repeated: set[str] = set()
    for argument in arguments:
        for file in _files_of(argument, unused):
            _add(file, found, repeated)
    if images_from is not None:
        for file in _listed(images_from):
            _add(file, found, repeated)
    notes = unused.texts()
    if repeated:
        verb = "is" if len(repeated) == 1 else "are"
        count = folder_listing.counted(len(repeated), "file")
        notes += (f"{count} {verb} named more than once, and {verb} used once",)
    return Images(list(found.values()), notes)


def _add(file: str, found: dict[str, str], repeated: set[str]) -> None:
    """Adds a file unless its path is there already, however it is written."""
    # Not `os.path.abspath`: x/.. is another folder if x is a link.
    whole = os.path.join(os.getcwd(), file)
    key = "/".join(part for part in whole.split("/") if part not in ("", "."))
    if key in found:
        repeated.add(key)
    else:
        found[key] = file


def _files_of(argument: str, unused: folder_listing.Unused) -> Iterable[str]:
    """The files that one argument names."""
    if not os.path.lexists(argument) and (argument[:1] == "~" or "://" in argument):
        argument = paths.local(argument)
    if os.path.isdir(argument):
        return _below(argument, unused)
    if os.path.lexists(argument):
        return [argument]
    if glob.has_magic(argument):
        return _matching(argument, unused)
    if folder_listing.is_named_as_image(argument):
        return [argument]  # reading it will say what is wrong
    meant = suggestions.did_you_mean_path(argument)
    raise ValueError(
        f"{names.escaped(argument)}: there is no such file or folder{meant}"
    )


def _below(folder: str, unused: folder_listing.Unused) -> list[str]:
    """All images below a folder, at any depth."""
    images = folder_listing.ClassWalker(unused).images(folder)
    if not images:
        raise ValueError(
            f"{names.escaped(folder)} has no images "
            f"({', '.join(image_decoding.SUFFIXES)})"
        )
    return [os.path.join(folder, image.name) for image in images]


def _matching(pattern: str, unused: folder_listing.Unused) -> list[str]:
    """What a pattern matches. Of files, those that are named as images."""
    found: dict[str, None] = {}
    others = []
    walked: tuple[str, ...] = ()
    for path in sorted(glob.glob(pattern, recursive=True)):
        if path.startswith(walked):  # it was seen with the folder above
            continue
        if os.path.isdir(path):
            walked += (os.path.join(path, ""),)
        if system := _system_folder(path, pattern):
            unused.system_folders[system] += 1
        elif folder_listing.is_named_as_image(path):
            found[path] = None
        elif os.path.isdir(path):
            for image in folder_listing.ClassWalker(unused).images(path):
                found[os.path.join(path, image.name)] = None
        else:
            others.append(path)
    if not found:
        problem = "nothing matches this pattern"
        if others:
            problem = (
                f"no image matches this pattern, but {folder_listing.first_names(others)} "
                "by other names: leave the quotes out to use files of any name"
            )
        raise ValueError(f"{names.escaped(pattern)}: {problem}")
    unused.count_files(others)
    return list(found)


def _system_folder(path: str, pattern: str) -> str:
    """The folder of a system that a path leads through, unless the pattern names it."""
    wanted = pattern.split("/")
    for part in path.split("/"):
        if part.lower() in folder_listing.SYSTEM_FOLDERS and part not in wanted:
            return part
    return ""


def _listed(images_from: str) -> Iterator[str]:
    """The files of a list, in its order."""
    if images_from == STANDARD_INPUT:
        shown, data = "standard input", sys.stdin.buffer.read()
    else:
        shown = names.escaped(images_from)
        try:
            with open(images_from, "rb") as file:
                data = file.read()
        except FileNotFoundError:
            meant = suggestions.did_you_mean_path(images_from)
            raise FileNotFoundError(
                f"--images_from={shown}: there is no such file{meant}"
            ) from None
    advice = "--images_from needs one path per line"
    if b"\0" in data:
        raise ValueError(f"{shown} is not a list of paths, it has a NUL byte: {advice}")
    lines = [line.removesuffix(b"\r") for line in data.split(b"\n")]
    lines[0] = lines[0].removeprefix(b"\xef\xbb\xbf")
    if not any(lines):
        raise ValueError(f"{shown} names no images: {advice}")
    for line in lines:
        if line:
            yield os.fsdecode(line)
