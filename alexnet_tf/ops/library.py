"""Loads the custom op library. No other module may load it.

If the same ops are loaded twice, TensorFlow returns an empty module without an error.
The package works without the library too: `error` then says why, and `availability.py`
lets TensorFlow's own operations take the place of the ops.
"""

import ctypes
import pathlib
import platform
import re
import shutil
import sys
from typing import Any

import tensorflow as tf

_LIBRARY = pathlib.Path(__file__).parents[1] / "_alexnet_ops.so"


class OpLibraryError(ImportError):
    """The op library is missing, or was built for a different TensorFlow version."""


class _NoOps:
    """Stands in for the ops of a library that cannot be used: every call is refused."""

    def __init__(self, error: OpLibraryError):
        self._error = error

    def __getattr__(self, name: str):
        raise OpLibraryError(str(self._error), path=self._error.path)


def _how_to_build(library: pathlib.Path) -> str:
    """What to type for a library that does not exist."""
    if sys.platform != "linux":
        return f"it is built on Linux only, and this is {platform.system()}"
    source_tree = (library.parents[1] / "custom_ops").is_dir()
    advice = (
        "Python found the package's source tree first: type `make setup` there to build "
        "the library in place, or start Python from another folder to use an installed "
        "wheel"
        if source_tree
        else "type `pip install --verbose .` in the source tree to build it"
    )
    if shutil.which("g++") is None:
        return (
            f"its build needs g++, which is not installed. Install it, then: {advice}"
        )
    return advice


def _build_text(library: pathlib.Path) -> str:
    """Returns the text in `library` that describes what it was built for."""
    if not library.exists():
        raise OpLibraryError(
            f"the op library {library} does not exist: {_how_to_build(library)}",
            path=str(library),
        )
    found = re.search(rb"alexnet_tf build: ([^;\0]*);", library.read_bytes())
    if found is None:
        raise OpLibraryError(
            f"{library} is not an op library of alexnet_tf: type `make setup`, or "
            "`pip install .`, to build it again",
            path=str(library),
        )
    return found[1].decode()


def _check_tensorflow(build: dict[str, str], running: str, library: pathlib.Path):
    """Raises OpLibraryError unless the minor versions agree."""
    wanted = build["tensorflow"].split(".")[:2]
    if running.split(".")[:2] != wanted:
        raise OpLibraryError(
            f"{library} was built for TensorFlow {'.'.join(wanted)}, but this is "
            f"{running}: install tensorflow~={build['tensorflow']}, or build the "
            "library again with `make setup` or `pip install .`",
            path=str(library),
        )


def _load(library: pathlib.Path):
    build = dict(part.split("=", 1) for part in _build_text(library).split())
    _check_tensorflow(build, tf.__version__, library)
    try:
        return tf.load_op_library(str(library)), build
    except (tf.errors.OpError, OSError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise OpLibraryError(
            f"{library} cannot be loaded ({reason}): build it on this machine with "
            "`make setup` or `pip install .`",
            path=str(library),
        ) from error


ops: Any
error: OpLibraryError | None = None
try:
    ops, _build = _load(_LIBRARY)
except OpLibraryError as _error:
    ops, _build, error = _NoOps(_error), {"cuda": "none"}, _error


def cuda_version() -> str | None:
    """The CUDA version that the library's GPU kernels were built with, if any."""
    return None if _build["cuda"] == "none" else _build["cuda"]


def instruction_set() -> str | None:
    """Returns the instruction set of the CPU kernels.

    It is "amx_bf16", "avx512_bf16", "avx512", "avx2" or "baseline", or None if the
    environment variable ALEXNET_TF_ISA asks for one that is not available, or if there
    is no library.
    """
    if error is not None:
        return None
    name = ctypes.CDLL(str(_LIBRARY)).alexnet_tf_instruction_set
    name.restype = ctypes.c_char_p
    found = name()
    return found and found.decode()
