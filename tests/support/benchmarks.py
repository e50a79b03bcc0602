"""The modules of tools/benchmarks, which are no package."""

import importlib
import sys

from absl import flags as absl_flags

from tests.support import ROOT

sys.path.insert(0, str(ROOT / "tools/benchmarks"))


def module(name):
    return importlib.import_module(name)


def command(name):
    """A benchmark's command without its flags, because commands share flag names."""
    found = importlib.import_module(name)
    for flag in list(absl_flags.FLAGS.flags_by_module_dict()[name]):
        delattr(absl_flags.FLAGS, flag.name)
    return found
