"""The same work on one core or many: a function of tasks, in processes of their own.

Processes are spawned, since TensorFlow does not survive a fork.
"""

import concurrent.futures
import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import tensorflow as tf
import tqdm

Task = TypeVar("Task")


Result = TypeVar("Result")


_LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"


_counter: Any = None


_stop: Any = None


class _StoppedError(Exception):
    """The other tasks are in vain."""


def run(
    function: Callable[[Task, Callable[[], None]], Result],
    tasks: Sequence[Task],
    workers: int,
    bar: tqdm.tqdm,
) -> Iterator[Result]:
    """`function(task, advance)` of every task, as each ends; `advance` moves `bar`.

    With one worker it all happens in this process. The first error ends the work; so
    does leaving the iteration.
    """
    workers = min(workers, len(tasks))
    if workers <= 1:
        for task in tasks:
            yield function(task, bar.update)
        return
    context = multiprocessing.get_context("spawn")
    counter, stop = context.Value("q", 0), context.Event()
    with concurrent.futures.ProcessPoolExecutor(
        workers, context, _begin, (counter, stop)
    ) as executor:
        try:
            with _quiet():
                waiting = {executor.submit(_work, function, task) for task in tasks}
            counted = 0
            while waiting:
                done, waiting = concurrent.futures.wait(
                    waiting, 0.5, concurrent.futures.FIRST_COMPLETED
                )
                now = counter.value
                bar.update(now - counted)
                counted = now
                for future in done:
                    yield future.result()
        except concurrent.futures.BrokenExecutor as error:
            raise RuntimeError(
                "a worker process died, as where memory runs out: run the same command "
                "again with fewer --workers (what is finished is kept)"
            ) from error
        finally:
            stop.set()
            executor.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Processes started here do not tell what their TensorFlow was built for."""
    before = os.environ.get(_LOG_LEVEL)
    os.environ[_LOG_LEVEL] = "3"
    try:
        yield
    finally:
        del os.environ[_LOG_LEVEL]
        if before is not None:
            os.environ[_LOG_LEVEL] = before


def _begin(counter, stop) -> None:
    """Makes this process a worker: one core, no GPU, and an end with its parent."""
    global _counter, _stop
    _counter, _stop = counter, stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to answer
    threading.Thread(target=_end_with_parent, daemon=True).start()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.set_visible_devices([], "GPU")


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(function, task):
    return function(task, _advance)


def _advance() -> None:
    if _stop.is_set():
        raise _StoppedError
    with _counter.get_lock():
        _counter.value += 1
