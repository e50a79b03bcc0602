"""Turns a folder of images, ImageNet's archives or a TFDS dataset into records.

    python -m alexnet_tf.prepare --source=folder:/images --dry_run
    python -m alexnet_tf.prepare --source=folder:/images --output=data/mine
    python -m alexnet_tf.prepare --source=imagenet2012 --manual_dir=/archives
    python -m alexnet_tf.prepare --output=data/mine --verify

Prints a summary of the source: its classes, the images of each split, the classes that
a split lacks, and what is not used. The last line says what was written.

A preparation that was stopped, even by kill -9, continues when the same command is
given again.
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any, Literal

from alexnet_tf.models import resize_rule
from alexnet_tf.runtime import command, loading, options
from alexnet_tf.runtime.options import option

_DEFAULT_SOURCE = "garments"


@dataclasses.dataclass(frozen=True)
class SourceOptions:
    """The source of the images."""

    source: str | None = option(
        None,
        "garments (embedded, the default), imagenet2012, ilsvrc2010, tfds:NAME, or "
        "folder:/path",
        is_path=True,
    )
    manual_dir: str | None = option(
        None,
        "folder of the archives that only you can download (default: "
        "DATA_DIR/tfds/downloads/manual)",
        is_path=True,
    )
    checksums: bool = option(
        False, "read such archives completely and compare their digests first"
    )
    holdout: float = option(
        0.1,
        "part of each class that becomes the validation split, in a folder without "
        "train/ and validation/",
        check=options.between(0, 1),
    )
    max_bad_files: int = option(
        0,
        "number of unreadable images that are named and left out; one more stops the "
        "work",
        check=options.at_least(0),
    )


@dataclasses.dataclass(frozen=True)
class OutputOptions:
    """The prepared dataset that is written."""

    output: str | None = option(
        None,
        "folder to write (default: DATA_DIR/SOURCE-SIZE, and DATA_DIR/SOURCE-SIZE-squash "
        "with --resize=squash)",
        is_path=True,
    )
    data_dir: str = option(
        "data", "folder for datasets that are prepared by name", is_path=True
    )
    size: int = option(
        256,
        "side of the prepared images in pixels: 256 for AlexNet, 32 for the CIFAR nets",
        check=options.at_least(1),
    )
    encoding: Literal["auto", "jpeg", "raw"] = option(
        "auto", "jpeg (quality 95) or raw bytes; auto: raw up to 64 pixels"
    )
    background: str | None = option(
        None,
        "color behind transparent pixels: white, black, gray or #rrggbb (default: white)",
    )
    resize: resize_rule.Rule | None = option(
        None,
        "how an image of any shape becomes a square. crop: the shorter side is scaled to "
        "--size and the center square is cut out, as in the paper; squash: both sides "
        "are scaled to --size, as for Caffe's published nets (default: crop)",
    )
    verify: bool = option(
        False,
        "read every record back; if there is a dataset at --output already, it is only "
        "verified, and compared with --source if that is given",
    )
    dry_run: bool = option(
        False, "print the summary of the source, and read and write no images"
    )


@dataclasses.dataclass(frozen=True)
class WorkOptions:
    """The processes that do the work."""

    workers: int | None = option(
        None,
        "number of processes (default: one per core, fewer for few images)",
        check=options.at_least(1),
    )
    beam_pipeline_options: str | None = option(
        None,
        "prepare on Apache Beam with these of its options, such as "
        "runner=DirectRunner,direct_num_workers=4",
    )


@dataclasses.dataclass(frozen=True)
class PrepareOptions:
    """All options of `prepare`."""

    source: SourceOptions = options.group(SourceOptions, "Source")
    output: OutputOptions = options.group(OutputOptions, "Output")
    work: WorkOptions = options.group(WorkOptions, "Work")


OPTIONS = PrepareOptions


def main(chosen: PrepareOptions, arguments: Sequence[str]) -> None:
    options.refuse_arguments(arguments, "--source=folder:")
    with loading.libraries():
        from alexnet_tf.data import (
            dataset_verification,
            preparation,
            prepared_dataset,
            source_summary,
            sources,
        )
        from alexnet_tf.models import background
    if chosen.work.workers and chosen.work.beam_pipeline_options:
        raise ValueError(
            "--workers are processes of this machine, and Apache Beam has its own: say "
            "--beam_pipeline_options=...,direct_num_workers=N instead of --workers"
        )
    color = background.parse(chosen.output.background or "white")
    specification = chosen.source.source or _DEFAULT_SOURCE
    output, verify = _output(chosen, specification), chosen.output.verify
    if chosen.output.dry_run:
        sources.refuse_unbuilt(specification, chosen.output.data_dir)
        print(source_summary.of_source(_open_source(chosen, specification)))
        return
    if verify and output.exists():
        found = prepared_dataset.read_description(output)
        _refuse_other_form(chosen.output, found)
        if chosen.source.source is not None:
            preparation.refuse_other_source(
                found, specification, chosen.output.data_dir
            )
        if chosen.output.background is not None and color != found.background:
            raise ValueError(
                f"{output} was prepared with the background {found.background}, not "
                f"--background={chosen.output.background}: prepare it again to another "
                "--output, or leave --background out"
            )
        if chosen.output.resize not in (None, found.resize):
            raise ValueError(
                f"{output} was prepared with --resize={found.resize}, not "
                f"--resize={chosen.output.resize}: prepare it again to another "
                "--output, or leave --resize out"
            )
    else:
        preparation.refuse_existing(output)  # before archives are read for hours
        source = _open_source(chosen, specification)
        try:
            dataset = preparation.prepare_dataset(
                source,
                output,
                size=chosen.output.size,
                encoding=_encoding(chosen.output),
                background=color,
                resize=chosen.output.resize or resize_rule.DEFAULT,
                max_bad_files=chosen.source.max_bad_files,
                workers=chosen.work.workers,
                beam_pipeline_options=chosen.work.beam_pipeline_options,
            )
        except KeyboardInterrupt:
            raise KeyboardInterrupt("run the same command again to continue") from None
        print(preparation.summary(dataset, source))
    if verify:
        dataset = dataset_verification.verify_dataset(output, chosen.work.workers)
    counts = ", ".join(f"{n} {split}" for split, n in dataset.counts.items())
    stdevs = ", ".join(f"{s:.1f}" for s in dataset.statistics().stdevs)
    print(
        f"{dataset.path}: {counts} images of {dataset.size} x {dataset.size} pixels "
        f"({dataset.encoding}, --resize={dataset.resize}), {len(dataset.classes)} classes; standard deviations "
        f"along the color axes {stdevs}{'; verified' if verify else ''}"
    )


def _open_source(chosen: PrepareOptions, specification: str) -> Any:
    from alexnet_tf.data import sources

    return sources.open_source(
        specification,
        holdout=chosen.source.holdout,
        data_dir=chosen.output.data_dir,
        manual_dir=chosen.source.manual_dir,
        checksums=chosen.source.checksums,
    )


def _output(chosen: PrepareOptions, specification: str) -> pathlib.Path:
    from alexnet_tf.data import sources

    if chosen.output.output is not None:
        return pathlib.Path(chosen.output.output)
    name = f"{sources.name_of(specification)}-{chosen.output.size}"
    if chosen.output.resize not in (None, resize_rule.DEFAULT):
        # `train --dataset=SOURCE` prepares the other one, and finds it by its name.
        name += f"-{chosen.output.resize}"
    return pathlib.Path(chosen.output.data_dir) / name


def _refuse_other_form(output: OutputOptions, found: Any) -> None:
    """Raises ValueError if a dataset that is verified is not of the form that was given."""
    default = OutputOptions()
    if output.size not in (default.size, found.size):
        given, there = f"--size={output.size}", f"images of {found.size} pixels"
    elif output.encoding not in (default.encoding, found.encoding):
        given, there = f"--encoding={output.encoding}", f"{found.encoding} images"
    else:
        return
    raise ValueError(
        f"{found.path} holds {there}, not {given}: leave the flag out to verify them, "
        "or prepare to another --output"
    )


def _encoding(output: OutputOptions) -> str:
    if output.encoding != "auto":
        return output.encoding
    return "jpeg" if output.size > 64 else "raw"


if __name__ == "__main__":
    command.run_command("prepare", OPTIONS, main, __doc__)
