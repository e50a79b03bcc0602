"""The notebooks are whole, were executed, and show nothing of the machine that did so."""

import re

import pytest

from tests.support import ROOT

nbformat = pytest.importorskip("nbformat")

NOTEBOOKS = sorted(ROOT.glob("docs/**/*.ipynb"))
LARGEST = 1_000_000  # bytes
PATH_OF_A_MACHINE = re.compile(r"/(home|root|work|tmp|usr|opt|Users|private)/")


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request):
    return request.param


def outputs(notebook):
    """The outputs of a notebook's cells, in order."""
    return [each for cell in code_cells(notebook) for each in cell.outputs]


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def shown_text(notebook):
    """What the outputs say, without the pictures."""
    return "\n".join(
        output.get("text", "") + str(output.get("data", {}).get("text/plain", ""))
        for output in outputs(notebook)
    )


def faults(notebook):
    """What is wrong with a notebook as it is stored."""
    found = []
    counts = [cell.execution_count for cell in code_cells(notebook)]
    if counts != [*range(1, len(counts) + 1)]:
        found.append("not executed from the beginning to the end")
    for output in outputs(notebook):
        if output.output_type == "error":
            found.append("an error")
        if output.get("name") == "stderr":
            found.append("a warning")
    if PATH_OF_A_MACHINE.search(shown_text(notebook)):
        found.append("a path of a machine")
    if not any("image/png" in output.get("data", {}) for output in outputs(notebook)):
        found.append("no picture")
    source = "".join(cell.source for cell in code_cells(notebook))
    for trained in re.findall(r'"train",.*?\)', source, re.DOTALL):
        if "--architecture" in trained and "--lrn=stock" not in trained:
            found.append("a training that needs a compiler")
    return found


def test_there_are_two_notebooks():
    assert len(NOTEBOOKS) == 2


def test_a_notebook_is_valid_small_and_executed(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert faults(notebook) == []
    assert path.stat().st_size < LARGEST


def test_faults_of_notebooks_are_found():
    new = nbformat.v4
    error = new.new_output("error", ename="E", evalue="", traceback=[])
    warning = new.new_output("stream", name="stderr", text="see /root/.cache/x")
    source = 'run("train", "--architecture=small")'
    cell = new.new_code_cell(source, outputs=[error, warning], execution_count=2)
    assert faults(new.new_notebook(cells=[cell])) == [
        *("not executed from the beginning to the end", "an error", "a warning"),
        *("a path of a machine", "no picture", "a training that needs a compiler"),
    ]


@pytest.mark.long
def test_a_notebook_runs(path, tmp_path, monkeypatch):
    """It draws as many pictures as it shows, and prints where it shows that it prints."""
    nbclient = pytest.importorskip("nbclient")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    stored = nbformat.read(path, as_version=4)
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=3600, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    assert faults(notebook) == []
    for before, after in zip(code_cells(stored), code_cells(notebook), strict=True):
        assert pictures(before) == pictures(after)
        assert bool(printed(before)) == bool(printed(after))


def printed(cell):
    return "".join(output.get("text", "") for output in cell.outputs).strip()


def pictures(cell):
    return sum("image/png" in output.get("data", {}) for output in cell.outputs)
