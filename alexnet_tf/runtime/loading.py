"""Loads TensorFlow quietly, and spares a process work on memory that it does not need.

While a library loads, Python's garbage collector scans all objects many times, and it
scans them again when the process ends. The objects of TensorFlow stay until the end, so
none of this finds anything. Without these scans an import of TensorFlow took 1.9 s
instead of 2.5 on two cores of an AMD EPYC (Zen 5), and the end of a process 0.1 s instead
of 1.0.
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

    What the libraries print is held back (see `log_noise.held_back`). The garbage
    collector is off meanwhile, and later it skips what was loaded.
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
    """Makes the garbage collector skip everything when this process ends.

    What was registered with `atexit` earlier than this runs after it.
    """
    atexit.register(gc.freeze)


def reuse_memory() -> None:
    """Lets this process use the memory of decoded images again and again.

    Of the memory that is freed, the C library keeps twice the size of the largest block
    that was ever freed, and returns the rest to the system, which clears it before it
    gives it out again. That takes a third of the time of an image's preparation, until
    a process happens to free a block that is larger than an image.
    """
    bytes(16 << 20)  # is freed at once, and nothing is written into it
