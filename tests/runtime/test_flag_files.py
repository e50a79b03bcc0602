"""A flag file is used completely, or rejected with its name and the line."""

import os

import pytest
from absl import flags

from alexnet_tf.runtime import flag_files


@pytest.fixture
def write(tmp_path):
    def write(data, name="a.flags"):
        path = tmp_path / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    return write


def test_flags_comments_and_empty_lines_are_read(write):
    path = write("# a comment\n\n--batch_size=8\n  --resume  \n// another\n-v=1\n")
    assert flag_files.expand([f"--flagfile={path}"]) == [
        *("--batch_size=8", "--resume", "-v=1"),
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf--batch_size=8\r\n--resume\r\n",
        b"--batch_size=8\r--resume",
        b"\xef\xbb\xbf# comment\r\n--batch_size=8\n\r\n--resume",
    ],
)
def test_a_byte_order_mark_and_other_line_endings_are_accepted(write, data):
    found = flag_files.expand(["-flagfile", str(write(data))])
    assert found == ["--batch_size=8", "--resume"]


@pytest.mark.parametrize(
    "line",
    [
        *("batch_size=8", "learning_rate 0.1", "--", "'--a=1'", "\0-\0-"),
        *("--batch_size 8", "--batch_size  =8", "--flagfile other.flags", "- -resume"),
        *("--a=0.5  # mine", "--run_dir=runs/x\t// mine", "--resume # again"),
        *('--run_dir="my run"', "--run_dir='x'", "--run_dir=$HOME/x", "--a=${B}"),
    ],
)
def test_a_line_that_is_not_a_flag_is_rejected_with_file_and_line(write, line):
    path = write(f"--resume\n\n{line}\n")
    with pytest.raises(flags.Error, match=r"a\.flags, line 3: .*got ") as error:
        flag_files.expand([f"--flagfile={path}"])
    assert repr(line) in str(error.value)


@pytest.mark.parametrize(
    "line",
    [
        "--run_dir=a#b",
        "--a=#1",
        "--a=b c",
        "--a='x",
        "--a=",
        "--run_dir=http//x",
        "--a=x$y",
    ],
)
def test_a_value_may_contain_signs_that_begin_no_comment(write, line):
    assert flag_files.expand([f"--flagfile={write(line)}"]) == [line]


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ("--run_dir=caf\xe9".encode("latin-1"), "it is not"),
        ("--resume\n".encode("utf-16"), "it is UTF-16"),
        (b"\xfe\xff" + "--resume\n".encode("utf-16-be"), "it is UTF-16"),
    ],
)
def test_a_file_that_is_not_utf_8_is_rejected(write, data, found):
    with pytest.raises(
        flags.Error, match=rf"a\.flags must be UTF-8, and {found}: save"
    ):
        flag_files.expand([f"--flagfile={write(data)}"])


def test_what_is_not_a_regular_file_is_rejected_without_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "fifo.flags")
    for path in (tmp_path / "fifo.flags", tmp_path, "/dev/null"):
        with pytest.raises(flags.Error, match=f"{path} is a folder or a device"):
            flag_files.expand([f"--flagfile={path}"])


@pytest.mark.parametrize(
    ("path", "message"), [("gs://b/a.flags", "gs:// is not"), ("", "path is empty")]
)
def test_a_path_that_is_not_on_this_machine_is_rejected(path, message):
    with pytest.raises(flags.Error, match=f"--flagfile={path}: .*{message}"):
        flag_files.expand([f"--flagfile={path}"])


def test_an_included_file_is_inserted_where_it_is_named(write):
    inner = write("--seed=1\n", "inner.flags")
    outer = write(f"--a=1\n--flagfile={inner}\n--b=2\n")
    found = flag_files.expand(["--first", f"--flagfile={outer}", "--last"])
    assert found == ["--first", "--a=1", "--seed=1", "--b=2", "--last"]


def test_a_file_that_includes_itself_is_rejected(write, tmp_path):
    path = write(f"--flagfile={tmp_path / 'b.flags'}\n")
    write(f"--flagfile={path}\n", "b.flags")
    with pytest.raises(flags.Error, match="the file includes itself"):
        flag_files.expand([f"--flagfile={path}"])


def test_a_missing_file_is_rejected_with_the_places_searched():
    with pytest.raises(flags.Error, match=r"tools/none\.flags: there is no such file"):
        flag_files.expand(["--flagfile=tools/none.flags"])
    with pytest.raises(flags.Error, match="--flagfile needs a path"):
        flag_files.expand(["--flagfile"])


def test_a_tilde_is_expanded(write, monkeypatch, tmp_path):
    write("--seed=3\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert flag_files.expand(["--flagfile=~/a.flags"]) == ["--seed=3"]


def test_arguments_after_two_dashes_are_not_expanded(write):
    path = write("--seed=3\n")
    arguments = [f"--flagfile={path}", "--", f"--flagfile={path}"]
    assert flag_files.expand(arguments) == ["--seed=3", "--", f"--flagfile={path}"]


def test_recipes_are_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "--architecture=paper" in flag_files.expand(["--flagfile=tools/paper.flags"])


def test_a_file_in_the_current_folder_is_preferred_to_a_recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools/paper.flags").write_text("# mine\n\n--batch_size=7\n")
    assert flag_files.expand(["--flagfile=tools/paper.flags"]) == ["--batch_size=7"]
