"""A process has a name by which others tell whether it still lives."""

import os
import re
import signal
import subprocess
import sys

import pytest

from alexnet_tf.runtime import writers

SAY_NAME = (
    "from alexnet_tf.runtime import writers\n"
    "import sys; print(writers.this_process(), flush=True); sys.stdin.read()"
)


@pytest.fixture
def other():
    """Another process, which ends with the test, and its name."""
    with subprocess.Popen(
        [sys.executable, "-c", SAY_NAME],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process, process.stdout.readline().strip()
        process.kill()


def test_this_process_lives_under_a_name_that_is_its_own(other):
    _, name = other
    assert writers.is_alive(writers.this_process())
    assert writers.is_alive(name)
    assert name != writers.this_process()
    assert writers.process_of(name).startswith(f"process {other[0].pid} on host ")


def test_a_process_that_was_killed_does_not_live_even_before_its_parent_knows(other):
    process, name = other
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it is a zombie now
    assert writers.is_alive(name) is False
    process.wait()
    assert writers.is_alive(name) is False


def test_a_process_number_that_is_used_again_is_another_process():
    host_boot_namespace, pid, start = writers.this_process().rsplit("-", 2)
    later = f"{host_boot_namespace}-{pid}-{int(start) + 1}"
    assert writers.is_alive(later) is False


def test_processes_before_the_last_start_of_the_machine_have_ended():
    host, _, namespace, pid, start = writers.this_process().rsplit("-", 4)
    assert writers.is_alive(f"{host}-00000000-{namespace}-{pid}-{start}") is False


def test_processes_of_other_machines_and_containers_cannot_be_asked():
    host, boot, _, pid, start = writers.this_process().rsplit("-", 4)
    assert writers.is_alive(f"other-{host}-{boot}-1-{pid}-{start}") is None
    assert writers.is_alive(f"{host}-{boot}-1-{pid}-{start}") is None


def test_a_stopped_process_still_lives(other):
    process, name = other
    process.send_signal(signal.SIGSTOP)
    assert writers.is_alive(name)


def test_a_system_without_proc_tells_processes_apart_by_when_they_began(
    other, monkeypatch, tmp_path
):
    """As on macOS, whose `ps` has these options too."""
    process, _ = other
    sysctl = tmp_path / "sysctl"
    sysctl.write_text("#!/bin/sh\necho 4F1C2A90-0000-4000-8000-000000000000\n")
    sysctl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(writers, "_PROC", tmp_path / "proc")
    writers._this_system.cache_clear()
    try:
        own = writers.this_process()
        assert re.fullmatch(writers.PATTERN, own)
        assert "-4f1c2a90-0-" in own
        assert writers.is_alive(own)
        *before, _, start = own.rsplit("-", 2)
        theirs = writers._start_of(process.pid)
        name = "-".join([*before, str(process.pid), theirs])
        assert writers.is_alive(name)
        assert writers.is_alive(f"{name}1") is False
        process.kill()
        process.wait()
        assert writers.is_alive(name) is False
        assert int(start) > 0
    finally:
        writers._this_system.cache_clear()
