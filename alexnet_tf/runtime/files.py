"""Files and folders that are written whole or not at all, and the digest of a file."""

import contextlib
import hashlib
import os
import pathlib
import shutil
import socket
import uuid
from collections.abc import Callable, Iterator

_READ_BYTES = 16 << 20


@contextlib.contextmanager
def written_aside(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """Yields a temporary name beside `path`, to write a file or a folder there.

    That file or folder becomes `path` if the block ends without an error, and is
    removed otherwise. Everything is on the disk before the name changes, so a
    kill, a full disk or a power failure leaves `path` as it was before. The name begins
    with a dot, so that a server does not see it, and ends as `path` does, because Keras
    looks at the suffix. No two processes use the same name, on any machine.

    Raises:
        OSError: `path` cannot be replaced, for example because it is a folder with
            files.

    Example:
        >>> with written_aside("labels.txt") as aside:
        ...     _ = aside.write_text("cat\\ndog\\n")
    """
    path = pathlib.Path(path)
    writer = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex}"
    aside = path.with_name(f".partial-{writer}-{path.name}")
    try:
        yield aside
        _sync(aside)
        aside.replace(path)
        _sync_one(path.parent)
    finally:
        if aside.is_dir():
            shutil.rmtree(aside)
        else:
            aside.unlink(missing_ok=True)


def _sync(path: pathlib.Path) -> None:
    """Flushes a file, or a folder with its whole content, to the disk."""
    if path.is_dir():
        for child in path.iterdir():
            _sync(child)
    _sync_one(path)


def _sync_one(path: pathlib.Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Replaces the file at `path`; a kill or a full disk leaves the old file."""
    with written_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")


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
