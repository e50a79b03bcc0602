"""Whatever stands at a path is read, or refused in one sentence that names it."""

import os
import pathlib
import shutil
import socket
import tempfile
import tracemalloc

import pytest

from alexnet_tf.data import image_decoding, image_files


def refusal(path):
    """The reason why the file at `path` is refused."""
    with pytest.raises(image_decoding.BadImageError) as caught:
        image_files.read(path)
    name, _, reason = str(caught.value).partition(": ")
    assert name == os.fspath(path)
    return reason


def test_a_file_is_read_as_it_is_through_links_too(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"bytes")
    (tmp_path / "b.jpg").symlink_to("a.jpg")
    for name in ("a.jpg", "b.jpg"):
        assert image_files.read(tmp_path / name) == b"bytes"
        assert image_files.read(str(tmp_path / name)) == b"bytes"


def test_a_missing_file_is_refused(tmp_path):
    assert refusal(tmp_path / "a.jpg") == "there is no such file"
    (tmp_path / "file").touch()
    assert refusal(tmp_path / "file" / "a.jpg") == "there is no such file"


def test_a_dangling_link_is_refused(tmp_path):
    (tmp_path / "a.jpg").symlink_to("/nowhere/x.jpg")
    expected = "a link to /nowhere/x.jpg, which does not exist"
    assert refusal(tmp_path / "a.jpg") == expected


def test_a_link_that_leads_back_to_itself_is_refused(tmp_path):
    (tmp_path / "a.jpg").symlink_to("b.jpg")
    (tmp_path / "b.jpg").symlink_to("a.jpg")
    assert refusal(tmp_path / "a.jpg") == "a link that leads back to itself"


def test_a_pipe_a_socket_a_folder_and_a_device_are_never_opened(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "device.jpg").symlink_to("/dev/zero")
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.jpg")
    monkeypatch.setattr(os, "open", lambda path, flags: pytest.fail(f"opened {path}"))
    assert refusal(tmp_path / "pipe.jpg") == "a named pipe, not an image file"
    assert refusal(tmp_path / "socket.jpg") == "a socket, not an image file"
    assert refusal(tmp_path / "folder.jpg") == "a folder, not an image file"
    assert refusal(tmp_path / "device.jpg") == "a device, not an image file"


def test_a_file_that_becomes_a_pipe_in_the_meantime_does_not_block(
    tmp_path, monkeypatch
):
    path, pipe = tmp_path / "a.jpg", tmp_path / "pipe"
    path.write_bytes(b"bytes")
    os.mkfifo(pipe)
    stat = os.stat

    def then_replace(name):
        found = stat(name)
        pipe.rename(path)
        return found

    monkeypatch.setattr(os, "stat", then_replace)
    assert refusal(path) == "a named pipe, not an image file"


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "a.jpg").touch()
    assert refusal(tmp_path / "a.jpg") == "the file is empty"


def test_a_huge_file_is_refused_without_reading_it(tmp_path):
    with (tmp_path / "a.jpg").open("wb") as file:
        file.truncate(1 << 40)  # takes no space
    expected = "the file has 1,099,511,627,776 bytes, but at most 1 GiB is read"
    assert refusal(tmp_path / "a.jpg") == expected


def test_a_file_that_grows_while_it_is_read_is_refused(monkeypatch):
    # The system says that this file has 0 bytes.
    monkeypatch.setattr(image_files, "_MAX_BYTES", 10)
    assert (
        refusal("/proc/self/status") == "the file grew beyond 1 GiB while it was read"
    )


def test_a_file_whose_size_the_system_does_not_know_is_read_whole():
    status = image_files.read("/proc/self/status")
    assert status.startswith(b"Name:")
    assert b"nonvoluntary_ctxt_switches" in status  # the last line


def test_reading_a_file_reserves_no_more_than_the_file_needs(tmp_path):
    (tmp_path / "a.jpg").write_bytes(bytes(100_000))
    tracemalloc.start()
    try:
        image_files.read(tmp_path / "a.jpg")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 200_000


def test_an_input_output_error_is_a_refusal():
    # The memory of this process is a regular file whose first page cannot be read.
    assert refusal("/proc/self/mem") == "it cannot be read (Input/output error)"


def test_a_name_that_no_file_can_have_is_refused(tmp_path):
    assert refusal(tmp_path / ("a" * 300)) == "it cannot be read (File name too long)"
    with pytest.raises(image_decoding.BadImageError, match=r"^a\\x00b: embedded null"):
        image_files.read("a\0b")


@pytest.fixture
def somebody_else():
    """A folder, in which this process is not root."""
    folder = pathlib.Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    user = os.geteuid()
    yield folder
    os.seteuid(user)
    shutil.rmtree(folder)


@pytest.mark.parametrize("mode", [0o000, 0o200])
def test_a_file_that_nobody_may_read_is_refused(somebody_else, mode):
    path = somebody_else / "a.jpg"
    path.write_bytes(b"secret")
    path.chmod(mode)
    if os.geteuid() == 0:
        os.seteuid(65534)
    assert refusal(path) == "no permission to read it"


def test_a_name_that_is_not_utf_8_is_shown_escaped(tmp_path):
    with pytest.raises(image_decoding.BadImageError) as caught:
        image_files.read(tmp_path / os.fsdecode(b"caf\xe9\n.jpg"))
    assert str(caught.value) == f"{tmp_path}/caf\\xe9\\n.jpg: there is no such file"
    str(caught.value).encode()
