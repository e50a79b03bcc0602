"""Reads the bytes of an image file, whatever stands at its path.

Users' folders hold dangling links, pipes and files that nobody may read. All of these
are bad images like a truncated JPEG, so that a preparation can count them and a
prediction can continue with the next file.
"""

import errno
import os
import stat

from alexnet_tf.data import image_decoding
from alexnet_tf.runtime import names

# Larger than any image that the limits on pixels allow.
_MAX_BYTES = 1 << 30

# What a path may lead to that is not a regular file.
_OTHER_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def read(path: str | os.PathLike[str]) -> bytes:
    """Reads an image file as it is, without decoding it.

    Links are followed. Only a regular file is ever opened, so a pipe cannot block and a
    device does nothing.

    Raises:
        image_decoding.BadImageError: there is no such file, it is not a regular file,
            it cannot be read, it is empty or it is larger than 1 GiB. The message
            begins with the path.

    Example:
        >>> read("/nowhere/cat.jpg")
        Traceback (most recent call last):
            ...
        alexnet_tf.data.image_decoding.BadImageError: /nowhere/cat.jpg: there is no such file
    """
    try:
        problem = _problem(os.stat(path))
        if problem:
            data = b""
        else:
            data, problem = _contents(path)
    except OSError as error:
        data, problem = b"", reason(path, error)
    except ValueError as error:  # a path that no system accepts
        data, problem = b"", str(error)
    if problem:
        raise image_decoding.BadImageError(f"{names.escaped(path)}: {problem}")
    return data


def _contents(path: str | os.PathLike[str]) -> tuple[bytes, str]:
    """(the contents, "") of a file, or (b"", what is wrong with it)."""
    # The path may lead elsewhere since it was looked at, so the open file is looked at
    # again, and no kind of file may block the opening.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    with open(os.open(path, flags), "rb") as file:
        found = os.fstat(file.fileno())
        problem = _problem(found)
        if problem:
            return b"", problem
        # Python reserves as many bytes as it may read, so these are few.
        data = file.read(found.st_size + 1)
        if len(data) > found.st_size:  # it grew, or its size is unknown
            data += file.read(_MAX_BYTES + 1 - len(data))
    if len(data) > _MAX_BYTES:
        return b"", "the file grew beyond 1 GiB while it was read"
    return data, "" if data else "the file is empty"


def _problem(found: os.stat_result) -> str:
    """Why what is found at a path cannot be an image file; empty if it can."""
    kind = stat.S_IFMT(found.st_mode)
    if kind != stat.S_IFREG:
        return f"{_OTHER_KINDS.get(kind, 'something else')}, not an image file"
    if found.st_size > _MAX_BYTES:
        return f"the file has {found.st_size:,} bytes, but at most 1 GiB is read"
    return ""


def reason(path: str | os.PathLike[str], error: OSError) -> str:
    """Why a file or a folder cannot be opened or read, in words."""
    if error.errno == errno.ENOENT and os.path.islink(path):
        target = names.escaped(os.readlink(path))
        return f"a link to {target}, which does not exist"
    reasons = {
        errno.ENOENT: "there is no such file",
        errno.ENOTDIR: "there is no such file",
        errno.ELOOP: "a link that leads back to itself",
        errno.EACCES: "no permission to read it",
        errno.EPERM: "no permission to read it",
    }
    return reasons.get(error.errno or 0, f"it cannot be read ({error.strerror})")
