"""A lock on a folder, so that only one process at a time writes into it."""

import contextlib
import errno
import fcntl
import os
import pathlib
import re
import stat
from collections.abc import Iterator

from absl import logging

from alexnet_tf.runtime import files, writers

# What file systems answer that have no locks, such as some network file systems.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)

_OWNER = re.compile(rf"owner-({writers.PATTERN})")


@contextlib.contextmanager
def exclusive(folder: str | os.PathLike[str], advice: str) -> Iterator[None]:
    """Creates `folder` if needed and locks it until the block ends.

    The lock is held on the file `lock` inside the folder. The operating system releases
    it when the process ends, even after `kill -9`, so a stale file never blocks anyone.
    A folder that did not exist before is removed if nothing was written into it.

    On a file system without locks, a file `owner-...` with the name of this process
    stands for the lock, and a warning says so. Such a file is removed if its process
    has ended, which cannot be found out about another machine's.

    Args:
        folder: the folder to lock.
        advice: what the user can do if another process holds the lock. It ends the
            error message, such as "choose another --output".

    Raises:
        ValueError: another process holds the lock, or `lock` is not a regular file.
        OSError: the folder cannot be created or written into.

    Example:
        >>> with exclusive("runs/first", "choose another --run_dir"):
        ...     pass
    """
    path = pathlib.Path(folder)
    new = not path.exists()
    try:
        descriptor = _locked(path, advice)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        logging.warning(
            "%s is on a file system without locks (%s): a file %s/owner-... keeps other "
            "processes out instead",
            *(folder, error.strerror, folder),
        )
        try:
            with _owned(path, advice):
                yield
        finally:
            if new:
                _remove_unused(path)
        return
    try:
        yield
    finally:
        if new:
            _remove_unused(path)
        os.close(descriptor)


def _locked(folder: pathlib.Path, advice: str) -> int:
    """Locks the file `lock` of a folder, which is made; returns the open file."""
    path = folder / "lock"
    while True:
        files.make_folder(folder)
        try:
            descriptor = _open(path)
        except OSError as error:
            raise OSError(
                f"{path} cannot be opened for writing ({error.strerror}): {advice}"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise ValueError(
                f"another process is writing into {folder}: {advice}"
            ) from None
        except OSError:
            os.close(descriptor)
            raise
        # Who held the lock until now may have removed the folder with it.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.lstat()):
                return descriptor
        os.close(descriptor)


def _remove_unused(folder: pathlib.Path) -> None:
    """Removes a folder that holds nothing but its lock, which this process holds."""
    with contextlib.suppress(OSError):  # something else is wrong, and is reported
        if os.listdir(folder) == ["lock"]:
            (folder / "lock").unlink()
            folder.rmdir()


def _open(path: pathlib.Path) -> int:
    """Opens the lock file, and changes no other file that stands under its name."""
    # A link could lead to any file, and opening a FIFO could wait for its other end.
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise _not_a_lock(path) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _not_a_lock(path)
    return descriptor


def _not_a_lock(path: pathlib.Path) -> ValueError:
    return ValueError(
        f"{path} is not a regular file, as a lock must be, but a link, a folder or a "
        "device: remove it"
    )


@contextlib.contextmanager
def _owned(folder: pathlib.Path, advice: str) -> Iterator[None]:
    """Holds a folder with a file that names this process.

    The own file is written before the others are looked for, so that of two processes
    that begin at the same time at least one sees the other.
    """
    own = folder / f"owner-{writers.this_process()}"
    try:
        own.touch(exist_ok=False)
    except FileExistsError:
        raise ValueError(f"this process is writing into {folder}: {advice}") from None
    try:
        files.sync(folder)
        for path in folder.glob("owner-*"):
            owner = _OWNER.fullmatch(path.name)
            if owner is None or path == own:
                continue
            if writers.is_alive(owner[1]) is False:
                path.unlink(missing_ok=True)
                continue
            raise ValueError(
                f"{writers.process_of(owner[1])} is writing into {folder}: {advice}. "
                f"If that process has ended, remove {path}"
            )
        yield
    finally:
        own.unlink(missing_ok=True)
