"""Draws figures of a trained net: the paper's, and what shows whether a net learns.

    python -m alexnet_tf.figures --checkpoint=runs/mine --output=figures
    python -m alexnet_tf.figures --checkpoint=runs/mine --figure=filters --layer=conv2 \\
        --channel=5 --output=figures
    python -m alexnet_tf.figures --architecture=paper --output=figures

Every figure is three files: the picture (.png or .svg), what is drawn as data (.npz or
.json), and its caption with a text alternative (.txt). docs/figures.md shows them all.
It needs pip install 'alexnet_tf[figures]'.
"""

import dataclasses
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from alexnet_tf.runtime import command, loading, options, shared_options
from alexnet_tf.runtime.options import option
from alexnet_tf.runtime.shared_options import DeviceOptions, ReadingOptions

if TYPE_CHECKING:
    import pathlib

    from alexnet_tf.drawing import figure

NAMES = (
    *("architecture", "filters", "predictions", "nearest", "curves", "maps"),
    *("saliency", "confusion"),
)


@dataclasses.dataclass(frozen=True)
class FigureOptions:
    """The net, what is drawn of it, and where the files go."""

    checkpoint: str = shared_options.checkpoint(
        "; several, separated by commas, for curves"
    )
    architecture: str | None = option(
        None,
        "a net of the zoo, whose figure architecture is drawn; needs no --checkpoint",
    )
    figure: tuple[str, ...] = option(
        ("all",),
        f"figures, separated by commas: {', '.join(NAMES)}, or all. With all, a figure "
        "that this run cannot have is left out and named",
        check=options.Named(("all", *NAMES)),
    )
    output: str = option(
        "figures",
        "folder for the files; files of the same names are replaced",
        is_path=True,
    )
    layer: str | None = option(
        None,
        "layer that filters and maps show, and by whose outputs nearest compares images "
        "(default: the first convolution, and fc7 for nearest)",
    )
    channel: int | None = option(
        None,
        "channel of the kernels that filters shows in gray (default: red, green and blue "
        "together in the first convolution, and channel 0 in the others), and the one "
        "map that maps shows (default: all)",
        check=options.at_least(0),
    )
    precision: shared_options.Precision = shared_options.precision()


@dataclasses.dataclass(frozen=True)
class ImageOptions:
    """The images of the figures that show images."""

    images: str | None = option(
        None,
        "folder with images at any depth, whose first folder below it names the class, "
        "or one image file",
        is_path=True,
    )
    dataset: str | None = shared_options.dataset()
    split: str | None = shared_options.split()
    only_errors: bool = option(
        False, "predictions and saliency show only images that the net gets wrong"
    )
    count: int | None = option(
        None,
        "number of images that predictions (default: 8), nearest (6 queries) and "
        "saliency (4) show",
        check=options.at_least(1),
    )
    seed: int = option(0, "seed of the choice of images", check=options.at_least(0))
    class_name: str | None = option(
        None,
        "class whose score saliency differentiates, by name or number from 0 (default: "
        "the net's answer to each image)",
    )
    query_count: int = option(
        200,
        "number of images on which nearest measures its precision; their features and "
        "pixels are in memory",
        check=options.at_least(1),
    )
    search_count: int = option(
        1000,
        "number of training images that nearest searches, chosen at random; a number "
        "above that of the split searches all",
        check=options.at_least(1),
    )


@dataclasses.dataclass(frozen=True)
class FiguresOptions:
    """All options of `figures`."""

    figures: FigureOptions = options.group(FigureOptions, "Figures")
    images: ImageOptions = options.group(ImageOptions, "Images")
    reading: ReadingOptions = options.group(ReadingOptions, "Reading")
    devices: DeviceOptions = options.group(DeviceOptions, "Devices")


OPTIONS = FiguresOptions


def main(chosen: FiguresOptions, arguments: Sequence[str]) -> None:
    options.refuse_arguments(arguments, "--checkpoint=")
    images, figures = chosen.images, chosen.figures
    # First, because without matplotlib it says what to install, and TensorFlow is slow.
    from alexnet_tf.drawing import figure as figure_files

    named = _checked(figures, images)
    if figures.architecture is not None:
        drawn = _drawn_of_the_zoo(figures)
        _show(drawn, figure_files.write(drawn, figures.output)[0])
        return
    with loading.libraries():
        from alexnet_tf.drawing import gallery
        from alexnet_tf.models import devices

        devices.configure()
    devices.allow_tf32(figures.precision == "tf32")
    choices = gallery.Choices(
        layer=figures.layer,
        channel=figures.channel,
        **vars(images),
        **vars(chosen.reading),
    )
    subjects = [
        gallery.Subject(
            checkpoint,
            choices,
            precision=figures.precision,
            tower_devices=chosen.devices.tower_devices,
        )
        for checkpoint in named
    ]
    everything = "all" in figures.figure
    for name in NAMES if everything else dict.fromkeys(figures.figure):
        try:
            drawn = gallery.draw(name, *subjects)
        except gallery.NotDrawableError as error:
            if not everything:
                raise
            print(f"{name} is left out: {error}", file=sys.stderr)
            continue
        _show(drawn, figure_files.write(drawn, figures.output)[0])


def _checked(figures: FigureOptions, images: ImageOptions) -> list[str]:
    """The runs and checkpoints that are named; raises an error if options are wrong."""
    from alexnet_tf.drawing import preflight
    from alexnet_tf.models import checkpoint_files

    if images.images is not None and (images.dataset or images.split):
        raise ValueError("name the images by --images or by --dataset, and not by both")
    if not figures.figure:
        raise ValueError(f"--figure is empty: name all, or some of {', '.join(NAMES)}")
    preflight.check_output(figures.output)
    if figures.architecture is not None:
        return []
    named = checkpoint_files.named_checkpoints(figures.checkpoint)
    asked = [name for name in figures.figure if name != "all"]
    for each in named:
        described = preflight.check_run(each, asked)
        if figures.layer is not None:
            preflight.check_layer(described, figures.layer)
        preflight.check_images(
            described, images=images.images, dataset=images.dataset, split=images.split
        )
    return list(dict.fromkeys(named))


def _drawn_of_the_zoo(figures: FigureOptions) -> "figure.Figure":
    """Draws a net that has no weights."""
    from alexnet_tf.drawing import architecture
    from alexnet_tf.models import zoo

    assert figures.architecture is not None
    if others := set(figures.figure) - {"all", "architecture"}:
        raise ValueError(
            f"--architecture={figures.architecture} has no weights, and {min(others)} is "
            "of a trained net: name that by --checkpoint, or leave --figure out"
        )
    return architecture.draw(zoo.find(figures.architecture))


def _show(drawn: "figure.Figure", path: "pathlib.Path") -> None:
    """Prints what a figure shows, and where it was written."""
    print("\n".join(filter(None, [f"{path}: {drawn.caption}", drawn.text])))


if __name__ == "__main__":
    command.run_command("figures", OPTIONS, main, __doc__)
