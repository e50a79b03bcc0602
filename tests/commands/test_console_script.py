"""`alexnet CMD` is `python -m alexnet_tf.CMD`, and shells can complete it."""

import os
import re
import shutil
import subprocess
import sys

import pytest

import alexnet_tf
from alexnet_tf import __main__ as package
from alexnet_tf.runtime import completion
from tests.support import ROOT

# The code of the script that pip installs.
SCRIPT = [
    sys.executable,
    "-c",
    "import sys; from alexnet_tf.__main__ import main; sys.exit(main())",
]


@pytest.fixture(scope="module")
def without_tensorflow(tmp_path_factory):
    """An environment in which importing TensorFlow, Keras or NumPy fails."""
    folder = tmp_path_factory.mktemp("poisoned")
    for name in ("tensorflow", "keras", "numpy"):
        (folder / f"{name}.py").write_text("raise SystemExit('loaded')\n")
    path = f"{folder}{os.pathsep}{ROOT}"
    return os.environ | {"PYTHONPATH": path, "KERAS_BACKEND": "tensorflow"}


def outcome(*command, env):
    done = subprocess.run(
        command, env=env, cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("command", package.COMMANDS)
def test_help_is_that_of_the_module(command, without_tensorflow):
    ours = outcome(*SCRIPT, command, "--help", env=without_tensorflow)
    module = [sys.executable, "-m", f"alexnet_tf.{command}"]
    assert ours == outcome(*module, "--help", env=without_tensorflow)
    assert ours[0] == 0
    assert "--" in ours[1]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--epohcs=3"],
        ["--precision=half"],
        ["--flagfile=missing.flags"],
    ],
)
def test_mistakes_end_as_those_of_the_module(arguments, without_tensorflow):
    ours = outcome(*SCRIPT, "train", *arguments, env=without_tensorflow)
    module = [sys.executable, "-m", "alexnet_tf.train", *arguments]
    assert ours == outcome(*module, env=without_tensorflow)
    assert ours[0] == 1


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["nothing-like-it"]])
def test_without_a_command_it_lists_all(arguments, without_tensorflow):
    ours = outcome(*SCRIPT, *arguments, env=without_tensorflow)
    module = [sys.executable, "-m", "alexnet_tf", *arguments]
    assert ours == outcome(*module, env=without_tensorflow)
    assert ours[0] == (1 if arguments == ["nothing-like-it"] else 0)
    for name in package.COMMANDS:
        assert f"python -m alexnet_tf.{name} " in ours[1] + ours[2]


def test_a_shell_without_argcomplete_is_offered_nothing_and_no_traceback(monkeypatch):
    monkeypatch.setitem(sys.modules, "argcomplete", None)
    with pytest.raises(SystemExit, match=r"^1$"):
        completion.answer(package.COMMANDS, {})


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
@pytest.mark.parametrize("arguments", [["help"], [], ["nothing-like-it"]])
def test_the_script_lists_commands_as_it_is_called_itself(
    arguments, without_tensorflow, tmp_path
):
    script = tmp_path / "alexnet"
    script.write_text(f"#!{sys.executable}\n{SCRIPT[2]}\n")
    script.chmod(0o755)
    status, *printed = outcome(str(script), *arguments, env=without_tensorflow)
    assert status == (1 if arguments == ["nothing-like-it"] else 0)
    for name, does in package.COMMANDS.items():
        assert re.search(
            f"^  alexnet {name} +{re.escape(does)}$", "".join(printed), re.M
        )
    assert "python -m" not in "".join(printed)


@pytest.mark.parametrize("typed", ["--version", "version"])
def test_it_says_its_version(typed, without_tensorflow):
    said = outcome(*SCRIPT, typed, env=without_tensorflow)
    assert said == (0, f"alexnet_tf {alexnet_tf.__version__}\n", "")


def test_help_of_a_command_is_its_help(without_tensorflow):
    asked = outcome(*SCRIPT, "help", "tables", env=without_tensorflow)
    assert asked == outcome(*SCRIPT, "tables", "--help", env=without_tensorflow)
    assert "--" in asked[1]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("trian", "train"), ("import-weights", "import_weights"), ("pedict", "predict")],
)
def test_a_mistyped_command_suggests_the_right_one(typed, meant, without_tensorflow):
    status, _, errors = outcome(*SCRIPT, typed, "--help", env=without_tensorflow)
    assert status == 1
    assert f"no command {typed!r} here. Did you mean {meant}?" in errors


def completions(line, environment, answers):
    """What the shell is offered at the end of a line, as argcomplete's protocol says."""
    asking = {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_COMP_WORDBREAKS": " =:",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answers),
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
    }
    status, _, errors = outcome(*SCRIPT, env=environment | asking)
    assert status == 0, errors
    return {word.strip() for word in answers.read_text().split("\n")}


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("alexnet tr", {"train"}),
        ("alexnet ", {*package.COMMANDS, "-h", "--help"}),
        ("alexnet train --dropo", {"--dropout", "--dropout_rate"}),
        ("alexnet train --dropout=", {"original", "inverted"}),
        ("alexnet train --architecture=caff", {"caffe_alexnet", "caffenet"}),
        ("alexnet check_gradients --architecture=torch", {"torchvision"}),
        ("alexnet train --nomirr", {"--nomirror"}),
        ("alexnet import_weights --fr", {"--from"}),
        ("alexnet evaluate --flagf", {"--flagfile"}),
        ("alexnet study --seed", {"--seed", "--seeds"}),
        ("alexnet predict --dropo", {""}),
    ],
)
def test_a_shell_completes_commands_flags_and_choices(
    line, offered, without_tensorflow, tmp_path
):
    pytest.importorskip("argcomplete")
    found = completions(line, without_tensorflow, tmp_path / "answers")
    assert found - {"-h"} == offered - {"-h"}


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
def test_bash_completes_the_command(without_tensorflow, tmp_path):
    argcomplete = pytest.importorskip("argcomplete")
    script = tmp_path / "alexnet"
    script.write_text(f"#!{sys.executable}\n{SCRIPT[2]}\n")
    script.chmod(0o755)
    asked = """
COMP_WORDS=(alexnet train --preci) COMP_CWORD=2
COMP_LINE='alexnet train --preci' COMP_POINT=${#COMP_LINE} COMP_TYPE=9
_python_argcomplete alexnet
echo "${COMPREPLY[@]}"
"""
    code = argcomplete.shellcode(["alexnet"], shell="bash") + asked
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    environment = without_tensorflow | {"PATH": path}
    assert outcome("bash", "-c", code, env=environment)[1].strip() == "--precision"
