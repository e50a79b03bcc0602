"""Every command of the documents, as typed, in small.

The pages' commands run in a folder that has what the pages name: prepared images, runs,
exports, files of weights and photographs. Flags that follow those of the page make them
short. The commands of the README and of the tutorials are run by other tests.
"""

import contextlib
import dataclasses
import itertools
import os
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import yaml
from PIL import Image

from alexnet_tf.data import preparation, source_types, sources
from alexnet_tf.importing import class_files
from tests.support import (
    ROOT,
    documented,
    image_sources,
    programs,
    published_files,
    servers,
)

# Run by tests/commands/test_readme.py, test_newcomers_path.py and test_tutorials.py.
ELSEWHERE = {
    "README.md",
    *(f"docs/tutorials/{each.name}" for each in ROOT.glob("docs/tutorials/*.md")),
}
PAGES = {
    documented.named(page): documented.commands(text) + documented.tools(text)
    for page in documented.DOCUMENTS
    if documented.named(page) not in ELSEWHERE and (text := page.read_text())
}
NOT_RUN = {
    r"^make |activate$|pre-commit install": "makes this environment, or runs the tests",
    r"\bpip install |^apt-get ": "downloads",
    r"--source=(imagenet2012|ilsvrc2010) --manual_dir=/archives": "needs the archives",
    r"--source=tfds:cifar10": "downloads the images",
    r"import_weights .*--check$": "needs torchvision",
    r"benchmarks/(prediction|evaluation|preparation)\.py": "takes minutes, also in small",
    r"docker compose ": "needs Docker; its flags go to the server of move_label",
    r"^bazel ": "needs Bazel and the server's sources",
    r"^srun ": "needs Slurm",
    r"checks/gpu.sh": "tests/tools/test_gpu_check.py runs it",
    r"^tensorboard ": "serves until it is stopped",
    r"benchmarks/training\.py": "takes many minutes, whatever its flags",
    r"fashion_mnist|--source=folder:images/(fashion|others|tops)": "needs Debian's images",
}
# What follows the flags of a page, by a pattern that its command has.
SMALLER = {
    r"\.train ": "--batch_size=8",
    r"\.train (?!.*(--resume|--overfit|--weights))": "--architecture=small --max_steps=2",
    r"^(?!.*--tower_devices).*tools/(paper|cuda_convnet)\.flags": "--tower_devices=auto",
    r"\.train .*--overfit": "--architecture=small",
    r"\.train .*--weights": "--max_steps=2",
    r"\.train .*--resume": "--max_steps=4",
    r"\.train .*--strategy=mirrored$": "--logical_cpus=2",
    r"\.study (\$FULL|.*pretrain2011)|fine_tune2012": "--architecture=small",
    r"\.study ": "--seeds=0 --batch_size=4 --max_steps=1 --validation=never --noevaluate",
    r"\.check_gradients --architecture": "--architecture=small",
    r"\.(figures|report) ": "--query_count=4 --search_count=8",
    r"\.prepare .*--beam": "--beam_pipeline_options=runner=DirectRunner",
    r"serving/move_label": "--server=http://localhost:8501",
    r"benchmarks/convolution": "--batch_size=2 --repeats=1",
    r"benchmarks/input\.": "--images=256 --rounds=1 --skip_model --peers_dir=",
    r"benchmarks/lrn": "--repeats=1 --noonednn",
    r"benchmarks/trace_towers": "--batch_size=2 --steps=1",
}
# Folders of the pages that are not below the current one.
OUTSIDE = r"(?<![\w./-])/(archives|fall2011|pets|shared|tmp)\b"

# A wrong gradient, and a command of another page.
PRINTS_OTHERWISE = {"docs/gradients.md", "docs/fine_tuning.md"}


def reason_not_to_run(command):
    return next(
        (why for each, why in NOT_RUN.items() if re.search(each, command)), None
    )


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    """A folder with everything that the pages name."""
    folder = tmp_path_factory.mktemp("documents")
    for name in ("alexnet_tf", "tests"):
        (folder / name).symlink_to(ROOT / name)
    for name in ("tools", "docs"):
        shutil.copytree(ROOT / name, folder / name)
    write_images(folder)
    write_datasets(folder / "data")
    write_weights(folder)
    in_this_folder(
        folder,
        "python -m alexnet_tf.train --architecture=small --batch_size=8 --max_steps=2 "
        "--run_dir=runs/mine",
        "python -m alexnet_tf.evaluate --checkpoint=runs/mine",
        "python -m alexnet_tf.export --checkpoint=runs/mine",
        "python -m alexnet_tf.import_weights --from=alexnet-owt-7be5be79.pth "
        "--output=runs/tv",
    )
    names = ("demo", "a", "b", "c", "relu", "tanh", "drawings")
    for name in (*names, *(f"../RUN{number}" for number in range(5))):
        shutil.copytree(folder / "runs/mine", folder / "runs" / name)
    averaged = "--checkpoint=runs/a,runs/b --output=average.json"
    in_this_folder(folder, f"python -m alexnet_tf.evaluate {averaged}")
    (folder / "EXPORT").symlink_to("runs/mine/export")
    return folder


def write_images(folder):
    """Photographs and folders of images, as the pages name them."""
    rng = np.random.default_rng(0)
    for top in ("images", "pets/train", "fall2011", "shared/fall2011"):
        for label, name in enumerate(("cat", "dog", "emu")):
            place = folder / top / name
            place.mkdir(parents=True)
            for number in range(20):
                pixels = rng.integers(0, 60, (70, 90, 3)) + 60 * label
                image = Image.fromarray(pixels.astype(np.uint8))
                image.save(place / f"{number}.jpg")
    shutil.copytree(folder / "images/cat", folder / "photos/cat")
    for name in ("validation/cat", "validation/dog", "drafts/cat"):
        shutil.copytree(folder / "images/cat", folder / "pets" / name)
    for name in ("1.txt", "2.txt", "1.tif"):
        (folder / "pets/train/cat" / name).touch()
    for name in ("photo.jpg", "image.jpg", "photos/0.jpg"):
        shutil.copy(folder / "images/cat/0.jpg", folder / name)


def write_datasets(data):
    """A few garments at each size that nets take, and ImageNet's classes."""
    garments = sources.open_source("garments", data_dir=str(data))
    few = dataclasses.replace(
        garments,
        splits={name: examples[:40] for name, examples in garments.splits.items()},
        class_counts=None,
    )
    for size, encoding in ((32, "raw"), (64, "raw"), (256, "jpeg")):
        preparation.prepare_dataset(
            few, data / f"garments-{size}", size=size, encoding=encoding, workers=1
        )
    small = [f"fashion-{name}" for name in ("256", "others", "tops")]
    for name in ("mine", "drawings-64", *small):
        shutil.copytree(data / "garments-64", data / name)
    shutil.copytree(data / "garments-32", data / "fashion-32")
    examples = [image_sources.example(number) for number in range(8)]
    imagenet = source_types.Source(
        "imagenet2012",
        class_files.read_class_names(None, 1000),
        {"train": examples, "validation": examples},
        specification=sources.identify("imagenet2012", str(data))[0],
    )
    for name, size, encoding, rule in (
        ("imagenet2012-64", 64, "raw", "crop"),
        ("imagenet2012-256", 256, "jpeg", "crop"),
        ("imagenet2012-256-squash", 256, "jpeg", "squash"),
    ):
        preparation.prepare_dataset(
            imagenet,
            data / name,
            size=size,
            encoding=encoding,
            resize=rule,
            workers=1,
        )


def write_weights(folder):
    """The files of weights that the pages import, an eighth as wide."""
    shapes = published_files.shapes_of("torchvision", shrink=8)
    weights = published_files.state_dict(published_files.random_weights(shapes))
    published_files.write_torch(folder / "alexnet-owt-7be5be79.pth", weights)
    shapes = published_files.shapes_of("caffe", shrink=8)
    published_files.write_caffemodel(
        folder / "bvlc_alexnet.caffemodel", published_files.random_weights(shapes)
    )


class Reader:
    """Types the commands of a page into a folder.

    `said` has what each command printed.
    """

    def __init__(self, folder):
        self.folder = folder
        self.ports = {"8500": servers.free_port(), "8501": servers.free_port()}
        servers.write_script(folder / "server", servers.COMMAND)
        self.environment = os.environ | {
            "PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "PORT": str(self.ports["8500"]),
            "REST_PORT": str(self.ports["8501"]),
            "TF_MODEL_SERVER": str(folder / "server"),
            "WAIT_S": str(servers.LIMIT_S),
            "JOB_COMPLETION_INDEX": "0",
        }
        self.variables = {}
        self.said = {}

    def in_small(self, command):
        """A command with the flags that make it short, and with places in the folder."""
        flags = [more for each, more in SMALLER.items() if re.search(each, command)]
        typed = " ".join([command, *flags])
        typed = re.sub(r"(--vary=[^ ,]*,[^ ,]*),[^ ]*", r"\1", typed)
        typed = re.sub(OUTSIDE, rf"{self.folder}/\1", typed)
        for name, value in self.variables.items():
            typed = typed.replace(f"${name}", value)
        for port, free in self.ports.items():
            typed = typed.replace(f":{port}", f":{free}")
        return typed

    def type(self, command):
        """Runs a command, which must succeed."""
        if assigned := re.fullmatch(r'(\w+)="(.*)"', command):
            self.variables[assigned[1]] = assigned[2]
            return
        typed = self.in_small(command)
        self.make_room_for(typed)
        words = documented.arguments(typed)
        if re.fullmatch(r"python -m [^|&;<>$*]*", typed):
            done = self.run_module(*words[2:])
        else:
            done = self.run_in_bash(typed)
        judging = "tools/benchmarks/" in command  # by 1, if it was too slow
        assert 0 <= done.returncode <= judging, (
            f"{command}\n{typed}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
        )
        if judging and (written := re.search(r"--json=(\S+)", typed)):
            assert (self.folder / written[1]).stat().st_size
        assert not re.match(r"curl .*", command) or '"error"' not in done.stdout
        self.said[command] = done.stdout + done.stderr

    def make_room_for(self, typed):
        """Removes what a command makes, if the folder has it."""
        if "--resume" in typed:
            return
        if run := re.search(r"\.train .*--run_dir=(\S+)", typed):
            shutil.rmtree(self.folder / run[1], ignore_errors=True)
        if made := re.search(r"\.import_weights .*--output=(\S+)", typed):
            shutil.rmtree(self.folder / made[1], ignore_errors=True)
        if file := re.search(r"\.evaluate .*--output=(\S+)", typed):
            (self.folder / file[1]).unlink(missing_ok=True)

    def run_module(self, module, *arguments):
        command = [module, *arguments]
        if module.endswith(".import_weights") or "--weights=" in " ".join(arguments):
            command = ["-c", published_files.WITH_SMALL_ZOO, "8", *command]
        return programs.run(*command, cwd=self.folder, env=self.environment)

    def run_in_bash(self, typed):
        return subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", typed],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    @contextlib.contextmanager
    def serving(self, command):
        """Runs a server, which a command starts in the background."""
        words = ["env", *command.removesuffix("&").split()]
        with subprocess.Popen(
            servers.ending_with_the_tests(words, "SIGTERM"),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
        ) as server:
            try:
                assert any(line.startswith("serving ") for line in server.stdout)
                yield
            finally:
                server.terminate()

    def composed_server(self):
        """Starts the server that compose.yaml describes, without Docker."""
        place = self.folder / "tools/serving"
        compose = yaml.safe_load((place / "compose.yaml").read_text())
        flags = " ".join(compose["services"]["serving"]["command"])
        flags = re.sub(r"\$\{\w+:-(.*?)\}", r"\1", flags)
        flags = flags.replace("/serving/", f"{place}/")
        flags = flags.replace("_wait_seconds=30", "_wait_seconds=1")
        config = place / "models.config"
        mounted = config.read_text().replace(
            "/models/alexnet", f"{self.folder}/runs/demo/export"
        )
        config.write_text(mounted)
        server = servers.Server(self.folder, *flags.split())
        self.ports = {"8500": server.port, "8501": server.rest_port}
        return server


def in_this_folder(folder, *commands):
    """Runs commands one after the other; returns what each printed."""
    reader = Reader(folder)
    with contextlib.ExitStack() as stack:
        for command in commands:
            if command.endswith("&"):
                stack.close()  # the server that has the ports
            if "move_label" in command:
                stack.callback(reader.composed_server().stop)
            if reason_not_to_run(command):
                continue
            elif command.endswith("&"):
                stack.enter_context(reader.serving(command))
            else:
                reader.type(command)
    return reader.said


@pytest.fixture
def folder(sandbox, tmp_path):
    shutil.copytree(sandbox, tmp_path / "here", symlinks=True)
    return tmp_path / "here"


def test_every_reason_not_to_run_a_command_has_a_command():
    typed = list(itertools.chain(*PAGES.values()))
    for pattern in (*NOT_RUN, *SMALLER):
        assert any(re.search(pattern, command) for command in typed), pattern


@pytest.mark.long
@pytest.mark.parametrize("page", [page for page, typed in PAGES.items() if typed])
def test_the_commands_of_a_page_succeed(page, folder):
    if all(reason_not_to_run(command) for command in PAGES[page]):
        pytest.skip("none of its commands can be run here")
    said = "\n".join(in_this_folder(folder, *PAGES[page]).values())
    said = said.replace(str(folder), "")
    if page not in PRINTS_OTHERWISE:
        for line in documented.printed((ROOT / page).read_text()):
            assert re.search(line, said), line
