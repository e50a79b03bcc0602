"""Runs Python as a process that ends with this one, and keeps what it prints."""

import ctypes
import os
import pathlib
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence

from alexnet_tf.training import stop_signals

_PR_SET_PDEATHSIG = 1  # from sys/prctl.h
_POLL_S = 0.2


class StoppedError(KeyboardInterrupt):
    """This process was asked to stop, and the other one has stopped before it."""


def run(arguments: Sequence[str], log: pathlib.Path) -> int:
    """Runs this Python with some arguments, and returns its exit status.

    What it prints is shown on standard error and added to the file `log`. If this
    process is killed, so is the other one: nothing trains on without its study.

    Raises:
        StoppedError: Ctrl-C, or SIGTERM. The other process gets SIGTERM, so that a
            training writes a checkpoint, and is waited for.
    """
    parent = os.getpid()

    def end_with_parent() -> None:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it has ended already
            os._exit(1)

    with stop_signals.StopSignals() as signals, log.open("ab") as kept:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C on a terminal reaches this process alone
            preexec_fn=end_with_parent,
        )
        copier = threading.Thread(target=_copy, args=(process.stdout, kept))
        copier.start()
        asked = False
        while process.poll() is None:
            if signals.received is not None and not asked:
                asked = True
                process.terminate()
            try:
                process.wait(_POLL_S)
            except subprocess.TimeoutExpired:
                continue
        copier.join()
        if signals.received is not None:
            raise StoppedError("run the same command again to continue")
        return process.returncode


def _copy(source, kept) -> None:
    """Copies what a process prints to standard error and to a file, as it comes."""
    while data := os.read(source.fileno(), 1 << 16):
        kept.write(data)
        kept.flush()
        sys.stderr.write(data.decode(errors="replace"))
        sys.stderr.flush()
    source.close()


def last_line(log: pathlib.Path) -> str:
    """The last line that a command has printed: that of its error, if it failed."""
    lines = log.read_text(errors="replace").replace("\r", "\n").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
