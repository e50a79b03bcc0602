"""Calls a function in threads, ahead of whatever uses the results, and keeps the order."""

import collections
import concurrent.futures
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from alexnet_tf.runtime import cores

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    items: Iterable[Item],
    function: Callable[[Item], Result],
    *,
    threads: int,
    ahead: int,
) -> Iterator[tuple[Item, Result]]:
    """Yields items with what the function returned for each of them, in their order.

    Args:
        items: what to call the function with.
        function: called in several threads. An error that it raises is raised here.
        threads: how many calls are in progress at the same time.
        ahead: how many items are taken beyond the one that is used, so that memory does
            not grow with their number.

    Example:
        >>> list(in_order("ab", str.upper, threads=2, ahead=1))
        [('a', 'A'), ('b', 'B')]
    """
    waiting: collections.deque[tuple[Item, concurrent.futures.Future[Result]]] = (
        collections.deque()
    )

    def first() -> tuple[Item, Result]:
        item, future = waiting.popleft()
        return item, future.result()

    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                waiting.append((item, pool.submit(function, item)))
                if len(waiting) > ahead:
                    yield first()
            while waiting:
                yield first()
        finally:
            pool.shutdown(cancel_futures=True)


def attempted(
    function: Callable[[Item], Result],
) -> Callable[[Item], Result | Exception]:
    """Returns the function with an error that it raises in the place of its result."""

    def attempt(item: Item) -> Result | Exception:
        try:
            return function(item)
        except Exception as error:  # any: the caller decides what to do with it
            return error

    return attempt


def in_batches(
    files: Iterable[str], read: Callable[[str], Result], size: int
) -> Iterator[list[tuple[str, Result | Exception]]]:
    """Yields files with what was read of them, `size` at a time, in order.

    As many threads as there are cores read the next batch while the caller uses one. So
    at most two batches are in memory.

    Args:
        files: which files.
        read: called for each of them; an error that it raises takes the place of the
            result.
        size: how many files make a batch; the last one may have fewer.

    Example:
        >>> list(in_batches("abc", str.upper, 2))
        [[('a', 'A'), ('b', 'B')], [('c', 'C')]]
    """
    batch = []
    for each in in_order(
        files, attempted(read), threads=cores.usable_cores(), ahead=size
    ):
        batch.append(each)
        del each  # so that it lives no longer than its batch
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
