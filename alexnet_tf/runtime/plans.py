"""The plan of work that may be interrupted: what decides its result, by name, as JSON.

Work is continued only if its plan is that with which it was begun.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

_DIGEST = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")


def refuse_other(
    what: str, earlier: Mapping[str, Any], plan: Mapping[str, Any]
) -> None:
    """Raises ValueError, which names every difference, unless two plans are the same.

    `what` begins the message. Of SHA-256 digests the first twelve digits are shown.

    Example:
        >>> refuse_other("x.npz was begun", {"top": 5}, {"top": 3})
        Traceback (most recent call last):
            ...
        ValueError: x.npz was begun with different top (5 then, 3 now). Run the same command as then to continue it, remove it to start over, or choose another --output
    """
    different = [
        f"{key} ({earlier.get(key)} then, {value} now)"
        for key, value in json.loads(json.dumps(plan)).items()
        if earlier.get(key) != value
    ]
    if different:
        shown = _DIGEST.sub(r"\1", " and ".join(different))
        raise ValueError(
            f"{what} with different {shown}. Run the same command as then to continue it, "
            "remove it to start over, or choose another --output"
        )
