"""A process that ends with the one that began it, and whose words are kept."""

import os
import signal
import subprocess
import sys
import time

import pytest

from alexnet_tf.studies import processes

DEADLINE_S = 60


def wait_until(condition):
    """Waits until a condition holds; the deadline is only reached if it never does."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_what_a_process_prints_is_shown_and_kept(tmp_path, capfd):
    code = "import sys; print('out'); sys.stdout.flush(); print('é', file=sys.stderr)"
    assert processes.run(["-c", code], tmp_path / "log") == 0
    assert (tmp_path / "log").read_text() == "out\né\n"
    assert "out" in capfd.readouterr().err


def test_the_status_and_the_last_line_say_why_a_process_failed(tmp_path):
    code = "print('begins'); print('10%\\r20%'); raise SystemExit('it is broken')"
    assert processes.run(["-c", code], tmp_path / "log") == 1
    assert processes.last_line(tmp_path / "log") == "it is broken"


def test_a_log_goes_on_where_an_earlier_process_has_left_it(tmp_path):
    for text in ("first", "second"):
        processes.run(["-c", f"print('{text}')"], tmp_path / "log")
    assert (tmp_path / "log").read_text() == "first\nsecond\n"


RUN = """
import pathlib, sys
from alexnet_tf.studies import processes
processes.run(["-c", sys.argv[2]], pathlib.Path(sys.argv[1]))
"""
# It says that it runs, and what it does when it is asked to stop.
ASKED = """
import os, pathlib, signal, sys, time
def stop(*_):
    print("asked", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print(os.getpid(), flush=True)
time.sleep(600)
"""


@pytest.fixture
def running(tmp_path):
    """(a process that runs another one, the id of that one, its log)."""
    log = tmp_path / "log"
    process = subprocess.Popen([sys.executable, "-c", RUN, str(log), ASKED])
    wait_until(lambda: log.exists() and log.read_text().endswith("\n"))
    yield process, int(log.read_text()), log
    process.kill()
    process.wait()


def has_ended(process_id):
    try:
        with open(f"/proc/{process_id}/stat") as file:
            return file.read().split()[2] in "ZX"
    except FileNotFoundError:
        return True


def test_a_process_ends_with_the_one_that_runs_it_even_if_that_is_killed(running):
    process, other, log = running
    process.kill()
    process.wait()
    wait_until(lambda: has_ended(other))
    assert "asked" not in log.read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_is_asked_to_stop_and_waited_for(running, number):
    process, other, log = running
    os.kill(process.pid, number)
    process.wait(DEADLINE_S)
    assert process.returncode
    assert has_ended(other)
    assert "asked" in log.read_text()
