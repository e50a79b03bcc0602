"""Times steps on a device that computes while the host goes on.

Only the standard library is imported here, because the PyTorch side uses this too.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def step_s(
    step: Callable[[], Result], wait: Callable[[Result], object], steps: int
) -> float:
    """Seconds per step: the median of three rounds of `steps`, after a warm-up.

    As in training, only the last step of a round is awaited.
    """
    for _ in range(3):  # frameworks choose algorithms in the first steps
        wait(step())
    rounds = []
    for _ in range(3):
        start = time.perf_counter()
        for _ in range(steps):
            result = step()
        wait(result)
        rounds.append((time.perf_counter() - start) / steps)
    return statistics.median(rounds)


_OUT_OF_MEMORY = (
    "ResourceExhaustedError",
    "OutOfMemoryError",
)  # TensorFlow's, PyTorch's


class Rows:
    """Prints one line per measurement, for as long as there is time.

    tools/checks/gpu.sh takes the lines that begin with `result:` into its table.
    """

    def __init__(self, seconds: float):
        self._end = time.monotonic() + seconds
        self._missing = 0

    def row(self, name: str, measure: Callable[[], str]) -> None:
        """Prints what `measure` returns, or its error. The next row follows anyway.

        A batch that does not fit into the memory of the device is no error.
        """
        missing = time.monotonic() > self._end
        if missing:
            text = "not measured, because no time was left"
        else:
            try:
                text = measure()
            except Exception as error:
                kind = type(error).__name__
                missing = kind not in _OUT_OF_MEMORY
                text = "does not fit into the memory of the device"
                if missing:
                    text = f"FAILED: {kind}: {(str(error).splitlines() or [''])[0]}"
        self._missing += missing
        print(f"result: {name}: {text}", flush=True)

    def finish(self) -> None:
        """Ends the process with an error if a row is missing."""
        if self._missing:
            raise SystemExit(f"{self._missing} rows are missing")


def parser(description: str) -> argparse.ArgumentParser:
    """The flags that the benchmarks of a device have in common."""
    flags = argparse.ArgumentParser(description=description)
    flags.add_argument("--device", default="/GPU:0")
    flags.add_argument("--batches", default="128,256,512,1024", type=integers)
    flags.add_argument(
        "--precisions", default="bfloat16,tf32,float32", type=lambda v: v.split(",")
    )
    flags.add_argument("--steps", type=int, default=20, help="steps per round")
    flags.add_argument(
        "--seconds", type=float, default=300, help="no row begins after this time"
    )
    return flags


def integers(value: str) -> list[int]:
    """The numbers of a list such as `128,256`."""
    return [int(each) for each in value.split(",") if each]
