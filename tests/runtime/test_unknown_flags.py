"""Flags that a command does not have, and what was perhaps meant by them."""

import importlib

import pytest
from absl import flags

from alexnet_tf import __main__ as package
from alexnet_tf.runtime import options, unknown_flags


def said_of(command, *arguments, **given):
    values = flags.FlagValues()
    options.define(importlib.import_module(f"alexnet_tf.{command}").OPTIONS, values)
    flags.DEFINE_boolean("run_with_pdb", False, "", values, module_name="absl.app")
    with pytest.raises(flags.UnrecognizedFlagError) as error:
        options.parse_flags(values, arguments, **given)
    return str(error.value).removeprefix("Unknown command line flag ")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("evaluate --run_dir=runs/mine", "--checkpoint"),
        ("export --run_dir=runs/mine", "--checkpoint"),
        ("predict --checkpoint=runs/mine", "--model"),
        ("prepare --dataset=folder:images", "--source"),
        ("train --source=folder:images", "--dataset"),
        ("train --output=runs/mine", "--run_dir"),
        ("train --checkpoint=runs/mine", "--weights"),
        ("train --lr=0.1", "--learning_rate"),
        ("import_weights --weights=a.pth", "--from"),
    ],
)
def test_the_name_that_another_command_or_library_has_for_it_is_translated(
    typed, meant
):
    command, argument = typed.split()
    name = argument.removeprefix("--").partition("=")[0]
    assert said_of(command, argument) == f"'{name}'. Did you mean {meant}?"


def test_a_mistyped_flag_suggests_those_of_the_command_with_two_dashes():
    assert said_of("train", "--datset=x") == "'datset'. Did you mean --dataset?"
    assert "Did you mean --nomirror or --mirror" in said_of("train", "--nomirorr")
    assert said_of("train", "--zzz=1") == "'zzz'"
    assert said_of("evaluate", "--run_with_pd") == "'run_with_pd'"  # one for debugging


def test_what_is_given_without_a_flag_is_shown_as_it_is_typed():
    given = {"as_argument": {"checkpoint"}}
    said = said_of("report", "--checkpoint=my runs/a", **given)
    assert said == "'checkpoint'. It is given without a flag here: 'my runs/a'"
    said = said_of("report", "--checkpoint", "runs/a", **given)
    assert said == "'checkpoint'. It is given without a flag here"


def test_a_flag_file_names_its_line_and_what_was_meant(tmp_path):
    file = tmp_path / "a.flags"
    file.write_text("--lr=0.1\n")
    values = flags.FlagValues()
    options.define(importlib.import_module("alexnet_tf.train").OPTIONS, values)
    with pytest.raises(flags.Error, match=r"a.flags, line 1: .*mean --learning_rate\?"):
        options.parse_flags(values, [f"--flagfile={file}"])


def test_every_translation_is_of_a_flag_that_some_command_has():
    known = {
        options.flag_name(field)
        for name in package.COMMANDS
        for _, field in options.fields_of(
            importlib.import_module(f"alexnet_tf.{name}").OPTIONS
        )
    }
    for names in unknown_flags._ALSO_CALLED.values():
        assert set(names) <= known
