"""The state of a run besides its weights, which a checkpoint holds as JSON."""

import dataclasses
import math
from typing import Any


@dataclasses.dataclass
class RunState:
    """The state of a run besides its weights.

    Attributes:
        step: the number of steps that are done.
        best_error: the least validation top-1 error so far, in percent.
        validation_due: whether a signal prevented the validation of this step.
        error: the validation top-1 error after this step, in percent; None if it was
            not measured.
        changes: how many changes of the schedule the steps so far include.
    """

    step: int = 0
    best_error: float = math.inf
    validation_due: bool = False
    error: float | None = None
    changes: int = 0

    def saved(self) -> dict[str, Any]:
        """Returns what a checkpoint keeps as JSON; it stores the step separately."""
        return {
            "best_error": self.best_error,
            "validation_due": self.validation_due,
            "error": self.error,
            "changes": self.changes,
        }

    @classmethod
    def restored(cls, step: int, saved: dict[str, Any]) -> "RunState":
        """Returns the state that `saved` returned; KeyError if it lacks something."""
        return cls(
            step,
            saved["best_error"],
            saved["validation_due"],
            saved["error"],
            saved["changes"],
        )
