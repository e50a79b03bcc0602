"""A fact that cannot be told, in the place of the fact."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Missing:
    """A fact that a run folder does not tell.

    Attributes:
        why: the reason, and if possible what to do, without a full stop at its end.
    """

    why: str
