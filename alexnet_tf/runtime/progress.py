"""Progress bars on standard error: live on a terminal, every 15 seconds in a log."""

import sys
import weakref

import tqdm

_TERMINAL_INTERVAL_S = 0.2
_LOG_INTERVAL_S = 15

# All bars that are in use. A bar that was closed is disabled.
_bars: weakref.WeakSet[tqdm.tqdm] = weakref.WeakSet()


def bar(
    total: int, description: str, unit: str, initial: int = 0, scale: bool = False
) -> tqdm.tqdm:
    """A progress bar on standard error with the speed and the remaining time.

    Use it as a context manager and call its `update(count)`. A bar that begins while
    another is running leaves nothing behind on a terminal, and in a log it is written
    only if it takes longer than the time between two lines.

    Args:
        total: the number of units when the work is done.
        description: the text before the bar.
        unit: the name of one unit, such as "image".
        initial: the number of units that were done before.
        scale: write large numbers of units as k, M and G.
    """
    live = sys.stderr.isatty()
    within = any(not other.disable for other in _bars)
    begun: tqdm.tqdm = tqdm.tqdm(
        total=total,
        initial=initial,
        desc=description,
        unit=unit,
        unit_scale=scale,
        dynamic_ncols=True,
        mininterval=_TERMINAL_INTERVAL_S if live else _LOG_INTERVAL_S,
        delay=_LOG_INTERVAL_S if within and not live else 0,
        leave=not within,
    )
    _bars.add(begun)
    return begun


def say(text: str) -> None:
    """Prints a line on standard error, above a progress bar if one is running."""
    tqdm.tqdm.write(text, file=sys.stderr)
