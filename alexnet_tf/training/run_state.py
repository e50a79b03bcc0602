"""Where a run stands, besides its weights: what a checkpoint holds as JSON."""

import dataclasses
import math
from typing import Any


@dataclasses.dataclass
class RunState:
    """Where a run stands.

    Attributes:
        step: how many steps are done.
        best_error: the least validation top-1 error so far, in percent.
        validation_due: whether a signal left out the validation of this step.
    """

    step: int = 0
    best_error: float = math.inf
    validation_due: bool = False

    def saved(self) -> dict[str, Any]:
        """What a checkpoint keeps; the step has a place of its own there."""
        return {"best_error": self.best_error, "validation_due": self.validation_due}

    @classmethod
    def restored(cls, step: int, saved: dict[str, Any]) -> "RunState":
        """The state of a checkpoint."""
        return cls(step, saved["best_error"], saved["validation_due"])
