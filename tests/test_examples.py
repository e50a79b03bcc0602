"""The examples in docstrings do what they say."""

import doctest
import importlib
import pathlib
import shutil

import pytest

import alexnet_tf

PACKAGE = pathlib.Path(alexnet_tf.__file__).parent
WITH_EXAMPLES = [
    file.relative_to(PACKAGE.parent).with_suffix("").as_posix().replace("/", ".")
    for file in sorted(PACKAGE.rglob("*.py"))
    if ">>> " in file.read_text()
]


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_the_examples_of_a_module_are_right(module, trained_run, tmp_path, monkeypatch):
    shutil.copytree(trained_run, tmp_path / "runs/mine")
    monkeypatch.chdir(tmp_path)
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    result = doctest.testmod(importlib.import_module(module), optionflags=options)
    assert result.failed == 0
    assert result.attempted > 0
