"""Files and folders that are written whole or not at all, and the digest of a file.

A change of a folder is on the disk only when the folder was synced, and so are the
bytes of a file. Everything here syncs both before it goes on, so that a kill, a full
disk or a power failure leaves the old files or the new ones, and never a mixture.
"""

import contextlib
import errno
import hashlib
import json
import os
import pathlib
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from alexnet_tf.runtime import writers

_READ_BYTES = 16 << 20

_ASIDE = re.compile(rf"\.partial-({writers.PATTERN})-[0-9a-f]{{8}}-.+")

# What file systems answer that cannot sync a folder; they leave the order to a server.
_CANNOT_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)


@contextlib.contextmanager
def written_aside(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """Yields a temporary name beside `path`, to write a file or a folder there.

    That file or folder becomes `path` if the block ends without an error, and is
    removed otherwise. Everything is on the disk before the name changes, so a
    kill, a full disk or a power failure leaves `path` as it was before. See `aside` for
    the temporary name.

    Raises:
        OSError: `path` cannot be replaced, for example because it is a folder with
            files.

    Example:
        >>> with written_aside("labels.txt") as temporary:
        ...     _ = temporary.write_text("cat\\ndog\\n")
    """
    path = pathlib.Path(path)
    with aside(path) as temporary:
        yield temporary
        move(temporary, path)


@contextlib.contextmanager
def aside(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a temporary name beside `path`, and removes what is there at the end.

    The name begins with a dot, so that a server does not see it, and ends as `path`
    does, because Keras looks at the suffix. No two processes use the same name, on any
    machine. What processes that were killed have left in the folder is removed first.
    """
    remove_leftovers(path.parent)
    unique = f"{writers.this_process()}-{uuid.uuid4().hex[:8]}"
    temporary = path.with_name(f".partial-{unique}-{path.name}")
    try:
        yield temporary
    finally:
        with contextlib.suppress(
            OSError
        ):  # so that an error of the block is not hidden
            _remove(temporary)


def remove_leftovers(folder: pathlib.Path, *, locked: bool = False) -> None:
    """Removes the temporary files in `folder` of processes that have ended.

    Files of another machine stay, because their writer may live. If `locked`, that is,
    if this process holds a lock that all writers take, and is not writing there itself,
    only the files of other processes that live on this machine stay.
    """
    own = writers.this_process()
    for path in folder.glob(".partial-*"):
        if written := _ASIDE.fullmatch(path.name):
            alive = writers.is_alive(written[1])
            if alive is False or (locked and (alive is None or written[1] == own)):
                with contextlib.suppress(OSError):  # another process removes it too
                    _remove(path)


def _remove(path: pathlib.Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def move(source: pathlib.Path, target: pathlib.Path) -> None:
    """Renames a file or a folder; the disk holds its whole content before its new name.

    Raises OSError if `target` cannot be replaced, as a folder with files.
    """
    _sync_tree(source)
    source.replace(target)
    sync(target.parent)
    if source.parent != target.parent:
        sync(source.parent)


def check_writable(folder: pathlib.Path) -> None:
    """Raises OSError if nothing can be written below a folder, which need not exist."""
    there = next(
        each for each in (folder, *folder.absolute().parents) if os.path.lexists(each)
    )
    if not there.is_dir():
        raise NotADirectoryError(f"{folder} cannot be a folder: {there} is not one")
    if not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(f"{folder} cannot be written: {there} is not writable")


def make_folder(path: pathlib.Path) -> None:
    """Creates a folder and the folders above it that are missing, and syncs their names.

    Raises NotADirectoryError if `path`, or one of the folders above it, is a file.
    """
    missing = [each for each in (path, *path.parents) if not each.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise NotADirectoryError(
            f"{path} cannot be a folder: it, or what stands above it, is a file"
        ) from None
    for each in missing:
        sync(each.parent)


def _sync_tree(path: pathlib.Path) -> None:
    """Flushes a file, or a folder with its whole content, to the disk."""
    if path.is_dir():
        for child in path.iterdir():
            _sync_tree(child)
    sync(path)


def sync(path: pathlib.Path) -> None:
    """Flushes the bytes of a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC or not path.is_dir():
            raise
    finally:
        os.close(descriptor)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Replaces the file at `path`; a kill or a full disk leaves the old file."""
    with written_aside(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Replaces the file at `path` by a value as JSON, as `write_text` does."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def sha256(
    path: str | os.PathLike[str], advance: Callable[[int], object] = lambda count: None
) -> str:
    """The SHA-256 digest of a file, in hexadecimal.

    `advance` is called with the number of bytes after each part that was read.
    """
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while data := file.read(_READ_BYTES):
            digest.update(data)
            advance(len(data))
    return digest.hexdigest()
