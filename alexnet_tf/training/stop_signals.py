"""Notes SIGTERM (a preemption) and Ctrl-C, so that a run can stop at the next step."""

import signal
from types import TracebackType


class StopSignals:
    """Inside a `with` block, notes the signals that ask this process to stop.

    Attributes:
        received: the number of the signal that came last, or None.
    """

    _KINDS = (signal.SIGTERM, signal.SIGINT)

    def __init__(self):
        self.received: int | None = None

    def __enter__(self) -> "StopSignals":
        self._before = [signal.signal(kind, self._note) for kind in self._KINDS]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in zip(self._KINDS, self._before, strict=True):
            signal.signal(number, handler)

    def _note(self, number, frame) -> None:
        del frame
        self.received = number
