"""Runs a function on many tasks, in this process or in several worker processes.

Workers are spawned and not forked, because TensorFlow does not survive a fork. Each
uses one core and no GPU, and TensorFlow only if its function imports it.
"""

import atexit
import concurrent.futures
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from alexnet_tf.runtime import loading

Task = TypeVar("Task")
Result = TypeVar("Result")
AdvanceOne = Callable[[], object]

_PROGRESS_INTERVAL_S = 0.5

# What NumPy and TensorFlow read when they are imported, which is after this.
_ONE_CORE = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",  # the parent has printed what TensorFlow has to say
    "CUDA_VISIBLE_DEVICES": "-1",
}

# In a worker: how many units all workers have finished, and whether the work should
# stop.
_finished_units: Any = None
_stop: Any = None


class _StoppedError(Exception):
    """Ends a task whose result is no longer needed."""


def run_in_workers(
    function: Callable[[Task, AdvanceOne], Result],
    tasks: Sequence[Task],
    workers: int,
    advance: Callable[[int], object],
) -> Iterator[Result]:
    """Calls `function(task, advance_one)` for every task and yields the results.

    With one worker or one task, everything happens in this process and in the order of
    the tasks. Otherwise results come in the order in which they are finished. The first
    error stops all workers, and so does leaving the iteration.

    Args:
        function: a function at the top level of a module, so that it can be sent to
            another process. It calls its second argument after each unit of its work.
        tasks: what `function` is called with; each must be picklable.
        workers: the number of processes.
        advance: called in this process with the number of units that were finished
            since the last call, such as the `update` of a progress bar.

    Raises:
        RuntimeError: a worker process died, for example because memory ran out.
        Exception: whatever `function` raises.
    """
    workers = min(workers, len(tasks))
    if workers <= 1:
        for task in tasks:
            yield function(task, lambda: advance(1))
        return
    context = multiprocessing.get_context("spawn")
    finished_units, stop = context.Value("q", 0), context.Event()
    with concurrent.futures.ProcessPoolExecutor(
        workers, context, _begin_worker, (finished_units, stop)
    ) as executor:
        try:
            yield from _results(
                {executor.submit(_run_task, function, task) for task in tasks},
                finished_units,
                advance,
            )
        except concurrent.futures.BrokenExecutor as error:
            raise RuntimeError(
                "a worker process died, possibly because memory ran out. Run the same "
                "command again with fewer --workers; finished work is kept"
            ) from error
        finally:
            stop.set()
            executor.shutdown(cancel_futures=True)


def _results(
    waiting: set[concurrent.futures.Future],
    finished_units: Any,
    advance: Callable[[int], object],
) -> Iterator[Any]:
    """Yields each result as it is finished, and reports the progress meanwhile.

    A result is not kept after that: only `waiting` refers to the futures that hold them.
    """
    reported = 0
    while waiting:
        done, waiting = concurrent.futures.wait(
            waiting, _PROGRESS_INTERVAL_S, concurrent.futures.FIRST_COMPLETED
        )
        now = finished_units.value
        advance(now - reported)
        reported = now
        for future in done:
            yield future.result()


def _begin_worker(finished_units: Any, stop: Any) -> None:
    """Makes this process a worker: one core, no GPU, and it ends with its parent."""
    global _finished_units, _stop
    _finished_units, _stop = finished_units, stop
    os.environ.update(_ONE_CORE)
    loading.reuse_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Taking apart what was imported would take a tenth of a second at the end.
    atexit.register(os._exit, 0)


def _end_with_parent() -> None:
    """Ends this process when its parent ends, even if the parent is killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run_task(function, task):
    return function(task, _advance_one)


def _advance_one() -> None:
    """Counts one finished unit of work, unless the work should stop."""
    if _stop.is_set():
        raise _StoppedError
    with _finished_units.get_lock():
        _finished_units.value += 1
