"""Prints the tables and the ablations of the paper, with our numbers beside them.

    python -m alexnet_tf.tables
    python -m alexnet_tf.tables runs/a runs/b studies/lrn average.json --format=markdown

Each argument is a run folder that was evaluated, the folder of a study, or a file of
`evaluate --output` for several nets. Every row has the paper's number, that of the 2012
program's log, ours with the number of seeds and their standard deviation, the command
that makes it, and its cost. What was not run is blank. Which row a run belongs to
follows from what it records: its net, its dataset and its options. A run that was not
evaluated has a row in the last table, with the command that does it. If an argument is
something else, the others are printed all the same, and the exit status is 1.
"""

import dataclasses
import sys
from collections.abc import Sequence

from alexnet_tf.runtime import command, options, paths, tables
from alexnet_tf.runtime.options import option


@dataclasses.dataclass(frozen=True)
class OutputOptions:
    """How the tables are written."""

    format: tables.Style = option(
        "text", "how the tables are written; latex needs the package booktabs"
    )


@dataclasses.dataclass(frozen=True)
class TablesOptions:
    """All options of `tables`."""

    output: OutputOptions = options.group(OutputOptions, "Output")


OPTIONS = TablesOptions


def main(chosen: TablesOptions, arguments: Sequence[str]) -> None:
    from alexnet_tf.studies import measured, paper_tables

    found = measured.read(map(paths.local, arguments))
    print(paper_tables.render(paper_tables.tables_of(found), chosen.output.format))
    for lack in found.lacking:
        if lack.command:
            print(f"{lack.path} is {lack.why}: {lack.command}", file=sys.stderr)
    if wrong := [lack.why for lack in found.lacking if not lack.command]:
        raise ValueError("; ".join(wrong))


if __name__ == "__main__":
    command.run_command(
        *("tables", OPTIONS, main, __doc__), as_argument={"checkpoint", "run_dir"}
    )
