"""TODO."""

import json
import os
import pathlib
from collections.abc import Sequence

from alexnet_tf.models import trained
from alexnet_tf.runtime import options
from alexnet_tf.serving import (
    model_versions,
    saved_model,
    tflite_onnx,
    verification,
    warmup_requests,
)

_DTYPES = {
    "saved_model": ("float32", "bfloat16"),
    "keras": ("float32", "bfloat16"),
    "tflite": ("float32", "float16", "int8"),
    "onnx": ("float32",),
}


def write(
    path: pathlib.Path, flags: options.Config, restored: trained.Restored
) -> None:
    """Writes `path` in the format of the flags."""
    side = restored.architecture.input_size
    mean = restored.dataset.statistics().mean_crop(side)
    classes = restored.dataset.classes
    if flags.export_format == "keras":
        restored.net.save(path)
    elif flags.export_format == "onnx":
        tflite_onnx.save_onnx(restored.net, path, mean=mean, classes=classes)
    elif flags.export_format == "tflite":
        tflite_onnx.save_tflite(
            restored.net,
            path,
            mean=mean,
            classes=classes,
            precision=flags.dtype,
            calibration=tflite_onnx.calibration_images(restored.dataset, side),
        )
    else:
        saved_model.save_model(
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
        described = path / warmup_requests.FOLDER / saved_model.ORIGIN
        described.write_text(json.dumps(origin, indent=1) + "\n")


def main(flags: options.Config, arguments: Sequence[str]) -> None:
    options.refuse_arguments(arguments)
    if flags.check:
        path = model_versions.find_version(flags.check, "check")
        given = flags.checkpoint != options.Config().checkpoint
        replays = verification.verify(path, flags.checkpoint if given else "")
        names = ", ".join(replay.signature for replay in replays)
        print(f"{path}: good: {names}")
        return
    if flags.dtype not in _DTYPES[flags.export_format]:
        raise ValueError(
            f"--dtype={flags.dtype} does not go with --format={flags.export_format}: "
            f"use {' or '.join(_DTYPES[flags.export_format])}"
        )
    restored = trained.restore(
        flags.checkpoint,
        precision="bfloat16" if flags.dtype == "bfloat16" else "float32",
        stock=flags.export_format != "keras",
        with_preprocessing=flags.export_format == "saved_model",
    )
    folder = pathlib.Path(flags.export_dir or restored.run_dir / "export")
    version = flags.version or model_versions.next_version(folder)
    suffix = "" if flags.export_format == "saved_model" else f".{flags.export_format}"
    path = folder / f"{version}{suffix}"
    with model_versions.new_version(path) as partial:
        write(partial, flags, restored)
    print(path)


if __name__ == "__main__":
    options.run("export", main)
