"""Runs a command: parses its options, and reports an error of the user in one line.

This module does not import TensorFlow, so that `--help` and the error for a mistyped
flag appear in a fraction of a second.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence, Set
from typing import Any, TypeVar

from absl import app, flags, logging

from alexnet_tf.runtime import errors, loading, log_noise, options

Options = TypeVar("Options")

_HELP = ("-h", "-help", "--help")
_SHORT_HELP = ("-helpshort", "--helpshort")


def run_command(
    name: str,
    kind: type[Options],
    main: Callable[[Options, Sequence[str]], None],
    usage: str | None,
    complete: Callable[[Options, Set[str]], Options] = lambda chosen, given: chosen,
    *,
    as_argument: Set[str] = frozenset(),
) -> None:
    """Runs the command `python -m alexnet_tf.NAME`.

    Args:
        name: of the command.
        kind: the dataclass of its options.
        main: gets the options, and the arguments that are not flags.
        usage: what `--help` prints first: the docstring of the command's module.
        complete: gets the options and the names of those that were given, and returns
            the options with what else is known.
        as_argument: the flags of other commands whose value this one takes as an
            argument, without a flag.

    An error that a user can correct is printed in one line, with exit status 1. Ctrl-C
    gives status 130, and the message of KeyboardInterrupt says how to go on. With
    --verbosity=1 an error keeps its traceback.
    """
    loading.end_without_collecting()
    loading.reuse_memory()
    _pin_environment()
    options.define(kind, flags.FLAGS)

    def parse(arguments: Sequence[str]) -> list[str]:
        with _reported(name):
            for argument in arguments[1:]:
                if argument == "--":
                    break
                if argument in (*_HELP, *_SHORT_HELP):
                    short = argument in _SHORT_HELP
                    print(options.help_text(kind, usage or "", short=short), end="")
                    sys.stdout.flush()
                    sys.exit(0)
            rest = options.parse_flags(flags.FLAGS, arguments[1:], as_argument)
            return [arguments[0], *rest]

    def body(arguments: Sequence[str]) -> None:
        log_noise.show_only_own_messages()
        with _reported(name):
            chosen = options.collect(kind, flags.FLAGS)
            main(complete(chosen, options.given(flags.FLAGS)), arguments[1:])
            sys.stdout.flush()  # so that a full disk is reported too

    app.run(body, sys.argv, flags_parser=parse)


@contextlib.contextmanager
def _reported(name: str) -> Iterator[None]:
    """Prints an error that a user can correct in one line, and ends the process."""
    try:
        yield
    except KeyboardInterrupt as stop:
        how_to_go_on = f": {stop}" if stop.args else ""
        print(f"alexnet_tf.{name}: interrupted{how_to_go_on}", file=sys.stderr)
        sys.exit(130)
    except flags.Error as error:
        print(f"alexnet_tf.{name}: {error} (--help lists all flags)", file=sys.stderr)
        sys.exit(1)
    except Exception as error:
        if logging.level_debug() or not _is_foreseen(error):
            raise
        print(f"alexnet_tf.{name}: {errors.one_line(error)}", file=sys.stderr)
        _discard_unwritten_output()
        sys.exit(1)


def _pin_environment() -> None:
    """Makes a command the same whatever the terminal and the user's settings are.

    A character that the terminal's encoding lacks is printed as an escape. Keras takes
    its backend from the environment, and its other defaults from keras.json in
    KERAS_HOME. Commands use TensorFlow and Keras' own defaults. They decide themselves
    what XLA compiles: it lacks our ops, and a server refuses what it compiled. NumPy's
    matrix products, of which resizing consists, stay in the thread that needs them,
    because commands use the other cores already.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # closed: the next file to be opened would take its place
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115
    streams: Any = (sys.stdout, sys.stderr)
    for stream in streams:
        stream.reconfigure(errors="backslashreplace")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ["KERAS_HOME"] = os.devnull
    os.environ.pop("TF_FUNCTION_JIT_COMPILE_DEFAULT", None)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def _discard_unwritten_output() -> None:
    """Prevents a second report, by Python at its end, of output that failed."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _is_foreseen(error: Exception) -> bool:
    """Whether an error is one that a user can correct, and not a defect."""
    # TensorFlow's errors, and that of the op library, by name: importing TensorFlow takes
    # seconds.
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(
        names & {"ValueError", "OSError", "RuntimeError", "OpError", "OpLibraryError"}
    )
