"""A function runs once, right after the import of a module."""

import inspect
import sys

import pytest

from alexnet_tf.runtime import import_hook


@pytest.fixture
def module(tmp_path, monkeypatch):
    """The name of a module that is not imported yet."""
    name = "a_module_of_this_test"
    (tmp_path / f"{name}.py").write_text("VALUE = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    sys.modules.pop(name, None)


def test_it_runs_when_the_module_is_whole_and_only_once(module):
    found = []
    finders = list(sys.meta_path)
    import_hook.after_import(module, lambda: found.append(sys.modules[module].VALUE))
    assert found == []
    for _ in range(2):
        imported = __import__(module)
    assert found == [3]
    assert sys.meta_path == finders
    assert inspect.getsource(imported) == "VALUE = 3\n"


def test_it_runs_at_once_for_a_module_that_is_there():
    found = []
    import_hook.after_import("sys", lambda: found.append(1))
    assert found == [1]


def test_the_import_of_another_module_is_not_touched(module):
    import_hook.after_import("no_such_module_of_this_test", lambda: 1 / 0)
    try:
        assert __import__(module).VALUE == 3
    finally:
        sys.meta_path.pop(0)
