"""TODO."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from alexnet_tf.data import prepared_dataset
from alexnet_tf.evaluation import evaluator
from alexnet_tf.models import devices, trained
from alexnet_tf.runtime import options


def text(results: Mapping[str, Any], form: str) -> str:
    """The results as a table, JSON or CSV."""
    if form == "json":
        return json.dumps(results, indent=1)
    ways = ("center_crop", "ten_crop")
    measures = ("top1_error", "top5_error", "loss")
    if form == "csv":
        lines = [",".join(("", *measures))]
        lines += [
            ",".join((w, *(f"{results[w][m]:.6g}" for m in measures))) for w in ways
        ]
        return "\n".join(lines)
    count = f"{results['pictures']:,} pictures"
    lines = [f"{count:18}{'centre crop':>12}{'ten crops':>12}"]
    for name, measure, unit in (
        ("top-1 error", "top1_error", " %"),
        ("top-5 error", "top5_error", " %"),
        ("loss", "loss", "  "),
    ):
        cells = "".join(f"{results[way][measure]:10.2f}{unit}" for way in ways)
        lines.append(f"{name:18}{cells}")
    return "\n".join(lines)


def main(flags: options.Config, arguments: Sequence[str]) -> None:
    options.refuse_arguments(arguments)
    devices.configure(flags.logical_cpus, flags.logical_gpus, flags.logical_gpu_mib)
    devices.allow_tf32(flags.precision == "tf32")
    restored = trained.restore(
        flags.checkpoint,
        precision=flags.precision,
        tower_devices=flags.tower_devices,
    )
    dataset = restored.dataset
    if flags.evaluate_dataset:
        other = prepared_dataset.read_description(flags.evaluate_dataset)
        if (other.size, other.classes) != (dataset.size, dataset.classes):
            raise ValueError(
                f"{other.path} has pictures of {other.size} pixels in "
                f"{len(other.classes)} classes; the run was trained on {dataset.size} "
                f"pixels and {len(dataset.classes)} classes, or other names"
            )
        dataset = other
    split = flags.split or dataset.evaluation_split
    results = evaluator.Evaluation(restored.net)(
        dataset,
        split,
        crop=restored.architecture.input_size,
        batch_size=flags.batch_size,
        damaged=flags.damaged_records,
    )
    print(text(results, flags.format))
    described = {
        "checkpoint": restored.prefix,
        "dataset": str(dataset.path),
        "split": split,
        "precision": devices.precision(flags.precision),
    }
    output = restored.run_dir / "evaluation.json"
    output.write_text(json.dumps({**described, **results}, indent=1) + "\n")
    print(f"written to {output}", file=sys.stderr)


if __name__ == "__main__":
    options.run("evaluate", main)
