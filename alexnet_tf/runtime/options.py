"""The options of a command: a frozen dataclass of groups, read from flags.

A command declares its options as one dataclass whose fields are groups, and each group
is a dataclass whose fields are options. A group's title is a heading in `--help` and in
docs/flags.md. The type and the default of an option are those of its field; None means
"not given". A command sees its own options and no others.

    @dataclasses.dataclass(frozen=True)
    class ImageOptions:
        size: int = options.option(256, "side of the images", check=options.at_least(1))

    @dataclasses.dataclass(frozen=True)
    class PrepareOptions:
        images: ImageOptions = options.group(ImageOptions, "Images")
"""

import copy
import dataclasses
import math
import os
import pathlib
import re
import shlex
import textwrap
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from typing import Any, Literal, TypeVar

from absl import flags

from alexnet_tf.runtime import files, flag_files, paths, suggestions, unknown_flags

Options = TypeVar("Options")
# Returns True for a value that is allowed, or else what it must be, "at least 1".
Check = Callable[[Any], bool | str]


def option(
    default: Any,
    help: str,
    *,
    check: Check | None = None,
    changeable: bool = False,
    adjustable: bool = False,
    is_path: bool = False,
    repeatable: bool = False,
) -> Any:
    """Returns a dataclass field for an option.

    Args:
        default: its value if it is not given; None stands for "not given".
        help: what it does, for `--help` and docs/flags.md.
        check: the condition that its values must meet.
        changeable: whether it may differ when a run is resumed, because it changes no
            number that the run computes.
        adjustable: whether a resumed run may change it for its steps to come. The run
            records every such change.
        is_path: whether it is a path on this machine: ~ at its beginning names a home
            folder, and addresses such as gs://bucket are refused.
        repeatable: whether the flag may be given several times, each time with one of
            the values of a tuple, which may contain commas.
    """
    metadata = {
        "help": help,
        "check": check,
        "changeable": changeable,
        "adjustable": adjustable,
        "is_path": is_path,
        "repeatable": repeatable,
    }
    return dataclasses.field(default=default, metadata=metadata)


def group(kind: type, title: str) -> Any:
    """Returns a dataclass field for a group of options; `title` is its heading."""
    return dataclasses.field(default_factory=kind, metadata={"title": title})


def at_least(least: float) -> Check:
    """Returns a check that a number, or each of several, is at least `least`."""

    def check(value):
        numbers = value if isinstance(value, tuple) else (value,)
        return all(number >= least for number in numbers) or f"at least {least:g}"

    return check


def at_least_and_finite(least: float) -> Check:
    """A check that a number is not below `least`, and not infinite."""
    return lambda value: least <= value < math.inf or f"at least {least:g} and finite"


def above(limit: float) -> Check:
    """Returns a check that a number is above `limit`, and not infinite."""
    return lambda value: limit < value < math.inf or f"above {limit:g} and finite"


def between(low: float, high: float) -> Check:
    """Returns a check that a number is at least `low` and below `high`."""
    return lambda value: low <= value < high or f"at least {low:g} and below {high:g}"


def one_of(*values: Any) -> Check:
    """Returns a check that a value is one of `values`."""
    return lambda value: value in values or " or ".join(map(str, values))


@dataclasses.dataclass(frozen=True)
class Named:
    """A check that text, or each of several, is one of some names.

    The error for another name suggests those that are like it.

    Example:
        >>> Named(("paper", "small"))("papr")
        'one of paper, small'
    """

    names: tuple[str, ...]

    def __call__(self, value: Any) -> bool | str:
        return not self._unknown(value) or f"one of {', '.join(self.names)}"

    def _unknown(self, value: Any) -> list[str]:
        parts = value if isinstance(value, tuple) else (value,)
        return [part for part in parts if part not in self.names]

    def hint(self, value: Any) -> str:
        """What was perhaps meant by the first unknown name."""
        return suggestions.did_you_mean(self._unknown(value)[0], self.names)


def groups_of(kind: type) -> Iterator[dataclasses.Field]:
    """The groups of a command's options, in order."""
    yield from dataclasses.fields(kind)


def fields_of(kind: type) -> Iterator[tuple[dataclasses.Field, dataclasses.Field]]:
    """Yields (group, option) for every option of a command, in order."""
    for each in groups_of(kind):
        for field in dataclasses.fields(typing.cast(type, each.default_factory)):
            yield each, field


def flag_name(field: dataclasses.Field) -> str:
    """The name of an option's flag: that of its field, or `from` for a field `from_`.

    A field cannot have a name that is a word of Python, so it gets an underscore.
    """
    return field.name.removesuffix("_")


def _kind(field: dataclasses.Field) -> Any:
    """Returns the type of an option's values, without None for "not given"."""
    kind: Any = field.type
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        (kind,) = (k for k in typing.get_args(kind) if k is not type(None))
    return kind


def choices(field: dataclasses.Field) -> tuple[str, ...]:
    """Returns the values of an option that is a choice, or else an empty tuple."""
    kind = _kind(field)
    return typing.get_args(kind) if typing.get_origin(kind) is Literal else ()


def known_values(field: dataclasses.Field) -> tuple[str, ...]:
    """Returns the values that a shell can offer: choices, or names that are known."""
    check = field.metadata["check"]
    return choices(field) or (check.names if isinstance(check, Named) else ())


def kind_name(field: dataclasses.Field) -> str:
    """The type of an option in words, for a table: "integer", "list of numbers"."""
    kind = _kind(field)
    if typing.get_origin(kind) is Literal:
        return "choice"
    names = {str: "text", int: "integer", float: "number", bool: "switch"}
    if field.metadata["repeatable"]:
        return "text, repeatable"
    if typing.get_origin(kind) is tuple:
        return f"list of {names[typing.get_args(kind)[0]]}s"
    return "path" if field.metadata["is_path"] else names[kind]


def text_of(value: Any) -> str:
    """Returns a value as flag files and `--help` write it."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def define(kind: type, values: flags.FlagValues) -> None:
    """Defines a command's options as flags in `values`."""
    for _, field in fields_of(kind):
        _define_flag(field, values)


def _define_flag(field: dataclasses.Field, values: flags.FlagValues) -> None:
    name, help = flag_name(field), field.metadata["help"]
    default: Any = field.default
    kind: Any = _kind(field)
    origin = typing.get_origin(kind)
    if origin is Literal:
        flags.DEFINE_enum(name, default, choices(field), help, flag_values=values)
    elif field.metadata["repeatable"]:
        flags.DEFINE_multi_string(name, list(default), help, flag_values=values)
    elif origin is tuple:
        listed = None if default is None else list(map(str, default))
        flags.DEFINE_list(name, listed, help, flag_values=values)
    else:
        defined: Any = {
            str: flags.DEFINE_string,
            int: flags.DEFINE_integer,
            float: flags.DEFINE_float,
            bool: flags.DEFINE_boolean,
        }[kind]
        defined(name, default, help, flag_values=values)
    flags.register_validator(name, _validator(field), flag_values=values)


def _validator(field: dataclasses.Field) -> Callable[[Any], bool]:
    def validate(value) -> bool:
        check = field.metadata["check"]
        if value is None:
            return True
        try:
            typed = _typed(field, value)
        except ValueError as error:
            raise flags.ValidationError(str(error)) from None
        verdict = True if check is None else check(typed)
        if verdict is not True:
            hint = check.hint(typed) if isinstance(check, Named) else ""
            raise flags.ValidationError(
                f"must be {verdict}, got {text_of(typed)}{hint}"
            )
        return True

    return validate


def _typed(field: dataclasses.Field, value: Any) -> Any:
    """Converts the value of a flag to the type of the option's field.

    Raises ValueError, with what is wrong, for a value that the type does not have.
    """
    kind: Any = _kind(field)
    if value is None:
        return None
    if typing.get_origin(kind) is tuple:
        element = typing.get_args(kind)[0]
        try:
            return tuple(element(part) for part in value)
        except ValueError:
            raise ValueError(
                f"must be numbers, separated by commas, got {','.join(value)}"
            ) from None
    return _local(value) if field.metadata["is_path"] else value


def _local(path: str) -> str:
    """Returns the path of an option on this machine; it may follow `folder:`."""
    kind, _, rest = path.partition(":")
    if kind == "folder" and rest:
        return f"folder:{paths.local(rest)}"
    return paths.local(path)


def collect(kind: type[Options], values: flags.FlagValues) -> Options:
    """Returns a command's options from parsed flags."""
    found: dict[str, dict[str, Any]] = {}
    for each, field in fields_of(kind):
        value = _typed(field, values[flag_name(field)].value)
        found.setdefault(each.name, {})[field.name] = value
    groups: dict[str, Any] = {e.name: e.default_factory for e in groups_of(kind)}
    return kind(**{name: groups[name](**chosen) for name, chosen in found.items()})


def given(values: flags.FlagValues) -> set[str]:
    """The names of the flags that were given, on the command line or in a file."""
    return {name for name in values if values[name].present}


def parse(kind: type[Options], arguments: Sequence[str]) -> Options:
    """Returns a command's options from its arguments; a wrong one is a `flags.Error`.

    Example:
        >>> from alexnet_tf.prepare import PrepareOptions
        >>> parse(PrepareOptions, ["--size=32"]).output.size
        32
    """
    values = flags.FlagValues()
    define(kind, values)
    refuse_arguments(parse_flags(values, arguments))
    return collect(kind, values)


def parse_flags(
    values: flags.FlagValues,
    arguments: Sequence[str],
    as_argument: Set[str] = frozenset(),
) -> list[str]:
    """Sets `values` from arguments and flag files; returns what is not a flag.

    Args:
        values, arguments: the flags that there are, and what was typed.
        as_argument: as `unknown_flags.explained` needs it.

    Raises flags.Error, with the file and the line if a flag file is wrong.
    """
    alone = copy.deepcopy(values)
    expanded = flag_files.expand(arguments)
    try:
        return values(["", *expanded])[1:]
    except flags.Error as error:
        for line in expanded:
            if isinstance(line, flag_files.Line):
                _parse_line(copy.deepcopy(alone), line)
        if isinstance(error, flags.UnrecognizedFlagError):
            raise unknown_flags.explained(error, alone, as_argument) from None
        raise


def _parse_line(values: flags.FlagValues, line: flag_files.Line) -> None:
    """Sets `values` from one line of a flag file, or names the file and the line."""
    try:
        values(["", line])
    except flags.UnrecognizedFlagError as error:
        meant = unknown_flags.explained(error, values)
        raise flags.Error(f"{line.place}: {meant}") from None
    except flags.Error as error:
        raise flags.Error(f"{line.place}: {error}") from None


def replace(options: Options, **changes: Any) -> Options:
    """Returns a copy of a command's options with some values replaced, by name.

    Raises TypeError for a name that is not an option of the command.
    """
    groups = {field.name: each.name for each, field in fields_of(type(options))}
    unknown = sorted(set(changes) - set(groups))
    if unknown:
        raise TypeError(f"{type(options).__name__} has no option {', '.join(unknown)}")
    changed: dict[str, dict[str, Any]] = {}
    for name, value in changes.items():
        changed.setdefault(groups[name], {})[name] = value
    groups = {
        name: dataclasses.replace(getattr(options, name), **values)
        for name, values in changed.items()
    }
    return dataclasses.replace(typing.cast(Any, options), **groups)


def values_of(options: Any, *, changeable: bool = True) -> dict[str, Any]:
    """Returns the value of every option by name.

    With `changeable=False`, options that a resumed run may change are left out.
    """
    return {
        flag_name(field): getattr(getattr(options, each.name), field.name)
        for each, field in fields_of(type(options))
        if changeable or not field.metadata["changeable"]
    }


def adjustable(kind: type) -> list[str]:
    """The names of a command's options that a resumed run may change, and records."""
    found = (field for _, field in fields_of(kind) if field.metadata["adjustable"])
    return [flag_name(field) for field in found]


def write(path: str | os.PathLike[str], options: Any) -> None:
    """Writes a command's options as a flag file, without those that are None."""
    lines = [
        f"--{name}={text_of(value)}\n"
        for name, value in values_of(options).items()
        if value is not None
    ]
    files.write_text(path, "".join(lines))


def read(path: str | os.PathLike[str], kind: type[Options]) -> Options:
    """Returns the options in a file that `write` wrote.

    Such a file may come from a stranger, so each of its lines must be one option of the
    command: it includes no other files. Otherwise it is a flags.Error.
    """
    names = {field.name for _, field in fields_of(kind)}
    values = flags.FlagValues()
    define(kind, values)
    for line in flag_files.lines_of(pathlib.Path(path)):
        match = re.match(r"--(\w+)=", line)
        if match is None or match[1] not in names:
            raise flags.Error(
                f"{line.place}: expected one option as --name=value, got {str(line)!r}"
            )
        _parse_line(values, line)
    return collect(kind, values)


def command_line(options: Any) -> list[str]:
    """Returns the flags that give a command its options, without those by default.

    Example:
        >>> from alexnet_tf.prepare import PrepareOptions
        >>> command_line(replace(PrepareOptions(), size=32))
        ['--size=32']
    """
    defaults = values_of(type(options)())
    return [
        f"--{name}={text_of(value)}"
        for name, value in values_of(options).items()
        if value is not None and value != defaults[name]
    ]


def refuse_arguments(arguments: Sequence[str], meant: str = "") -> None:
    """Raises ValueError if a command that takes only flags is given something else.

    `meant` is what was perhaps left out before the argument, such as "--checkpoint=".
    """
    if arguments:
        flag = shlex.quote(f"{meant}{arguments[0]}")
        hint = f". Did you mean {flag}?" if meant else ""
        raise ValueError(
            f"unexpected argument {arguments[0]!r}: flags begin with --{hint}"
        )


def help_text(kind: type, usage: str, *, short: bool = False) -> str:
    """Returns the text of `--help`: the usage, then the options below their headings.

    With `short` it has only the names and defaults.
    """
    lines = [usage.strip()]
    title = None
    for each, field in fields_of(kind):
        if each.metadata["title"] != title:
            title = each.metadata["title"]
            lines += ["", title]
        lines += _option_help(field, short)
    return "\n".join(lines) + "\n"


def _option_help(field: dataclasses.Field, short: bool) -> list[str]:
    flag = flag_name(field)
    name = f"--[no]{flag}" if _kind(field) is bool else f"--{flag}"
    values = f"={'|'.join(choices(field))}" if choices(field) else ""
    default = "" if field.default is None else f" (default: {text_of(field.default)})"
    head = f"  {name}{values}{default}"
    if short:
        return [head]
    body = textwrap.wrap(field.metadata["help"], 80)
    return [head, *(f"      {line}" for line in body)]


def markdown_table(kinds: Mapping[str, type]) -> str:
    """Returns the options of each command as sections of docs/flags.md."""
    parts = []
    for command, kind in kinds.items():
        parts.append(f"## python -m alexnet_tf.{command}\n")
        for each in groups_of(kind):
            parts.append(f"### {command}: {each.metadata['title']}\n")
            rows = ["| flag | values | default | meaning |", "|---|---|---|---|"]
            for field in dataclasses.fields(typing.cast(type, each.default_factory)):
                values = ", ".join(f"`{c}`" for c in choices(field))
                default = text_of(field.default)
                shown = "" if field.default in (None, ()) else f"`{default}`"
                rows.append(
                    f"| `--{flag_name(field)}` | {values or kind_name(field)} | {shown} "
                    f"| {field.metadata['help']} |"
                )
            parts.append("\n".join(rows) + "\n")
    return "\n".join(parts)
