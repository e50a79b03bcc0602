"""Checks an export as a server would run it, and compares it with its checkpoint."""

import os
import pathlib
from typing import Any

import numpy as np
import tensorflow as tf

from alexnet_tf.models import checkpoint_files, trained
from alexnet_tf.serving import model_versions, preflight, signatures

# Largest difference of a probability, or of a feature in parts of the largest one.
TOLERANCE = {"float32": 1e-5, "bfloat16": 0.03}


def verify_export(
    export: str | os.PathLike[str], checkpoint: str | os.PathLike[str] | None = None
) -> tuple[pathlib.Path, list[str]]:
    """Checks an export, and compares its answers with those of its checkpoint.

    Args:
        export: a model version, or the folder of model versions, whose highest is
            taken.
        checkpoint: where to find the source checkpoint, if it has moved since the
            export; a run folder that moved together with its exports is found.

    Returns: the model version, and the signatures that were run.

    Raises:
        CheckError: a server would refuse the export, or its answers differ.
        CheckpointError: the checkpoint is not found.
    """
    path = model_versions.find_version(export, "check")
    replays = preflight.check_export(path)
    origin = _read_origin(path)
    restored = trained.restore(
        checkpoint or _checkpoint_of(path, origin), inputs="finished"
    )
    _compare_fingerprints(path, origin, restored)
    wanted = signatures.Signatures(
        restored.model,
        restored.architecture,
        mean=restored.trained.mean,
        classes=restored.trained.class_names,
        top=origin["top"],
        crops=origin["crops"],
        background=restored.trained.background,
        resize=restored.trained.resize,
    ).all()
    for signature, inputs, outputs in replays:
        (rows,) = inputs.values()
        function, spec = wanted[signature]
        answer = function(tf.constant(rows, spec.dtype))
        tolerance = TOLERANCE[origin["dtype"]]
        for name, value in answer.items():
            _compare(f"{signature}: {name}", outputs[name], value.numpy(), tolerance)
    return path, [replay.signature for replay in replays]


def _read_origin(path: pathlib.Path) -> dict[str, Any]:
    try:
        return model_versions.read_origin(path)
    except ValueError as error:
        raise preflight.CheckError(
            f"a server would run {path}, but its answers cannot be compared: {error}"
        ) from error


def _checkpoint_of(path: pathlib.Path, origin: dict[str, Any]) -> str:
    """Finds the checkpoint of an export, in its old place or moved with the export."""
    for candidate in (
        origin["checkpoint"],
        str(path / origin["checkpoint_from_here"]),
    ):
        if os.path.exists(f"{candidate}.index"):
            return os.path.normpath(candidate)
    raise checkpoint_files.CheckpointError(
        f"the checkpoint that {path} was made of is not at {origin['checkpoint']} any "
        "more: say where it is by --checkpoint"
    )


def _compare_fingerprints(
    path: pathlib.Path, origin: dict[str, Any], restored: trained.Restored
) -> None:
    """Raises CheckError if the checkpoint's net is another than when it was exported."""
    for what, found in trained.fingerprint(restored).items():
        recorded = origin["made_of"].get(what, "nothing")
        if recorded != found:
            raise preflight.CheckError(
                f"{path} was made of {origin['checkpoint']} with the {what} "
                f"{recorded[:12]}, and {restored.checkpoint} has {found[:12]}: export "
                "it again, or name the checkpoint that it was made of by --checkpoint"
            )


def _compare(
    what: str, found: np.ndarray, wanted: np.ndarray, tolerance: float
) -> None:
    """Raises CheckError if an output of the export is not the checkpoint's."""
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
    difference = np.abs(found - wanted).max() / max(1.0, np.abs(wanted).max())
    if not difference <= tolerance:
        raise preflight.CheckError(
            f"{what} differs from the checkpoint's by {difference:.3g}, more than "
            f"{tolerance:g}"
        )
