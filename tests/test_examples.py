"""The examples in docstrings do what they say."""

import doctest
import importlib
import pathlib
import re
import shutil

import numpy as np
import pytest

import alexnet_tf
from alexnet_tf.importing import imported_run
from tests.support import published_files

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


def test_the_python_of_the_page_on_weights_runs(tmp_path, monkeypatch, capsys):
    published_files.small_zoo(monkeypatch)
    shapes = published_files.shapes_of("torchvision", shrink=8)
    weights = published_files.state_dict(published_files.random_weights(shapes))
    file = published_files.write_torch(tmp_path / "torchvision.pth", weights)
    imported_run.write(tmp_path / "runs/torchvision", imported_run.read(str(file)))
    heads = {
        f"lin{number}.model.1.weight": np.ones((1, shape[0], 1, 1), np.float32)
        for number, shape in enumerate(list(shapes.values())[:5])
    }
    published_files.write_torch(tmp_path / "alex.pth", heads)
    monkeypatch.chdir(tmp_path)
    page = (PACKAGE.parent / "docs/weights.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(compile(block, "docs/weights.md", "exec"), {})
    printed = capsys.readouterr().out
    assert re.search(r"\[\[\(\d+, 'n\d{8}", printed)  # a synset
    assert "(4, 512)" in printed  # an eighth of fc7's units
