"""How an image of any shape becomes the square that a net is trained on.

    crop      the shorter side is scaled to the size, and the center square is cut out
              (paper, section 2)
    squash    both sides are scaled to the size, whatever the shape of the image, as
              Caffe's tools do

A dataset records its rule, a trained net keeps it, and everything that shows an image
to the net uses the same one. `resizing.resize` computes it.
"""

import typing
from typing import Literal

Rule = Literal["crop", "squash"]

DEFAULT: Rule = "crop"

# Added to a pixel before it is rounded. Weights are fractions of small numbers, so some
# pixels lie right between two levels, and the last bits of float32 would round them
# differently in a graph and in memory.
TIES_UP = 1e-3


def from_json(value: object, where: str) -> Rule:
    """Returns the rule that a file records.

    Args:
        value: what was found.
        where: the file, which begins the error message.

    Raises:
        ValueError: it is not a rule.

    Example:
        >>> from_json("squash", "model.json")
        'squash'
    """
    for rule in typing.get_args(Rule):
        if value == rule:
            return rule
    raise ValueError(
        f"{where}: resize must be {' or '.join(typing.get_args(Rule))}, got {value!r}"
    )
