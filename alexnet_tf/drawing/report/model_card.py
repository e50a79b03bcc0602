"""A model card: what a net is for, what it learned from, how often it errs, its license.

It follows the headings of Mitchell et al., "Model cards for model reporting" (2019), as
far as a run can fill them. What nobody recorded is said to be unknown, and not guessed.
"""

import dataclasses

from alexnet_tf.data import prepared_dataset
from alexnet_tf.drawing.report import words
from alexnet_tf.drawing.report.facts import Run
from alexnet_tf.drawing.report.missing import Missing
from alexnet_tf.drawing.report.page import Paragraph, Section, Table


@dataclasses.dataclass(frozen=True)
class Source:
    """What is known of images by the source that they were prepared from.

    Attributes:
        license: of the images.
        use: what a net that was trained on them can be used for.
    """

    license: str
    use: str


_IMAGENET = Source(
    "The images belong to their owners. ImageNet's terms of access allow non-commercial "
    "research and education.",
    "Research and teaching: comparing nets and recipes on ImageNet, and computing "
    "features of photographs.",
)

# By the name of the source, without its version.
_SOURCES = {
    "tfds:garments": Source(
        "MIT license, copyright 2017 Zalando SE (Fashion-MNIST).",
        "Teaching, and trying this software. The images are gray, 28 pixels wide, and "
        "enlarged, so the net is of no use for photographs.",
    ),
    "tfds:imagenet2012": _IMAGENET,
    "ilsvrc2010": _IMAGENET,
    "tfds:ilsvrc2010": _IMAGENET,
}


def known_source(dataset: prepared_dataset.Dataset | Missing) -> Source | None:
    """Returns what is known of the source of a dataset, or None.

    A folder with the name of a known source is not that source.
    """
    if isinstance(dataset, Missing):
        return None
    return _SOURCES.get(dataset.source.split("/")[0])


def section(
    run: Run, anchor: str, *, intended_use: str | None, license: str | None
) -> Section:
    """Returns the model card of a run.

    Args:
        run: the run.
        anchor: of the section.
        intended_use, license: what the author of the net says; None if he says nothing.
    """
    source = known_source(run.training_data)
    use = intended_use or (source.use if source else None)
    rows = [
        ("Net", _net(run)),
        ("Intended use", use or _unstated("intended_use", "its intended use")),
        ("Not intended", _not_intended(run)),
        ("Trained on", _trained_on(run)),
        ("Errors", _errors(run)),
        ("Limits of these numbers", _limits(run)),
        ("License of the weights", license or _unstated("license", "it")),
        (
            "License of the images",
            source.license
            if source
            else Missing(
                "the dataset does not record one; see where its images are from"
            ),
        ),
        (
            "License of the software",
            "alexnet_tf is published under the Apache License 2.0.",
        ),
    ]
    return Section(
        anchor,
        "Model card",
        [
            Paragraph(
                "What someone who is given this net should know before using it."
            ),
            Table(f"Model card of {run.name}", (), rows),
        ],
    )


def _unstated(flag: str, what: str) -> Missing:
    return Missing(f'nobody stated {what}; --{flag}="..." adds it')


def _net(run: Run) -> str:
    net = run.net.architecture
    return (
        f"{net.name}: {net.description.rstrip('.')}. It has "
        f"{words.number(words.parameters(net))} parameters, reads RGB images of "
        f"{net.input_size} x {net.input_size} pixels, and returns one probability for "
        f"each of {words.number(net.classes)} classes."
    )


def _not_intended(run: Run) -> str:
    classes = words.number(run.net.architecture.classes)
    return (
        f"Deciding about people, or anything where a wrong answer does harm. The net "
        f"names one of its {classes} classes for every image, also for an image that "
        "shows none of them, and its probabilities were not calibrated."
    )


def _trained_on(run: Run) -> str | Missing:
    if run.net.imported is not None:
        known = run.net.imported.known_as
        return Missing(
            f"the weights were imported from {run.net.imported.file}"
            + (f", which is known as {known}" if known else "")
            + ". See what its publisher says"
        )
    if isinstance(run.training_data, Missing):
        return Missing(run.training_data.why)
    data = run.training_data
    text = (
        f"{words.count(data.counts.get('train', 0), 'image')} of the dataset {data.name!r}, in "
        f"{words.count(len(data.classes), 'class', 'classes')}."
    )
    started = run.net.started_from
    if started is not None:
        text += f" Training began with the weights of {started.path}."
    return text


def _errors(run: Run) -> str | Missing:
    if isinstance(run.evaluation, Missing):
        known = words.validation(run, "top1_error")
        if known is None:
            return run.evaluation
        return f"The top-1 error is {known}. {words.unknown(run)}."
    found, error = run.evaluation, words.percent
    text = (
        f"On {words.count(found['images'], 'image')} of the {found['split']} split, the "
        f"top-1 error is {error(found['center_crop']['top1_error'])} with the center crop "
        f"and {error(found['ten_crop']['top1_error'])} with ten crops."
    )
    if "top5_error" in run.measures:
        text += (
            f" The top-5 errors are {error(found['center_crop']['top5_error'])} and "
            f"{error(found['ten_crop']['top5_error'])}."
        )
    return text


def _limits(run: Run) -> str:
    text = (
        "They hold for images like those of the dataset. Classes differ; the section on "
        "confusion has each one's error."
    )
    if not isinstance(run.best, Missing):
        text += (
            " If the best checkpoint was chosen by the same split, its error there is "
            "a little too low."
        )
    if not isinstance(run.evaluation, Missing):
        share = run.evaluation["center_crop"]["top1_error"] / 100
        images = max(run.evaluation["images"], 1)
        margin = 196 * (max(share * (1 - share), 0) / images) ** 0.5
        text += (
            f" The number of images alone makes the center crop's top-1 error uncertain "
            f"by about {margin:.1f} points (95 % interval)."
        )
    return text
