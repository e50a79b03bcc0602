"""The commands of docs/tutorials/fine_tune.md, from a file to features, as typed."""

import re
import shlex

import numpy as np
import pytest
from PIL import Image

from alexnet_tf.models import checkpoint_files, checkpoint_weights, trained
from tests.support import ROOT, documented, programs, published_files

PAGE = ROOT / "docs/tutorials/fine_tune.md"
CLASSES = ("cat", "dog", "horse")


def documented_commands():
    """The commands of the page, one string each."""
    return documented.commands(PAGE.read_text())


def as_torch_initializes(shapes):
    """Random weights and biases as a new net of torchvision has them."""
    rng = np.random.default_rng(0)
    found = {}
    for name, shape in shapes.items():
        bound = np.prod(shape[1:]) ** -0.5
        found[name] = tuple(
            rng.uniform(-bound, bound, part).astype(np.float32)
            for part in (shape, shape[:1])
        )
    return found


@pytest.fixture(scope="module", params=[8, pytest.param(1, marks=pytest.mark.long)])
def shrink(request):
    """By how much the net's widths are divided."""
    return request.param


@pytest.fixture(scope="module")
def folder(shrink, tmp_path_factory):
    """A folder in which all of the page's commands have been run, and what they said."""
    folder = tmp_path_factory.mktemp("newcomer")
    shapes = published_files.shapes_of("torchvision", 1000, shrink)
    weights = as_torch_initializes(shapes)
    published_files.write_torch(
        folder / "alexnet-owt-7be5be79.pth", published_files.state_dict(weights)
    )
    rng = np.random.default_rng(0)
    for split, each in (("train", 15), ("validation", 5)):
        for label, name in enumerate(CLASSES):
            place = folder / "images" / split / name
            place.mkdir(parents=True)
            for number in range(each):
                pixels = rng.integers(0, 90, (240, 300, 3)) + 80 * label
                image = Image.fromarray(pixels.astype(np.uint8))
                image.save(place / f"{number}.jpg", quality=90)
    said = {}
    for command in documented_commands():
        _, _, module, *arguments = shlex.split(command)
        done = programs.run(
            *("-c", published_files.WITH_SMALL_ZOO, shrink, module, *arguments),
            cwd=folder,
        )
        assert done.returncode == 0, (command, done.stderr[-3000:])
        said[command] = done
    return folder, said


def of_command(said, *words):
    (found,) = (
        done for command, done in said.items() if all(word in command for word in words)
    )
    return found


def test_the_page_shows_every_step():
    names = [command.split()[2] for command in documented_commands()]
    assert [name.removeprefix("alexnet_tf.") for name in names] == [
        *("import_weights", "export", "predict", "train", "evaluate"),
        *("export", "export", "predict", "features"),
    ]


def test_the_commands_print_what_the_page_shows(folder):
    _, said = folder
    everything = "\n".join(done.stdout + done.stderr for done in said.values())
    for line in documented.printed(PAGE.read_text()):
        assert re.search(line, everything), line


def test_all_layers_but_the_last_are_taken(folder):
    folder, said = folder
    assert (
        "conv1 to fc7 taken; fc8 is new (1000 classes there and 3 here)"
        in of_command(said, ".train ").stderr
    )
    net = trained.read_trained_net(folder / "runs/mine")
    assert net.class_names == CLASSES
    assert (net.architecture.name, net.dropout) == ("torchvision", "inverted")
    imported = trained.read_trained_net(folder / "runs/tv")
    np.testing.assert_array_equal(net.mean, imported.mean)
    before, after = (
        checkpoint_weights.read_weights(checkpoint_files.locate_checkpoint(path)[1])
        for path in (folder / "runs/tv", folder / "runs/mine")
    )
    np.testing.assert_array_equal(after["conv1/kernel"], before["conv1/kernel"])
    moved = np.abs(after["fc7/kernel"] - before["fc7/kernel"]).mean()
    assert 0 < moved < 0.1 * np.abs(before["fc7/kernel"]).mean()


def test_the_imported_net_answers_with_its_own_classes_and_the_tuned_one_with_yours(
    folder,
):
    _, said = folder
    imported = of_command(said, ".predict", "runs/tv").stdout
    tuned = of_command(said, ".predict", "runs/mine").stdout
    assert not any(name in imported.split() for name in CLASSES)
    assert all(name in tuned.split() for name in CLASSES)


def test_the_export_is_checked_and_the_features_are_whole(folder, shrink):
    folder, said = folder
    assert of_command(said, "--check=").returncode == 0
    with np.load(folder / "features.npz") as found:
        assert found["fc7"].shape == (60, 4096 // shrink)
        assert len(found["names"]) == 60
        assert np.isfinite(found["fc7"]).all()
        assert found["fc7"].std() > 0
