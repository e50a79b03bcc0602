"""docs/results.md shows what docs/results records of its older studies."""

import gzip
import pathlib
import re
import shlex
import sys

import numpy as np
import pytest
from PIL import Image

from alexnet_tf.runtime import options
from alexnet_tf.studies import plan as plans
from alexnet_tf.training import train_options
from tests.support import ROOT, documented

sys.path.insert(0, str(ROOT / "tools/studies"))

import fashion_mnist
import published

# Flags that were renamed after the runs.
RENAMED = {
    "code2012.flags": "cuda_convnet.flags",
    "validate_epochs=-1": "validation=never",
    "validate_epochs=0": "validation=end",
    "conv1_drop_epoch=0": "conv1_drop_epoch=inf",
    "conv1_freeze_epoch=0": "conv1_freeze_epoch=inf",
    "{work}/transfer/pretrained-seed0": "studies/pretrained/run-seed0",
    "{work}": "data",
}


def options_of(*flags):
    """What a run of these flags is, without its place, as text."""
    chosen = options.parse(train_options.TrainOptions, flags)
    return str(options.replace(chosen, run_dir="runs/x", resume=False))


def documented_runs():
    """The options of every run that the commands of the page make."""
    variables, found = {}, set()
    for command in documented.commands(published.PAGE.read_text()):
        if assigned := re.fullmatch(r'(\w+)="(.*)"', command):
            variables[f"${assigned[1]}"] = assigned[2]
        for name, value in variables.items():
            command = command.replace(name, value)
        if "alexnet_tf.train " in command:
            found.add(options_of(*shlex.split(command)[3:]))
        if "alexnet_tf.study " not in command:
            continue
        flags = [
            flag
            for flag in shlex.split(command)[3:]
            if not re.match("--(vary|seeds|output|best|reach|noevaluate)", flag)
        ]
        factors = tuple(map(plans.factor_of, re.findall(r"--vary=(\S+)", command)))
        plan = plans.Plan(tuple(flags), factors, (0, 1, 2), "out")
        found |= {options_of(*plan.flags_of(run)) for run in plan.runs()}
    return found


def test_the_page_has_the_commands_of_the_recorded_runs():
    made, recorded = documented_runs(), set()
    for study in (*published.STUDIES, "kernels"):
        for name, run in published.read(study).items():
            flags = "\n".join(run["flags"])
            for before, now in RENAMED.items():
                flags = re.sub(rf"{re.escape(before)}(?=$|/)", now, flags, flags=re.M)
            # What the sentences behind the commands say.
            flags = flags.replace("--batch_size=128", "--batch_size=32")
            if not re.fullmatch("tuned-seed[12]", name):
                recorded.add(options_of(*flags.split("\n")))
    assert len(recorded) == 6 + 12 + 6 + 2 + 7
    assert recorded <= made


@pytest.mark.parametrize("study", published.STUDIES)
def test_the_table_of_a_study_is_that_of_its_recorded_runs(study):
    table, picture = published.STUDIES[study]
    after = published.PAGE.read_text().split(f"<!-- {study} -->\n")[1]
    shown = after.split(f"<!-- end of {study} -->")[0]
    expected = f"\n![{study}](results/{study}.png)\n" if picture else ""
    assert shown == table() + expected


@pytest.mark.parametrize("study", [s for s, (_, p) in published.STUDIES.items() if p])
def test_the_picture_of_a_study_can_be_drawn_again(study, tmp_path):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    from matplotlib import pyplot

    figure = published.STUDIES[study][1](pyplot)
    width, height = figure.get_size_inches() * 100
    with Image.open(published.DOCS / f"results/{study}.png") as image:
        assert image.size == (width, height)
    pyplot.close(figure)


def test_the_last_steps_are_the_last_fifty_of_each_seed():
    train = [[10 * n, 2.0 if n > 25 else 9.0, 50.0] for n in range(1, 31)]
    runs = {"a-32-seed0": {"train": train}, "a-128-seed0": {"train": train[:25]}}
    ((loss, error),) = published._last_steps(runs, "a-32")
    assert (loss, error) == (2.0, 50.0)


def test_the_first_images_of_the_chosen_classes_are_written(tmp_path):
    labels = np.array([0, 1, 0, 2, 0, 2], np.uint8)
    images = np.arange(6, dtype=np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8)
    for name, values in (("images-idx3", images), ("labels-idx1", labels)):
        header = bytes([0, 0, 8, values.ndim])
        header += np.array(values.shape, ">i4").tobytes()
        for split in ("train", "t10k"):
            path = tmp_path / f"{split}-{name}-ubyte.gz"
            path.write_bytes(gzip.compress(header + values.tobytes()))
    out = tmp_path / "out"
    fashion_mnist.write_images(tmp_path, out, classes=(0, 2), most=2)
    expected = ["class0/00000", "class0/00002", "class2/00003", "class2/00005"]
    written = sorted(path.relative_to(out) for path in out.rglob("*.png"))
    assert written == sorted(
        pathlib.Path(split, f"{name}.png")
        for split in ("train", "test")
        for name in expected
    )
    with Image.open(out / "test/class2/00005.png") as image:
        assert np.array(image).tolist() == [[5, 5], [5, 5]]
