"""A trained net in any of the export formats; nothing but its run folder is read."""

import os
import pathlib
from typing import Any, Literal

from alexnet_tf.evaluation import evaluator
from alexnet_tf.models import trained
from alexnet_tf.serving import model_versions, saved_model, tflite_onnx

Format = Literal["saved_model", "keras", "tflite", "onnx"]

DTYPES = {
    "saved_model": ("float32", "bfloat16"),
    "keras": ("float32", "bfloat16"),
    "tflite": ("float32", "float16", "int8"),
    "onnx": ("float32",),
}

DEFAULT_TOP = 5

_INPUTS: dict[str, trained.Inputs] = {
    "saved_model": "finished",
    "keras": "pixels",
    "tflite": "finished",
    "onnx": "finished",
}


def export(
    checkpoint: str | os.PathLike[str],
    *,
    format: Format = "saved_model",
    dtype: str = "float32",
    folder: str | os.PathLike[str] | None = None,
    version: int | None = None,
    crops: int = 1,
    top: int = DEFAULT_TOP,
    calibration_dataset: str | os.PathLike[str] | None = None,
) -> pathlib.Path:
    """Writes one model version; returns its path.

    Args:
        checkpoint: a run folder, or one checkpoint.
        format: "saved_model" writes a folder VERSION, the others a file VERSION.FORMAT.
        dtype: compute type, one of `DTYPES` for the format.
        folder: of model versions; default RUN/export.
        version: default the next free one.
        crops, top: of a SavedModel; see `signatures.Signatures`.
        calibration_dataset: a prepared folder of the net's classes, for int8.

    Raises:
        ValueError: an option does not go with the format, or int8 has no dataset.
        FileExistsError: the model version exists.

    Example:
        >>> export("runs/mine", format="keras", version=3)
        PosixPath('runs/mine/export/3.keras')
    """
    if dtype not in DTYPES[format]:
        raise ValueError(
            f"--format={format} does not support --dtype={dtype}: use "
            f"{' or '.join(DTYPES[format])}"
        )
    if dtype == "int8" and calibration_dataset is None:
        raise ValueError(
            "--dtype=int8 needs images that set the ranges of the activations: name a "
            "prepared folder by --calibration_dataset"
        )
    if dtype != "int8" and calibration_dataset is not None:
        raise ValueError(f"--calibration_dataset is for --dtype=int8, not {dtype}")
    if format != "saved_model" and (crops, top) != (1, DEFAULT_TOP):
        raise ValueError(
            f"--crops and --top are of a SavedModel: --format={format} takes one view "
            "and gives all probabilities"
        )
    restored = trained.restore(
        checkpoint,
        precision="bfloat16" if dtype == "bfloat16" else "float32",
        stock=format != "keras",
        inputs=_INPUTS[format],
    )
    versions = pathlib.Path(folder or restored.run_dir / "export")
    version = version or model_versions.next_version(versions)
    suffix = "" if format == "saved_model" else f".{format}"
    path = versions / f"{version}{suffix}"
    origin: dict[str, Any] = {
        "checkpoint": os.path.abspath(restored.checkpoint),
        # For a run folder that is copied together with its exports.
        "checkpoint_from_here": os.path.relpath(restored.checkpoint, path),
        "background": list(restored.trained.background),
        "resize": restored.trained.resize,
        "size": restored.architecture.record_size,
        "dtype": dtype,
        "made_of": trained.fingerprint(restored),
    }
    with model_versions.new_version(path) as aside:
        if format == "keras":
            restored.model.save(aside)
            tflite_onnx.append_files(aside, origin=origin)
        elif format == "onnx":
            tflite_onnx.save_onnx(
                restored.model,
                aside,
                mean=restored.trained.mean,
                classes=restored.trained.class_names,
                origin=origin,
            )
        elif format == "tflite":
            _write_tflite(restored, aside, dtype, calibration_dataset, origin)
        else:
            origin |= {"crops": crops, "top": top}
            _write_saved_model(restored, aside, origin)
    return path


def _write_tflite(
    restored: trained.Restored,
    aside: pathlib.Path,
    dtype: str,
    calibration_dataset: str | os.PathLike[str] | None,
    origin: dict[str, Any],
) -> None:
    calibration = None  # of floating-point types
    if calibration_dataset is not None:
        dataset = evaluator.dataset_of(restored.trained, calibration_dataset)
        calibration = tflite_onnx.calibration_images(
            dataset, restored.architecture.input_size
        )
    tflite_onnx.save_tflite(
        restored.model,
        aside,
        mean=restored.trained.mean,
        classes=restored.trained.class_names,
        precision=dtype,
        origin=origin,
        calibration=calibration,
    )


def _write_saved_model(
    restored: trained.Restored, aside: pathlib.Path, origin: dict[str, Any]
) -> None:
    saved_model.save_model(
        restored.model,
        aside,
        architecture=restored.architecture,
        mean=restored.trained.mean,
        classes=restored.trained.class_names,
        top=origin["top"],
        crops=origin["crops"],
        background=restored.trained.background,
        resize=restored.trained.resize,
    )
    model_versions.origin_file(aside).write_text(tflite_onnx.origin_text(origin))
