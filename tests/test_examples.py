"""The examples in docstrings do what they say."""

import doctest
import importlib
import json
import pathlib
import re
import shutil

import keras
import numpy as np
import pytest
from PIL import Image

import alexnet_tf
from alexnet_tf.importing import imported_run
from alexnet_tf.ops import library
from alexnet_tf.serving import exporting
from tests.support import images, published_files

PACKAGE = pathlib.Path(alexnet_tf.__file__).parent
REFERENCE = PACKAGE.parent / "docs/api.md"
PUBLIC_MODULES = set(alexnet_tf._PUBLIC.values())
WITH_EXAMPLES = [
    file.relative_to(PACKAGE.parent).with_suffix("").as_posix().replace("/", ".")
    for file in sorted(PACKAGE.rglob("*.py"))
    if ">>> " in file.read_text()
]


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_the_examples_of_a_module_are_right(
    module, trained_run, small_dataset, tmp_path, monkeypatch
):
    """They find a run, the dataset that it was trained on, and images of cats and dogs."""
    if module.startswith("alexnet_tf.ops.") and library.error:
        pytest.skip("the op library is not built")
    shutil.copytree(trained_run, tmp_path / "runs/mine")
    shutil.copytree(small_dataset.path, tmp_path / "data/mine")
    for name in ("cat", "dog"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(3):
            file = tmp_path / "images" / name / f"{number}.png"
            Image.fromarray(images.random_image(number)).save(file)
    monkeypatch.chdir(tmp_path)
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    result = doctest.testmod(importlib.import_module(module), optionflags=options)
    assert result.failed == 0
    assert result.attempted > 0


def test_every_public_name_is_in_the_reference_and_has_an_example():
    listed = re.findall(r"^::: (\S+)", REFERENCE.read_text(), re.MULTILINE)
    for name, module in alexnet_tf._PUBLIC.items():
        place = rf"alexnet_tf\.{module}(\.\w+)?\.{name}"
        assert any(re.fullmatch(place, each) for each in listed), name
    for each in listed:
        module, _, name = each.rpartition(".")
        described = getattr(importlib.import_module(module), name).__doc__
        assert described, each
        if module.startswith(tuple(f"alexnet_tf.{m}" for m in PUBLIC_MODULES)):
            assert ">>> " in described, each


@pytest.fixture(scope="module")
def files_of_the_pages(small_dataset, tmp_path_factory):
    """A folder with the files that the pages name, of a small net of torchvision's."""
    folder = tmp_path_factory.mktemp("pages")
    with pytest.MonkeyPatch.context() as patch:
        published_files.small_zoo(patch)
        shapes = published_files.shapes_of("torchvision", shrink=8)
        weights = published_files.state_dict(published_files.random_weights(shapes))
        file = published_files.write_torch(folder / "torchvision.pth", weights)
        imported_run.write(folder / "runs/torchvision", imported_run.read(str(file)))
        heads = {
            f"lin{number}.model.1.weight": np.ones((1, shape[0], 1, 1), np.float32)
            for number, shape in enumerate(list(shapes.values())[:5])
        }
        published_files.write_torch(folder / "alex.pth", heads)
        exporting.export(folder / "runs/torchvision", format="keras", folder=folder)
    (folder / "1.keras").rename(folder / "mine.keras")
    for name in ("mine", "tv"):
        (folder / "runs" / name).symlink_to("torchvision")
    shutil.copytree(small_dataset.path, folder / "data/mine")
    shard = small_dataset.shards("train")[0].name
    (folder / "data/mine/train-00000-of-00251.npy").symlink_to(shard)
    rows = {name: np.zeros(4) for name in ("fc7", "names", "labels", "classes")}
    np.savez(folder / "features.npz", **rows)
    np.savez(folder / "predictions.npz", ten_crop_average=np.eye(4), labels=rows["fc7"])
    return folder


def run_python_of(page, names=None):
    """Runs the blocks of Python of a page one after the other."""
    text = (PACKAGE.parent / "docs" / page).read_text()
    names = names or {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, page, "exec"), names)
    return names


@pytest.mark.parametrize(
    "page",
    [
        *("coming_from.md", "evaluation.md", "features.md", "formats.md", "how_to.md"),
        *("input.md", "library.md"),
    ],
)
def test_the_python_of_a_page_runs(page, files_of_the_pages, monkeypatch):
    published_files.small_zoo(monkeypatch)
    monkeypatch.chdir(files_of_the_pages)
    image = images.random_image(0, 300, 400)
    given = {"alexnet_tf": alexnet_tf, "keras": keras, "np": np, "image": image}
    assert run_python_of(page, dict(given)).keys() >= given.keys()


def test_every_page_with_python_is_run():
    """Those left out need a server, which other tests ask, or another program."""
    docs = PACKAGE.parent / "docs"
    pages = {each.name for each in docs.glob("*.md") if "```python" in each.read_text()}
    (run,) = (
        mark.args[1]
        for mark in test_the_python_of_a_page_runs.pytestmark
        if mark.name == "parametrize"
    )
    assert pages - {*run, "weights.md"} == {"serving.md", "serving_custom_op.md"}


def test_the_python_of_the_page_on_weights_runs(
    files_of_the_pages, monkeypatch, capsys
):
    published_files.small_zoo(monkeypatch)
    monkeypatch.chdir(files_of_the_pages)
    run_python_of("weights.md")
    printed = capsys.readouterr().out
    assert re.search(r"\[\[\(\d+, 'n\d{8}", printed)  # a synset
    assert "(4, 512)" in printed  # an eighth of fc7's units


def test_the_page_on_formats_lists_every_file_of_a_run(trained_run):
    page = (PACKAGE.parent / "docs/formats.md").read_text()
    table = page.split("## Run folders")[1].split("###")[0]
    for path in trained_run.iterdir():
        assert f"`{path.name}{'/' if path.is_dir() else ''}`" in table
    described = json.loads((trained_run / "model.json").read_text())
    section = page.split("### model.json")[1].split("###")[0]
    assert all(f"`{key}`" in section for key in described)
