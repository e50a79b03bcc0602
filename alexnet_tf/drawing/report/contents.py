"""What a page about runs contains, section by section, from their facts and figures."""

import shlex
from collections.abc import Sequence

from alexnet_tf.data import prepared_dataset
from alexnet_tf.drawing.report import words
from alexnet_tf.drawing.report.facts import Run
from alexnet_tf.drawing.report.missing import Missing
from alexnet_tf.drawing.report.page import (
    Absent,
    Block,
    Code,
    Details,
    Paragraph,
    Table,
)
from alexnet_tf.evaluation import measures
from alexnet_tf.models import checkpoint_files
from alexnet_tf.runtime import options, paths

# How TensorFlow writes that it chooses itself.
_AUTOMATIC = {("intra-op threads", "0"), ("inter-op threads", "0")}

_MANY = 40  # rows of a table that is folded up


def command_text(name: str, arguments: Sequence[str]) -> str:
    """Returns a command of this package as it is typed, an argument per line.

    Example:
        >>> print(command_text("train", ["--run_dir=my runs/a"]))
        python -m alexnet_tf.train \\
          '--run_dir=my runs/a'
    """
    parts = [f"python -m alexnet_tf.{name}", *map(shlex.quote, arguments)]
    return " \\\n  ".join(parts)


def summary(run: Run) -> list[Block]:
    """The first things to know about a run."""
    net = run.net.architecture
    rows: list[tuple[str, str | Missing]] = [
        ("Run", run.name),
        ("Net", f"{net.name}, {net.description}"),
        ("Parameters", words.number(words.parameters(net))),
        ("Dataset", _dataset_name(run)),
        ("Checkpoint", _checkpoint(run)),
    ]
    rows += [
        (words.measure_name(measure).capitalize(), _error(run, measure))
        for measure in run.measures
        if measure != "loss"
    ]
    return [Table(f"Summary of {run.name}", (), rows)]


def _dataset_name(run: Run) -> str | Missing:
    data = run.data
    return data if isinstance(data, Missing) else data.name


def _checkpoint(run: Run) -> str | Missing:
    if isinstance(run.checkpoint, Missing):
        return run.checkpoint
    if run.net.imported is not None:
        return f"imported from {run.net.imported.file}"
    passes = "" if run.epochs is None else f", after {run.epochs:.3g} passes"
    best = ""
    if not isinstance(run.best, Missing):
        step = checkpoint_files.step_of(run.best)
        best = (
            "; it is also the best one"
            if step == run.step
            else f"; the one with the least validation error is that of step {step:,}"
        )
    return f"step {run.step:,}{passes}{best}"


def _error(run: Run, measure: str) -> str | Missing:
    if isinstance(run.evaluation, Missing):
        known = words.validation(run, measure)
        return run.evaluation if known is None else f"{known}. {words.unknown(run)}"
    found = ", ".join(
        f"{words.percent(run.evaluation[method][measure])} ({measures.METHODS[method]})"
        for method in measures.METHODS
    )
    return f"{found}, on the {run.evaluation['split']} split"


def command(run: Run) -> list[Block]:
    """The command that makes the run, and all of its options."""
    if run.net.imported is not None:
        origin = run.net.imported
        known = origin.known_as or "no published file that this version knows"
        return [
            Code(
                "The net was not trained here, but imported:",
                command_text(
                    "import_weights",
                    [f"--from={origin.file}", f"--output={run.folder}"],
                ),
            ),
            Table(
                "The imported file",
                (),
                [
                    ("File", origin.file),
                    ("Format", origin.format),
                    ("SHA-256", origin.sha256),
                    ("Known as", known),
                ],
            ),
        ]
    if isinstance(run.flags, Missing):
        return [Absent("The command", run.flags.why)]
    flags = [
        paths.without_places(flag, run.places)  # before quotes are in it
        for flag in options.command_line(options.replace(run.flags, resume=False))
    ]
    blocks: list[Block] = [
        Code(
            "This command makes the run. Options that it does not name have their "
            "default values, and of paths only the last part is shown; resolved.flags in "
            "the run folder has all of them.",
            command_text("train", flags),
        )
    ]
    if isinstance(run.changes, Missing):
        blocks.append(Absent("What was changed during the run", run.changes.why))
    elif run.changes:
        blocks.append(
            Table(
                "Changes of the schedule during the run; the command above has the last "
                "values",
                ("from step", "option"),
                [(words.number(step), change) for step, change in run.changes],
            )
        )
    every = (
        f"--{name}={options.text_of(value)}"
        for name, value in options.values_of(run.flags).items()
        if value is not None
    )
    blocks.append(Details("All options", [Code("Every option", "\n".join(every))]))
    return blocks


def data(run: Run) -> list[Block]:
    """The images that the net learned from, and those that it is shown on."""
    blocks = _dataset("The dataset that the net was trained on", run.training_data)
    if run.data is not run.training_data:
        blocks += _dataset("The dataset that this page shows answers on", run.data)
    return blocks


def _dataset(title: str, found: prepared_dataset.Dataset | Missing) -> list[Block]:
    if isinstance(found, Missing):
        return [Absent(title, found.why)]
    rows: list[tuple[str, str | Missing]] = [
        ("Name", found.name),
        ("Source", found.source),
        ("Folder", str(found.path)),
        ("Images", f"{found.size} x {found.size} pixels, RGB, {found.encoding}"),
        ("How images become squares", found.resize),
        ("Classes", words.number(len(found.classes))),
    ]
    rows += [
        (f"{split} split", words.count(count, "image"))
        for split, count in found.counts.items()
    ]
    try:
        digest: str | Missing = found.digest()
    except (OSError, ValueError) as error:
        digest = Missing(str(error))
    rows.append(("Digest", digest))
    blocks: list[Block] = [Table(title, (), rows)]
    if found.class_counts:
        table = Table(
            "Images of each class",
            ("class", *found.class_counts),
            [
                (name, *map(words.number, counts))
                for name, *counts in zip(
                    found.classes, *found.class_counts.values(), strict=False
                )
            ],
        )
        blocks += _folded("Images of each class", table)
    return blocks


def _folded(summary: str, table: Table) -> list[Block]:
    """A table, which the reader opens himself if it is long."""
    return [Details(summary, [table])] if len(table.rows) > _MANY else [table]


def machine(run: Run) -> list[Block]:
    """Software, processor and speed."""
    if isinstance(run.environment, Missing):
        return [Absent("The machine", run.environment.why)]
    rows = [
        (name, "one per core" if (name, value) in _AUTOMATIC else value)
        for name, value in run.environment.items()
        if value
    ]
    if not isinstance(run.log, Missing):
        if run.log.images_per_s is not None:
            speed = f"{run.log.images_per_s:,.4g} images per second (median)"
            rows.append(("training speed", speed))
        if run.log.training_s is not None:
            rows.append(
                (
                    "time in training steps",
                    f"{words.duration(run.log.training_s)}, without validations and "
                    "checkpoints",
                )
            )
    return [Table("The machine on which the run was begun or last resumed", (), rows)]


def curves(run: Run, figure: Block) -> list[Block]:
    """Errors and losses in training and validation."""
    if isinstance(run.log, Missing):
        return [Absent("The picture of the curves", run.log.why)]
    blocks: list[Block] = [figure]
    if run.log.unreadable:
        lines = words.count(run.log.unreadable, "line")
        blocks.append(
            Paragraph(f"{lines} of the log cannot be read and were left out.")
        )
    if run.log.validations:
        table = Table(
            f"Errors on the {run.validation_split} split during training, center crop",
            ("step", *(words.measure_name(measure) for measure in run.measures)),
            [
                (
                    words.number(record["step"]),
                    *(words.measured(record, measure) for measure in run.measures),
                )
                for record in run.log.validations
            ],
        )
        blocks += _folded("All validations", table)
    return blocks


def errors(run: Run) -> list[Block]:
    """What `evaluate` measured."""
    found = run.evaluation
    if isinstance(found, Missing):
        known = words.validation(run, "top1_error")
        if known is None:
            return [Absent("The table of errors", found.why)]
        return [Paragraph(f"The top-1 error is {known}. {words.unknown(run)}.")]
    blocks: list[Block] = [
        Table(
            f"{words.count(found['images'], 'image')} of the {found['split']} split of "
            f"{found['dataset']}",
            ("", *(words.measure_name(measure) for measure in run.measures)),
            [
                (
                    measures.METHODS[method],
                    *(words.measured(found[method], m) for m in run.measures),
                )
                for method in measures.METHODS
            ],
        )
    ]
    if run.step is None:
        blocks.append(
            Paragraph(
                f"These are the errors of step {found['step']:,}, whose checkpoint is "
                "not here."
            )
        )
    return blocks


def _compared(run: Run, method: str) -> str | Missing:
    """The top-1 error of a run for a table of several."""
    if not isinstance(run.evaluation, Missing):
        error = words.percent(run.evaluation[method]["top1_error"])
        return f"{error} ({run.evaluation['split']})"
    known = words.validation(run, "top1_error") if method == "center_crop" else None
    return known or Missing("the run was not evaluated")


def comparison(runs: Sequence[Run]) -> Table:
    """The main numbers of several runs side by side."""
    rows = []
    for run in runs:
        rows.append(
            (
                run.named,
                run.net.architecture.name,
                words.number(words.parameters(run.net.architecture)),
                None if run.step is None else words.number(run.step),
                *(_compared(run, method) for method in measures.METHODS),
            )
        )
    return Table(
        "All runs of this page",
        (
            *("run", "net", "parameters", "step"),
            *("top-1 error, center crop", "top-1 error, ten crops"),
        ),
        rows,
    )
