"""The machine, and how calls, processes and other programs are timed on it."""

import os
import pathlib
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping

LEAST_S = 2.0  # that repeated calls take together


def processor() -> str:
    """The name of the first core."""
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown processor"


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def seconds_of(call: Callable[[], object]) -> float:
    """The median seconds of a call, after a warm-up."""
    call()
    taken: list[float] = []
    while len(taken) < 3 or sum(taken) < LEAST_S:
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def in_turn(
    variants: Mapping[str, Callable[[], float]], rounds: int
) -> dict[str, list[float]]:
    """Name -> what each of `rounds` calls returned; the variants are called in turn.

    So a drift in the machine's speed affects all of them alike.
    """
    found: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, measure in variants.items():
            found[name].append(measure())
    return found


def medians(
    variants: Mapping[str, Callable[[], float]], rounds: int
) -> dict[str, float]:
    """The median of each variant's measurements, which are made in turn."""
    found = in_turn(variants, rounds)
    return {name: statistics.median(values) for name, values in found.items()}


def python_of(peers_dir: str | None, environment: str) -> str | None:
    """The interpreter of a peer's environment below a folder; None if there is none.

    A missing one is named on standard output.
    """
    python = pathlib.Path(peers_dir or "", environment, "bin/python")
    if peers_dir and python.exists():
        return str(python)
    print(f"{environment}: left out, --peers_dir has no {environment}/bin/python")
    return None


def number_of(python: str, worker: str, *arguments: object) -> float:
    """The last word that a script beside this one prints, in another environment."""
    script = pathlib.Path(__file__).with_name(worker)
    done = subprocess.run(
        [python, script, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{worker} {arguments[0]} failed: {done.stderr[-2000:]}")
    return float(done.stdout.split()[-1])
