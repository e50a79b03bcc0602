"""Runs commands one after the other in forks of a process that has imported TensorFlow.

    run(["alexnet_tf.train", "--max_steps=2"], ["alexnet_tf.evaluate"], cwd=folder)

Importing TensorFlow takes most of the time of a command that has little to do. Here all
of them share one import. Nothing computes before the fork, so that each command begins
as in a process of its own.
"""

import json
import os
import pathlib
import runpy
import subprocess
import sys
import traceback
from typing import NamedTuple

from tests.support import ROOT


class Outcome(NamedTuple):
    """A command that ended: its arguments, its status and what it printed."""

    arguments: list[str]
    status: int
    stdout: str
    stderr: str


def run(*commands, cwd):
    """Runs commands, each a module and its arguments, until one fails; the outcomes."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.forked_commands", str(cwd)],
        input=json.dumps(commands),
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return [Outcome(*each) for each in json.loads(done.stdout)]


def _run_here(module, arguments):
    """Runs a command in this process; returns its status."""
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
            return 1
        return ended.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _run_in_a_fork(arguments):
    files = [pathlib.Path(f"output-{os.getpid()}-{name}") for name in ("out", "err")]
    child = os.fork()
    if child == 0:
        for number, file in enumerate(files, 1):
            os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        status = _run_here(arguments[0], arguments[1:])
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    printed = [file.read_text() for file in files]
    for file in files:
        file.unlink()
    return Outcome(arguments, status, *printed)


def _main(folder):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ["KERAS_HOME"] = os.devnull  # as each command sets it
    import tensorflow  # noqa: F401

    import alexnet_tf.models.applications  # noqa: F401

    os.chdir(folder)
    outcomes = []
    for arguments in json.load(sys.stdin):
        outcomes.append(_run_in_a_fork(arguments))
        if outcomes[-1].status:
            break
    json.dump(outcomes, sys.stdout)


if __name__ == "__main__":
    _main(sys.argv[1])
