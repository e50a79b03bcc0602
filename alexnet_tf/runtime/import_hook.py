"""Calls a function after another module was imported.

Every command imports this module. It does without the base classes of `importlib.abc`,
which bring a dozen other modules along, so that --help stays quick.
"""

import importlib.util
import sys
from collections.abc import Callable
from typing import Any


def after_import(name: str, function: Callable[[], object]) -> None:
    """Calls `function` once the module `name` is imported, or now if it is already."""
    if name in sys.modules:
        function()
    else:
        sys.meta_path.insert(0, _Finder(name, function))


class _Finder:
    """Finds one module as the other finders do, and calls a function after it loads."""

    def __init__(self, name: str, function: Callable[[], object]):
        self._name = name
        self._function = function

    def find_spec(self, fullname, path=None, target=None):
        del path, target
        if fullname != self._name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            wrapped: Any = _Loader(spec.loader, self._function)
            spec.loader = wrapped
        return spec


class _Loader:
    def __init__(self, loader, function: Callable[[], object]):
        self._loader = loader
        self._function = function

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module) -> None:
        self._loader.exec_module(module)
        self._function()

    def __getattr__(self, name):  # get_data, is_package and others of the real loader
        return getattr(self._loader, name)
