"""Loads TensorFlow quietly, and without a look at whether it is garbage.

Python's collector of garbage looks through all objects again and again while a library
loads, and twice when the process ends. TensorFlow brings half a million of them, which
stay until the end. Without those looks it takes 1.9 s to import it instead of 2.5, and
0.1 s to end the process instead of 1.0.
"""

import atexit
import contextlib
import gc
import sys
from collections.abc import Iterator

from alexnet_tf.runtime import log_noise


@contextlib.contextmanager
def libraries() -> Iterator[None]:
    """Wrap imports of TensorFlow in it, and of what imports it.

    What the libraries print is held back (see `log_noise.held_back`), and what they
    leave in memory the garbage collector never looks at.
    """
    is_new = "tensorflow" not in sys.modules
    if is_new:
        gc.disable()
    try:
        with log_noise.held_back():
            yield
    finally:
        if is_new:
            gc.freeze()
            gc.enable()


def end_without_collecting() -> None:
    """Lets this process end without a look through its memory.

    What was registered with `atexit` earlier than this runs after it.
    """
    atexit.register(gc.freeze)
