"""Names the process that writes a file, so that others can tell whether it still lives."""

import functools
import os
import pathlib
import re
import socket
import subprocess
import time

_PROC = pathlib.Path("/proc/self/stat")  # Linux describes processes there

# HOST-BOOT-NAMESPACE-PID-START. A process number alone is not enough: it is used again
# by later processes, after a restart of the machine, and in containers.
PATTERN = r".+-[0-9a-f]{8}-\d+-\d+-\d+"


def this_process() -> str:
    """The name of this process: no other has it, on any machine.

    It consists of characters that file names may have.
    """
    return f"{_this_system()}-{os.getpid()}-{_start_of(os.getpid())}"


def is_alive(writer: str) -> bool | None:
    """Whether the process that `this_process` named lives; None if nobody here knows.

    A process of another machine, or of another container, cannot be asked.

    Example:
        >>> is_alive(this_process())
        True
    """
    host, boot, namespace, process, start = writer.rsplit("-", 4)
    own_host, own_boot, own_namespace = _this_system().rsplit("-", 2)
    if host != own_host:
        return None
    if boot != own_boot:  # the machine was started again since then
        return False
    if namespace != own_namespace:
        return None
    return _start_of(int(process)) == start


def process_of(writer: str) -> str:
    """The host and the number of a process, for a message: "process 17 on host a"."""
    host, _, _, process, _ = writer.rsplit("-", 4)
    return f"process {process} on host {host}"


@functools.cache
def _this_system() -> str:
    host = re.sub(r"[^\w.-]", "_", socket.gethostname())
    if not _PROC.exists():
        boot = _output("sysctl", "-n", "kern.bootsessionuuid")[:8].lower()
        return f"{host}-{boot}-0"
    boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
    return f"{host}-{boot}-{os.stat('/proc/self/ns/pid').st_ino}"


def _start_of(process: int) -> str | None:
    """When a process began, as a number; None if there is no such process.

    On Linux it counts clock ticks since the machine's start, and on macOS seconds.
    """
    if not _PROC.exists():
        state, _, began = _output(
            "ps", "-o", "state=,lstart=", "-p", f"{process}"
        ).partition(" ")
        if not state or state[0] == "Z":
            return None
        return str(int(time.mktime(time.strptime(began.strip()))))
    try:
        stat = pathlib.Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return None
    # The name in parentheses may hold spaces and parentheses. A zombie has ended.
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in "ZX" else fields[18]


def _output(*command: str) -> str:
    """What a command of macOS prints in English."""
    return subprocess.run(
        command,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    ).stdout.strip()
