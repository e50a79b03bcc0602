"""Completes the commands, their flags, and known values of flags in a shell.

argcomplete (the extra `completion`) does the work: its `register-python-argcomplete`
prints what a shell needs to ask, and it answers from a parser of argparse, which is made
here of the options of a command.
"""

import argparse
import sys
from collections.abc import Iterable, Mapping

from alexnet_tf.runtime import options


def parser_of(
    commands: Mapping[str, str], kinds: Mapping[str, Iterable[type]]
) -> argparse.ArgumentParser:
    """Returns a parser with a subcommand for each command.

    Args:
        commands: what each command does, by its name.
        kinds: the dataclasses of options of the commands whose flags are needed.

    Example:
        >>> from alexnet_tf import tables
        >>> parser = parser_of({"tables": "prints"}, {"tables": [tables.OPTIONS]})
        >>> parser.parse_args(["tables", "--format=markdown"]).format
        'markdown'
    """
    parser = argparse.ArgumentParser("alexnet")
    subcommands = parser.add_subparsers()
    for name, does in commands.items():
        command = subcommands.add_parser(name, help=does)
        command.add_argument("files", nargs="*")
        if name in kinds:
            command.add_argument("--flagfile")
        for kind in kinds.get(name, ()):
            for _, field in options.fields_of(kind):
                _add_flag(command, field)
    return parser


def _add_flag(command: argparse.ArgumentParser, field) -> None:
    name = options.flag_name(field)
    if options.kind_name(field) == "switch":
        command.add_argument(f"--{name}", f"--no{name}", action="store_true")
    else:
        command.add_argument(f"--{name}", choices=options.known_values(field) or None)


def answer(commands: Mapping[str, str], kinds: Mapping[str, Iterable[type]]) -> None:
    """Prints how the line of a shell that asks can go on, and ends the process.

    Without argcomplete in this environment there is no answer: a traceback would be
    printed into the line that somebody types.
    """
    try:
        import argcomplete
    except ModuleNotFoundError:
        sys.exit(1)
    argcomplete.autocomplete(parser_of(commands, kinds))
