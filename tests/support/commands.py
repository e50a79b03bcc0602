"""Runs commands: in the test's own process, or in one of their own that starts quickly.

A command needs seconds of a processor to import TensorFlow. So a server imports it once,
and each command is a fork of the server. What a test says about starting (imports,
noise, the environment that TensorFlow reads when it is loaded) needs a new interpreter,
`subprocess.run([sys.executable, "-m", ...])`.
"""

import multiprocessing
import os
import pathlib
import runpy
import subprocess
import sys
import tempfile

from alexnet_tf import prepare
from alexnet_tf.runtime import options

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["tests.support.loaded"])


def run(command, *arguments, cwd=None, env=None, stdin=""):
    """Runs `python -m alexnet_tf.COMMAND` with some arguments until it ends.

    Args:
        command: its name, as "train".
        arguments: strings or paths.
        cwd: the folder that the command runs in, if it is not the test's.
        env: the whole environment of the command, if it is not the test's.
        stdin: the text of its standard input.

    Returns:
        A `subprocess.CompletedProcess` with `returncode`, `stdout` and `stderr` (text).
    """
    typed = [f"alexnet_tf.{command}", *map(str, arguments)]
    with tempfile.TemporaryDirectory() as folder:
        streams = [pathlib.Path(folder) / name for name in ("0", "1", "2")]
        streams[0].write_text(stdin)
        process = _SERVER.Process(
            target=_become,
            args=(typed, streams, cwd or os.getcwd(), dict(env or os.environ)),
        )
        process.start()
        process.join()
        output, errors = (s.read_text(errors="surrogateescape") for s in streams[1:])
    return subprocess.CompletedProcess(typed, process.exitcode, output, errors)


def _become(typed, streams, cwd, environment):
    """Becomes a command in a fork of the server."""
    modes = (os.O_RDONLY, os.O_WRONLY | os.O_CREAT, os.O_WRONLY | os.O_CREAT)
    for number, (path, mode) in enumerate(zip(streams, modes, strict=True)):
        opened = os.open(path, mode)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    sys.argv[:] = typed
    runpy.run_module(typed[0], run_name="__main__", alter_sys=True)


def run_prepare(**changes):
    """Runs `prepare` with its default options, except for these."""
    prepare.main(options.replace(prepare.PrepareOptions(), **changes), [])
