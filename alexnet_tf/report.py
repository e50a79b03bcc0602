"""Writes one page about a run, or about several, which any browser shows.

    python -m alexnet_tf.report runs/mine --output=report.html
    python -m alexnet_tf.report runs/a runs/b/best runs/imported --dataset=data/mine-256

The page has the run's command, data, machine, curves, filters, predictions, nearest
images and confusion, its numbers beside the paper's, and a model card. Of paths only the
last parts are shown. It is one file that loads nothing, has at most 3 MB, and can be sent by mail. What a run does not have,
such as the log of imported weights, is named in its place. docs/report.md shows more.
It needs pip install 'alexnet_tf[figures]'.
"""

import dataclasses
import pathlib
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from alexnet_tf.runtime import command, files, loading, options, paths, shared_options
from alexnet_tf.runtime.options import option
from alexnet_tf.runtime.shared_options import DeviceOptions

if TYPE_CHECKING:
    from alexnet_tf.drawing.report import page


@dataclasses.dataclass(frozen=True)
class PageOptions:
    """The file that is written, and what its author says about the net."""

    output: str = option(
        "report.html",
        "file to write, .html; an existing one is replaced",
        is_path=True,
    )
    intended_use: str | None = option(
        None, "what the net is for, a sentence for the model card"
    )
    license: str | None = option(
        None, "license of the weights, a sentence for the model card"
    )


@dataclasses.dataclass(frozen=True)
class ImageOptions:
    """The images whose answers are shown."""

    dataset: str | None = shared_options.dataset()
    split: str | None = shared_options.split()
    seed: int = option(0, "seed of the choice of images", check=options.at_least(0))
    query_count: int = option(
        200,
        "images whose nearest training images are sought, for the precision by class",
        check=options.at_least(1),
    )
    search_count: int = option(
        1000,
        "training images that are searched for the nearest ones, chosen at random",
        check=options.at_least(1),
    )
    precision: shared_options.Precision = shared_options.precision()
    batch_size: int = option(128, "images per batch", check=options.at_least(1))


@dataclasses.dataclass(frozen=True)
class ReportOptions:
    """All options of `report`."""

    page: PageOptions = options.group(PageOptions, "Page")
    images: ImageOptions = options.group(ImageOptions, "Images")
    devices: DeviceOptions = options.group(DeviceOptions, "Devices")


OPTIONS = ReportOptions


def main(chosen: ReportOptions, arguments: Sequence[str]) -> None:
    named = _runs(arguments)
    output = pathlib.Path(chosen.page.output)
    if output.suffix != ".html":
        raise ValueError(f"--output={output}: the name of a page ends in .html")
    # First, because TensorFlow is slow; without matplotlib or Jinja2, importing says what
    # to install.
    from alexnet_tf.drawing import canvas, preflight
    from alexnet_tf.drawing.report import page

    del canvas, page
    preflight.check_output(chosen.page.output, is_folder=False)
    for each in named:
        preflight.check_images(
            preflight.check_run(each),
            dataset=chosen.images.dataset,
            split=chosen.images.split,
        )
    with loading.libraries():
        from alexnet_tf.drawing import gallery
        from alexnet_tf.drawing.report import composition, facts
        from alexnet_tf.models import devices

        devices.configure()
    devices.allow_tf32(chosen.images.precision == "tf32")
    runs = [facts.read(each, chosen.images.dataset) for each in named]
    report = composition.compose(
        runs,
        gallery.Choices(
            dataset=chosen.images.dataset,
            split=chosen.images.split,
            seed=chosen.images.seed,
            query_count=chosen.images.query_count,
            search_count=chosen.images.search_count,
            batch_size=chosen.images.batch_size,
        ),
        card=composition.Card(chosen.page.intended_use, chosen.page.license),
        paper=_beside_the_paper([run.folder for run in runs]),
        command=_command(arguments, options.command_line(chosen)),
        settings={
            "precision": chosen.images.precision,
            "tower_devices": chosen.devices.tower_devices,
        },
    )
    files.make_folder(output.absolute().parent)
    files.write_text(output, report.html)
    for run, absent in report.absent:
        print(f"{run}: {absent.what} is not shown: {absent.why}", file=sys.stderr)
    print(f"{output}: {len(report.html.encode()) / 1e6:.2f} MB")


def _command(arguments: Sequence[str], given: Sequence[str]) -> str:
    """The command that writes the page, with paths as anybody may see them."""
    shown = [paths.without_places(argument, [argument]) for argument in arguments]
    for flag in given:
        name, _, value = flag.partition("=")
        shown.append(f"{name}={paths.without_places(value, [value])}")
    return shlex.join(["python", "-m", "alexnet_tf.report", *shown])


def _beside_the_paper(folders: Sequence[pathlib.Path]) -> "list[page.Block]":
    """The numbers of the paper's nets and of these runs, in one table."""
    from alexnet_tf.drawing.report import page
    from alexnet_tf.drawing.report.missing import Missing
    from alexnet_tf.studies import measured, paper_tables

    found = measured.read(dict.fromkeys(folders))
    nets, ablations = paper_tables.beside_the_paper(found)
    blocks: list[page.Block] = [
        page.Paragraph(
            "The paper's nets learned a thousand classes from 1.2 million photographs, so "
            "errors on other images cannot be compared with theirs. "
            "python -m alexnet_tf.tables prints all tables of the paper, with the "
            "commands that make their numbers."
        ),
        page.Table(
            "Top-1 / top-5 error in %, ten crops",
            ("net", "images", "paper", "2012 log", "here"),
            [
                *nets,
                *(
                    (each.architecture or each.path, "", "", "", Missing(each.why))
                    for each in found.lacking
                ),
            ],
        ),
    ]
    if ablations:
        blocks.append(
            page.Table(
                "Change of the top-1 / top-5 error in points if this is left out",
                ("left out", "images", "paper", "2012 log", "here"),
                ablations,
            )
        )
    return blocks


def _runs(arguments: Sequence[str]) -> list[str]:
    """The run folders and checkpoints that the command line names."""
    if not arguments:
        raise ValueError(
            "name a run folder or a checkpoint: python -m alexnet_tf.report runs/mine "
            "--output=report.html"
        )
    found = []
    for argument in arguments:
        try:
            found.append(paths.local(argument))
        except ValueError as error:
            raise ValueError(f"run {argument!r}: {error}") from None
    return found


if __name__ == "__main__":
    command.run_command(
        *("report", OPTIONS, main, __doc__), as_argument={"checkpoint", "run_dir"}
    )
