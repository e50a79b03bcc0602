"""The command `figures`."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from alexnet_tf import figures as command
from alexnet_tf.drawing import gallery
from alexnet_tf.importing import imported_run
from alexnet_tf.models import trained
from alexnet_tf.runtime import options
from tests.support import nets, published_files, runs


def run(**chosen):
    chosen = {"precision": "float32"} | chosen
    command.main(options.replace(command.OPTIONS(), **chosen), [])


@pytest.fixture(scope="module")
def two_towers(tmp_path_factory):
    """A run folder of a small net with two towers, which has no dataset."""
    return runs.write_untrained(tmp_path_factory.mktemp("runs") / "towers", nets.SMALL)


def test_the_command_knows_every_figure():
    assert set(command.NAMES) == set(gallery.FIGURES)


def test_filters_are_those_of_the_checkpoint(two_towers, tmp_path, capsys):
    run(checkpoint=str(two_towers), figure=("filters",), output=str(tmp_path))
    model = trained.restore(two_towers).model
    with np.load(tmp_path / "filters.npz") as found:
        for tower, part in enumerate(nets.towers_of(model, "conv1")):
            np.testing.assert_array_equal(found["kernels"][tower], part.kernel.numpy())
    printed = capsys.readouterr().out
    assert printed.startswith(f"{tmp_path}/filters.png: The 6 kernels of conv1, ")
    assert "tower 1: color selectivity 0.6" in printed


def test_a_net_of_the_zoo_needs_no_run(tmp_path, capsys):
    run(architecture="cifar10_13pct", output=str(tmp_path))
    assert "fc10" in capsys.readouterr().out
    found = json.loads((tmp_path / "architecture.json").read_text())
    assert found["parameters"] == 1_116_490  # counted by hand from the 2012 program
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".json", ".svg", ".txt"]
    with pytest.raises(ValueError, match="architecture must be one of paper, .*'none'"):
        run(architecture="none", output=str(tmp_path))
    with pytest.raises(ValueError, match="no weights, and filters is of a trained net"):
        run(architecture="paper", figure=("filters",), output=str(tmp_path))


def test_the_architecture_of_a_run_is_its_own(two_towers, tmp_path):
    run(checkpoint=str(two_towers), figure=("architecture",), output=str(tmp_path))
    found = json.loads((tmp_path / "architecture.json").read_text())
    model = trained.restore(two_towers).model
    assert found["parameters"] == model.count_params()
    text = (tmp_path / "architecture.txt").read_text()
    assert text.startswith(f"The network small of …/{two_towers.name}: ")
    assert str(two_towers) not in text


def test_an_imported_net_is_drawn_too(monkeypatch, tmp_path):
    published_files.small_zoo(monkeypatch)
    shapes = published_files.shapes_of("torchvision", shrink=8)
    weights = published_files.state_dict(published_files.random_weights(shapes))
    file = published_files.write_torch(tmp_path / "torchvision.pth", weights)
    imported_run.write(tmp_path / "run", imported_run.read(str(file)))
    names = ("architecture", "filters")
    run(checkpoint=str(tmp_path / "run"), figure=names, output=str(tmp_path))
    found = json.loads((tmp_path / "architecture.json").read_text())
    assert found["parameters"] == sum(array.size for array in weights.values())
    with np.load(tmp_path / "filters.npz") as data:
        # PyTorch has [kernels, channels, height, width], and images that are divided by
        # torchvision's standard deviations, which the imported kernels do themselves.
        kernels = np.asarray(weights["features.0.weight"]).transpose(2, 3, 1, 0)
        expected = kernels / (255 * np.array([[0.229], [0.224], [0.225]]))
        np.testing.assert_allclose(data["kernels"][0], expected, rtol=1e-5)


def test_another_layer_has_files_of_its_own(two_towers, tmp_path):
    chosen = {"checkpoint": str(two_towers), "figure": ("filters",)}
    run(**chosen, layer="conv2", channel=1, output=str(tmp_path))
    assert (tmp_path / "filters-conv2-channel1.png").exists()


def test_all_leaves_out_what_this_run_cannot_have(two_towers, tmp_path, capsys):
    run(checkpoint=str(two_towers), output=str(tmp_path))
    found = {path.stem for path in tmp_path.iterdir()}
    assert {"architecture", "filters"} <= found
    said = (
        f"{two_towers}/log.jsonl does not exist: only runs that alexnet_tf.train wrote"
    )
    assert f"curves is left out: {said}" in capsys.readouterr().err
    assert "curves" not in found
    with pytest.raises(gallery.NotDrawableError, match=said):
        run(checkpoint=str(two_towers), figure=("curves",), output=str(tmp_path))


def test_curves_show_several_runs_and_other_figures_one(
    trained_run, two_towers, tmp_path, capsys
):
    copy = tmp_path / "with, comma"
    shutil.copytree(trained_run, copy)
    both = f"{trained_run},{trained_run}/best"
    for named, count in ((str(trained_run), 1), (str(copy), 1), (both, 2)):
        run(checkpoint=named, figure=("curves",), output=str(tmp_path))
        found = json.loads((tmp_path / "curves.json").read_text())["runs"]
        assert len(found) == count
        # The net has three classes, so its top-5 error is always 0.
        assert all("top5_error" not in each["validation"] for each in found)
    capsys.readouterr()
    with pytest.raises(ValueError, match="filters is of one net, and 2 checkpoints"):
        run(checkpoint=both, figure=("filters",), output=str(tmp_path))


def test_without_matplotlib_one_line_says_what_to_install(tmp_path):
    code = (
        "import sys; sys.modules['matplotlib'] = sys.modules['cycler'] = None;"
        "import runpy;"
        "sys.argv = ['figures', '--checkpoint=nowhere'];"
        "runpy.run_module('alexnet_tf.figures', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == (
        "alexnet_tf.figures: figures need the package matplotlib, which is not "
        "installed: pip install 'alexnet_tf[figures]'\n"
    )
