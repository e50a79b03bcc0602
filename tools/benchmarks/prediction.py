"""Times prediction on files beside the bare inference of the same export.

    python3 -m venv ../peers/torch && ../peers/torch/bin/pip install torch torchvision
    OPENBLAS_NUM_THREADS=1 python tools/benchmarks/prediction.py \\
      --peers_dir=../peers --json=prediction.json

Commands set that variable themselves, because they resize in several threads.

The files are JPEGs of 500 x 375 pixels and 109 kB on average, noise with the spectrum
and colors of photographs. The net is torchvision's AlexNet, so that PyTorch computes
the same. Each round times these in turn, and the results are medians:

    inference         the export at batch 128, of squares that are decoded already
    decoding          reading, decoding and resizing alone, with all cores
    local             `predict --model`: both, at the same time on the same cores
    server            the export at batch 128, of JPEGs, which it decodes itself
    checking          what the client does to an image before it sends it, with all cores
    client            `predict --server`, asking the tests' stand-in server over gRPC
    torch             PyTorch's DataLoader and the same net, with the best number of
                      workers

Where the same cores do both, images per second are at most 1 / (1 / a + 1 / b); this is
what "ceiling" means. PyTorch runs in an environment of its own below --peers_dir; if
that is missing, it is named and left out.

"start" is the command on one image from a cold start, beside importing TensorFlow and
loading the export. The tool exits with status 1 if a limit is missed.
"""

import concurrent.futures
import gc
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import limits
import numpy as np
import stand_in
import synthetic_photographs
import tensorflow as tf
import timing
import untrained
from absl import app, flags

from alexnet_tf.models import zoo
from alexnet_tf.serving import classification, exporting, local_model

_JSON = flags.DEFINE_string("json", None, "File to write the results to.")
_PEERS = flags.DEFINE_string("peers_dir", None, "Folder of the peers' environments.")
_IMAGES = flags.DEFINE_integer("images", 2000, "Files.", lower_bound=256)
_ROUNDS = flags.DEFINE_integer(
    "rounds", 3, "Measurements of each variant, in turn.", lower_bound=1
)

_ROOT = pathlib.Path(__file__).parents[2]
_BATCH = 128
_BATCHES = 4  # of a measurement of the bare export
_WORKERS = (0, 1, 2)  # of PyTorch's DataLoader


def write_files(folder: pathlib.Path, count: int) -> list[str]:
    """Writes the images; returns their paths."""
    synthetic_photographs.write_class_folders(folder, count)
    return sorted(map(str, folder.rglob("*.jpg")))


def write_export(folder: pathlib.Path) -> pathlib.Path:
    """Exports the net with random weights; returns the folder of versions."""
    untrained.write_run(folder / "run", zoo.TORCHVISION)
    return exporting.export(folder / "run", folder=folder / "alexnet").parent


def rate(images: int, work: Callable[[], object]) -> float:
    """Images per second of some work."""
    start = time.perf_counter()
    work()
    return images / (time.perf_counter() - start)


class Variants:
    """What is timed, by its name: each returns images per second."""

    def __init__(self, model: local_model.Model, server: str, files: list[str]):
        self._model, self._server, self._files = model, server, files
        few = files[:_BATCH]
        self._squares = np.stack([model._read(file) for file in few])
        self._jpegs = tf.constant([pathlib.Path(file).read_bytes() for file in few])
        for warm_up in (self.inference, self.server):
            warm_up()

    def inference(self) -> float:
        called = self._model._loaded.signatures["predict_images"]
        return self._bare(lambda: called(image=tf.constant(self._squares)))

    def server(self) -> float:
        called = self._model._loaded.signatures["serving_default"]
        return self._bare(lambda: called(image_bytes=self._jpegs))

    def _bare(self, call: Callable[[], dict[str, tf.Tensor]]) -> float:
        return rate(
            _BATCH * _BATCHES,
            lambda: [call()["scores"].numpy() for _ in range(_BATCHES)],
        )

    def decoding(self) -> float:
        return self._with_all_cores(self._model._read)

    def checking(self) -> float:
        return self._with_all_cores(classification._read_for_server)

    def _with_all_cores(self, read: Callable[[str], object]) -> float:
        few = self._files[: _BATCH * _BATCHES]
        with concurrent.futures.ThreadPoolExecutor(timing.cores()) as threads:
            return rate(len(few), lambda: list(threads.map(read, few)))

    def local(self) -> float:
        return self._files_of(self._model.classify_files)

    def client(self) -> float:
        with classification.server_classifier(self._server, timeout_s=60) as asked:
            return self._files_of(asked.answers)

    def _files_of(self, classify) -> float:
        def work():
            for file, answer in classify(self._files):
                if isinstance(answer, Exception):
                    raise RuntimeError(f"{file} was not classified") from answer

        return rate(len(self._files), work)


def seconds(*command: str) -> float:
    """How long a process of Python takes."""
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, *command], check=True, capture_output=True, cwd=_ROOT
    )
    return time.perf_counter() - start


def start_s(version: pathlib.Path, file: str) -> dict[str, Callable[[], float]]:
    """Cold starts in seconds: of the command, and of what it cannot do without."""
    code = f"import tensorflow as tf; tf.saved_model.load({str(version)!r})"
    command = ("-m", "alexnet_tf.predict", f"--model={version}", file)
    return {
        "tensorflow_and_model": lambda: seconds("-c", code),
        "predict": lambda: seconds(*command),
    }


def measure(folder: pathlib.Path) -> dict[str, dict[str, float]]:
    """Medians: images per second, and seconds of a cold start."""
    files = write_files(folder / "photos", _IMAGES.value)
    versions = write_export(folder)
    model = local_model.Model(versions)
    python, workers = timing.python_of(_PEERS.value, "torch"), _WORKERS

    def torch() -> float:
        """With the best number of workers, which is found in the first round."""
        nonlocal workers
        found = {
            n: timing.number_of(python, "prediction_peer.py", folder / "photos", n)
            for n in workers
        }
        workers = (max(found, key=found.__getitem__),)
        return max(found.values())

    with stand_in.server(versions) as (address, _):
        measured = Variants(model, address, files)
        variants = {
            "inference": measured.inference,
            "decoding": measured.decoding,
            "local": measured.local,
            "server": measured.server,
            "checking": measured.checking,
            "client": measured.client,
        }
        if python:
            variants["torch"] = torch
        rates = timing.medians(variants, _ROUNDS.value)
    starts = timing.medians(start_s(versions / "1", files[0]), _ROUNDS.value)
    return {"images_per_s": rates, "start_s": starts}


def ceiling(rates: dict[str, float], first: str, second: str) -> float:
    """Images per second if the same cores do both for each image."""
    return 1 / (1 / rates[first] + 1 / rates[second])


def judge(rates: dict[str, float], starts: dict[str, float]) -> list[limits.Limit]:
    """What prediction is held to."""
    local, client = rates["local"], rates["client"]
    judged = [
        limits.at_least("local, of inference", local / rates["inference"], 0.8),
        limits.at_least(
            "local, of its ceiling",
            local / ceiling(rates, "inference", "decoding"),
            0.9,
        ),
        limits.at_least(
            "client, of its ceiling", client / ceiling(rates, "server", "checking"), 0.8
        ),
    ]
    if "torch" in rates:
        judged.append(
            limits.more_than("local, beside PyTorch", local / rates["torch"], 1)
        )
    start = starts["predict"] / starts["tensorflow_and_model"]
    judged.append(limits.at_most("cold start, of TensorFlow and model", start, 1.5))
    return judged


def main(arguments):
    if len(arguments) > 1:
        raise app.UsageError(f"unexpected argument {arguments[1]!r}")
    gc.freeze()  # as the commands do when they have loaded TensorFlow
    with tempfile.TemporaryDirectory() as name:
        found = measure(pathlib.Path(name))
    rates, starts = found["images_per_s"], found["start_s"]
    for name, value in rates.items():
        print(f"{name:22} {value:9.1f} images/s")
    for name, value in starts.items():
        print(f"{name:22} {value:9.2f} s from a cold start")
    report = {
        "cores": timing.cores(),
        "images": _IMAGES.value,
        **found,
        "ceilings": {
            "local": ceiling(rates, "inference", "decoding"),
            "client": ceiling(rates, "server", "checking"),
        },
    }
    return limits.conclude(judge(rates, starts), report, _JSON.value)


if __name__ == "__main__":
    app.run(main)
