"""Starts Python programs quickly: each is a fork of a server that imported TensorFlow.

A new interpreter needs seconds of a processor to import TensorFlow. What a test says
about that (imports, noise, variables of the environment that libraries read when they
are loaded) needs one all the same: `subprocess.run([sys.executable, ...])`.
"""

import multiprocessing
import os
import pathlib
import runpy
import signal
import subprocess
import sys
import tempfile

from tests.support import ends_with

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["tests.support.loaded"])


class Program:
    """A running Python program, with the methods of `subprocess.Popen`.

    Args:
        name: of the module, as in `python -m`, or the path of a file, or "-c", which
            the code follows.
        arguments: strings or paths.
        cwd: the folder that the program runs in, if it is not the test's.
        env: the whole environment of the program, if it is not the test's.
        stdin: the text of its standard input.
        log: a file to which its output is appended. Without it, `communicate` must be
            called, which returns the output.

    It ends when the tests end, even if they are killed.
    """

    def __init__(self, name, *arguments, cwd=None, env=None, stdin="", log=None):
        self.args = [str(name), *map(str, arguments)]
        if log is None:
            self._folder = tempfile.TemporaryDirectory()
            folder = pathlib.Path(self._folder.name)
            streams = [folder / name for name in ("stdin", "stdout", "stderr")]
            streams[0].write_text(stdin)
            self._outputs = streams[1:]
        else:
            streams = [os.devnull, log, log]
        self._process = _SERVER.Process(
            target=_become,
            args=(os.getpid(), self.args, streams, cwd or os.getcwd()),
            kwargs={"environment": dict(os.environ if env is None else env)},
        )
        self._process.start()
        self.pid = self._process.pid

    def poll(self):
        return self._process.exitcode

    @property
    def returncode(self):
        return self._process.exitcode

    def send_signal(self, number):
        os.kill(self.pid, number)

    def terminate(self):
        self.send_signal(signal.SIGTERM)

    def kill(self):
        self._process.kill()

    def wait(self, timeout_s=None):
        self._process.join(timeout_s)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.args, timeout_s)
        return self.returncode

    def communicate(self):
        """(standard output, standard error) as text, once the program has ended."""
        self.wait()
        texts = [
            path.read_text(errors="surrogateescape") if path.exists() else ""
            for path in self._outputs
        ]
        self._folder.cleanup()
        return tuple(texts)


def run(name, *arguments, **options):
    """Runs a `Program` to its end; returns a `subprocess.CompletedProcess` with texts."""
    program = Program(name, *arguments, **options)
    output, errors = program.communicate()
    return subprocess.CompletedProcess(program.args, program.returncode, output, errors)


def _become(tests, typed, streams, cwd, environment):
    """Becomes a program, in a fork of the server."""
    for number, path in enumerate(streams):
        mode = os.O_WRONLY | os.O_CREAT | os.O_APPEND if number else os.O_RDONLY
        opened = os.open(path, mode)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    encoding = environment.get("PYTHONIOENCODING")
    sys.stdout = open(1, "w", encoding=encoding, closefd=False)  # noqa: SIM115
    sys.stderr = open(  # noqa: SIM115
        2, "w", encoding=encoding, errors="backslashreplace", closefd=False
    )
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    ends_with.watch(tests, signal.SIGKILL)
    sys.argv[:] = typed
    if typed[0] == "-c":
        del sys.argv[1]
        exec(compile(typed[1], "<string>", "exec"), {"__name__": "__main__"})
    elif typed[0].endswith(".py"):
        runpy.run_path(typed[0], run_name="__main__")
    else:
        runpy.run_module(typed[0], run_name="__main__", alter_sys=True)
