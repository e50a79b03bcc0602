"""Chooses the images of a class that are held out for validation."""

import hashlib
import math
import os
import unicodedata
from collections.abc import Sequence


def held_out(class_name: str, files: Sequence[str], fraction: float) -> set[int]:
    """The indices of about `fraction` of the images of a class.

    The hash of each image's name decides, so an image keeps its split when others are
    added, when the folder moves, and on every machine. Small classes need an exception:
    of two images or more at least one is held out and at least one is left for
    training, and no more than twice the share of the class is held out. A single image
    is never held out.

    Args:
        class_name: the name of the class.
        files: the paths of its images below the folder of the class.
        fraction: between 0 and 1; at 0 nothing is held out.

    Example:
        >>> len(held_out("cat", ["1.jpg", "2.jpg"], 0.001))
        1
    """
    if fraction == 0 or len(files) < 2:
        return set()
    numbers = [_number(f"{class_name}/{file}") for file in files]
    ordered = sorted(range(len(files)), key=lambda index: (numbers[index], index))
    count = sum(number < fraction * 2**64 for number in numbers)
    most = min(len(files) - 1, math.ceil(2 * fraction * len(files)))
    return set(ordered[: min(max(1, count), most)])


def _number(name: str) -> int:
    """A number below 2**64 that depends only on the name, in its composed form."""
    composed = os.fsencode(unicodedata.normalize("NFC", name))
    return int.from_bytes(hashlib.sha256(composed).digest()[:8], "big")
