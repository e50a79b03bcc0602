"""Commands show help, mistakes and errors without loading TensorFlow."""

import os
import subprocess
import sys

import pytest

from alexnet_tf import __main__ as package
from alexnet_tf.prepare import OPTIONS
from alexnet_tf.runtime import options

# A command whose main function is one line.
SCRIPT = """
import sys
from alexnet_tf import prepare
from alexnet_tf.runtime import command
def main(chosen, arguments):
    {body}
command.run_command("prepare", prepare.OPTIONS, main, "Usage.")
"""


def run(body, *arguments, **environment):
    command = [sys.executable, "-c", SCRIPT.format(body=body), *arguments]
    env = os.environ | environment
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


def test_the_main_function_receives_flags_and_arguments():
    done = run("print(chosen.output.size, arguments)", "--size=8", "a.jpg", "b.jpg")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "8 ['a.jpg', 'b.jpg']\n"


CYCLE = (
    "import gc; gc.disable(); "
    "seen = type('Seen', (), {'__del__': lambda self: print('seen')})(); "
    "seen.itself = seen"
)


def test_a_command_ends_without_a_look_through_its_memory():
    assert run(CYCLE).stdout == ""


def test_a_command_uses_memory_again():
    body = "from tests.support import memory; print(memory.is_reused())"
    assert run(body).stdout == "True\n"


THREADS = (
    "import os; assert 'numpy' not in sys.modules; import numpy; "
    "print(len(os.listdir('/proc/self/task')), os.environ['OPENBLAS_NUM_THREADS'])"
)


def test_matrix_products_of_numpy_stay_in_their_thread(monkeypatch):
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    assert run(THREADS).stdout == "1 1\n"
    assert run(THREADS, OPENBLAS_NUM_THREADS="2").stdout.endswith(" 2\n")


@pytest.mark.parametrize(
    "error", ["ValueError", "FileNotFoundError", "OSError", "RuntimeError"]
)
def test_an_error_of_the_user_is_one_line_and_status_1(error):
    done = run(f"raise {error}('no such\\n  thing')")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "alexnet_tf.prepare: no such thing\n"


def test_an_op_library_that_does_not_load_is_one_line_too():
    # By the name of the error, because its module imports TensorFlow.
    done = run("raise type('OpLibraryError', (ImportError,), {})('type make setup')")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "alexnet_tf.prepare: type make setup\n"


def test_an_error_keeps_its_traceback_with_verbosity_1():
    done = run("raise ValueError('no such thing')", "--verbosity=1")
    assert done.returncode != 0
    assert "Traceback" in done.stderr


def test_an_error_in_the_package_keeps_its_traceback():
    done = run("raise KeyError('a defect')")
    assert done.returncode != 0
    assert "Traceback" in done.stderr


def test_an_interruption_is_one_line_and_status_130():
    done = run("raise KeyboardInterrupt")
    assert done.returncode == 130
    assert done.stderr == "alexnet_tf.prepare: interrupted\n"
    done = run("raise KeyboardInterrupt('--resume continues')")
    assert done.returncode == 130
    assert done.stderr == "alexnet_tf.prepare: interrupted: --resume continues\n"


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1:strict"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
)
def test_what_the_terminal_cannot_show_is_escaped_and_nothing_is_lost(environment):
    body = r"print('\u732b\udce9', 'end'); raise ValueError('no \u732b here')"
    done = run(body, **environment)
    assert (done.returncode, done.stdout) == (1, "\\u732b\\udce9 end\n")
    assert done.stderr == "alexnet_tf.prepare: no \\u732b here\n"


def test_output_that_cannot_be_written_is_an_error():
    with open("/dev/full", "w") as full:
        for arguments in ([], ["--help"]):
            command = [sys.executable, "-c", SCRIPT.format(body="print(1)"), *arguments]
            done = subprocess.run(
                command,
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
                env=os.environ | {"PYTHONUNBUFFERED": ""},
            )
            assert done.returncode == 1
            assert done.stderr == "alexnet_tf.prepare: No space left on device\n"


def test_closed_output_does_not_end_in_a_data_file(tmp_path):
    """Otherwise the next file that is opened would be standard output."""
    body = (
        f"with open({str(tmp_path / 'data')!r}, 'w'): print('lost'); raise ValueError"
    )
    command = [sys.executable, "-c", SCRIPT.format(body=body)]
    closed = "import os, sys; os.closerange(0, 3); os.execv(sys.argv[1], sys.argv[1:])"
    done = subprocess.run([sys.executable, "-c", closed, *command], check=False)
    assert done.returncode == 1
    assert (tmp_path / "data").read_bytes() == b""


def test_a_mistyped_flag_suggests_the_right_one():
    done = run("print('ran')", "--max_bad_file=3")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Unknown command line flag 'max_bad_file'" in done.stderr
    assert "Did you mean --max_bad_files?" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bad_value_is_reported_with_its_flag_and_no_traceback():
    done = run("print('ran')", "--size=0")
    assert (done.returncode, done.stdout) == (1, "")
    assert "flag --size=0: must be at least 1, got 0" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("flag", ["--help", "-h", "--helpshort"])
def test_help_shows_every_flag_and_ends_with_status_0(flag):
    done = run("print('main ran')", flag)
    assert (done.returncode, done.stderr) == (0, "")
    assert "main ran" not in done.stdout
    for _, field in options.fields_of(OPTIONS):
        assert f"--{field.name}" in done.stdout.replace("--[no]", "--")


def test_a_bad_flag_file_is_one_line_and_status_1(tmp_path):
    (tmp_path / "a.flags").write_text("size=8\n")
    done = run("print('ran')", f"--flagfile={tmp_path / 'a.flags'}")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "a.flags, line 1" in done.stderr


COMMAND_LINES = [
    *(
        [f"alexnet_tf.{name}", flag]
        for name in package.COMMANDS
        for flag in ("--help",)
    ),
    ["alexnet_tf.train", "--helpshort"],
    ["alexnet_tf.train", "--learning_rat=1"],
    ["alexnet_tf"],
]


@pytest.mark.parametrize("line", COMMAND_LINES, ids=" ".join)
def test_help_and_mistakes_load_neither_tensorflow_nor_numpy(line):
    module, *arguments = line
    code = (
        "import runpy, sys\n"
        f"sys.argv = [{module!r}, *{arguments!r}]\n"
        "try:\n"
        f"    runpy.run_module({module!r}, run_name='__main__', alter_sys=True)\n"
        "except SystemExit:\n"
        "    pass\n"
        "heavy = {'tensorflow', 'keras', 'numpy', 'requests', 'PIL'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_preparing_a_missing_folder_is_one_line_and_status_1(tmp_path):
    command = [sys.executable, "-m", "alexnet_tf.prepare", "--source=folder:/nope"]
    done = subprocess.run(
        [*command, f"--output={tmp_path / 'made'}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "alexnet_tf.prepare: folder:/nope: no such folder\n"
    assert list(tmp_path.iterdir()) == []
