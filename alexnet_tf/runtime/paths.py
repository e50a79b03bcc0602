"""Paths as users type them: `~` is expanded, and addresses of other machines refused."""

import os
import re

# "gs://bucket/run", but not "a:b", "./a://b" or "tfds:NAME".
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
# Also what Python takes for the end of a line.
_CONTROL = re.compile("[\0-\x1f\x7f\x85\u2028\u2029]")


def local(path: str) -> str:
    """Returns a path on this machine, with ~ or ~user at its beginning expanded.

    Raises:
        ValueError: the path is empty, an address such as gs://bucket, below the home
            folder of a user who does not exist, or not printable in UTF-8. The message
            does not repeat the path.

    Example:
        >>> local("data/cats:small")
        'data/cats:small'
    """
    if not path:
        raise ValueError("the path is empty")
    if address := _ADDRESS.match(path):
        raise ValueError(
            f"{address[0]} is not supported, only files and folders of this machine "
            "are: copy the data here, or mount it"
        )
    if _CONTROL.search(path):
        raise ValueError("the path contains a control character, such as a line break")
    expanded = os.path.expanduser(path)
    if expanded.startswith("~"):
        user = expanded.split("/")[0]
        raise ValueError(
            f"there is no home folder of {user}. If a folder in the current one has "
            f"that name, it is ./{user}"
        )
    if not _is_utf8(expanded):
        raise ValueError(
            "the path is not in UTF-8, in which TensorFlow reads and writes it: rename "
            "it. If it is UTF-8 and the locale is not, set PYTHONUTF8=1"
        )
    return expanded


def _is_utf8(path: str) -> bool:
    """Whether Python and TensorFlow take a path for the same file."""
    try:
        return path.encode("utf-8") == os.fsencode(path)
    except UnicodeEncodeError:
        return False
