"""What a user mistypes is reported before TensorFlow loads, with what was perhaps meant."""

import json
import re
import subprocess
import sys

import pytest

from tests.support import nets, runs

# Parses and runs commands in a process that cannot import TensorFlow or Keras.
_PROGRAM = """
import importlib, json, sys
sys.modules["tensorflow"] = sys.modules["keras"] = None
from absl import flags
from alexnet_tf.runtime import errors, options
from alexnet_tf.training import train_options
said = []
for name, *arguments in json.loads(sys.stdin.read()):
    command = importlib.import_module(f"alexnet_tf.{name}")
    values = flags.FlagValues()
    options.define(command.OPTIONS, values)
    if name == "study":
        options.define(train_options.TrainOptions, values)
        command.flags.FLAGS = values
    try:
        rest = options.parse_flags(values, arguments)
        command.main(options.collect(command.OPTIONS, values), rest)
        said.append("nothing")
    except Exception as error:
        said.append(errors.one_line(error))
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory, small_dataset):
    """A folder with a run that has a dataset, and a file where no folder can be."""
    folder = tmp_path_factory.mktemp("mistakes")
    runs.write_untrained(
        folder / "demo",
        nets.SMALL,
        dataset_path=str(small_dataset.path),
        dataset_digest="0",
    )
    (folder / "file").touch()
    return folder


CASES = {
    "a run": (
        "figures --checkpoint={}/dmeo",
        "no checkpoint {}/dmeo: .*Did you mean {}/demo?",
    ),
    "a figure": ("figures --figure=filtres", "got filtres. Did you mean filters?"),
    "no figure": ("figures --figure= --checkpoint={}/demo", "--figure is empty"),
    "a layer": (
        "figures --checkpoint={}/demo --layer=covn2/rleu",
        "--layer=covn2/rleu: small has no such layer, .*Did you mean conv2/relu",
    ),
    "a split": (
        "figures --checkpoint={}/demo --split=vaildation",
        "no split 'vaildation', only train, validation. Did you mean validation?",
    ),
    "a folder above a run": (
        "figures --checkpoint={}x/dmeo",
        "no checkpoint {}x/dmeo: .*Did you mean {}/demo?",
    ),
    "images of a figure": (
        "figures --checkpoint={}/demo --images={}/demos",
        "--images={}/demos does not exist. Did you mean {}/demo?",
    ),
    "images to classify": (
        "predict --model={}/demo {}/fiel",
        "{}/fiel: there is no such file or folder. Did you mean {}/file?",
    ),
    "a list of images": (
        "predict --model={}/demo --images_from={}/fiel",
        "--images_from={}/fiel: there is no such file. Did you mean {}/file?",
    ),
    "a source": (
        "prepare --source=folder:{}/dmeo --dry_run",
        "folder:{}/dmeo: no such folder. Did you mean {}/demo?",
    ),
    "a recipe": (
        "train --flagfile=papr.flags",
        "--flagfile=papr.flags: there is no such file, .* Did you mean tools/paper.flags",
    ),
    "a flag of another command": (
        "evaluate --run_dir={}/demo",
        "Unknown command line flag 'run_dir'. Did you mean --checkpoint?",
    ),
    "another library's flag": (
        "study --vary=lr=0.1,0.2 --output={}/s",
        "Unknown command line flag 'lr'. Did you mean --learning_rate?",
    ),
    "a dataset": (
        "figures --checkpoint={}/demo --dataset={}/none",
        "{}/none is not a prepared dataset",
    ),
    "a folder": (
        "figures --checkpoint={}/demo --images={}/none",
        "--images={}/none does not exist",
    ),
    "an architecture": (
        "figures --architecture=alexnett",
        "got 'alexnett'. Did you mean .*alexnet",
    ),
    "an output": (
        "figures --checkpoint={}/demo --output={}/file/x",
        "{}/file/x cannot be a folder: {}/file is not one",
    ),
    "a run of a report": ("report {}/dmeo", "Did you mean {}/demo?"),
    "a split of a report": (
        "report {}/demo --split=tain --output={}/x.html",
        "no split 'tain', .* Did you mean train?",
    ),
    "an output of a report": ("report {}/demo --output={}/file/x.html", "{}/file"),
    "a run of the tables": ("tables {}/dmeo", "Did you mean {}/demo?"),
    "a format": ("tables --format=html", "format=html"),
    "a part": (
        "study --vary=without=,con3 --architecture=small --output={}/s",
        "--without=con3 is no part of small .*Did you mean conv3",
    ),
    "a flag that varies": (
        "study --vary=lerning_rate=1,2 --output={}/s",
        "learning_rate",
    ),
    "an architecture of a study": (
        "study --vary=architecture=small,papr --output={}/s",
        "got papr. Did you mean paper?",
    ),
    "a dataset of a study": (
        "study --dataset={}/none --output={}/s",
        "{}/none is not a prepared dataset",
    ),
    "an output of a study": ("study --output={}/file/s", "{}/file is not one"),
    "a run of check_gradients": (
        "check_gradients --checkpoint={}/dmeo",
        "no checkpoint {}/dmeo: .*Did you mean {}/demo?",
    ),
    "an architecture of check_gradients": (
        "check_gradients --architecture=smal",
        "got smal. Did you mean small?",
    ),
}


@pytest.fixture(scope="module")
def said(folder):
    """The error of each case, by its name."""
    commands = [text.replace("{}", str(folder)).split() for text, _ in CASES.values()]
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        input=json.dumps(commands),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return dict(zip(CASES, json.loads(done.stdout.splitlines()[-1]), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_a_mistake_is_reported_without_tensorflow(case, said, folder):
    pattern = CASES[case][1].replace("?", r"\?").replace("{}", str(folder))
    assert re.search(pattern, said[case]), said[case]
    assert "tensorflow" not in said[case]


def test_nothing_was_written(said, folder):
    assert {path.name for path in folder.iterdir()} == {"demo", "file"}
