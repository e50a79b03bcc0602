"""Runs a command that ends when another process ends, even by SIGKILL.

    python tests/support/ends_with.py PID SIGNAL COMMAND [ARGUMENTS]

becomes COMMAND, so that the process id stays the same. A small process beside it waits
for the end of the process PID and then sends SIGNAL to the command. The tests start
every server in this way, so that a killed test run leaves none behind.
"""

import os
import select
import signal
import sys


def watch(other: int, number: signal.Signals) -> None:
    """Starts a process that sends `number` to this one when the process `other` ends."""
    try:
        watched = os.pidfd_open(other)
    except ProcessLookupError:
        sys.exit(f"ends_with: the process {other} has ended already")
    own = os.pidfd_open(os.getpid())
    if os.fork():
        os.close(watched)
        os.close(own)
        return
    # A Ctrl-C in the terminal reaches the whole group, and this process should outlive
    # the one that it watches for.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    poll = select.poll()
    for descriptor in (watched, own):
        poll.register(descriptor, select.POLLIN)
    if own not in [descriptor for descriptor, _ in poll.poll()]:
        signal.pidfd_send_signal(own, number)
    os._exit(0)


def main(other: int, number: signal.Signals, command: list[str]) -> None:
    watch(other, number)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(int(sys.argv[1]), signal.Signals[sys.argv[2]], sys.argv[3:])
