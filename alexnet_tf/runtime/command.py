"""Runs a command: parses its options, and reports an error of the user in one line.

This module does not import TensorFlow, so that `--help` and the error for a mistyped
flag appear in a fraction of a second.
"""

import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from absl import app, flags, logging

from alexnet_tf.runtime import errors, flag_files, log_noise, options

Options = TypeVar("Options")

_HELP = ("-h", "-help", "--help")
_SHORT_HELP = ("-helpshort", "--helpshort")


def run_command(
    name: str,
    kind: type[Options],
    main: Callable[[Options, Sequence[str]], None],
    usage: str | None,
) -> None:
    """Runs the command `python -m alexnet_tf.NAME`.

    Args:
        name: of the command.
        kind: the dataclass of its options.
        main: gets the options, and the arguments that are not flags.
        usage: what `--help` prints first: the docstring of the command's module.

    An error that a user can correct is printed in one line, with exit status 1. Ctrl-C
    gives status 130. With --verbosity=1 an error keeps its traceback.
    """
    options.define(kind, flags.FLAGS)

    def parse(arguments: Sequence[str]) -> list[str]:
        for argument in arguments[1:]:
            if argument == "--":
                break
            if argument in (*_HELP, *_SHORT_HELP):
                short = argument in _SHORT_HELP
                print(options.help_text(kind, usage or "", short=short), end="")
                sys.exit(0)
        try:
            return flags.FLAGS([arguments[0], *flag_files.expand(arguments[1:])])
        except flags.Error as error:
            print(
                f"alexnet_tf.{name}: {error} (--help lists all flags)", file=sys.stderr
            )
            sys.exit(1)

    def body(arguments: Sequence[str]) -> None:
        log_noise.show_only_own_messages()
        try:
            main(options.collect(kind, flags.FLAGS), arguments[1:])
        except KeyboardInterrupt:
            print(f"alexnet_tf.{name}: interrupted", file=sys.stderr)
            sys.exit(130)
        except Exception as error:
            if logging.level_debug() or not _is_foreseen(error):
                raise
            print(f"alexnet_tf.{name}: {errors.one_line(error)}", file=sys.stderr)
            sys.exit(1)

    app.run(body, sys.argv, flags_parser=parse)


def _is_foreseen(error: Exception) -> bool:
    """Whether an error is one that a user can correct, and not a defect."""
    # TensorFlow's errors, and that of the op library, by name: importing TensorFlow takes
    # seconds.
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(
        names & {"ValueError", "OSError", "RuntimeError", "OpError", "OpLibraryError"}
    )
