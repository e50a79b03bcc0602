"""Everything but the ops themselves works where there is no op library.

As on macOS, in Colab, or where the package was installed without a C++ compiler. The
tests copy the package without its library and run the copy.
"""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from alexnet_tf.models import trained
from alexnet_tf.ops import library
from tests.support import ROOT, runs

# The whole small path in one process, because each would import TensorFlow for seconds.
WHOLE_PATH = """
import sys
from absl import flags
from PIL import Image
from alexnet_tf import evaluate, export, predict, train
from alexnet_tf.runtime import errors, loading, options
loading.end_without_collecting()
with loading.libraries():
    from alexnet_tf.serving import preflight
from alexnet_tf.training import train_options
flags.FLAGS(sys.argv[:1])

def run(command, arguments=(), **given):
    print(f"== {command.__name__} {' '.join(given)}", file=sys.stderr, flush=True)
    chosen = options.replace(command.OPTIONS(), **given)
    if command is train:
        chosen = train_options.complete(chosen, set(given))
    command.main(chosen, list(arguments))

run(train, dataset=sys.argv[1], run_dir="run", architecture="cifar10_11pct",
    batch_size=8, max_steps=2, checkpoint_steps=1, precision="float32")
run(train, run_dir="run", resume=True, max_steps=3)
run(evaluate, checkpoint="run")
run(export, checkpoint="run", output="export")
preflight.check_export = preflight.examine_export  # here, where there is no op either
run(export, check="export/1")
Image.new("RGB", (40, 30)).save("image.png")
run(predict, ["image.png"], model="export")
run(export, checkpoint="run", format="keras", output="export")
run(train, run_dir=sys.argv[2], resume=True, max_steps=2)
try:
    run(train, dataset=sys.argv[1], run_dir="demanded", architecture="cifar10_11pct",
        batch_size=8, lrn="op")
except ValueError as error:
    print(errors.one_line(error), file=sys.stderr)
import alexnet_tf, keras, numpy as np
assert keras.saving.load_model("export/2.keras").output_shape == (None, 3)
assert alexnet_tf.AlexNet(classes=2)(np.zeros([1, 224, 224, 3])).shape == (1, 2)
"""


@pytest.fixture(scope="module")
def without(tmp_path_factory):
    """A folder with a copy of the package that has no library."""
    folder = tmp_path_factory.mktemp("without")
    shutil.copytree(
        ROOT / "alexnet_tf",
        folder / "alexnet_tf",
        ignore=shutil.ignore_patterns("*.so", "__pycache__"),
    )
    return folder


def run_in(folder, *arguments):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def said(without, small_dataset):
    """What each command of the whole path wrote on standard error."""
    of_the_op = without / "of_the_op"
    runs.train(runs.train_options_of(small_dataset, of_the_op, max_steps=1))
    assert trained.read_trained_net(of_the_op).normalization == "op"
    done = run_in(without, "-c", WHOLE_PATH, str(small_dataset.path), str(of_the_op))
    assert done.returncode == 0, done.stderr[-3000:]
    _, *parts = re.split(r"^== ", done.stderr, flags=re.MULTILINE)
    return parts


def test_the_whole_path_works_and_says_once_what_is_missing(said):
    *own, _, _ = said  # the last two are of a run of the op, and of one that demands it
    warnings = [
        line for part in own for line in part.splitlines() if "op library" in line
    ]
    (warning,) = warnings
    assert "/CPU:0 computes with TensorFlow's own operations in place of" in warning
    assert "_alexnet_ops.so does not exist" in warning
    assert "pip install" in warning
    assert warning in said[0]  # at the first use


def test_the_run_records_what_computed_it(without, said):
    recorded = json.loads((without / "run/environment.json").read_text())
    assert (recorded["op library"], recorded["normalization"]) == ("absent", "stock")
    assert trained.read_trained_net(without / "run").normalization == "stock"
    assert "\n--lrn=auto\n" in (without / "run/resolved.flags").read_text()
    assert "last bits" not in said[1]  # resumed in the same way
    assert all("trained with this package" not in part for part in said)


def test_a_run_that_the_op_trained_goes_on_and_says_that_its_bits_may_differ(
    without, said
):
    assert [r["step"] for r in runs.log_of(without / "of_the_op")] == [1, 2]
    assert "normalization was op and is stock" in said[-2]
    assert "its last bits may differ" in said[-2]


def test_the_op_cannot_be_demanded(without, said):
    _, line = said[-1].splitlines()
    assert line.startswith("this package's op cannot compute on /CPU:0")
    assert "does not exist" in line
    assert "--lrn=stock" in line
    assert not (without / "demanded" / "checkpoints").exists()


def test_a_library_of_another_tensorflow_is_refused_as_one_that_is_absent(tmp_path):
    """What a process does without one, whatever the reason, is above."""
    file = tmp_path / "_alexnet_ops.so"
    file.write_bytes(b"\0alexnet_tf build: tensorflow=2.19.1 cuda=none;\0")
    message = "was built for TensorFlow 2.19, but this is"
    with pytest.raises(library.OpLibraryError, match=message):
        library._load(file)
