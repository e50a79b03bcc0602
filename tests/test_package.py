"""The page of flags is current, the recipes are right, and the wheel can be used."""

import math
import os
import subprocess
import sys
import zipfile

import pytest

from alexnet_tf.models import zoo
from alexnet_tf.ops import library
from alexnet_tf.runtime import options
from alexnet_tf.training.train_options import TrainOptions
from tests.support import ROOT

sys.path.insert(0, str(ROOT / "tools/checks"))

import flags_page


def resolve(recipe):
    """The options that a recipe gives."""
    return options.parse(TrainOptions, [f"--flagfile={ROOT / 'tools' / recipe}"])


def changed(recipe):
    """The options of a recipe that differ from the defaults, by name."""
    defaults = options.values_of(TrainOptions())
    found = options.values_of(resolve(recipe))
    return {name: value for name, value in found.items() if value != defaults[name]}


def test_the_page_of_flags_is_current():
    assert flags_page.PAGE.read_text() == flags_page.page(), (
        "run python tools/checks/flags_page.py --write"
    )


@pytest.mark.parametrize("path", sorted((ROOT / "tools").glob("*.flags")))
def test_every_recipe_contains_only_flags_that_exist(path):
    architecture = resolve(path.name).net.architecture
    # Fine-tuning takes the net of the weights.
    assert architecture in zoo.ARCHITECTURES or path.name == "fine_tune.flags"


def test_the_flags_of_the_paper_are_those_of_the_text():
    assert changed("paper.flags") == {
        "dataset": "imagenet2012",
        "architecture": "paper",
        "tower_devices": ("/GPU:0", "/GPU:1"),
        "weight_decay": 0.0005,
        "init": "paper",
        "dropout": "original",
        "bias_learning_rate_factor": 1.0,
        "color_noise": "paper",
        "color_noise_end_epoch": math.inf,
        "precision": "float32",
        "schedule": "plateau",
        "epochs": 90.0,
    }
    recipe = resolve("paper.flags").recipe
    assert (recipe.batch_size, recipe.momentum) == (128, 0.9)
    assert (recipe.learning_rate, recipe.plateau_drops) == (0.01, 3)


def test_the_flags_of_cuda_convnet_are_those_of_the_2012_program():
    chosen = resolve("cuda_convnet.flags")
    recipe = chosen.recipe
    assert recipe.drop_epochs == (23, 51, 78)
    assert recipe.bias_drop_epochs == (23,)
    assert (recipe.conv1_drop_epoch, recipe.conv1_freeze_epoch) == (68, 72)
    assert (recipe.color_noise_end_epoch, chosen.run.epochs) == (68, 93)
    assert recipe.bias_learning_rate_factor == 2.0
    assert (chosen.net.architecture, chosen.net.init) == ("cuda_convnet",) * 2


def test_the_flags_of_caffe_are_those_of_its_solver():
    chosen = resolve("caffe_alexnet.flags")
    recipe = chosen.recipe
    steps_per_epoch = 1_281_167 / recipe.batch_size
    drops = [epoch * steps_per_epoch for epoch in recipe.drop_epochs]
    assert drops == pytest.approx([100_000, 200_000, 300_000, 400_000], rel=1e-3)
    assert chosen.run.epochs * steps_per_epoch == pytest.approx(450_000, rel=1e-3)
    assert (recipe.batch_size, recipe.learning_rate, recipe.momentum) == (
        256,
        0.01,
        0.9,
    )
    assert (recipe.weight_decay, recipe.bias_learning_rate_factor) == (0.0005, 2.0)
    assert (recipe.color_noise, recipe.crop_sharing) == ("none", 1)
    # The architecture has its own.
    assert (chosen.net.dropout, chosen.net.init) == (None, None)
    assert chosen.net.architecture == "caffe_alexnet"


def test_recipes_that_include_cuda_convnet_change_only_what_they_name():
    original, modern, one_gpu = (
        resolve(f"{name}.flags") for name in ("cuda_convnet", "ilsvrc2012", "one_gpu")
    )
    auto = {"tower_devices": ("auto",)}
    assert modern == options.replace(original, precision="bfloat16", **auto)
    assert one_gpu == options.replace(
        original, dataset="ilsvrc2010", architecture="one_gpu", **auto
    )


def test_the_flags_of_the_13_percent_net_are_those_of_the_original():
    chosen = resolve("cifar10_13pct.flags")
    recipe = chosen.recipe
    assert (recipe.learning_rate, recipe.bias_learning_rate_factor) == (0.001, 2.0)
    assert (chosen.run.epochs, recipe.drop_epochs) == (160, (140, 150))


# Compiles nothing: what it would link is the library that is built already.
COMPILER = """#!/bin/sh
while [ "$1" != -o ]; do shift; done
case $2 in *.o) : >"$2" ;; *) cp "{built}" "$2" ;; esac
"""


@pytest.mark.parametrize(
    "compiles", [False, pytest.param(True, marks=pytest.mark.long)]
)
def test_the_wheel_holds_the_op_and_the_images_and_works_elsewhere(tmp_path, compiles):
    """The wheel is built, installed into a folder, and run outside the repository."""
    compiler = tmp_path / "compiler"
    compiler.write_text(COMPILER.format(built=library._LIBRARY))
    compiler.chmod(0o755)
    environment = {"ALEXNET_TF_OPS": "1", "ALEXNET_TF_CUDA": "0"}  # nvcc takes a minute
    if not compiles:
        environment["CXX"] = str(compiler)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"),
            *("--no-build-isolation", "--wheel-dir", str(tmp_path), str(ROOT)),
        ],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.endswith("-py3-none-linux_x86_64.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for needed in (
        "alexnet_tf/_alexnet_ops.so",
        "alexnet_tf/data/builders/garments/train.png",
        "alexnet_tf/data/builders/garments/LICENSE",
        "alexnet_tf/tools/paper.flags",
        "alexnet_tf/drawing/report/page.html",
        "alexnet_tf/drawing/report/page.css",
    ):
        assert needed in names
    assert not [n for n in names if n.startswith(("tests/", "tools/"))]
    target = tmp_path / "installed"
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"),
            *("--target", str(target), str(wheel)),
        ],
        check=True,
    )
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import alexnet_tf, tensorflow as tf\n"
        "from alexnet_tf import ops\n"
        "from alexnet_tf.data.builders.garments import garments_dataset_builder as g\n"
        "assert alexnet_tf.__file__.startswith(sys.argv[1]), alexnet_tf.__file__\n"
        "assert ops.local_response_normalization(tf.ones([1, 1, 1, 8])).shape[-1] == 8\n"
        "assert len(g.read_split('test')[0]) == 2000\n"
        "net = alexnet_tf.AlexNet(architecture='cifar10_11pct', classes=10)\n"
        "assert net.count_params() == 2112970\n"
        "from alexnet_tf.runtime import flag_files\n"
        "found = flag_files.expand(['--flagfile=tools/paper.flags'])\n"
        "assert '--architecture=paper' in found, found\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(target)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    installed, module = (
        subprocess.run(
            [*command, "--help"],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(target)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for command in (
            [str(target / "bin/alexnet"), "train"],
            [sys.executable, "-m", "alexnet_tf.train"],
        )
    )
    assert installed == module
    assert "--learning_rate" in installed
