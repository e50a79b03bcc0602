"""Reads pickled data without running anything that the file asks for.

A pickle is a program: it names functions of any module and calls them. Here a name is
looked up in a short list that the caller gives, and any other name ends the reading.
"""

import io
import pickle
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO


class PickleError(ValueError):
    """A pickle that is damaged, or that asks for something it must not have."""


def load(
    file: BinaryIO | io.BytesIO,
    allowed: Mapping[tuple[str, str], Any],
    stored: Callable[[Any], Any] | None = None,
) -> Any:
    """Returns what was pickled.

    Args:
        file: is read up to the end of the pickle.
        allowed: what stands for each (module, name) that the pickle may ask for.
        stored: returns what a persistent id stands for.

    Raises:
        PickleError: the pickle asks for another name, or it is damaged.

    Example:
        >>> load(io.BytesIO(pickle.dumps({"a": [1.5]})), {})
        {'a': [1.5]}
        >>> load(io.BytesIO(pickle.dumps(print)), {})
        Traceback (most recent call last):
            ...
        alexnet_tf.importing.restricted_pickle.PickleError: it asks for builtins.print, and only arrays are read
    """
    try:
        return _Unpickler(file, allowed, stored).load()
    except PickleError:
        raise
    except Exception as error:  # Python says that unpickling may raise any
        raise PickleError(f"it is damaged ({error or type(error).__name__})") from error


class _Unpickler(pickle.Unpickler):
    def __init__(self, file, allowed, stored):
        # Latin-1 turns the byte strings of Python 2 into text of the same codes.
        super().__init__(file, encoding="latin1")
        self._allowed = allowed
        self._stored = stored

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._allowed:
            raise PickleError(f"it asks for {module}.{name}, and only arrays are read")
        return self._allowed[module, name]

    def persistent_load(self, pid: Any) -> Any:
        if self._stored is None:
            raise PickleError("it refers to data outside of it")
        return self._stored(pid)
