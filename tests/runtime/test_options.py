"""Flags: their defaults, their limits, their files, and how a user's error ends."""

import ast
import dataclasses
import pathlib
import subprocess
import sys
import typing

import hypothesis
import pytest
from absl import flags
from hypothesis import strategies as st

from alexnet_tf.runtime import options

FIELDS = dataclasses.fields(options.Config)
DEFAULTS = options.Config()
PACKAGE = pathlib.Path(options.__file__).parent


def name_of(field):
    return field.name


def parsed(main, *arguments):
    """The Config of a command line."""
    values = flags.FlagValues()
    options.define(main, values)
    values(["program", *arguments])
    return options.collect(main, values)


@pytest.mark.parametrize("field", FIELDS, ids=name_of)
def test_every_flag_has_help_and_a_reader(field):
    assert len(field.metadata["help"]) > 5
    assert field.metadata["readers"]
    assert set(field.metadata["readers"]) <= set(options.MAINS)


def test_a_main_has_no_two_flags_of_one_name():
    for main in options.MAINS:
        names = [options.flag_name(field) for field in options.fields_of(main)]
        assert len(set(names)) == len(names)


@pytest.mark.parametrize("main", options.MAINS)
def test_defaults_pass_their_own_validators(main):
    assert parsed(main) == DEFAULTS
    for field in options.fields_of(main):
        check = field.metadata["check"]
        assert check is None or check(field.default) is True, field.name


def test_a_default_is_of_its_flags_type():
    for field in FIELDS:
        origin = typing.get_origin(field.type)
        if origin is typing.Literal:
            assert field.default in typing.get_args(field.type)
        else:
            assert type(field.default) is (origin or field.type), field.name


@pytest.mark.parametrize("main", options.MAINS)
def test_a_main_has_its_own_flags_and_no_others(main):
    values = flags.FlagValues()
    options.define(main, values)
    expected = {options.flag_name(field) for field in options.fields_of(main)}
    assert set(values) == expected
    for name in expected:
        assert values[name].help


def flags_read_in(module):
    """Attributes of what is called `flags` in a module of the package."""
    tree = ast.parse((PACKAGE / f"{module}.py").read_text())
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and ast.unparse(node.value) in ("flags", "self.flags")
    }


@pytest.mark.parametrize("main", options.MAINS)
def test_a_main_reads_every_flag_that_it_has_and_no_other(main):
    own = {field.name for field in options.fields_of(main)}
    every = {field.name for field in FIELDS}
    assert flags_read_in(main) & every == own


def test_a_name_may_mean_another_thing_in_another_main():
    assert parsed("prepare", "--output=here").output == "here"
    exported = parsed("export", "--output=here", "--format=keras")
    assert (exported.export_dir, exported.export_format) == ("here", "keras")
    assert (exported.output, exported.format) == (DEFAULTS.output, DEFAULTS.format)


def test_flags_become_values_of_their_types():
    found = parsed(
        "train",
        "--batch_size=64",
        "--learning_rate=1e-3",
        "--resume",
        "--drop_epochs=23,51,78",
        "--tower_devices=/GPU:0,/GPU:1",
        "--update=paper",
        "--run_dir=runs/my run",
    )
    assert found == dataclasses.replace(
        DEFAULTS,
        batch_size=64,
        learning_rate=0.001,
        resume=True,
        drop_epochs=(23.0, 51.0, 78.0),
        tower_devices=("/GPU:0", "/GPU:1"),
        update="paper",
        run_dir="runs/my run",
    )


@pytest.mark.parametrize(
    ("argument", "told"),
    [
        ("--batch_size=0", "flag --batch_size=0: must be at least 1, got 0"),
        ("--batch_size=many", "--batch_size=many"),
        ("--learning_rate=-1", "--learning_rate=-1.0: must be at least 0"),
        ("--learning_rate=nan", "--learning_rate=nan: must be at least 0"),
        ("--momentum=1", "--momentum=1.0: must be at least 0 and below 1"),
        ("--drop_epochs=3,-1", "drop_epochs.*must be at least 0"),
        ("--drop_epochs=3,soon", "drop_epochs.*must be numbers, separated by commas"),
        ("--seed=-1", "--seed=-1: must be at least 0"),
        ("--logical_cpus=0", "--logical_cpus=0: must be at least 1"),
        ("--crop_sharing=0", "--crop_sharing=0: must be at least 1"),
        ("--update=adam", "--update=adam: .*paper|code"),
        ("--precision=float16", "--precision=float16: .*bfloat16"),
        ("--resume=maybe", "--resume=maybe"),
    ],
)
def test_a_bad_value_is_refused_with_the_name_of_its_flag(argument, told):
    with pytest.raises(flags.IllegalFlagValueError, match=told):
        parsed("train", argument)


@pytest.mark.parametrize("holdout", ["-0.1", "1", "2"])
def test_a_holdout_leaves_something_to_train_on(holdout):
    with pytest.raises(flags.IllegalFlagValueError, match="holdout.*below 1"):
        parsed("prepare", f"--holdout={holdout}")


def test_a_flag_of_another_main_is_unknown():
    with pytest.raises(flags.UnrecognizedFlagError, match="learning_rate"):
        parsed("prepare", "--learning_rate=1")


TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, categories="LNPS"))
NOT_NEGATIVE = st.floats(0, 1e9)


@hypothesis.given(
    st.builds(
        options.Config,
        dataset=TEXT,
        run_dir=TEXT,
        tower_devices=st.lists(
            st.from_regex(r"/[CG]PU:[0-9]", fullmatch=True), min_size=1, max_size=3
        ).map(tuple),
        resume=st.booleans(),
        batch_size=st.integers(1, 10**9),
        learning_rate=NOT_NEGATIVE,
        weight_decay=st.floats(-1, 1),
        drop_epochs=st.lists(NOT_NEGATIVE, max_size=4).map(tuple),
        schedule=st.sampled_from(["plateau", "epochs"]),
    )
)
@hypothesis.settings(deadline=None, max_examples=50)
def test_what_is_written_is_read_back(tmp_path_factory, flags_of_a_run):
    path = tmp_path_factory.mktemp("run") / "resolved.flags"
    options.write(path, "train", flags_of_a_run)
    assert options.read(path, "train") == flags_of_a_run


def test_a_written_file_is_a_flag_file(tmp_path):
    path = tmp_path / "resolved.flags"
    wanted = dataclasses.replace(DEFAULTS, batch_size=7, drop_epochs=(1.0, 2.5))
    options.write(path, "train", wanted)
    assert parsed("train", f"--flagfile={path}") == wanted
    assert parsed("train", f"--flagfile={path}", "--batch_size=9").batch_size == 9


def test_a_file_holds_every_flag_of_its_main(tmp_path):
    path = tmp_path / "resolved.flags"
    options.write(path, "export", DEFAULTS)
    found = {line.split("=")[0] for line in path.read_text().splitlines()}
    names = map(options.flag_name, options.fields_of("export"))
    assert found == {f"--{name}" for name in names}


def test_flags_that_make_the_run_are_told_from_those_that_do_not():
    found = options.defining(DEFAULTS)
    numbers = {"seed", "batch_size", "learning_rate", "architecture", "precision"}
    assert numbers | {"dataset", "drop_epochs", "crop_sharing", "init"} <= set(found)
    places = {"run_dir", "resume", "tower_devices", "epochs", "max_steps", "data_dir"}
    assert not places & set(found)
    assert {name: getattr(DEFAULTS, name) for name in found} == found
    assert set(found) < {field.name for field in options.fields_of("train")}


def test_a_config_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        DEFAULTS.batch_size = 1


def test_arguments_that_are_no_flags_are_refused():
    options.refuse_arguments([])
    with pytest.raises(ValueError, match="'garments': flags begin with --"):
        options.refuse_arguments(["garments", "more"])


# A main of a line each: no TensorFlow, so that a process takes a moment.
PROGRAM = """
import sys
from alexnet_tf.runtime import options as config
def main(flags, arguments):
    {body}
config.run("prepare", main)
"""


def run(body, *arguments):
    command = [sys.executable, "-c", PROGRAM.format(body=body), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_main_gets_its_flags_and_its_arguments():
    done = run("print(flags.size, arguments)", "--size=8", "a.jpg", "b.jpg")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "8 ['a.jpg', 'b.jpg']\n"


@pytest.mark.parametrize(
    "error", ["ValueError", "FileNotFoundError", "OSError", "RuntimeError"]
)
def test_a_users_error_is_one_line_and_status_1(error):
    done = run(f"raise {error}('no such\\n  thing')")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "alexnet_tf.prepare: no such thing\n"


def test_an_error_keeps_its_traceback_for_those_who_ask():
    done = run("raise ValueError('no such thing')", "--v=1")
    assert done.returncode != 0
    assert "Traceback" in done.stderr


def test_a_defect_of_the_program_keeps_its_traceback():
    done = run("raise KeyError('a defect')")
    assert done.returncode != 0
    assert "Traceback" in done.stderr


def test_an_interruption_is_one_line_and_status_130():
    done = run("raise KeyboardInterrupt")
    assert done.returncode == 130
    assert done.stderr == "alexnet_tf.prepare: interrupted\n"


def test_a_mistyped_flag_suggests_the_right_one():
    done = run("print('ran')", "--max_bad_file=3")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Unknown command line flag 'max_bad_file'" in done.stderr
    assert "Did you mean: max_bad_files" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bad_value_ends_with_the_flags_name_and_no_traceback():
    done = run("print('ran')", "--size=0")
    assert (done.returncode, done.stdout) == (1, "")
    assert "flag --size=0: must be at least 1, got 0" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_tells_every_flag_and_its_default():
    done = run("print('ran')", "--help")
    assert "ran" not in done.stdout
    for field in options.fields_of("prepare"):
        assert f"--{options.flag_name(field)}" in done.stdout.replace("--[no]", "--")
    assert "(default: '256')" in done.stdout


def test_preparing_a_folder_that_is_not_there_is_one_line_and_status_1(tmp_path):
    command = [sys.executable, "-m", "alexnet_tf.prepare", "--source=folder:/nope"]
    done = subprocess.run(
        [*command, f"--output={tmp_path / 'made'}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    told = done.stderr.splitlines()[-1]  # TensorFlow says what it finds before that
    assert told == "alexnet_tf.prepare: --source=folder:/nope: no such folder"
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_error_from_a_callback_is_one_line_without_its_traceback():
    text = (
        "{{function_node __wrapped__IteratorGetNext}} ValueError: a.array_record: "
        "record 3 is damaged\nTraceback (most recent call last):\n\n  File x, line 1\n"
    )
    found = options._one_line(RuntimeError(text))
    assert found == "a.array_record: record 3 is damaged"
    assert options._one_line(ValueError("two\n lines")) == "two lines"
