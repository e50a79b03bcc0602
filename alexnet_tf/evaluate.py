"""Measures the errors of a trained net with the center crop and with ten crops.

    python -m alexnet_tf.evaluate --checkpoint=runs/mine
    python -m alexnet_tf.evaluate --checkpoint=runs/mine/best --split=test

Errors are in percent, paper section 4.1. The first line says which checkpoint, dataset
and split they belong to. They are also written to evaluation.json in the run folder.
"""

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from alexnet_tf.runtime import command, files, log_noise, options, tables
from alexnet_tf.runtime.device_options import DeviceOptions
from alexnet_tf.runtime.options import option

WAYS = {"center_crop": "center crop", "ten_crop": "ten crops"}
MEASURES = {
    "top1_error": "top-1 error, %",
    "top5_error": "top-5 error, %",
    "loss": "loss",
}


@dataclasses.dataclass(frozen=True)
class NetOptions:
    """The net, and the type that it computes in."""

    checkpoint: str = option(
        "runs/default",
        "a run folder (its newest checkpoint), RUN/best (the one with the least "
        "validation error), or one checkpoint as RUN/checkpoints/step-200",
        is_path=True,
    )
    precision: Literal["auto", "float32", "tf32", "bfloat16"] = option(
        "auto",
        "compute type. tf32: float32 whose products NVIDIA GPUs since Ampere round to 10 "
        "bits. auto: bfloat16 if the CPU or the GPU multiplies in it, otherwise float32",
    )


@dataclasses.dataclass(frozen=True)
class DatasetOptions:
    """The dataset that the net is evaluated on."""

    dataset: str | None = option(
        None,
        "prepared folder (default: the one that the net was trained on)",
        is_path=True,
    )
    split: str | None = option(
        None, "split to evaluate (default: validation, or test if there is none)"
    )
    damaged_records: Literal["stop", "skip"] = option(
        "stop",
        "at a record that is damaged on the disk: stop with its file and place, or skip "
        "it with a warning and count it",
    )
    batch_size: int = option(128, "views per batch", check=options.at_least(1))


@dataclasses.dataclass(frozen=True)
class OutputOptions:
    """The format of the printed results."""

    format: tables.Format = option("table", "what is printed")


@dataclasses.dataclass(frozen=True)
class EvaluateOptions:
    """All options of `evaluate`."""

    net: NetOptions = options.group(NetOptions, "Net")
    data: DatasetOptions = options.group(DatasetOptions, "Dataset")
    devices: DeviceOptions = options.group(DeviceOptions, "Devices")
    output: OutputOptions = options.group(OutputOptions, "Output")


OPTIONS = EvaluateOptions


def text(results: Mapping[str, Any], format: tables.Format) -> str:
    """Returns the results, and what they are results of, as a table, JSON or CSV."""
    what = {name: results[name] for name in ("checkpoint", "step", "dataset", "split")}
    count = f"{results['images']:,} images"
    lines = [
        f"{what['checkpoint']} (step {what['step']}), {what['split']} split of "
        f"{what['dataset']}",
        f"{count:18}" + "".join(f"{name:>12}" for name in WAYS.values()),
    ]
    for measure, name in MEASURES.items():
        cells = "".join(f"{results[way][measure]:12.2f}" for way in WAYS)
        lines.append(f"{name:18}{cells}")
    return tables.render(
        format,
        data=results,
        columns=["", *MEASURES, *what],
        rows=[
            [way, *(results[way][m] for m in MEASURES), *what.values()] for way in WAYS
        ],
        table="\n".join(lines),
    )


def main(chosen: EvaluateOptions, arguments: Sequence[str]) -> None:
    options.refuse_arguments(arguments)
    with log_noise.held_back():
        from alexnet_tf.evaluation import evaluator
        from alexnet_tf.models import checkpoint_files, devices, trained

        devices.configure(chosen.devices.logical_cpus, chosen.devices.logical_gpus)
    devices.allow_tf32(chosen.net.precision == "tf32")
    restored = trained.restore(
        chosen.net.checkpoint,
        precision=chosen.net.precision,
        tower_devices=chosen.devices.tower_devices,
    )
    dataset = evaluator.dataset_of(restored.trained, chosen.data.dataset)
    split = chosen.data.split
    if split is None:
        split = dataset.evaluation_split
    print(
        f"evaluating {restored.checkpoint} on the {split} split of {dataset.path}",
        file=sys.stderr,
    )
    measured = evaluator.Evaluation(restored.model)(
        dataset,
        split,
        crop=restored.architecture.input_size,
        batch_size=chosen.data.batch_size,
        damaged=chosen.data.damaged_records,
    )
    results = {
        "checkpoint": restored.checkpoint,
        "step": checkpoint_files.step_of(restored.checkpoint),
        "dataset": str(dataset.path),
        "split": split,
        "precision": devices.precision(chosen.net.precision),
        **measured,
    }
    print(text(results, chosen.output.format))
    output = restored.run_dir / "evaluation.json"
    files.write_text(output, json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    command.run_command("evaluate", OPTIONS, main, __doc__)
