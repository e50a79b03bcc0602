"""Checkpoint -> a model that others run: a stock TensorFlow Serving, TFLite, ONNX, Keras.

    python -m alexnet_tf.export --checkpoint=runs/demo --output=runs/demo/export
    python -m alexnet_tf.export --check=runs/demo/export

Writes OUTPUT/VERSION/, under another name first. The graph holds stock operations only:
the LRN is TensorFlow's, and preprocessing is inside. `--check` examines an export as a
server would run it and compares it with its checkpoint.
"""

import json
import os
import pathlib
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from alexnet_tf import architecture as architectures
from alexnet_tf import (
    augment,
    check,
    config,
    evaluate,
    portable,
    records,
    signatures,
    versions,
    warmup,
)

LABELS = portable.LABELS
ORIGIN = "alexnet_tf.json"  # in assets.extra: what `--check` compares with

CALIBRATION_PICTURES = 100

# Largest difference of a probability, or of a feature in parts of the largest.
TOLERANCE = {"float32": 1e-5, "bfloat16": 0.03}

_DTYPES = {
    "saved_model": ("float32", "bfloat16"),
    "keras": ("float32", "bfloat16"),
    "tflite": ("float32", "float16", "int8"),
    "onnx": ("float32",),
}


def save_model(
    net: keras.Model,
    path: pathlib.Path,
    *,
    architecture: architectures.Architecture,
    classes: Sequence[str],
    top: int,
    crops: int,
) -> None:
    """Writes a SavedModel with every signature of `signatures`, and its warm-up.

    `net` takes `evaluate.plain_inputs` and has stock operations only.
    """
    served = signatures.Signatures(
        net, architecture, classes=classes, top=top, crops=crops
    ).all()
    archive = keras.export.ExportArchive()
    for name, (function, spec) in served.items():
        archive.add_endpoint(name, function, input_signature=[spec])
    archive.write_out(str(path), verbose=False)
    _name_method(path / "saved_model.pb", signatures.CLASSIFY)
    (path / "assets").mkdir(exist_ok=True)
    (path / "assets" / LABELS).write_text("\n".join(classes) + "\n")
    warmup.write(
        path, {name: s.input for name, s in served.items()}, signatures.CLASSIFY
    )


def _name_method(file: pathlib.Path, signature: str) -> None:
    """Marks a signature as one of the Classify API, which Keras cannot say."""
    saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    for graph in saved.meta_graphs:
        method = tf.saved_model.CLASSIFY_METHOD_NAME
        graph.signature_def[signature].method_name = method
    file.write_bytes(saved.SerializeToString(deterministic=True))
    # It holds hashes of the file as it was, and may be absent.
    file.with_name("fingerprint.pb").unlink()


def verify(path: pathlib.Path, checkpoint: str = "") -> list[check.Replay]:
    """Checks an export and compares its answers with the checkpoint's.

    `checkpoint`: another than the export was made of, as where that has moved. Raises
    CheckError naming the first thing that is wrong; returns the requests that were run.
    """
    replays = check.check(path)
    origin = json.loads((path / warmup.FOLDER / ORIGIN).read_text())
    restored = evaluate.restore(checkpoint or origin["checkpoint"])
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
        tolerance = TOLERANCE[origin["dtype"]]
        for name, value in answer.items():
            _compare(f"{signature}: {name}", outputs[name], value.numpy(), tolerance)
    return replays


def _compare(
    what: str, found: np.ndarray, wanted: np.ndarray, tolerance: float
) -> None:
    if found.shape != wanted.shape:
        raise check.CheckError(
            f"{what} has the shape {found.shape}, the checkpoint gives {wanted.shape}"
        )
    if wanted.dtype == object:
        # Names in the order of scores, which near-equal scores may change.
        if set(found[:, 0]) - set(wanted.ravel()):
            raise check.CheckError(
                f"{what} are {found[:, 0]}, the checkpoint gives {wanted[:, 0]}"
            )
        return
    off = np.abs(found - wanted).max() / max(1.0, np.abs(wanted).max())
    if not off <= tolerance:
        raise check.CheckError(
            f"{what} differs from the checkpoint's by {off:.3g}, "
            f"more than {tolerance:g}"
        )


def calibration(
    dataset: records.Dataset, side: int, count: int = CALIBRATION_PICTURES
) -> np.ndarray:
    """Centre crops of training pictures, evenly spread: float32 [N, side, side, 3]."""
    source = records.open_records(dataset, "train")
    indices = np.linspace(0, len(source) - 1, min(count, len(source))).astype(int)
    images = [
        records.decode(source[index].encoded, dataset.size, dataset.encoding)
        for index in indices.tolist()
    ]
    return augment.center_crop(np.stack(images), side).astype(np.float32)


def write(
    path: pathlib.Path, flags: config.Config, restored: evaluate.Restored
) -> None:
    """Writes `path` in the format of the flags."""
    side = restored.architecture.input_size
    mean = restored.dataset.statistics().mean_crop(side)
    classes = restored.dataset.classes
    if flags.export_format == "keras":
        restored.net.save(path)
    elif flags.export_format == "onnx":
        portable.save_onnx(restored.net, path, mean=mean, classes=classes)
    elif flags.export_format == "tflite":
        portable.save_tflite(
            restored.net,
            path,
            mean=mean,
            classes=classes,
            precision=flags.dtype,
            calibration=calibration(restored.dataset, side),
        )
    else:
        save_model(
            restored.net,
            path,
            architecture=restored.architecture,
            classes=classes,
            top=flags.top,
            crops=flags.crops,
        )
        origin = {
            "checkpoint": os.path.abspath(restored.prefix),
            "crops": flags.crops,
            "dtype": flags.dtype,
            "top": flags.top,
        }
        described = path / warmup.FOLDER / ORIGIN
        described.write_text(json.dumps(origin, indent=1) + "\n")


def main(flags: config.Config, arguments: Sequence[str]) -> None:
    config.refuse_arguments(arguments)
    if flags.check:
        path = versions.find(flags.check, "check")
        given = flags.checkpoint != config.Config().checkpoint
        replays = verify(path, flags.checkpoint if given else "")
        names = ", ".join(replay.signature for replay in replays)
        print(f"{path}: good: {names}")
        return
    if flags.dtype not in _DTYPES[flags.export_format]:
        raise ValueError(
            f"--dtype={flags.dtype} does not go with --format={flags.export_format}: "
            f"use {' or '.join(_DTYPES[flags.export_format])}"
        )
    restored = evaluate.restore(
        flags.checkpoint,
        precision="bfloat16" if flags.dtype == "bfloat16" else "float32",
        stock=flags.export_format != "keras",
        with_preprocessing=flags.export_format == "saved_model",
    )
    folder = pathlib.Path(flags.export_dir or restored.run_dir / "export")
    version = flags.version or versions.following(folder)
    suffix = "" if flags.export_format == "saved_model" else f".{flags.export_format}"
    path = folder / f"{version}{suffix}"
    with versions.whole(path) as partial:
        write(partial, flags, restored)
    print(path)


if __name__ == "__main__":
    config.run("export", main)
