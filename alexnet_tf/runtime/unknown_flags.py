"""What a user may have meant by a flag that a command does not have.

It may be mistyped, another command's name for the same thing, or what other libraries
call it.
"""

import shlex
from collections.abc import Set

from absl import flags

from alexnet_tf.runtime import suggestions

# By what may be typed: the names that commands have for it.
_ALSO_CALLED = {
    "checkpoint": ("model", "weights", "from"),
    "run_dir": ("checkpoint", "model", "output"),
    "model": ("checkpoint", "architecture"),
    "weights": ("checkpoint", "from"),
    "output": ("run_dir",),
    "dataset": ("source", "images"),
    "source": ("dataset", "images"),
    "images": ("dataset", "source", "images_from"),
    "arch": ("architecture",),
    "batch": ("batch_size",),
    "lr": ("learning_rate",),
    "max_epochs": ("epochs",),
    "num_epochs": ("epochs",),
    "steps": ("max_steps",),
    "wd": ("weight_decay",),
}
# Those of absl that a user of this package may mean; the others are for debugging.
_OF_ABSL = ("flagfile", "help", "verbosity")


def explained(
    error: flags.UnrecognizedFlagError,
    values: flags.FlagValues,
    as_argument: Set[str] = frozenset(),
) -> flags.UnrecognizedFlagError:
    """Returns the error for a flag that a command does not have, with what was meant.

    Args:
        error: which names the flag.
        values: the flags that there are.
        as_argument: the flags of other commands whose value this command takes as an
            argument, without a flag.
    """
    name, argument = error.flagname, error.flagvalue
    found = flags.UnrecognizedFlagError(name, argument)
    _, equals, value = str(argument).partition("=")
    if name in as_argument:
        given = f": {shlex.quote(value)}" if equals else ""
        hint = f". It is given without a flag here{given}"
    else:
        hint = _hint(name, values)
    found.args = (f"Unknown command line flag '{name}'{hint}",)
    return found


def _hint(name: str, values: flags.FlagValues) -> str:
    """The flags that may be meant by a name, as the end of an error message."""
    known = {
        flag.name
        for module, found in values.flags_by_module_dict().items()
        for flag in found
        if not module.startswith("absl.") or flag.name in _OF_ABSL
    }
    if same := [each for each in _ALSO_CALLED.get(name, ()) if each in known]:
        return f". Did you mean --{same[0]}?"
    off = {f"no{each}" for each in known if values[each].boolean}
    return suggestions.did_you_mean(name, sorted(known | off), before="--")
