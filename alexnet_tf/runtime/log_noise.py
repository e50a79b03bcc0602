"""Holds back what TensorFlow and its libraries print while they load.

`TF_CPP_MIN_LOG_LEVEL` silences TensorFlow's log from the moment that its logging is set
up. The lines before that (port.cc, cudart_stub.cc, cuda_platform.cc) are written to
file descriptor 2 while the libraries load, so that descriptor is held back meanwhile.
"""

import contextlib
import logging as standard_logging
import os
import sys
from collections.abc import Iterator

from absl import logging

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
_ERRORS_ONLY = "2"


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Holds back what is written to standard error inside the block.

    Wrap imports of TensorFlow in it. If the block raises, what was held is printed.
    With --verbosity=1 nothing is held back. TensorFlow's log shows errors only from
    here on, unless the environment variable TF_CPP_MIN_LOG_LEVEL is set.
    """
    if logging.level_debug():
        yield
        return
    import tempfile  # not needed for --help

    os.environ.setdefault(_LOG_LEVEL, _ERRORS_ONLY)
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        shown = os.dup(2)
        os.dup2(held.fileno(), 2)
        failed = True
        try:
            yield
            failed = False
        finally:
            sys.stderr.flush()
            os.dup2(shown, 2)
            os.close(shown)
            if failed:
                held.seek(0)
                os.write(2, held.read())


def show_only_own_messages() -> None:
    """Hides the log messages of libraries below errors; ours come without a prefix.

    TensorFlow, TFDS and tf2onnx log in Python through the root logger, which absl
    prints. With --verbosity=1 everything is shown, with the place that logged it.
    """
    if logging.level_debug():
        return
    handler = logging.get_absl_handler()
    handler.addFilter(_is_own_or_an_error)
    handler.setFormatter(standard_logging.Formatter("%(message)s"))


def _is_own_or_an_error(record: standard_logging.LogRecord) -> bool:
    is_own = record.pathname.startswith(_PACKAGE + os.sep)
    return record.levelno >= (
        standard_logging.WARNING if is_own else standard_logging.ERROR
    )
