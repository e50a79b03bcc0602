"""Reads files in threads, ahead of whatever uses them."""

import collections
import concurrent.futures
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from alexnet_tf.runtime import cores

T = TypeVar("T")


def in_batches(
    files: Iterable[str], read: Callable[[str], T], size: int
) -> Iterator[list[tuple[str, T | Exception]]]:
    """Yields files with what was read of them, `size` at a time, in order.

    As many threads as there are cores read the next batch while the caller uses one. So
    at most two batches are in memory, and `files` is not taken further ahead.

    Args:
        files: which files.
        read: called for each of them; if it raises an exception, that takes the place
            of the result.
        size: how many files make a batch; the last one may have fewer.

    Example:
        >>> list(in_batches("abc", str.upper, 2))
        [[('a', 'A'), ('b', 'B')], [('c', 'C')]]
    """
    waiting: collections.deque[tuple[str, concurrent.futures.Future[T]]] = (
        collections.deque()
    )
    iterator = iter(files)
    with concurrent.futures.ThreadPoolExecutor(cores.usable_cores()) as threads:

        def begin() -> None:
            for file in itertools.islice(iterator, size):
                waiting.append((file, threads.submit(read, file)))

        try:
            begin()
            while waiting:
                batch = [waiting.popleft() for _ in range(len(waiting))]
                # The next batch queues behind this one, so no thread has to wait.
                begin()
                yield [(file, _settled(future)) for file, future in batch]
                del batch
        finally:
            threads.shutdown(cancel_futures=True)


def _settled(future: concurrent.futures.Future) -> Any:
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, Exception):  # the caller decides what to do with it
        return error
    raise error
