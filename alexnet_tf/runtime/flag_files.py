"""Reads flag files for `--flagfile`, completely or not at all.

absl skips a line that does not begin with a dash, so a byte-order mark, or a line
without its dashes, silently drops flags. Here every line of a flag file is used, or it
is rejected with the file and the line.
"""

import os
import pathlib
from collections.abc import Sequence

from absl import flags

_PACKAGE = pathlib.Path(__file__).parents[1]
# Recipes are found from any folder: in a wheel they are in the package, in a checkout
# beside it.
_ROOTS = (pathlib.Path(), _PACKAGE, _PACKAGE.parent)


def expand(arguments: Sequence[str], within: tuple[str, ...] = ()) -> list[str]:
    """Replaces each --flagfile of a command line by the flags in the file.

    If a path does not exist from the current folder, it is searched in the package and
    beside it, so that --flagfile=tools/NAME.flags works from any folder. Flag files may
    include others in the same way. Arguments after "--" are not changed.

    Raises:
        flags.Error: a flag file that does not exist, or that includes itself, or a line
            that is not a flag, with the file and the line.
    """
    expanded: list[str] = []
    waiting = list(arguments)
    while waiting:
        argument = waiting.pop(0)
        if argument == "--":
            return [*expanded, argument, *waiting]
        name, equals, path = argument.partition("=")
        if name.lstrip("-") != "flagfile" or not name.startswith("-"):
            expanded.append(argument)
            continue
        if not equals:
            if not waiting:
                raise flags.Error(
                    "--flagfile needs a path: --flagfile=tools/paper.flags"
                )
            path = waiting.pop(0)
        expanded += _lines(path, within)
    return expanded


def _find(path: str) -> pathlib.Path:
    expanded = os.path.expanduser(path)
    for root in _ROOTS:
        if (root / expanded).is_file():
            return root / expanded
    raise flags.Error(
        f"--flagfile={path}: there is no such file, neither from this folder nor among "
        "the recipes of the package (tools/*.flags)"
    )


def _lines(path: str, within: tuple[str, ...]) -> list[str]:
    """Returns the flags in the file at `path`, which the files `within` include."""
    file = _find(path)
    identity = str(file.resolve())
    if identity in within:
        raise flags.Error(f"--flagfile={path}: the file includes itself")
    try:
        text = file.read_bytes().decode(
            "utf-8-sig"
        )  # with a byte-order mark or without
    except UnicodeDecodeError as error:
        raise flags.Error(
            f"--flagfile={path}: the file is not UTF-8 ({error})"
        ) from None
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith(("#", "//")):
            continue
        if not line.startswith("-") or line == "--":
            raise flags.Error(
                f"{file}, line {number}: a line is empty, a comment with #, or one flag "
                f"as --name=value, got {line!r}"
            )
        found += expand([line], (*within, identity))
    return found
