"""Makes a run folder of published weights, which every other command takes.

    python -m alexnet_tf.import_weights --from=bvlc_alexnet.caffemodel --output=runs/caffe
    python -m alexnet_tf.import_weights --from=alexnet-owt-7be5be79.pth --output=runs/tv

Reads .caffemodel, .onnx, .pth, .safetensors, caffe-tensorflow's .npy, and the .keras
and .weights.h5 files of this package. The architecture is recognized. Nothing in a file
is run. docs/weights.md says what was published, and how the import is proved.
"""

import dataclasses
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from alexnet_tf.models import resize_rule
from alexnet_tf.runtime import command, loading, options, tables
from alexnet_tf.runtime.options import option

if TYPE_CHECKING:
    from alexnet_tf.importing import imported_run


@dataclasses.dataclass(frozen=True)
class FileOptions:
    """The weights that are read."""

    from_: str | None = option(
        None,
        "the file of weights: .caffemodel, .onnx, .pth, .safetensors, .npy, .keras or "
        ".weights.h5",
        is_path=True,
    )
    architecture: str | None = option(
        None,
        "the net, if the file does not show which it is: caffe_alexnet, caffenet, "
        "torchvision, or another one with the same shapes",
    )
    channels: Literal["RGB", "BGR"] | None = option(
        None,
        "the order of the colors that the file's net reads (default: BGR for Caffe's "
        "nets, RGB for torchvision's and for files of MATLAB)",
    )


@dataclasses.dataclass(frozen=True)
class DescriptionOptions:
    """What a net needs beside its weights."""

    class_names: str | None = option(
        None,
        "text file with one class per line, in the order of the outputs (default: the "
        "1,000 synsets of ILSVRC-2012, if the net has 1,000 classes)",
        is_path=True,
    )
    mean: str | None = option(
        None,
        "the mean that is subtracted: Caffe's ilsvrc_2012_mean.npy or a .binaryproto, "
        "cropped in its center; a mean.npy of this package; or red, green and blue, as "
        "123,117,104 (default: the channel means of the published net)",
    )
    resize: resize_rule.Rule | None = option(
        None,
        "how the net's images become squares before its crop is cut out; see --resize of "
        "prepare (default: as for the published accuracy, squash for Caffe's nets)",
    )


@dataclasses.dataclass(frozen=True)
class OutputOptions:
    """The run folder that is written."""

    output: str | None = option(
        None, "run folder to write; it must not exist", is_path=True
    )
    check: bool = option(
        False,
        "compute the logits of random images with the file's own framework too "
        "(onnxruntime, OpenCV 4, torchvision; TensorFlow for .npy), and write nothing if "
        "they differ by more than 1e-4 of their standard deviation",
    )
    format: tables.Format = option("table", "how the list of tensors is printed")


@dataclasses.dataclass(frozen=True)
class ImportOptions:
    """All options of `import_weights`."""

    file: FileOptions = options.group(FileOptions, "File")
    description: DescriptionOptions = options.group(DescriptionOptions, "Description")
    output: OutputOptions = options.group(OutputOptions, "Output")


OPTIONS = ImportOptions

_COLUMNS = ("tensor", "shape", "what was done", "weights")


def text(moved: Sequence[Sequence[str]], format: tables.Format) -> str:
    """Returns the list of tensors as a table, JSON or CSV."""
    rows = [_COLUMNS, *moved]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    lines = [
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
    return tables.render(
        format,
        data=[dict(zip(_COLUMNS, row, strict=True)) for row in moved],
        columns=_COLUMNS,
        rows=moved,
        table="\n".join(line.rstrip() for line in lines),
    )


def _notes(net: "imported_run.ImportedNet") -> list[str]:
    """What a user should know about an imported net, a line each."""
    from alexnet_tf.importing import published

    described, source = net.trained, net.source
    architecture = described.architecture
    assert described.imported is not None
    known = described.imported.known_as
    side = architecture.input_size
    lines = [
        f"recognized {known or 'by its layers; its digest is not a published one'}: "
        f"{architecture.name}, {architecture.classes} classes, {side} pixels"
    ]
    about = published.NETS.get(architecture.name)
    if about is not None:
        top1, top5 = about.accuracy
        lines.append(
            f"{about.name} was published with {top1} / {top5} % accuracy (top 1 / top 5, "
            f"center crop, ILSVRC-2012 validation), measured on {about.images}"
        )
    size = architecture.record_size
    lines.append(
        f"images of other shapes are squashed to {size} x {size} pixels first "
        "(--resize=squash)"
        if described.resize == "squash"
        else f"the shorter side of an image is scaled to {size} pixels first "
        "(--resize=crop)"
    )
    mean = ", ".join(f"{value:.1f}" for value in described.mean[side // 2, side // 2])
    lines.append(
        f"classes {described.class_names[0]} to {described.class_names[-1]}, mean of the "
        f"center {mean} (red, green, blue)"
    )
    if source is not None and source.input_size not in (None, side):
        lines.append(
            f"the file's graph reads images of {source.input_size} pixels; it is imported "
            f"at {side}, for which its weights were trained"
        )
    return lines


def main(chosen: ImportOptions, arguments: Sequence[str]) -> None:
    options.refuse_arguments(arguments, "--from=")
    path, output = chosen.file.from_, chosen.output.output
    if path is None or output is None:
        raise ValueError(
            "name a file of weights and a new run folder: --from=FILE --output=RUN"
        )
    with loading.libraries():
        from alexnet_tf.importing import imported_run, source_check
    imported_run.refuse_existing(output)
    if chosen.output.check:
        source_check.require_runtime(path)
    print(f"reading {path}", file=sys.stderr)
    net = imported_run.read(
        path,
        architecture=chosen.file.architecture,
        class_names=chosen.description.class_names,
        mean=chosen.description.mean,
        channels=chosen.file.channels,
        resize=chosen.description.resize,
    )
    print("\n".join(_notes(net)), file=sys.stderr)
    found: list[float] = []

    def check(folder) -> None:
        if chosen.output.check:
            found.append(source_check.compare(folder, net))

    imported_run.write(output, net, check)
    rows = [
        (m.source, "x".join(map(str, m.shape)), m.done, m.target) for m in net.moved
    ]
    print(text(rows, chosen.output.format))
    for difference in found:
        print(
            f"checked: the logits differ by at most {difference:.1e} of their standard "
            f"deviation (limit {source_check.LIMIT:g})",
            file=sys.stderr,
        )
    print(f"wrote {output}", file=sys.stderr)


if __name__ == "__main__":
    command.run_command("import_weights", OPTIONS, main, __doc__)
