"""The repository and the wheel: flags in the README, recipes, an installed package."""

import dataclasses
import os
import pathlib
import subprocess
import sys
import zipfile

import pytest
from absl import flags as absl_flags

from alexnet_tf.models import zoo
from alexnet_tf.runtime import options

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools/checks"))

import flags_page  # noqa: E402


def resolve(flagfile):
    values = absl_flags.FlagValues()
    options.define("train", values)
    values(["train", *options.with_recipes([f"--flagfile={flagfile}"])])
    return options.collect("train", values)


def test_the_readme_has_the_table_of_flags():
    assert flags_page.table() in (ROOT / "README.md").read_text(), (
        "run python tools/checks/flags_page.py --write"
    )


@pytest.mark.parametrize("path", sorted((ROOT / "tools").glob("*.flags")))
def test_every_recipe_is_made_of_flags_that_exist(path):
    resolved = resolve(path)
    assert resolved.architecture in zoo.ARCHITECTURES


def test_the_papers_flags_say_what_the_paper_says():
    paper = resolve(ROOT / "tools/paper.flags")
    assert paper == dataclasses.replace(
        paper,
        dataset="imagenet2012",
        architecture="paper",
        tower_devices=("/GPU:0", "/GPU:1"),
        batch_size=128,
        momentum=0.9,
        weight_decay=0.0005,
        learning_rate=0.01,
        init="paper",
        update="paper",
        color_noise="paper",
        dropout="original",
        schedule="plateau",
        plateau_drops=3,
        epochs=90.0,
    )


def test_the_programs_flags_say_what_the_program_did():
    code = resolve(ROOT / "tools/cuda_convnet.flags")
    assert code.drop_epochs == (23, 51, 78)
    assert code.bias_drop_epochs == (23,)
    assert (code.conv1_drop_epoch, code.conv1_freeze_epoch) == (68, 72)
    assert (code.color_noise_end_epoch, code.epochs) == (68, 93)
    assert (code.architecture, code.init) == ("cuda_convnet",) * 2
    assert code.update == "code"


def test_recipes_are_found_from_another_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert resolve("tools/one_gpu.flags").architecture == "one_gpu"
    assert resolve(ROOT / "tools/one_gpu.flags").epochs == 93
    with pytest.raises(absl_flags.Error, match="tools/none.flags"):
        resolve("tools/none.flags")


def test_a_file_where_python_was_started_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools/paper.flags").write_text("# mine\n\n--batch_size=7\n")
    assert resolve("tools/paper.flags").batch_size == 7


def test_recipes_that_build_on_the_programs():
    code, today, one = (
        resolve(ROOT / f"tools/{name}.flags")
        for name in ("cuda_convnet", "ilsvrc2012", "one_gpu")
    )
    auto = {"tower_devices": ("auto",)}
    assert today == dataclasses.replace(code, precision="bfloat16", **auto)
    assert one == dataclasses.replace(
        code, dataset="ilsvrc2010", architecture="one_gpu", **auto
    )


def test_the_13_percent_nets_flags_say_what_the_original_did():
    recipe = resolve(ROOT / "tools/cifar10_13pct.flags")
    assert (recipe.learning_rate, recipe.update) == (0.001, "code")
    assert (recipe.epochs, recipe.drop_epochs) == (160, (140, 150))


def test_the_wheel_holds_the_op_and_the_pictures_and_works_elsewhere(tmp_path):
    """Built with this environment's TensorFlow, installed beside it, run from outside."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"),
            *("--no-build-isolation", "--wheel-dir", str(tmp_path), str(ROOT)),
        ],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"ALEXNET_TF_CUDA": "0"},  # a minute of nvcc; setup has it
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
        "assert len(g.read('test')[0]) == 2000\n"
        "net = alexnet_tf.AlexNet(architecture='cifar10_11pct', classes=10)\n"
        "assert net.count_params() == 2112970\n"
        "from alexnet_tf.runtime import options as config\n"
        "found = config.with_recipes(['--flagfile=tools/paper.flags'])\n"
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
