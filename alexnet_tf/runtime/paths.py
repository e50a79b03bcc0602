"""Paths as users type them: `~` is expanded, and addresses of other machines refused."""

import os
import re
from collections.abc import Iterable

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


# An absolute path, or one that leaves the current folder, within a text: it begins a
# word, or follows an equals sign, a colon or a quote.
_ELSEWHERE = re.compile(
    r"(?<![\w./~…-])(?:~[\w.-]*|\.\.|(?=/[^/\s]))(?:/[^/\s'\"<>|;,:()]+)+/?"
)
_OF_A_RUN = re.compile(r"[^/]+/(?:checkpoints|best)(?:/step-[^/]*)?$")
_HOME = re.compile(r"(?:/home|/Users)/[^/]+|/root|~[^/]*")


def public(path: str | os.PathLike[str]) -> str:
    """Returns a path as it may be shown to anybody: what is above it is left out.

    A path below the current folder stays as it is. Of any other, the last part is shown,
    and of a checkpoint also its run. A home folder is "~".

    Example:
        >>> public("runs/mine"), public("/home/ada/runs/mine/checkpoints/step-20")
        ('runs/mine', '…/mine/checkpoints/step-20')
    """
    text = os.path.normpath(path)
    if not text.startswith(("/", "~", "..")) or text.count("/") + text.count("~") == 1:
        return text
    home = _HOME.match(text)
    for each in (os.path.expanduser("~"), home[0] if home else ""):
        if each and (text + "/").startswith(each + "/"):
            text = f"~{text[len(each) :]}"
    kept = _OF_A_RUN.search(text)
    shown = kept[0] if kept else os.path.basename(text)
    return shown if shown == text else f"…/{shown}"


def without_places(text: str, known: Iterable[str | os.PathLike[str]] = ()) -> str:
    """Returns a text in which every path that leaves the current folder is `public`.

    Args:
        text: any text, such as a command or an error message.
        known: paths that may be in it although they contain spaces, or other characters
            that end a path in a text.

    Example:
        >>> without_places("--dataset=/scratch/ada/cats --seed=1")
        '--dataset=…/cats --seed=1'
    """
    for path in sorted([os.fspath(each) for each in known], key=len, reverse=True):
        if path.startswith("/") and path.count("/") > 1:
            text = text.replace(path, public(path))
    return _ELSEWHERE.sub(lambda match: public(match[0]), text)
