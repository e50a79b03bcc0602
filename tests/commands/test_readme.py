"""The five tasks of the README, as typed, on forty images of one's own."""

import contextlib
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tests.support import ROOT, documented, published_files, servers

# What makes a training short here; the README's own flags come before it.
SHORT = " --max_steps=2"
TASKS = [
    *("train", "evaluate", "import_weights", "train", "report", "export", "serve.sh"),
    "predict",
]


def commands():
    """The commands of the section, one string each, in the README's order."""
    section = (ROOT / "README.md").read_text().split("## Five tasks")[1]
    return documented.commands(section.split("\n## ")[0])


def short_of(training):
    """The flags that make a training of the README short."""
    return SHORT if "--validate_epochs" in training else f"{SHORT} --validation=end"


@pytest.fixture
def folder(tmp_path):
    """A folder with weights of torchvision's net, forty images, a photo, and tools."""
    (tmp_path / "tools").symlink_to(ROOT / "tools")
    weights = published_files.random_weights(published_files.shapes_of("torchvision"))
    published_files.write_torch(
        tmp_path / "alexnet-owt-7be5be79.pth", published_files.state_dict(weights)
    )
    rng = np.random.default_rng(0)
    for label, name in enumerate(("cat", "dog")):
        place = tmp_path / "images" / name
        place.mkdir(parents=True)
        for number in range(20):
            pixels = rng.integers(0, 90, (240, 300, 3)) + 80 * label
            Image.fromarray(pixels.astype(np.uint8)).save(place / f"{number}.jpg")
    shutil.copy(tmp_path / "images/cat/0.jpg", tmp_path / "photo.jpg")
    return tmp_path


def serving(typed, folder, environment):
    """The server that a command starts in the background, once it serves."""
    command = servers.ending_with_the_tests(typed.removesuffix("&").split(), "SIGTERM")
    server = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert any(line.startswith("serving ") for line in server.stdout)
    return server


def test_the_readme_has_five_tasks():
    names = re.findall(r"(?:alexnet_tf\.|serving/)([\w.]+)", "\n".join(commands()))
    assert names == TASKS


@pytest.mark.long
@pytest.mark.skipif(not shutil.which("curl"), reason="serve.sh needs curl")
def test_the_tasks_of_the_readme_work_one_after_the_other(folder):
    servers.write_script(folder / "server", servers.COMMAND)
    port = servers.free_port()
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "PORT": str(servers.free_port()),
        "REST_PORT": str(port),
        "TF_MODEL_SERVER": str(folder / "server"),
        "WAIT_S": str(servers.LIMIT_S),
    }
    with contextlib.ExitStack() as stack:
        for command in commands():
            typed = command.replace(":8501", f":{port}")
            typed = typed.replace("python ", f"{sys.executable} ")
            if typed.endswith("&"):
                server = stack.enter_context(serving(typed, folder, environment))
                stack.callback(server.terminate)
                continue
            done = subprocess.run(
                ["bash", "-c", typed + (short_of(typed) if ".train " in typed else "")],
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, (typed, done.stderr[-3000:])
    assert "photo.jpg" in done.stdout
    assert {"cat", "dog"} <= set(done.stdout.split())
    assert (folder / "report.html").stat().st_size > 100_000
    assert (folder / "runs/tuned/model.json").is_file()
