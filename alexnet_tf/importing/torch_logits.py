"""The logits of torchvision's own AlexNet, computed in a process of its own.

    python -m alexnet_tf.importing.torch_logits FILE IMAGES.npy LOGITS.npy

torch and TensorFlow in one process have crashed it while they load. FILE is read by
torch or by safetensors, and the names of its tensors are read from standard input, in
the order of the model's own.
"""

import importlib
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def compute(path: str, images: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Returns the logits of images, float32 [N, 3, H, W], by torchvision's net.

    Args:
        path: of the file of weights.
        images: as the net reads them.
        names: those of the file's tensors, in the order of the model's state dict.

    Raises:
        RuntimeError: the process failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        given, computed = (pathlib.Path(folder) / name for name in ("i.npy", "l.npy"))
        np.save(given, images)
        done = subprocess.run(
            [sys.executable, "-m", __name__, path, str(given), str(computed)],
            input="\n".join(names),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            last = (done.stderr.strip() or f"status {done.returncode}").splitlines()[-1]
            raise RuntimeError(f"--check: torchvision failed on {path}: {last}")
        return np.load(computed)


def _main(path: str, given: str, computed: str) -> None:
    import torch
    import torchvision

    names = sys.stdin.read().splitlines()
    if path.lower().endswith(".safetensors"):
        found: Mapping[str, Any] = importlib.import_module(
            "safetensors.torch"
        ).load_file(path)
    else:
        found = torch.load(path, map_location="cpu", weights_only=True)
    if names[0] not in found:  # a checkpoint of training
        found = next(
            part
            for part in found.values()
            if isinstance(part, Mapping) and names[0] in part
        )
    model = torchvision.models.alexnet(weights=None, num_classes=len(found[names[-1]]))
    own = model.state_dict()
    model.load_state_dict(
        {key: found[name].float() for key, name in zip(own, names, strict=True)}
    )
    model.eval()
    with torch.no_grad():
        np.save(computed, model(torch.from_numpy(np.load(given))).numpy())


if __name__ == "__main__":
    _main(*sys.argv[1:])
