"""Reads flag files for `--flagfile`, completely or not at all.

absl skips a line that does not begin with a dash, so a byte-order mark, or a line
without its dashes, silently drops flags. Here every line of a flag file is used, or it
is rejected with the file and the line.
"""

import pathlib
import re
import stat
from collections.abc import Sequence

from absl import flags

from alexnet_tf.runtime import paths, suggestions

_PACKAGE = pathlib.Path(__file__).parents[1]
# Recipes are found from any folder: in a wheel they are in the package, in a checkout
# beside it.
_ROOTS = (pathlib.Path(), _PACKAGE, _PACKAGE.parent)

_UTF16 = (b"\xff\xfe", b"\xfe\xff")


class Line(str):
    """A flag from a file; `place` is the file and the number of the line."""

    place: str

    def __new__(cls, text: str, place: str):
        line = super().__new__(cls, text)
        line.place = place
        return line


def expand(arguments: Sequence[str], within: tuple[str, ...] = ()) -> list[str]:
    """Replaces each --flagfile of a command line by the flags in the file.

    If a path does not exist from the current folder, it is searched in the package and
    beside it, so that --flagfile=tools/NAME.flags works from any folder. Flag files may
    include others in the same way. Arguments after "--" are not changed. Flags from
    files are `Line`s.

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
        expanded += _flags_in(path, within)
    return expanded


def _find(path: str) -> pathlib.Path:
    try:
        local = paths.local(path)
    except ValueError as error:
        raise flags.Error(f"--flagfile={path}: {error}") from None
    for root in _ROOTS:
        if (root / local).exists():
            return root / local
    recipes = {each.name for root in _ROOTS for each in root.glob("tools/*.flags")}
    meant = suggestions.did_you_mean_path(local) or suggestions.did_you_mean(
        pathlib.Path(local).name, sorted(recipes), before="tools/"
    )
    raise flags.Error(
        f"--flagfile={path}: there is no such file, neither from this folder nor among "
        f"the recipes of the package (tools/*.flags){meant}"
    )


def lines_of(file: pathlib.Path) -> list[Line]:
    """Returns the lines of a flag file, without comments and empty lines.

    A byte-order mark and the line endings of Windows make no difference.

    Raises:
        flags.Error: it is not a regular file, or not UTF-8.
        OSError: it cannot be read.
    """
    if not stat.S_ISREG(file.stat().st_mode):  # a FIFO would be waited for
        raise flags.Error(f"the flag file {file} is a folder or a device, not a file")
    data = file.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        found = "it is UTF-16" if data.startswith(_UTF16) else "it is not"
        raise flags.Error(
            f"the flag file {file} must be UTF-8, and {found}: save it as UTF-8"
        ) from None
    return [
        Line(line.strip(), f"{file}, line {number}")
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.strip().startswith(("#", "//"))
    ]


def _flags_in(path: str, within: tuple[str, ...]) -> list[str]:
    """Returns the flags in the file at `path`, which the files `within` include."""
    file = _find(path)
    identity = str(file.resolve())
    if identity in within:
        raise flags.Error(f"--flagfile={path}: the file includes itself")
    found: list[str] = []
    for line in lines_of(file):
        if wrong := _mistake(line):
            raise flags.Error(f"{line.place}: {wrong}, got {str(line)!r}")
        if line.lstrip("-").startswith("flagfile"):
            found += expand([line], (*within, identity))
        else:
            found.append(line)
    return found


def _mistake(line: str) -> str | None:
    """What is wrong with a line, which no shell has read: None if it is one flag."""
    name, _, value = line.partition("=")
    if not name.startswith("-") or not name.strip("-"):
        return "a line is empty, a comment with #, or one flag as --name=value"
    if re.search(r"\s", name):
        return "a flag and its value are joined by =, as --name=value"
    if re.search(r"\s(#|//)", value):
        return "a comment must be on a line of its own"
    if len(value) > 1 and value[0] in "\"'" and value[-1] == value[0]:
        return "quotes would be part of the value: leave them out"
    if value.startswith("$"):
        return "variables of the environment are not replaced: write the value"
    return None
