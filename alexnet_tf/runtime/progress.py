"""The progress bar of long work: live on a terminal, a line now and then in a log."""

import sys

import tqdm


def bar(
    total: int, description: str, unit: str, initial: int = 0, scale: bool = False
) -> tqdm.tqdm:
    """A bar of `total` units on standard error, with the rate and the time left.

    `scale`: thousands of units as k, M, G.
    """
    return tqdm.tqdm(
        total=total,
        initial=initial,
        desc=description,
        unit=unit,
        unit_scale=scale,
        dynamic_ncols=True,
        mininterval=0.2 if sys.stderr.isatty() else 15,
    )


def say(text: str) -> None:
    """A line of its own on standard error, above a bar that may be running."""
    tqdm.tqdm.write(text, file=sys.stderr)
