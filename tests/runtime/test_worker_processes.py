"""Tasks run in worker processes, which print nothing and report errors."""

import subprocess
import sys

import pytest

from alexnet_tf.runtime import worker_processes


def count_up(task, advance):
    """A task of `task` units of work."""
    for _ in range(task):
        advance()
    return task


def fail(task, advance):
    raise ValueError(f"task {task} failed")


def test_one_worker_runs_the_tasks_in_this_process_and_in_order():
    progress = []
    results = worker_processes.run_in_workers(count_up, [3, 1, 2], 1, progress.append)
    assert list(results) == [3, 1, 2]
    assert sum(progress) == 6


def test_two_workers_return_every_result_and_report_all_progress():
    progress = []
    results = worker_processes.run_in_workers(count_up, [3, 1, 2], 2, progress.append)
    assert sorted(results) == [1, 2, 3]
    assert sum(progress) == 6


def test_the_first_error_of_a_worker_is_raised():
    with pytest.raises(ValueError, match=r"task \d failed"):
        list(worker_processes.run_in_workers(fail, [1, 2], 2, lambda count: None))


def test_importing_the_module_does_not_import_tensorflow():
    code = (
        "import sys, alexnet_tf.runtime.worker_processes\n"
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


QUIET = """
from alexnet_tf.runtime import worker_processes

def use_tensorflow(task, advance):
    import tensorflow as tf
    return int(tf.constant(task) + 1)

if __name__ == "__main__":
    print(sorted(worker_processes.run_in_workers(use_tensorflow, [1, 2], 2, lambda n: n)))
"""


def test_workers_print_none_of_tensorflows_startup_messages(tmp_path):
    script = tmp_path / "quiet.py"
    script.write_text(QUIET)
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("[2, 3]\n", "")
