"""Options have defaults, limits and groups, and can be written to flag files."""

import dataclasses
import importlib
import math
import re
import typing

import hypothesis
import pytest
from absl import flags
from hypothesis import strategies as st

from alexnet_tf import __main__ as package
from alexnet_tf.runtime import options
from alexnet_tf.training.train_options import TrainOptions

COMMANDS = {
    name: importlib.import_module(f"alexnet_tf.{name}").OPTIONS
    for name in package.COMMANDS
}
DEFAULTS = TrainOptions()
EVERY = [
    pytest.param(field, id=f"{command}-{options.flag_name(field)}")
    for command, kind in COMMANDS.items()
    for _, field in options.fields_of(kind)
]


def parsed(*arguments, command="train"):
    """The options of a command line, by name."""
    return options.values_of(options.parse(COMMANDS[command], arguments))


@pytest.mark.parametrize("field", EVERY)
def test_every_option_has_a_help_text_and_a_default_of_its_type(field):
    assert len(field.metadata["help"]) > 5
    kind = options._kind(field)
    if field.default is not None:
        if options.choices(field):
            assert field.default in options.choices(field)
        else:
            assert type(field.default) is (typing.get_origin(kind) or kind)
        check = field.metadata["check"]
        assert check is None or check(field.default) is True
    else:
        assert type(None) in typing.get_args(field.type)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_names_of_a_commands_options_are_unique(command):
    names = [
        options.flag_name(field) for _, field in options.fields_of(COMMANDS[command])
    ]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_line_without_flags_gives_the_defaults(command):
    assert options.parse(COMMANDS[command], []) == COMMANDS[command]()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_has_its_own_flags_and_no_others(command):
    values = flags.FlagValues()
    options.define(COMMANDS[command], values)
    expected = {
        options.flag_name(field) for _, field in options.fields_of(COMMANDS[command])
    }
    assert set(values) == expected


def test_one_name_may_mean_different_things_in_two_commands():
    assert parsed("--output=here", command="prepare")["output"] == "here"
    exported = parsed("--output=here", "--format=keras", command="export")
    assert (exported["output"], exported["format"]) == ("here", "keras")
    assert parsed("--format=csv", command="predict")["format"] == "csv"


def test_flags_become_values_of_their_types():
    found = options.parse(
        TrainOptions,
        [
            "--batch_size=64",
            "--learning_rate=1e-3",
            "--resume",
            "--drop_epochs=23,51,78",
            "--tower_devices=/GPU:0,/GPU:1",
            "--bias_learning_rate_factor=1",
            "--color_noise_end_epoch=inf",
            "--run_dir=runs/my run",
        ],
    )
    assert found == options.replace(
        DEFAULTS,
        batch_size=64,
        learning_rate=0.001,
        resume=True,
        drop_epochs=(23.0, 51.0, 78.0),
        tower_devices=("/GPU:0", "/GPU:1"),
        bias_learning_rate_factor=1.0,
        color_noise_end_epoch=math.inf,
        run_dir="runs/my run",
    )


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--batch_size=0", "flag --batch_size=0: must be at least 1, got 0"),
        ("--batch_size=many", "--batch_size=many"),
        ("--learning_rate=-1", "--learning_rate=-1.0: must be at least 0"),
        ("--epochs=inf", "--epochs=inf: must be at least 0 and finite"),
        ("--validate_epochs=inf", "--validate_epochs=inf: must be above 0 and finite"),
        ("--learning_rate=inf", "--learning_rate=inf: must be at least 0 and finite"),
        ("--learning_rate=nan", "--learning_rate=nan: must be at least 0"),
        ("--weight_decay=-1", "--weight_decay=-1.0: must be at least 0"),
        ("--momentum=1", "--momentum=1.0: must be at least 0 and below 1"),
        ("--drop_epochs=3,-1", "drop_epochs.*must be at least 0"),
        ("--drop_epochs=3,soon", "drop_epochs.*must be numbers, separated by commas"),
        ("--seed=-1", "--seed=-1: must be at least 0"),
        ("--logical_cpus=0", "--logical_cpus=0: must be at least 1"),
        ("--crop_sharing=0", "--crop_sharing=0: must be at least 1"),
        ("--max_steps=0", "--max_steps=0: must be at least 1"),
        ("--validate_epochs=0", "--validate_epochs=0.0: must be above 0"),
        (
            "--architecture=alexnet",
            "must be one of paper, cuda_convnet, .* got alexnet",
        ),
        ("--color_noise=code", "--color_noise=code: .*paper|cuda_convnet"),
        ("--precision=float16", "--precision=float16: .*bfloat16"),
        ("--resume=maybe", "--resume=maybe"),
    ],
)
def test_a_bad_value_is_rejected_with_the_name_of_its_flag(argument, message):
    with pytest.raises(flags.IllegalFlagValueError, match=message):
        parsed(argument)


@pytest.mark.parametrize("holdout", ["-0.1", "1", "2"])
def test_a_holdout_that_leaves_nothing_to_train_on_is_rejected(holdout):
    with pytest.raises(flags.IllegalFlagValueError, match="holdout.*below 1"):
        parsed(f"--holdout={holdout}", command="prepare")


def test_a_flag_of_another_command_is_unknown():
    with pytest.raises(flags.UnrecognizedFlagError, match="learning_rate"):
        parsed("--learning_rate=1", command="prepare")


def test_an_argument_that_is_not_a_flag_is_rejected():
    with pytest.raises(ValueError, match="'garments': flags begin with --$"):
        parsed("garments")


@pytest.mark.parametrize(
    ("command", "meant"),
    [
        *(("evaluate", "--checkpoint="), ("export", "--checkpoint=")),
        *(("features", "--checkpoint="), ("figures", "--checkpoint=")),
        *(("prepare", "--source=folder:"), ("train", "--dataset=folder:")),
        ("import_weights", "--from="),
    ],
)
def test_a_command_says_which_flag_was_perhaps_left_out(command, meant):
    module = importlib.import_module(f"alexnet_tf.{command}")
    for typed, shown in (("a/b", f"{meant}a/b"), ("a b", f"'{meant}a b'")):
        with pytest.raises(ValueError, match=re.escape(f"Did you mean {shown}?")):
            module.main(module.OPTIONS(), [typed])


def test_a_tilde_is_expanded_in_every_path(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for command, kind in COMMANDS.items():
        for _, field in options.fields_of(kind):
            if field.metadata["is_path"]:
                name = options.flag_name(field)
                found = parsed(f"--{name}=~/x", command=command)[name]
                assert found == f"{tmp_path}/x", name
    found = parsed("--source=folder:~/images", command="prepare")["source"]
    assert found == f"folder:{tmp_path}/images"
    assert parsed("--dataset=tfds:a~b")["dataset"] == "tfds:a~b"


EVERY_PATH = [
    pytest.param(
        command, options.flag_name(field), id=f"{command}-{options.flag_name(field)}"
    )
    for command, kind in COMMANDS.items()
    for _, field in options.fields_of(kind)
    if field.metadata["is_path"]
]


@pytest.mark.parametrize(("command", "name"), EVERY_PATH)
@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("gs://bucket/x", "gs:// is not supported"),
        ("folder:s3://bucket", "s3:// is not supported"),
        ("", "the path is empty"),
        ("~nobody-here/x", "there is no home folder of ~nobody-here"),
    ],
)
def test_a_path_that_is_not_on_this_machine_is_refused(command, name, path, message):
    with pytest.raises(flags.IllegalFlagValueError, match=f"--{name}=.*{message}"):
        parsed(f"--{name}={path}", command=command)


def test_every_option_that_is_a_file_or_a_folder_is_marked_as_a_path():
    words = {"dir", "file", "folder", "output", "dataset", "checkpoint", "source"}
    for command, kind in COMMANDS.items():
        for _, field in options.fields_of(kind):
            named = words & set(field.name.split("_")) and options._kind(field) is str
            described = "folder" in field.metadata["help"].split(":")[0]
            if (named or described) and options._kind(field) is str:
                assert field.metadata["is_path"], (command, field.name)


TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF, categories="LNS"))
NOT_NEGATIVE = st.floats(0, 1e9)


@hypothesis.given(
    st.fixed_dictionaries(
        {
            "data_dir": TEXT.map(lambda text: f"./{text}"),
            "tower_devices": st.lists(
                st.from_regex(r"/[CG]PU:[0-9]", fullmatch=True), min_size=1, max_size=3
            ).map(tuple),
            "resume": st.booleans(),
            "batch_size": st.integers(1, 10**9),
            "learning_rate": NOT_NEGATIVE,
            "weight_decay": st.none() | NOT_NEGATIVE,
            "drop_epochs": st.lists(NOT_NEGATIVE, max_size=4).map(tuple),
            "conv1_drop_epoch": NOT_NEGATIVE | st.just(math.inf),
            "schedule": st.sampled_from(["plateau", "epochs"]),
        }
    )
)
@hypothesis.settings(deadline=None, max_examples=50)
def test_written_options_are_read_back(tmp_path_factory, changes):
    path = tmp_path_factory.mktemp("run") / "resolved.flags"
    chosen = options.replace(DEFAULTS, **changes)
    options.write(path, chosen)
    assert options.read(path, TrainOptions) == chosen


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--learning_rat=0.1", "Unknown command line flag 'learning_rat'"),
        ("--holdout=0.1", "Unknown command line flag 'holdout'"),
        ("--batch_size=0", "flag --batch_size=0: must be at least 1"),
        ("--batch_size=many", "batch_size"),
        ("--run_dir=s3://b", "s3:// is not supported"),
    ],
)
def test_a_wrong_flag_in_a_file_is_rejected_with_file_and_line(tmp_path, line, message):
    (tmp_path / "inner.flags").write_text(f"# mine\n\n{line}\n")
    (tmp_path / "a.flags").write_text(f"--seed=1\n--flagfile={tmp_path}/inner.flags\n")
    with pytest.raises(flags.Error, match=rf"inner\.flags, line 3: .*{message}"):
        parsed(f"--flagfile={tmp_path / 'a.flags'}", "--resume")


def test_a_wrong_flag_beside_a_file_is_not_blamed_on_the_file(tmp_path):
    (tmp_path / "a.flags").write_text("--seed=1\n")
    with pytest.raises(flags.Error, match="^flag --batch_size=0"):
        parsed(f"--flagfile={tmp_path / 'a.flags'}", "--batch_size=0")


@pytest.mark.parametrize(
    ("before", "end"), [("", "\r\n"), ("\ufeff", "\n"), ("\ufeff", "\r\n")]
)
def test_a_record_with_a_byte_order_mark_or_crlf_means_the_same(tmp_path, before, end):
    path = tmp_path / "resolved.flags"
    wanted = options.replace(DEFAULTS, batch_size=7, run_dir="runs/my run", resume=True)
    options.write(path, wanted)
    lines = path.read_text().splitlines()
    path.write_bytes((before + end.join([*lines, ""])).encode())
    assert options.read(path, TrainOptions) == wanted


@pytest.mark.parametrize(
    "line",
    [
        *("--flagfile=other.flags", "-flagfile=other.flags", "--flagfile", "--"),
        *("--learning_rat=1", "--holdout=0.1", "--undefok=seed", "--verbosity=1"),
        *("--resume", "seed=1", "--seed 1", "stray"),
    ],
)
def test_a_record_holds_options_of_the_command_and_nothing_else(tmp_path, line):
    (tmp_path / "other.flags").write_text("--seed=1\n")
    path = tmp_path / "resolved.flags"
    path.write_text(f"--batch_size=7\n{line}\n")
    with pytest.raises(flags.Error, match=r"resolved\.flags, line 2: expected one opt"):
        options.read(path, TrainOptions)


def test_a_wrong_value_in_a_record_is_rejected_with_the_line(tmp_path):
    path = tmp_path / "resolved.flags"
    path.write_text("--seed=3\n--batch_size=0\n")
    with pytest.raises(flags.Error, match=r"resolved\.flags, line 2: .*at least 1"):
        options.read(path, TrainOptions)


def test_later_flags_override_a_written_file(tmp_path):
    path = tmp_path / "resolved.flags"
    wanted = options.replace(DEFAULTS, batch_size=7, drop_epochs=(1.0, 2.5))
    options.write(path, wanted)
    assert options.parse(TrainOptions, [f"--flagfile={path}"]) == wanted
    assert parsed(f"--flagfile={path}", "--batch_size=9")["batch_size"] == 9


def test_a_file_holds_every_option_that_has_a_value(tmp_path):
    path = tmp_path / "resolved.flags"
    options.write(path, DEFAULTS)
    found = {line.split("=")[0] for line in path.read_text().splitlines()}
    given = options.values_of(DEFAULTS).items()
    assert found == {f"--{name}" for name, value in given if value is not None}


def test_only_some_options_may_change_when_a_run_is_resumed():
    fixed = options.values_of(DEFAULTS, changeable=False)
    assert {"seed", "batch_size", "learning_rate", "architecture"} <= set(fixed)
    assert {"precision", "drop_epochs", "crop_sharing", "init"} <= set(fixed)
    free = {"dataset", "run_dir", "resume", "tower_devices", "epochs", "max_steps"}
    assert not free & set(fixed)


def test_options_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        DEFAULTS.recipe.batch_size = 1


def test_replacing_an_unknown_option_is_an_error():
    with pytest.raises(TypeError, match="TrainOptions has no option batchsize"):
        options.replace(DEFAULTS, batchsize=1)


def test_help_shows_every_option_below_its_heading():
    text = options.help_text(COMMANDS["prepare"], "Usage.")
    assert text.startswith("Usage.\n")
    for _, field in options.fields_of(COMMANDS["prepare"]):
        assert f"--{options.flag_name(field)}" in text.replace("--[no]", "--")
    assert text.index("\nSource\n") < text.index("--holdout") < text.index("\nOutput\n")
    assert "(default: 256)" in text
    short = options.help_text(COMMANDS["prepare"], "Usage.", short=True)
    assert len(short) < len(text) / 2
