"""Runs commands: in the test's own process, or in a process of their own."""

from alexnet_tf import prepare
from alexnet_tf.runtime import options
from tests.support import programs


def start(command, *arguments, **given):
    """Starts `python -m alexnet_tf.COMMAND`; returns a `programs.Program`."""
    return programs.Program(f"alexnet_tf.{command}", *arguments, **given)


def run(command, *arguments, **given):
    """Runs `python -m alexnet_tf.COMMAND` until it ends.

    Args:
        command: its name, as "train".
        arguments: strings or paths.
        given: `cwd`, `env` and `stdin`, as `programs.Program` has them.

    Returns:
        A `subprocess.CompletedProcess` with `returncode`, `stdout` and `stderr` (text).
    """
    return programs.run(f"alexnet_tf.{command}", *arguments, **given)


def run_prepare(**changes):
    """Runs `prepare` with its default options, except for these."""
    prepare.main(options.replace(prepare.PrepareOptions(), **changes), [])
