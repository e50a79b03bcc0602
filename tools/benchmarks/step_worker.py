"""Processes that time one step whenever their parent asks for it.

Only the standard library is imported here, so that the PyTorch side, which runs in an
environment of its own, can use this module too.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence


class StepWorker:
    """A process that has one variant, and runs a step when its parent asks for it."""

    def __init__(self, command: Sequence[str]):
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        self._ask("warm up")

    def step_s(self) -> float:
        """Runs one step; the seconds that it took."""
        return self._ask("step")

    def memory_gib(self) -> float:
        """The process's largest memory so far."""
        return self._ask("memory")

    def profile(self):
        """What the variant reports about its step; only some variants can."""
        return self._ask("profile")

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()

    def _ask(self, question: str):
        self._process.stdin.write(question + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("answer "):
                return json.loads(line.removeprefix("answer "))
        status = self._process.wait()
        self._errors.seek(0)
        printed = self._errors.read()[-2000:]
        raise SystemExit(f"{self._process.args} exited with status {status}: {printed}")


def answer_questions(
    step: Callable[[], object],
    profile: Callable[[], dict] | None = None,
    steps_per_call: int = 1,
) -> None:
    """The worker's side: answers its parent until that closes the pipe.

    `step` makes `steps_per_call` steps. The warm-up calls it twice.
    """
    for line in sys.stdin:
        question = line.strip()
        answer = None
        if question == "warm up":
            for _ in range(2):
                step()
        elif question == "profile":
            answer = profile()
        elif question == "memory":
            answer = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        else:
            start = time.perf_counter()
            step()
            answer = (time.perf_counter() - start) / steps_per_call
        print("answer", json.dumps(answer), flush=True)
