"""Composes the page about runs: facts, figures, the paper's numbers and a model card."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

import alexnet_tf
from alexnet_tf.drawing import gallery
from alexnet_tf.drawing.report import contents, facts, images, model_card, page
from alexnet_tf.drawing.report.page import Absent, Block, Image, Section
from alexnet_tf.runtime import errors, paths

# The figures of each run, and what stands in the place of one that cannot be drawn.
FIGURES = {
    "architecture": "The picture of the net",
    "curves": "The picture of the curves",
    "filters": "The picture of the filters",
    "predictions": "The picture of predictions",
    "nearest": "The picture of the nearest images",
    "confusion": "The picture of the confusion",
}

LIMIT = 3_000_000  # bytes of a page
_FOR_IMAGES = 2_600_000

# What is raised if a file of a run is damaged, whichever it is.
_FORESEEN = (
    *(ValueError, OSError, RuntimeError, ArithmeticError, LookupError),
    tf.errors.OpError,
)


class Report(NamedTuple):
    """A page, and the reasons for what is not on it.

    Attributes:
        html: the page.
        absent: (name of the run, what is absent) for each figure that is not on it.
    """

    html: str
    absent: list[tuple[str, Absent]]


@dataclasses.dataclass(frozen=True)
class Card:
    """What the author of a net says about it; None if he says nothing."""

    intended_use: str | None = None
    license: str | None = None


def compose(
    runs: Sequence[facts.Run],
    choices: gallery.Choices,
    *,
    card: Card,
    paper: Sequence[Block],
    command: str,
    settings: Mapping[str, Any],
) -> Report:
    """Returns the page about runs.

    Args:
        runs: at least one.
        choices: of the images that the figures show.
        card: for the model cards.
        paper: the tables with the paper's numbers.
        command: the command that writes the page, for its end.
        settings: how nets are restored, as `gallery.Subject` takes them.

    Raises:
        ValueError: the page would be larger than `LIMIT`.
    """
    subjects = [gallery.Subject(run.named, choices, **settings) for run in runs]
    drawn = [{name: _figure(name, subject) for name in FIGURES} for subject in subjects]
    together, *shown = _fitted([_together(subjects, drawn), *drawn])
    beside = Section("paper", "Beside the paper", paper)
    if len(runs) == 1:
        title = f"Report of {runs[0].name}"
        sections = [
            *_answers(runs[0], shown[0], ""),
            beside,
            *_origin(runs[0], card, ""),
        ]
    else:
        title = f"Report of {len(runs)} runs"
        all_runs = [contents.comparison(runs), *together.values()]
        sections = [Section("runs", "All runs", all_runs)]
        for number, (run, figures) in enumerate(zip(runs, shown, strict=True), 1):
            prefix = f"run{number}-"
            inner = [*_answers(run, figures, prefix), *_origin(run, card, prefix)]
            sections.append(Section(f"run{number}", f"Run {run.named}", [], inner))
        sections.append(beside)
    about = [
        f"Written by alexnet_tf {alexnet_tf.__version__} with: {command}",
        "This page has {size} and needs no other file.",
    ]
    places = set().union(*(run.places for run in runs))
    html = page.render(
        title, sections, about, lambda text: paths.without_places(text, places)
    )
    size = len(html.encode())
    if size > LIMIT:
        raise ValueError(
            f"the page would have {page.size_text(size)}, and {page.size_text(LIMIT)} is "
            "the most: name fewer runs"
        )
    absent = [
        (run.named, block)
        for run, figures in zip(runs, drawn, strict=True)
        for block in figures.values()
        if isinstance(block, Absent)
    ]
    return Report(html, absent)


def _figure(name: str, *subjects: gallery.Subject) -> Image | Absent:
    """One figure, or why it cannot be drawn."""
    try:
        return images.of_figure(gallery.draw(name, *subjects))
    except _FORESEEN as error:
        return Absent(FIGURES[name], errors.one_line(error).rstrip("."))


def _together(
    subjects: Sequence[gallery.Subject], drawn: Sequence[Mapping[str, Image | Absent]]
) -> dict[str, Image | Absent]:
    """The figures of several runs at once, of those that have them."""
    found = {}
    for name in gallery.OF_SEVERAL:
        there = [
            subject
            for subject, figures in zip(subjects, drawn, strict=True)
            if isinstance(figures[name], Image)
        ]
        if len(there) > 1:
            found[name] = _figure(name, *there)
    return found


def _fitted(
    drawn: Sequence[Mapping[str, Image | Absent]],
) -> list[dict[str, Image | Absent]]:
    """The figures of all runs, small enough for one page."""
    there = [
        block for run in drawn for block in run.values() if isinstance(block, Image)
    ]
    fitted = iter(images.fit(there, _FOR_IMAGES))
    return [
        {
            name: next(fitted) if isinstance(block, Image) else block
            for name, block in run.items()
        }
        for run in drawn
    ]


def _answers(
    run: facts.Run, figures: Mapping[str, Block], prefix: str
) -> Iterator[Section]:
    """The sections that show what a net does; their anchors begin with `prefix`."""
    yield Section(f"{prefix}summary", "Summary", contents.summary(run))
    yield Section(f"{prefix}predictions", "Predictions", [figures["predictions"]])
    yield Section(f"{prefix}errors", "Errors", contents.errors(run))
    yield Section(f"{prefix}confusion", "Confusion", [figures["confusion"]])
    yield Section(f"{prefix}nearest", "Nearest images", [figures["nearest"]])
    yield Section(f"{prefix}curves", "Curves", contents.curves(run, figures["curves"]))
    yield Section(f"{prefix}filters", "Filters", [figures["filters"]])
    yield Section(f"{prefix}net", "Net", [figures["architecture"]])


def _origin(run: facts.Run, card: Card, prefix: str) -> Iterator[Section]:
    """The sections that say where a net is from, and what it may be used for."""
    yield Section(f"{prefix}data", "Data", contents.data(run))
    yield Section(f"{prefix}command", "Command", contents.command(run))
    yield Section(f"{prefix}machine", "Machine", contents.machine(run))
    yield model_card.section(run, f"{prefix}card", **dataclasses.asdict(card))
