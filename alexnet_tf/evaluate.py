"""Measures the errors of trained nets with the center crop and with ten crops.

    python -m alexnet_tf.evaluate --checkpoint=runs/mine
    python -m alexnet_tf.evaluate --checkpoint=runs/mine/best --split=test
    python -m alexnet_tf.evaluate --checkpoint=runs/a,runs/b,runs/c --split=test

Several nets, also of several architectures, are averaged as in Table 2 of the paper, and
one table shows each net and the average. Errors are in percent, paper section 4.1. The
first line says which checkpoint, dataset and split they belong to. Those of a single
net are also written to evaluation.json in its run folder. docs/evaluation.md explains
averages, their coefficients, and the files of predictions.
"""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from absl import logging

from alexnet_tf.evaluation import measures
from alexnet_tf.runtime import (
    command,
    files,
    loading,
    options,
    shared_options,
    tables,
)
from alexnet_tf.runtime.options import option
from alexnet_tf.runtime.shared_options import LogicalDeviceOptions

if TYPE_CHECKING:
    from alexnet_tf.data import prepared_dataset
    from alexnet_tf.evaluation import ensembles, prediction_files


@dataclasses.dataclass(frozen=True)
class NetOptions:
    """The net, and the type that it computes in."""

    checkpoint: str = shared_options.checkpoint(
        "; several of them, separated by commas, are averaged"
    )
    weights_search: bool = option(
        False,
        "find the coefficients of the nets in the average by a search for the least "
        "top-5 error, instead of giving all the same",
    )
    search_split: str | None = option(
        None,
        "split that --weights_search uses (default: validation, or test if there is "
        "none)",
    )
    precision: shared_options.Precision = shared_options.precision()


@dataclasses.dataclass(frozen=True)
class DatasetOptions:
    """The dataset that the net is evaluated on."""

    dataset: str | None = shared_options.dataset()
    split: str | None = shared_options.split()
    damaged_records: Literal["stop", "skip"] = shared_options.damaged_records()
    batch_size: int = option(128, "views per batch", check=options.at_least(1))


@dataclasses.dataclass(frozen=True)
class OutputOptions:
    """What is printed, and the files that are written."""

    format: tables.Format = option("table", "what is printed")
    output: str | None = option(
        None,
        "file for the results as JSON, which must not exist; those of a single net are "
        "also in evaluation.json of its run folder",
        is_path=True,
    )
    predictions: str | None = option(
        None,
        "file for every image's probabilities, .npz or .csv, which must not exist",
        is_path=True,
    )
    submission: str | None = option(
        None,
        "file for the five best classes of every image, with ten crops, in the format of "
        "the ILSVRC challenges; it must not exist",
        is_path=True,
    )
    devkit: str | None = option(
        None,
        "development kit of the challenge, from which --submission takes the ids of the "
        "classes; not needed for source ilsvrc2010",
        is_path=True,
    )


@dataclasses.dataclass(frozen=True)
class EvaluateOptions:
    """All options of `evaluate`."""

    net: NetOptions = options.group(NetOptions, "Net")
    data: DatasetOptions = options.group(DatasetOptions, "Dataset")
    devices: LogicalDeviceOptions = options.group(LogicalDeviceOptions, "Devices")
    output: OutputOptions = options.group(OutputOptions, "Output")


OPTIONS = EvaluateOptions


def text(results: Mapping[str, Any], format: tables.Format, classes: int) -> str:
    """Returns the results, and what they are results of, as a table, JSON or CSV.

    The table has a top-5 error only if there are more than five `classes`.
    """
    what = {name: results[name] for name in ("checkpoint", "step", "dataset", "split")}
    count = f"{results['images']:,} images"
    lines = [
        f"{what['checkpoint']} (step {what['step']}), {what['split']} split of "
        f"{what['dataset']}",
        f"{count:18}" + "".join(f"{name:>12}" for name in measures.METHODS.values()),
    ]
    for measure in measures.shown(classes):
        name = measures.MEASURES[measure]
        cells = "".join(f"{results[way][measure]:12.2f}" for way in measures.METHODS)
        lines.append(f"{name:18}{cells}")
    return tables.render(
        format,
        data=results,
        columns=["", *measures.MEASURES, *what],
        rows=[
            [way, *(results[way][m] for m in measures.MEASURES), *what.values()]
            for way in measures.METHODS
        ],
        table="\n".join(lines),
    )


def ensemble_text(
    results: Mapping[str, Any], format: tables.Format, classes: int
) -> str:
    """Returns the results of several nets as `text` does."""
    shown_measures = measures.shown(classes)
    searched, nets = results["weights_search"], results["nets"]
    rows = [
        (f"{n['checkpoint']} (step {n['step']})", n["coefficient"], n) for n in nets
    ]
    rows += [(f"mean of {len(nets)} nets", "", results["mean"])]
    rows += [(f"average of {len(nets)} nets", "", results["average"])]
    width = max(len(name) for name, _, _ in rows) + 2
    short = {"top1_error": "top-1, %", "top5_error": "top-5, %", "loss": "loss"}
    titles = "".join(f"{short[measure]:>10}" for measure in shown_measures)
    lines = [
        f"{results['split']} split of {results['dataset']}",
        f"{results['images']:,} images".ljust(width + 10)
        + "".join(f"{name:>{len(titles)}}" for name in measures.METHODS.values()),
        f"{'':{width}}{'weight':>10}{titles * len(measures.METHODS)}",
    ]
    for name, weight, errors in rows:
        shown = f"{weight:10.3f}" if weight != "" else " " * 10
        cells = "".join(
            f"{errors[w][m]:10.2f}" for w in measures.METHODS for m in shown_measures
        )
        lines.append(f"{name:{width}}{shown}{cells}")
    if searched:
        lines.append(
            f"The weights were searched on the {searched['split']} split with ten crops."
        )
    what = {"dataset": results["dataset"], "split": results["split"]}
    what["weights_split"] = searched["split"] if searched else ""
    return tables.render(
        format,
        data=results,
        columns=["net", "weight", "crops", *measures.MEASURES, *what],
        rows=[
            [
                name,
                weight,
                way,
                *(errors[way][m] for m in measures.MEASURES),
                *what.values(),
            ]
            for name, weight, errors in rows
            for way in measures.METHODS
        ],
        table="\n".join(lines),
    )


def main(chosen: EvaluateOptions, arguments: Sequence[str]) -> None:
    options.refuse_arguments(arguments, "--checkpoint=")
    with loading.libraries():
        from alexnet_tf.evaluation import class_ids, ensembles, prediction_files
        from alexnet_tf.models import checkpoint_files, devices

        devices.configure(chosen.devices.logical_cpus, chosen.devices.logical_gpus)
    devices.allow_tf32(chosen.net.precision == "tf32")
    output = chosen.output
    _check_outputs(output)
    nets = ensembles.find_nets(
        checkpoint_files.named_checkpoints(chosen.net.checkpoint)
    )
    dataset = ensembles.dataset_of(nets, chosen.data.dataset)
    split = chosen.data.split
    if split is None:
        split = dataset.evaluation_split
    search_split = _search_split(chosen.net, len(nets), dataset, split)
    numbering = None
    if output.submission is not None:
        numbering = class_ids.numbering(dataset, output.devkit)
        if numbering.by_file_name:
            prediction_files.check_file_names(ensembles.image_names(dataset, split))
    for net in nets:
        print(
            f"evaluating {net.checkpoint} on the {split} split of {dataset.path}",
            file=sys.stderr,
        )
    evaluated = ensembles.evaluate(
        nets,
        dataset,
        split,
        search_split=search_split,
        keep=bool(output.predictions or output.submission),
        precision=chosen.net.precision,
        tower_devices=chosen.devices.tower_devices,
        batch_size=chosen.data.batch_size,
        damaged=chosen.data.damaged_records,
    )
    results = ensembles.results_of(
        evaluated, precision=devices.precision(chosen.net.precision)
    )
    if len(nets) == 1:
        print(text(results, output.format, len(dataset.classes)))
        files.write_json(nets[0].run_dir / measures.FILE, results)
    else:
        print(ensemble_text(results, output.format, len(dataset.classes)))
    _write_files(output, evaluated, results, numbering)


def _check_outputs(output: OutputOptions) -> None:
    """Raises an error if a file that is asked for cannot be written."""
    from alexnet_tf.evaluation import prediction_files

    if output.devkit is not None and output.submission is None:
        raise ValueError(
            f"--devkit={output.devkit} is for a submission: name its file by "
            "--submission=FILE, or leave --devkit out"
        )
    prediction_files.check_outputs(
        output=output.output,
        predictions=output.predictions,
        submission=output.submission,
    )


def _search_split(
    net: NetOptions, nets: int, dataset: "prepared_dataset.Dataset", split: str
) -> str | None:
    """The split to search coefficients on, or None; warns if it is a poor choice."""
    if not net.weights_search:
        if net.search_split is not None:
            raise ValueError(
                f"--search_split={net.search_split} is for --weights_search: add that, "
                "or leave --search_split out"
            )
        return None
    if nets == 1:
        raise ValueError(
            "--weights_search weighs several nets, and --checkpoint names one: name "
            "them as --checkpoint=A,B,C"
        )
    searched = net.search_split
    if searched is None:
        searched = dataset.evaluation_split
    if searched == split:
        logging.warning(
            "the weights are searched on the %s split, which is also the one that is "
            "reported: they are fitted to it, and the error of the average is too low. "
            "Report another split by --split, or search on another by --search_split",
            split,
        )
    elif searched == "train":
        logging.warning(
            "the weights are searched on the images that the nets were trained on, where "
            "the net that fits them best wins"
        )
    return searched


def _write_files(
    output: OutputOptions,
    evaluated: "ensembles.Evaluated",
    results: Mapping[str, Any],
    numbering: "prediction_files.Numbering | None",
) -> None:
    """Writes the files that are asked for."""
    from alexnet_tf.evaluation import ensembles, prediction_files

    if output.output is not None:
        prediction_files.write_results(output.output, results)
    if output.predictions is None and output.submission is None:
        return
    predictions = ensembles.predictions_of(evaluated, results)
    if output.predictions is not None:
        prediction_files.write_predictions(output.predictions, predictions)
        print(f"{output.predictions}: the probabilities", file=sys.stderr)
    if output.submission is not None and numbering is not None:
        if len(predictions.names) < evaluated.dataset.counts[evaluated.split]:
            raise ValueError(
                f"{output.submission} is not written, because a submission has a line "
                "for every image, and some records are damaged: prepare the dataset "
                "again"
            )
        prediction_files.write_submission(
            output.submission,
            predictions.averages["ten_crop"],
            predictions.names,
            numbering,
        )
        print(
            f"{output.submission}: five classes per image, {numbering.source}",
            file=sys.stderr,
        )


if __name__ == "__main__":
    command.run_command("evaluate", OPTIONS, main, __doc__)
