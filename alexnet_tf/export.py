"""Exports a trained net for servers and other libraries, or checks an export.

    python -m alexnet_tf.export --checkpoint=runs/mine --output=runs/mine/export
    python -m alexnet_tf.export --checkpoint=runs/mine --format=keras
    python -m alexnet_tf.export --check=runs/mine/export

Writes OUTPUT/VERSION/ for a server, or OUTPUT/VERSION.keras, .tflite or .onnx. Only the
run folder is read. --check examines a SavedModel as a server would run it, and compares
its answers with those of its checkpoint.
"""

import dataclasses
import sys
from collections.abc import Sequence
from typing import Literal

from alexnet_tf.runtime import command, loading, options
from alexnet_tf.runtime.options import option


@dataclasses.dataclass(frozen=True)
class NetOptions:
    """The net that is exported."""

    checkpoint: str | None = option(
        None,
        "a run folder (its newest checkpoint), RUN/best (the one with the least "
        "validation error), or one checkpoint as RUN/checkpoints/step-200 (default: "
        "runs/default; with --check, the checkpoint that the export was made of)",
        is_path=True,
    )


@dataclasses.dataclass(frozen=True)
class OutputOptions:
    """The model that is written."""

    output: str | None = option(
        None,
        "folder of model versions to write into (default: RUN/export)",
        is_path=True,
    )
    version: int | None = option(
        None,
        "model version to write (default: the next free one)",
        check=options.at_least(1),
    )
    format: Literal["saved_model", "keras", "tflite", "onnx"] = option(
        "saved_model",
        "saved_model, for servers; keras, a .keras file for alexnet_tf.load and "
        "keras.saving.load_model; tflite; onnx",
    )
    dtype: Literal["float32", "bfloat16", "float16", "int8"] = option(
        "float32",
        "compute type; bfloat16: saved_model and keras; float16 and int8: tflite",
    )
    crops: int = option(
        1,
        "number of views per image that a SavedModel averages: 1, the center; 10, the "
        "paper's",
        check=options.one_of(1, 10),
    )
    top: int = option(
        5,
        "number of classes that a SavedModel returns, best first",
        check=options.at_least(1),
    )
    calibration_dataset: str | None = option(
        None,
        "prepared folder whose training images set the ranges of --dtype=int8",
        is_path=True,
    )


@dataclasses.dataclass(frozen=True)
class CheckOptions:
    """The export that is checked instead of writing one."""

    check: str | None = option(
        None,
        "an exported model version, or the folder of model versions, to examine instead "
        "of writing one: would a stock server run it, and does it answer as its "
        "checkpoint does",
        is_path=True,
    )


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """All options of `export`."""

    net: NetOptions = options.group(NetOptions, "Net")
    output: OutputOptions = options.group(OutputOptions, "Output")
    check: CheckOptions = options.group(CheckOptions, "Check")


OPTIONS = ExportOptions


def main(chosen: ExportOptions, arguments: Sequence[str]) -> None:
    options.refuse_arguments(arguments, "--checkpoint=")
    with loading.libraries():
        from alexnet_tf.models import checkpoint_files, trained
        from alexnet_tf.serving import export_verification, exporting
    if chosen.check.check is not None:
        _refuse_output_options(chosen.output)
        print(f"checking {chosen.check.check}", file=sys.stderr)
        path, names = export_verification.verify_export(
            chosen.check.check, chosen.net.checkpoint
        )
        print(f"{path}: good: {', '.join(names)}")
        return
    output = chosen.output
    run_dir, checkpoint = checkpoint_files.locate_checkpoint(
        chosen.net.checkpoint or "runs/default"
    )
    print(f"exporting {checkpoint} as {output.format}", file=sys.stderr)
    by_op = "op" in (trained.read_trained_net(run_dir).normalization or "")
    if by_op and output.format != "keras":
        print(
            "note: it was trained with this package's normalization, and the export has "
            "TensorFlow's: the answers differ by rounding only",
            file=sys.stderr,
        )
    path = exporting.export(
        checkpoint,
        format=output.format,
        dtype=output.dtype,
        folder=output.output,
        version=output.version,
        crops=output.crops,
        top=output.top,
        calibration_dataset=output.calibration_dataset,
    )
    print(path)


def _refuse_output_options(output: OutputOptions) -> None:
    """Raises ValueError if there is an option that --check, which writes nothing, ignores."""
    for field in dataclasses.fields(output):
        if getattr(output, field.name) != field.default:
            raise ValueError(
                f"--check examines an export that is there, and --{field.name} is for "
                "writing one: leave one of the two out"
            )


if __name__ == "__main__":
    command.run_command("export", OPTIONS, main, __doc__)
