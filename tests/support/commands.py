"""Runs commands inside the test's own process."""

import dataclasses

from alexnet_tf import prepare


def changed_options(options, **changes):
    """Options of a command, in groups, with some of them changed, given by name."""
    groups = {}
    for field in dataclasses.fields(options):
        group = getattr(options, field.name)
        own = {option.name for option in dataclasses.fields(group)} & changes.keys()
        groups[field.name] = dataclasses.replace(
            group, **{name: changes.pop(name) for name in own}
        )
    assert not changes, f"no such options: {sorted(changes)}"
    return dataclasses.replace(options, **groups)


def run_prepare(**changes):
    """Runs `prepare` with its default options, except for these."""
    prepare.main(changed_options(prepare.PrepareOptions(), **changes), [])
