"""The garbage collector skips what is loaded, and freed memory is used again."""

import subprocess
import sys

import pytest


def printed(code):
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


# A small module that takes TensorFlow's name, in whose place it is imported.
LOADING = """
import gc, sys, types
from alexnet_tf.runtime import loading

def load(error=None):
    before = gc.get_freeze_count()
    try:
        with loading.libraries():
            collecting = gc.isenabled()
            sys.modules["tensorflow"] = types.ModuleType("tensorflow")
            if error:
                raise error
    except ValueError:
        pass
    print(collecting, gc.isenabled(), gc.get_freeze_count() > before)
"""


@pytest.mark.parametrize("error", ["None", "ValueError()"])
def test_the_collector_rests_while_tensorflow_loads_and_ignores_it_later(error):
    assert printed(f"{LOADING}load({error})") == ["False", "True", "True"]


def test_what_was_made_since_tensorflow_was_loaded_is_still_collected():
    assert printed(f"{LOADING}load()\ncycle = [gc]\nload()")[3:] == [
        *("True", "True", "False")
    ]


ENDING = """
import gc
from alexnet_tf.runtime import loading

class Seen:
    def __del__(self):
        print("seen")

{}
gc.disable()
cycle = [Seen()]
cycle.append(cycle)
del cycle
"""


@pytest.mark.parametrize(
    ("call", "expected"), [("pass", ["seen"]), ("loading.end_without_collecting()", [])]
)
def test_a_process_ends_without_a_look_through_its_memory(call, expected):
    assert printed(ENDING.format(call)) == expected


@pytest.mark.parametrize(
    ("call", "reused"), [("pass", "False"), ("loading.reuse_memory()", "True")]
)
def test_memory_that_is_freed_is_used_again(call, reused):
    code = (
        "from alexnet_tf.runtime import loading\n"
        "from tests.support import memory\n"
        f"{call}\n"
        "print(memory.is_reused())\n"
    )
    assert printed(code) == [reused]
