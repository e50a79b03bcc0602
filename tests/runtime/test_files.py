"""A file or a folder is written whole or not at all."""

import errno
import hashlib
import os
import pathlib
import subprocess
import sys

import pytest

from alexnet_tf.runtime import files, writers


def fail_halfway(path):
    with files.written_aside(path) as aside:
        aside.write_text("half")
        raise ZeroDivisionError


def test_a_file_replaces_the_old_one_when_the_block_ends(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text("old")
    with files.written_aside(path) as aside:
        aside.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError):
        fail_halfway(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_fails_before_it_writes_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), files.written_aside(tmp_path / "new"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def write_folder(path, fail=False):
    with files.written_aside(path) as aside:
        (aside / "variables").mkdir(parents=True)
        (aside / "variables" / "data").write_text("weights")
        if fail:
            raise ZeroDivisionError


def test_a_folder_appears_with_its_whole_content(tmp_path):
    write_folder(tmp_path / "1")
    assert (tmp_path / "1" / "variables" / "data").read_text() == "weights"
    assert list(tmp_path.iterdir()) == [tmp_path / "1"]


def test_a_folder_whose_block_fails_is_removed(tmp_path):
    with pytest.raises(ZeroDivisionError):
        write_folder(tmp_path / "1", fail=True)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_files_is_not_replaced(tmp_path):
    write_folder(tmp_path / "1")
    with pytest.raises(OSError, match="not empty"):
        write_folder(tmp_path / "1")
    assert list(tmp_path.iterdir()) == [tmp_path / "1"]


def test_two_writers_do_not_disturb_each_other(tmp_path):
    path = tmp_path / "labels.txt"
    with files.written_aside(path) as first:
        first.write_text("first")
        with files.written_aside(path) as second:
            second.write_text("second")
        assert path.read_text() == "second"
        assert first != second
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_the_temporary_name_is_hidden_and_keeps_the_suffix(tmp_path):
    with files.written_aside(tmp_path / "net.keras") as aside:
        aside.touch()
        assert aside.name.startswith(".")
        assert aside.suffix == ".keras"
        assert aside.parent == tmp_path


def test_a_name_without_a_folder_is_written_in_the_current_folder(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    files.write_text("labels.txt", "café\n")
    assert (tmp_path / "labels.txt").read_bytes() == "café\n".encode()


def test_sha256_reads_a_file_in_parts_and_reports_each(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_READ_BYTES", 4)
    path = tmp_path / "data"
    path.write_bytes(b"0123456789")
    counts = []
    assert (
        files.sha256(path, counts.append) == hashlib.sha256(b"0123456789").hexdigest()
    )
    assert counts == [4, 4, 2]
    assert files.sha256(path) == files.sha256(path, counts.append)


def test_everything_is_on_the_disk_before_the_name_and_the_name_itself(
    tmp_path, monkeypatch
):
    done = []

    def fsync(descriptor):
        done.append(pathlib.Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)

    monkeypatch.setattr(os, "fsync", fsync)
    path = tmp_path / "whole"
    with files.written_aside(path) as aside:
        aside.mkdir()
        (aside / "a").write_text("a")
        assert done == []
        monkeypatch.setattr(
            pathlib.Path, "replace", lambda self, target: done.append("replaced")
        )
    assert done == ["a", aside.name, "replaced", tmp_path.name]


def test_a_moved_folder_is_on_the_disk_before_and_after_its_new_name(
    tmp_path, monkeypatch
):
    done = []

    def fsync(descriptor):
        done.append(pathlib.Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)

    (tmp_path / "work/whole").mkdir(parents=True)
    (tmp_path / "work/whole/a").write_text("a")
    monkeypatch.setattr(os, "fsync", fsync)
    files.move(tmp_path / "work/whole", tmp_path / "whole")
    assert done == ["a", "whole", tmp_path.name, "work"]
    assert (tmp_path / "whole/a").read_text() == "a"


def test_the_names_of_new_folders_are_on_the_disk(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(files, "sync", done.append)
    files.make_folder(tmp_path / "a/b")
    assert sorted(done) == [tmp_path, tmp_path / "a"]
    files.make_folder(tmp_path / "a/b")
    assert len(done) == 2


def test_a_file_system_that_cannot_sync_folders_is_used_without(tmp_path, monkeypatch):
    original = os.fsync

    def fsync(descriptor):
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.EINVAL, "invalid argument")
        original(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    files.write_text(tmp_path / "a", "text")
    assert (tmp_path / "a").read_text() == "text"


def test_a_file_that_cannot_be_synced_is_not_renamed(tmp_path, monkeypatch):
    def fsync(descriptor):
        raise OSError(errno.EINVAL, "invalid argument")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="invalid"):
        files.write_text(tmp_path / "a", "text")
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, pathlib, signal, sys
from alexnet_tf.runtime import files
with files.written_aside(sys.argv[1] + "/file") as file:
    with files.written_aside(sys.argv[1] + "/folder") as folder:
        file.write_text("half")
        folder.mkdir()
        (folder / "inside").write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)
"""


def kill_while_writing(folder):
    subprocess.run([sys.executable, "-c", KILLED, folder], check=False)
    assert len(list(folder.iterdir())) == 2


def test_what_a_killed_process_left_is_removed_by_the_next_writer(tmp_path):
    kill_while_writing(tmp_path)
    files.write_text(tmp_path / "other", "whole")
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


STOPPED = KILLED.replace("SIGKILL", "SIGSTOP")


def test_the_files_of_a_live_writer_stay(tmp_path):
    with subprocess.Popen([sys.executable, "-c", STOPPED, tmp_path]) as process:
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        files.write_text(tmp_path / "other", "whole")
        files.remove_leftovers(tmp_path, locked=True)
        assert len(list(tmp_path.glob(".partial-*"))) == 2
        process.kill()
    files.remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_a_process_does_not_remove_what_it_is_writing(tmp_path):
    with files.written_aside(tmp_path / "first") as first:
        first.write_text("half")
        files.write_text(tmp_path / "second", "whole")
        assert first.read_text() == "half"


def test_another_machines_files_are_removed_only_under_a_lock(tmp_path):
    other = tmp_path / f".partial-far-{writers.this_process()}-01234567-file"
    names = [".partial-mine", "lock", "file"]
    for path in (other, *(tmp_path / name for name in names)):
        path.write_text("half")
    files.remove_leftovers(tmp_path)
    assert other.exists()
    files.remove_leftovers(tmp_path, locked=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
