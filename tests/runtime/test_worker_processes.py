"""Tasks run in worker processes, which print nothing and report errors."""

import os
import subprocess
import sys
import time
import weakref

import pytest
from PIL import Image

from alexnet_tf.runtime import worker_processes
from tests.support import images


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


class Result:
    """Something whose end can be observed."""


def wait_for(path, advance):
    """A task that ends when there is a file at `path`, or at once if that is None."""
    while path is not None and not path.exists():
        time.sleep(0.01)
    return Result()


def test_a_result_is_not_kept_once_it_has_been_used(tmp_path):
    tasks = [None, tmp_path / "1", tmp_path / "2"]
    alive = []
    for number, result in enumerate(
        worker_processes.run_in_workers(wait_for, tasks, 2, lambda count: None), 1
    ):
        alive.append(weakref.ref(result))
        del result
        # The next task cannot end before this one's result has been used.
        (tmp_path / str(number)).touch()
        if number == 3:
            assert alive[0]() is None


def test_the_first_error_of_a_worker_is_raised():
    with pytest.raises(ValueError, match=r"task \d failed"):
        list(worker_processes.run_in_workers(fail, [1, 2], 2, lambda count: None))


def test_importing_the_module_does_not_import_tensorflow():
    code = (
        "import sys, alexnet_tf.runtime.worker_processes\n"
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


USES = """
import os
import sys

from alexnet_tf.data import sources
from alexnet_tf.runtime import worker_processes
from tests.support import memory

def read(examples, advance):
    for example in examples:
        example.read()
    threads = os.environ["OPENBLAS_NUM_THREADS"]
    return threads, "tensorflow" in sys.modules, memory.is_reused()

if __name__ == "__main__":
    examples = sources.open_source(sys.argv[1], data_dir=sys.argv[2]).splits["train"]
    tasks = [examples[:2], examples[2:4]]
    print(list(worker_processes.run_in_workers(read, tasks, 2, lambda n: n)))
"""


@pytest.mark.parametrize("kind", ["folder", "garments"])
def test_workers_read_sources_on_one_core_without_tensorflow(tmp_path, kind):
    """TensorFlow takes seconds to import, and a hundred megabytes per worker.

    They use memory again, too.
    """
    for number in range(4):
        name = tmp_path / f"images/class{number % 2}/{number}.png"
        name.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images.random_image(number)).save(name)
    script = tmp_path / "uses.py"
    script.write_text(USES)
    source = f"folder:{tmp_path}/images" if kind == "folder" else kind
    done = subprocess.run(
        [sys.executable, script, source, tmp_path],
        env={k: v for k, v in os.environ.items() if "THREADS" not in k},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[('1', False, True), ('1', False, True)]"
