"""Runs commands in the test's own process."""

from alexnet_tf import prepare
from alexnet_tf.runtime import options


def run_prepare(**changes):
    """Runs `prepare` with its default options, except for these."""
    prepare.main(options.replace(prepare.PrepareOptions(), **changes), [])
