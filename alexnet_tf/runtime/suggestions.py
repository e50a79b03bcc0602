"""What a user may have meant by a name that does not exist."""

import difflib
import os
import pathlib
from collections.abc import Iterable

from alexnet_tf.runtime import names

_MOST = 3


def did_you_mean(name: str, known: Iterable[str], before: str = "") -> str:
    """Returns the end of an error message: the known names that are like `name`.

    It is empty if none is like it, so that it can be added to any message. Upper and
    lower case, hyphens and underscores make no difference. `before` is what has to be
    typed before each of them.

    Example:
        >>> did_you_mean("Filter", ["filters", "curves"])
        '. Did you mean filters?'
        >>> did_you_mean("xyz", ["filters", "curves"])
        ''
    """
    return _question([f"{before}{each}" for each in _alike(name, known)])


def did_you_mean_path(
    path: str | os.PathLike[str], *, folders_only: bool = False
) -> str:
    """Returns the end of an error message: paths that are like one that does not exist.

    Each part of the path may be mistyped. What is returned can be typed: it begins as
    `path` does. It is empty if nothing is like it, or if the path exists.

    Args:
        path: which does not exist.
        folders_only: whether no files are meant.

    Example:
        >>> did_you_mean_path("/usr/bni")
        '. Did you mean /usr/bin?'
    """
    typed = pathlib.Path(path)
    found = pathlib.Path(typed.anchor)
    rest = typed.parts[bool(typed.anchor) :]
    for number, part in enumerate(rest, 1):
        if os.path.exists(found / part):
            found /= part
            continue
        only = folders_only or number < len(rest)
        near = _alike(part, _names_in(found, folders_only=only) - {part})
        if not near:
            return ""
        if number == len(rest):
            return _question([names.escaped(found / each) for each in near])
        found /= near[0]
    return "" if found == typed else _question([names.escaped(found)])


def _names_in(folder: pathlib.Path, *, folders_only: bool) -> set[str]:
    """What a folder holds; nothing if it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            return {e.name for e in entries if not folders_only or e.is_dir()}
    except OSError:
        return set()


def _alike(name: str, known: Iterable[str]) -> list[str]:
    """The known names that are like `name`, the nearest first."""
    alike: dict[str, list[str]] = {}
    for each in known:
        alike.setdefault(_plain(each), []).append(each)
    near = difflib.get_close_matches(_plain(name), alike, _MOST)
    return [each for key in near for each in alike[key]][:_MOST]


def _question(found: list[str]) -> str:
    return f". Did you mean {' or '.join(found)}?" if found else ""


def _plain(name: str) -> str:
    return name.casefold().replace("-", "_")
