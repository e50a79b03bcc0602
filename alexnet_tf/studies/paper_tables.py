"""The tables of the paper with our numbers beside the paper's and the 2012 log's.

A cell is blank if nothing was run for it, and the command is then that for the paper's
images; otherwise it is that of the runs. Which runs belong to a row follows from what
they record, and not from their names: the net, the dataset, the split, and for an
ablation, that two kinds of runs differ in nothing but in what is left out.
"""

import itertools
import re
import shlex
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from alexnet_tf.runtime import tables
from alexnet_tf.studies import paper, results
from alexnet_tf.studies.measured import Averaged, Measured, Trained, kind_of

HEADER = (*("paper", "2012 log", "ours", "seeds", "measured on", "command", "cost"),)
_ERRORS = ("top1_error", "top5_error")
_NOTHING = "\N{EN DASH}"  # for an error that says nothing, as in the paper's tables


class Table(NamedTuple):
    """A table: its title, what its rows are, and the rows with the columns of HEADER."""

    title: str
    rows_are: str
    rows: list[list[str]]


def tables_of(measured: Measured) -> list[Table]:
    """Returns all tables with what was measured."""
    return [
        Table(
            "Table 1: ILSVRC-2010 test, top-1 / top-5 error in %, ten crops",
            "model",
            [_row(row, measured) for row in paper.TABLE1],
        ),
        Table(
            "Table 2: ILSVRC-2012, top-1 / top-5 error on validation / top-5 error on "
            "test in %, ten crops; ours on validation",
            "model",
            [_row(row, measured) for row in paper.TABLE2],
        ),
        Table(
            "Ablations: change of the top-1 / top-5 error in percentage points, ten "
            "crops, if this is left out; ours paired by seed",
            "left out",
            [*_ablation_rows(measured), *_figure1_rows(measured)],
        ),
        Table(
            "Other runs: top-1 / top-5 error in %, ten crops",
            "model",
            _other_rows(measured),
        ),
    ]


def beside_the_paper(measured: Measured) -> tuple[list[list[str]], list[list[str]]]:
    """Returns the nets of the paper and all that was measured, in few columns.

    Returns:
        (nets, ablations): rows of [name, images, the paper's errors, those in the 2012
        log, ours]. All nets of the paper's tables are there, and those ablations that
        were measured.
    """
    nets = []
    for row in (*paper.TABLE1, *paper.TABLE2):
        if row.architectures:
            name, theirs, log, ours, *_ = _row(row, measured)
            nets.append([name, f"{row.dataset} {row.split}", theirs, log, ours])
    for name, _, _, ours, _, where, *_ in _other_rows(measured):
        if ours:
            nets.append([name, where, "", "", ours])
    ablations = [
        [name, where, theirs, log, ours]
        for name, theirs, log, ours, _, where, *_ in _ablation_rows(measured)
        if ours
    ]
    return nets, ablations


def render(found: Sequence[Table], style: tables.Style) -> str:
    """Returns tables as one text. CSV is a single sheet, with the table in a column."""
    if style == "csv":
        header = ["table", "row", *HEADER]
        rows = [[table.title, *row] for table in found for row in table.rows]
        return tables.typeset(style, header, rows)
    parts = []
    for table in found:
        if not table.rows:
            continue
        heading = {
            "text": f"{table.title}\n",
            "markdown": f"## {table.title}\n",
            "latex": f"% {table.title}",
        }[style]
        parts.append(
            f"{heading}\n"
            + tables.typeset(style, [table.rows_are, *HEADER], table.rows)
        )
    return "\n\n".join(parts)


def _row(row: paper.Row, measured: Measured) -> list[str]:
    """A row of table 1 or 2."""
    ours, seeds, command, cost = "", "", _shown(row.command), row.cost
    if row.nets == 1:
        runs = [run for run in measured.trained if _belongs(run, row)]
        if runs:
            ours, seeds = _errors(runs), str(len(runs))
            command, cost = _again(runs[0]), _cost(runs)
    else:
        fitting = [each for each in measured.averaged if _is_average(each, row)]
        if fitting:
            ours = _pair(fitting[-1].average["ten_crop"])
    where = f"{row.dataset} {row.split}" if ours else ""
    return [row.name, row.paper, row.log, ours, seeds, where, command, cost]


def _belongs(run: Trained, row: paper.Row) -> bool:
    return (
        run.architecture in row.architectures
        and (run.dataset, run.split) == (row.dataset, row.split)
        and run.fine_tuned == row.fine_tuned
    )


def _is_average(each: Averaged, row: paper.Row) -> bool:
    return (
        len(each.nets) == row.nets
        and set(each.nets) <= set(row.architectures)
        and (each.dataset, each.split) == (row.dataset, row.split)
    )


def _ablation_rows(measured: Measured) -> Iterator[list[str]]:
    kinds: dict[tuple, list[Trained]] = {}
    for run in measured.trained:
        kinds.setdefault(run.kind, []).append(run)
    for ablation in paper.ABLATIONS:
        start = [ablation.name, ablation.paper, ablation.log]
        rows = [
            [
                *(*start, *_compared(whole, without)),
                f"{_again(whole[0])}; {_again(without[0])}",
                _cost([*whole, *without]),
            ]
            for whole, without in _pairs(ablation, kinds)
        ]
        yield from rows or [[*start, "", "", "", _study_of(ablation), ""]]


def _pairs(
    ablation: paper.Ablation, kinds: Mapping[tuple, list[Trained]]
) -> Iterator[tuple[list[Trained], list[Trained]]]:
    """(runs of the whole net, runs without it) that differ in nothing else."""
    for without in kinds.values():
        for change in ablation.changes:
            for before in dict.fromkeys(_undone(without[0], change)):
                whole = kinds.get(before)
                if whole and {r.options["seed"] for r in whole} & {
                    r.options["seed"] for r in without
                }:
                    yield whole, without


def _undone(run: Trained, change: Mapping[str, tuple[tuple, Any]]) -> Iterator[tuple]:
    """The kinds of run that become this one by the change; none if it lacks it."""
    if any(run.options[flag] != value for flag, (_, value) in change.items()):
        return
    for values in itertools.product(*(whole for whole, _ in change.values())):
        before = {**run.options, **dict(zip(change, values, strict=True))}
        yield kind_of(before, run.images, run.dataset, run.split)


def _compared(whole: Sequence[Trained], without: Sequence[Trained]) -> list[str]:
    """[change of the errors, number of seeds, what they were measured on]."""
    cells, seeds = [], 0
    for error in _ERRORS:
        if any(error not in r.errors["ten_crop"] for r in (*without, *whole)):
            cells.append(_NOTHING)
            continue
        one, other = (
            results.Spread(
                {r.options["seed"]: r.errors["ten_crop"][error] for r in runs}
            )
            for runs in (without, whole)
        )
        difference = one.minus(other)
        seeds = len(difference.by_seed)
        cells.append(difference.text(signed=True))
    run = whole[0]
    return [
        " / ".join(cells),
        str(seeds),
        f"{run.architecture}, {run.dataset} {run.split}",
    ]


def _figure1_rows(measured: Measured) -> Iterator[list[str]]:
    """The passes that tanh needs in multiples of those of ReLU."""
    ablation = paper.FIGURE1
    start = [ablation.name, ablation.paper, ablation.log]
    rows = []
    for study in measured.studies:
        found = {
            each["values"].get("activation"): each["measures"].get("passes")
            for each in study["compared"]
        }
        relu, tanh = found.get("relu"), found.get("tanh")
        if study["reach"] is None or not relu or not tanh:
            continue
        ours = "never"
        if relu["mean"] and tanh["mean"]:
            ours = f"{tanh['mean'] / relu['mean']:.1f} times the passes"
        flags = dict(f.removeprefix("--").partition("=")[::2] for f in study["flags"])
        times = [each["training_s"] for each in study["settings"]]
        rows.append(
            [
                *start,
                f"{ours} to {study['reach']:g} % training error",
                str(len(relu["by_seed"])),
                f"{flags.get('architecture', '')}, {flags.get('dataset', '')}",
                _study_again(study),
                f"{study['finished']} trainings of {_time(statistics.fmean(times))} on "
                + ", ".join(study["machines"]),
            ]
        )
    yield from rows or [[*start, "", "", "", _study_of(ablation), ""]]


def _other_rows(measured: Measured) -> list[list[str]]:
    """Nets and averages that belong to no row of tables 1 and 2, or have no errors."""
    rows = []
    kinds: dict[tuple, list[Trained]] = {}
    for run in measured.trained:
        if not any(_belongs(run, row) for row in (*paper.TABLE1, *paper.TABLE2)):
            kinds.setdefault(run.kind, []).append(run)
    for runs in kinds.values():
        first = runs[0]
        where = f"{first.dataset} {first.split}"
        rows.append(
            [
                *(first.architecture, "", "", _errors(runs), str(len(runs)), where),
                *(_again(first), _cost(runs)),
            ]
        )
    for each in measured.averaged:
        if any(_is_average(each, row) for row in paper.TABLE2):
            continue
        count = len(each.nets)
        where = f"{each.dataset} {each.split}"
        names = "+".join(dict.fromkeys(each.nets))
        command = _shown(_averaging(count))
        for what, errors in (("mean", each.mean), ("average", each.average)):
            name = f"{what} of {count} nets ({names})"
            ours = _pair(errors["ten_crop"])
            rows.append([name, "", "", ours, "", where, command, ""])
    for lack in measured.lacking:
        name = f"{lack.architecture or 'not a run'} ({lack.path})"
        rows.append([name, "", "", "", "", lack.why, lack.command, ""])
    return rows


def _averaging(count: int) -> str:
    return f"evaluate --checkpoint=RUN1,...,RUN{count} --output=average.json"


def _errors(runs: Sequence[Trained]) -> str:
    cells = []
    for error in _ERRORS:
        found = [r.errors["ten_crop"].get(error) for r in runs]
        known = {n: number for n, number in enumerate(found) if number is not None}
        cells.append(results.Spread(known).text() if known else _NOTHING)
    return " / ".join(cells)


def _pair(errors: Mapping[str, float]) -> str:
    return " / ".join(
        f"{errors[error]:.2f}" if error in errors else _NOTHING for error in _ERRORS
    )


def _cost(runs: Sequence[Trained]) -> str:
    """The mean time of the trainings, and where they ran."""
    mean = _time(statistics.fmean(run.training_s for run in runs))
    machines = ", ".join(sorted({run.machine for run in runs}))
    many = f"{len(runs)} trainings of {mean}" if len(runs) > 1 else mean
    return f"{many} on {machines}"


def _time(seconds: float) -> str:
    """A time to read.

    Example:
        >>> _time(90), _time(5400), _time(400000)
        ('90 s', '90 min', '111 h')
    """
    if seconds < 600:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 36000 else f"{seconds / 3600:.0f} h"


def _shown(command: str) -> str:
    return f"python -m alexnet_tf.{command}" if command else ""


def _again(run: Trained) -> str:
    """The command that trains the same net again."""
    flag_file = shlex.quote(f"{run.path}/resolved.flags")
    return _shown(f"train --flagfile={flag_file} --run_dir=...")


def _study_of(ablation: paper.Ablation) -> str:
    """The study that measures an ablation on the paper's images, in its own folder."""
    name = re.sub("[^a-z0-9]+", "_", ablation.name.lower()).strip("_")
    varied = (f"--vary={each}" for each in ablation.vary)
    flags = [*ablation.flags, *varied, f"--output=studies/{name}"]
    return _shown(f"study {' '.join(flags)}")


def _study_again(study: Mapping[str, Any]) -> str:
    """The command of a study that was made."""
    flags = [
        *study["flags"],
        *(
            f"--vary={flag}={','.join(values)}"
            for flag, values in study["vary"].items()
        ),
        *([f"--best={study['best']}"] if study["best"] else []),
        f"--reach={study['reach']:g}",
        "--output=...",
    ]
    return _shown(f"study {shlex.join(flags)}")
