"""Progress bars on standard error: live on a terminal, every 15 seconds in a log."""

import sys

import tqdm

_TERMINAL_INTERVAL_S = 0.2
_LOG_INTERVAL_S = 15


def bar(
    total: int, description: str, unit: str, initial: int = 0, scale: bool = False
) -> tqdm.tqdm:
    """A progress bar on standard error with the speed and the remaining time.

    Use it as a context manager and call its `update(count)`.

    Args:
        total: the number of units when the work is done.
        description: the text before the bar.
        unit: the name of one unit, such as "image".
        initial: the number of units that were done before.
        scale: write large numbers of units as k, M and G.
    """
    return tqdm.tqdm(
        total=total,
        initial=initial,
        desc=description,
        unit=unit,
        unit_scale=scale,
        dynamic_ncols=True,
        mininterval=_TERMINAL_INTERVAL_S if sys.stderr.isatty() else _LOG_INTERVAL_S,
    )


def say(text: str) -> None:
    """Prints a line on standard error, above a progress bar if one is running."""
    tqdm.tqdm.write(text, file=sys.stderr)
