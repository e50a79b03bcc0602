"""The tutorials' commands, as typed, in small: on a few images, with few steps."""

import contextlib
import glob
import itertools
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from alexnet_tf import prepare
from alexnet_tf.runtime import options
from tests.support import ROOT, documented, programs, servers

TUTORIALS = ROOT / "docs/tutorials"
# What follows the flags of a page here, by command.
SMALL_NET = ["--architecture=small", "--batch_size=8", "--max_steps=2"]
SHORT = {
    "train": SMALL_NET,
    "prepare": ["--size=64"],
    "report": ["--query_count=4", "--search_count=8"],
}


def blocks(page):
    """The blocks of commands of a page."""
    return documented.blocks((TUTORIALS / page).read_text())


def commands(page):
    """[module, arguments ...] of each `python -m` of a page, in the page's order."""
    typed = documented.commands((TUTORIALS / page).read_text())
    return [shlex.split(each)[2:] for each in typed if each.startswith("python -m")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with sixty images in three classes, a photo, and tools."""
    folder = tmp_path_factory.mktemp("tutorials")
    (folder / "tools").symlink_to(ROOT / "tools")
    rng = np.random.default_rng(0)
    for label, name in enumerate(("cat", "dog", "emu")):
        place = folder / "images" / name
        place.mkdir(parents=True)
        for number in range(20):
            pixels = rng.integers(0, 60, (70, 90, 3)) + 60 * label
            Image.fromarray(pixels.astype(np.uint8)).save(place / f"{number}.jpg")
    shutil.copy(folder / "images/cat/0.jpg", folder / "photo.jpg")
    return folder


@pytest.fixture(scope="module")
def prepared(folder):
    """Those images, prepared, in place of the garments."""
    chosen = options.replace(
        prepare.PrepareOptions(),
        source=f"folder:{folder / 'images'}",
        output=str(folder / "data/tiny"),
        size=64,
    )
    prepare.main(chosen, [])
    return folder / "data/tiny"


def in_small(folder, module, *arguments, **more):
    """A command of a page as it runs in a folder. `more` are flags by command."""
    name = module.removeprefix("alexnet_tf.")
    short = [*SHORT.get(name, []), *more.get(name, [])]
    if "--resume" in arguments or "--overfit_one_batch" in arguments:
        short = [flag for flag in short if not flag.startswith("--max_steps")]
    files = [sorted(glob.glob(each, root_dir=folder)) or [each] for each in arguments]
    return [module, *itertools.chain(*files), *short]


def succeeding(command, folder):
    done = programs.run(*command, cwd=folder)
    assert done.returncode == 0, (command, done.stderr[-3000:])
    return done


def outcomes(page, folder, **more):
    """Runs all commands of a page; returns what each did, if all of them succeeded."""
    small = [in_small(folder, *command, **more) for command in commands(page)]
    return [succeeding(command, folder) for command in small]


def said(done, module, *flags):
    """What the commands of a module printed that have some flags."""
    return [
        each.stdout + each.stderr
        for each in done
        if each.args[0] == f"alexnet_tf.{module}"
        and all(any(flag in given for given in each.args) for flag in flags)
    ]


def test_every_tutorial_is_run_by_a_test():
    elsewhere = {"fine_tune.md"}  # by tests/commands/test_newcomers_path.py
    here = set(re.findall(r'"(\w+\.md)"', pathlib.Path(__file__).read_text()))
    assert {page.name for page in TUTORIALS.glob("*.md")} == here | elsewhere


def test_the_first_run(folder, prepared, tmp_path):
    shutil.copytree(folder, tmp_path / "work", symlinks=True)
    done = outcomes("first_run.md", tmp_path / "work", train=["--dataset=data/tiny"])
    assert "top-1 error, %" in said(done, "evaluate")[0]
    assert "report.html: " in said(done, "report")[0]
    pictures = [each.name for each in (ROOT / "tools/pictures").glob("*.png")]
    assert all(name in said(done, "predict")[0] for name in pictures)
    assert "step 2 of 2" in said(done, "train")[0]
    ending = (
        r"newest checkpoint runs/mine/checkpoints/step-\d+: top-1 error [\d.]+ % on the "
        r"\w+ split; best checkpoint "
    )
    page = (TUTORIALS / "first_run.md").read_text()
    for text in (
        said(done, "train")[0],
        " ".join(re.findall(r"^ +> (.*)", page, re.M)),
    ):
        assert re.search(ending, text)
    assert "(resumed)" in said(done, "train", "--resume")[0]


def test_your_own_images(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "work", symlinks=True)
    done = outcomes("your_images.md", tmp_path / "work")
    dry, real = said(done, "prepare")
    assert "images has 3 classes: cat, dog, emu" in dry
    assert "data/mine: " in real
    assert "the first batch is learned" in said(done, "train", "--overfit")[0]
    assert re.search(
        r"photo.jpg\n +[\d.]+ %  (cat|dog|emu)\n", said(done, "predict")[0]
    )


@pytest.mark.long
def test_the_rehearsal_of_imagenet(tmp_path):
    """The other commands of the page need the archives."""
    rehearsal, rest = blocks("imagenet.md")[0], commands("imagenet.md")[4:]
    first = commands("imagenet.md")[:4]
    done = [succeeding(command, tmp_path) for command in first]
    assert "runs/rehearsal/checkpoints/step-2" in done[-1].stdout
    assert rehearsal.count("python -m") == 4
    assert [each[0] for each in rest] == [
        f"alexnet_tf.{name}"
        for name in ("prepare", *["train"] * 4, "evaluate", "tables")
    ]


@pytest.mark.long
@pytest.mark.skipif(not shutil.which("curl"), reason="serve.sh needs curl")
def test_serving(trained_run, tmp_path):
    (tmp_path / "tools").symlink_to(ROOT / "tools")
    shutil.copytree(trained_run, tmp_path / "runs/mine")
    servers.write_script(tmp_path / "server", servers.COMMAND)
    ports = {"8500": str(servers.free_port()), "8501": str(servers.free_port())}
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "PORT": ports["8500"],
        "REST_PORT": ports["8501"],
        "TF_MODEL_SERVER": str(tmp_path / "server"),
        "WAIT_S": str(servers.LIMIT_S),
    }
    printed = []
    with contextlib.ExitStack() as stack:
        for block in blocks("serve.md"):
            typed = block.replace("python -m", f"{sys.executable} -m")
            for port, free in ports.items():
                typed = typed.replace(f":{port}", f":{free}")
            if typed.startswith("TF_MODEL_SERVER="):
                continue  # instead of the server that runs already
            if typed.strip().endswith("&"):
                words = typed.strip().removesuffix("&").split()
                server = subprocess.Popen(
                    servers.ending_with_the_tests(words, "SIGTERM"),
                    cwd=tmp_path,
                    env=environment,
                    stdout=subprocess.PIPE,
                    text=True,
                )
                stack.enter_context(server)
                stack.callback(server.terminate)
                assert any(line.startswith("serving ") for line in server.stdout)
                continue
            printed.append(in_bash(typed, tmp_path, environment))
    assert printed[0].endswith("runs/mine/export/1\n")
    assert "runs/mine/export/1: good" in printed[1]
    assert printed[2].count("bag.png") == 2  # over REST and over gRPC
    assert '"scores"' in printed[3]
    assert printed[4].endswith("runs/mine/export/2\n")


def in_bash(block, folder, environment):
    """What a block printed, if it succeeded."""
    done = subprocess.run(
        ["bash", "-e", "-c", block],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (block, done.stderr[-3000:])
    return done.stdout


@pytest.mark.long
def test_several_machines(folder, prepared):
    """Where the page starts two workers, both train, and the first one writes the run."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    small = "--architecture=small --batch_size=8 --dataset=data/tiny --run_dir"
    ports = {"2222": str(servers.free_port()), "2223": str(servers.free_port())}
    for block in blocks("several_machines.md"):
        typed = block.replace("python -m", f"{sys.executable} -m")
        for port, free in ports.items():
            typed = typed.replace(port, free)
        typed = typed.replace("--max_steps=20", "--max_steps=2")
        typed = typed.replace("--max_steps=24", "--max_steps=4")
        in_bash(typed.replace("--run_dir", small), folder, environment)
    for name, steps in (("towers", 2), ("replicas", 2), ("two", 4)):
        newest = folder / f"runs/{name}/checkpoints/step-{steps}.index"
        assert newest.is_file()
