"""The names of classes, checked when they enter, and any name as it is shown.

A class name becomes a line of `labels.txt`, a string in an exported graph and text on
somebody's terminal. So it must be valid Unicode in one line, and names that look alike
must be the same.
"""

import os
import unicodedata
from collections.abc import Iterable
from typing import Any

# General categories of Unicode that a class name must not contain: control characters,
# the separators of lines and of paragraphs, and surrogates, by which Python stands for
# the bytes of a file name that are not UTF-8.
_REFUSED = {
    "Cc": "a control character",
    "Zl": "a line separator",
    "Zp": "a paragraph separator",
    "Cs": "bytes that are not UTF-8",
}


def checked(name: Any, where: str) -> str:
    """Returns a class name in Unicode's composed form (NFC), or refuses it.

    Args:
        name: the name.
        where: where it was found, which begins the error message.

    Raises:
        ValueError: the name is not text, is empty, is not valid Unicode, or has a
            control character or a line separator. The message shows it escaped.

    Example:
        >>> checked("cafe\\u0301", "train") == "caf\\u00e9"
        True
        >>> checked("new\\nline", "train")
        Traceback (most recent call last):
            ...
        ValueError: train: the class name 'new\\nline' has a control character: rename it
    """
    if not isinstance(name, str):
        raise ValueError(f"{where}: a class name must be text, got {name!r}")
    if not name.strip():
        raise ValueError(f"{where}: a class name is empty ('{escaped(name)}'): name it")
    for category in map(unicodedata.category, name):
        if category in _REFUSED:
            raise ValueError(
                f"{where}: the class name '{escaped(name)}' has {_REFUSED[category]}: "
                "rename it"
            )
    return unicodedata.normalize("NFC", name)


def checked_all(names: Iterable[Any], where: str) -> tuple[str, ...]:
    """Returns all names as `checked` does, or refuses them if two are the same.

    Raises:
        ValueError: as `checked`, or two names are the same in their composed form.

    Example:
        >>> checked_all(["cat", "dog", "cat"], "labels.txt")
        Traceback (most recent call last):
            ...
        ValueError: labels.txt: two classes have the same name 'cat': rename one of them
    """
    seen: dict[str, str] = {}
    for name in names:
        composed = checked(name, where)
        if composed in seen:
            first = seen[composed]
            alike = "" if first == name else f" ({first!a} and {name!a} look alike)"
            raise ValueError(
                f"{where}: two classes have the same name '{escaped(composed)}'{alike}: "
                "rename one of them"
            )
        seen[composed] = name
    return tuple(seen)


def escaped(name: str | os.PathLike[str]) -> str:
    """Returns any name as it is shown: in one line, and printable everywhere.

    Bytes that are not UTF-8 and characters that cannot be seen are shown as Python
    writes them. A backslash is doubled, so that no two names are shown alike.

    Example:
        >>> print(escaped("new\\nline"), escaped(os.fsdecode(b"caf\\xe9")))
        new\\nline caf\\xe9
    """
    return "".join(map(_shown, os.fspath(name)))


def _shown(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"  # a byte that is not UTF-8
    if character.isprintable() and character != "\\":
        return character
    return character.encode("unicode_escape").decode("ascii")
