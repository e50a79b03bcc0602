"""What a user may have meant by a name that does not exist."""

import difflib
from collections.abc import Iterable

_MOST = 3


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns the end of an error message: the known names that are like `name`.

    It is empty if none is like it, so that it can be added to any message. Upper and
    lower case, hyphens and underscores make no difference.

    Example:
        >>> did_you_mean("Filter", ["filters", "curves"])
        '. Did you mean filters?'
        >>> did_you_mean("xyz", ["filters", "curves"])
        ''
    """
    alike: dict[str, list[str]] = {}
    for each in known:
        alike.setdefault(_plain(each), []).append(each)
    near = difflib.get_close_matches(_plain(name), alike, _MOST)
    found = [each for key in near for each in alike[key]][:_MOST]
    return f". Did you mean {' or '.join(found)}?" if found else ""


def _plain(name: str) -> str:
    return name.casefold().replace("-", "_")
