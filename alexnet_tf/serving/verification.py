"""Compares an export's answers with its checkpoint's."""

import json
import pathlib

import numpy as np
import tensorflow as tf

from alexnet_tf.models import trained
from alexnet_tf.serving import preflight, saved_model, signatures, warmup_requests


def verify(path: pathlib.Path, checkpoint: str = "") -> list[preflight.Replay]:
    """Checks an export and compares its answers with the checkpoint's.

    `checkpoint`: another than the export was made of, as where that has moved. Raises
    CheckError naming the first thing that is wrong; returns the requests that were run.
    """
    replays = preflight.check_export(path)
    origin = json.loads(
        (path / warmup_requests.FOLDER / saved_model.ORIGIN).read_text()
    )
    restored = trained.restore(checkpoint or origin["checkpoint"])
    wanted = signatures.Signatures(
        restored.net,
        restored.architecture,
        classes=restored.dataset.classes,
        top=origin["top"],
        crops=origin["crops"],
    ).all()
    for signature, inputs, outputs in replays:
        (rows,) = inputs.values()
        function, spec = wanted[signature]
        answer = function(tf.constant(rows, spec.dtype))
        tolerance = saved_model.TOLERANCE[origin["dtype"]]
        for name, value in answer.items():
            _compare(f"{signature}: {name}", outputs[name], value.numpy(), tolerance)
    return replays


def _compare(
    what: str, found: np.ndarray, wanted: np.ndarray, tolerance: float
) -> None:
    if found.shape != wanted.shape:
        raise preflight.CheckError(
            f"{what} has the shape {found.shape}, the checkpoint gives {wanted.shape}"
        )
    if wanted.dtype == object:
        # Names in the order of scores, which near-equal scores may change.
        if set(found[:, 0]) - set(wanted.ravel()):
            raise preflight.CheckError(
                f"{what} are {found[:, 0]}, the checkpoint gives {wanted[:, 0]}"
            )
        return
    off = np.abs(found - wanted).max() / max(1.0, np.abs(wanted).max())
    if not off <= tolerance:
        raise preflight.CheckError(
            f"{what} differs from the checkpoint's by {off:.3g}, "
            f"more than {tolerance:g}"
        )
