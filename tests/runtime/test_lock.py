"""Only one process at a time holds the lock of a folder."""

import contextlib
import errno
import fcntl
import os
import pathlib
import subprocess
import sys

import pytest

from alexnet_tf.runtime import lock, writers

NO_LOCKS = [errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP]

# Takes the lock of a folder, says so, and holds it until its input ends.
HOLD = """
import errno, fcntl, sys
from alexnet_tf.runtime import lock
def refuse(*arguments):
    raise OSError(int(sys.argv[2]), "no locks")
if int(sys.argv[2]):
    fcntl.flock = refuse
try:
    with lock.exclusive(sys.argv[1], "choose another"):
        print("held", flush=True)
        sys.stdin.read()
except ValueError as error:
    print(error, flush=True)
"""


def holder(folder, failure=0):
    """Another process that tries to hold the lock; returns it and what it says."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, folder, str(failure)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    return process, process.stdout.readline().strip()


def end(process):
    process.communicate("", timeout=60)


def test_a_second_use_is_rejected_until_the_first_releases_the_lock(tmp_path):
    folder = tmp_path / "run"
    with (
        lock.exclusive(folder, "unused"),
        pytest.raises(ValueError, match="writing into .*run: choose another"),
        lock.exclusive(folder, "choose another"),
    ):
        pass
    with lock.exclusive(folder, "unused"):
        assert folder.is_dir()


@pytest.mark.parametrize("existed", [True, False])
@pytest.mark.parametrize("used", [True, False])
@pytest.mark.parametrize("locks", [True, False])
def test_a_folder_that_was_made_and_not_used_is_removed(
    tmp_path, monkeypatch, existed, used, locks
):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "no locks")

    if not locks:
        monkeypatch.setattr(fcntl, "flock", refuse)
    folder = tmp_path / "run"
    if existed:
        folder.mkdir()

    def fail():
        with lock.exclusive(folder, "unused"):
            if used:
                (folder / "log").touch()
            raise ValueError("mistyped")

    with pytest.raises(ValueError, match="mistyped"):
        fail()
    assert folder.exists() == (existed or used)
    assert (folder / "log").exists() == used


def test_two_processes_never_hold_a_folder_that_a_third_removed(tmp_path, monkeypatch):
    folder, held = tmp_path / "run", contextlib.ExitStack()
    held.enter_context(lock.exclusive(folder, "unused"))
    real = fcntl.flock

    def lock_what_is_then_removed(descriptor, operation):
        monkeypatch.setattr(fcntl, "flock", real)
        held.close()
        assert not folder.exists()
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", lock_what_is_then_removed)
    with lock.exclusive(folder, "unused"):
        assert (folder / "lock").exists()
        with (
            pytest.raises(ValueError, match="choose another"),
            lock.exclusive(folder, "choose another"),
        ):
            pass


def test_a_use_that_is_rejected_leaves_no_file_open(tmp_path):
    with lock.exclusive(tmp_path, "unused"):
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(3):
            with (
                pytest.raises(ValueError, match="choose another"),
                lock.exclusive(tmp_path, "choose another"),
            ):
                pass
        assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("failure", [0, errno.ENOLCK])
def test_another_process_is_rejected_as_long_as_the_block_lasts(tmp_path, failure):
    first, said = holder(tmp_path, failure)
    assert said == "held"
    second, said = holder(tmp_path, failure)
    assert f"is writing into {tmp_path}: choose another" in said
    end(second)
    end(first)
    third, said = holder(tmp_path, failure)
    assert said == "held"
    end(third)


@pytest.mark.parametrize("failure", [0, errno.ENOLCK])
def test_a_process_that_was_killed_blocks_nobody(tmp_path, failure):
    first, said = holder(tmp_path, failure)
    assert said == "held"
    first.kill()
    first.communicate()
    second, said = holder(tmp_path, failure)
    assert said == "held"
    end(second)
    assert not list(tmp_path.glob("owner-*"))


@pytest.mark.parametrize("number", NO_LOCKS)
def test_a_file_system_without_locks_is_warned_about_once(
    tmp_path, monkeypatch, caplog, number
):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with lock.exclusive(tmp_path, "choose another"):
        assert len(list(tmp_path.glob("owner-*"))) == 1
        (warning,) = caplog.messages
        assert "is on a file system without locks" in warning
        with (
            pytest.raises(ValueError, match="this process is writing into"),
            lock.exclusive(tmp_path, "choose another"),
        ):
            pass
        assert len(list(tmp_path.glob("owner-*"))) == 1
    assert not list(tmp_path.glob("owner-*"))


def test_the_owner_on_another_machine_is_named_with_the_file_to_remove(
    tmp_path, monkeypatch
):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "no locks")

    host, boot, namespace, _, start = writers.this_process().rsplit("-", 4)
    owner = tmp_path / f"owner-far-{host}-{boot}-{namespace}-17-{start}"
    owner.touch()
    monkeypatch.setattr(fcntl, "flock", refuse)
    with (
        pytest.raises(
            ValueError,
            match=rf"process 17 on host far-\S+ is writing .* ended, remove {owner}$",
        ),
        lock.exclusive(tmp_path, "choose another"),
    ):
        pass
    assert list(tmp_path.glob("owner-*")) == [owner]


def test_other_errors_of_the_lock_are_not_taken_for_a_file_system_without_locks(
    tmp_path, monkeypatch
):
    def fail(*_):
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(OSError, match="input/output"), lock.exclusive(tmp_path, ""):
        pass


def make_link(path):
    path.with_name("precious").write_text("precious")
    path.symlink_to("precious")


def make_dangling_link(path):
    path.symlink_to("new")


@pytest.mark.parametrize(
    "make", [make_link, make_dangling_link, os.mkfifo, pathlib.Path.mkdir]
)
def test_a_lock_that_is_not_a_regular_file_is_refused_by_name(tmp_path, make):
    make(tmp_path / "lock")
    before = {path.name: path.lstat() for path in tmp_path.iterdir()}
    with (
        pytest.raises(ValueError, match=f"{tmp_path}/lock is not a regular file"),
        lock.exclusive(tmp_path, ""),
    ):
        pass
    assert {path.name: path.lstat() for path in tmp_path.iterdir()} == before


def test_a_lock_file_keeps_its_content(tmp_path):
    (tmp_path / "lock").write_text("mine")
    with lock.exclusive(tmp_path, ""):
        pass
    assert (tmp_path / "lock").read_text() == "mine"


def test_a_file_in_the_folders_place_is_refused_by_name(tmp_path):
    (tmp_path / "run").write_text("a file")
    for folder in (tmp_path / "run", tmp_path / "run/below"):
        with (
            pytest.raises(NotADirectoryError, match=f"{folder} cannot be a folder"),
            lock.exclusive(folder, ""),
        ):
            pass


def test_a_lock_that_cannot_be_written_is_an_error_in_words(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with (
        pytest.raises(
            OSError,
            match=r"^\S+/lock cannot be opened for writing \(Permission denied\): free$",
        ),
        lock.exclusive(tmp_path, "free"),
    ):
        pass
