"""Writes the outputs of a trained net's layers for a folder of images or a dataset.

    python -m alexnet_tf.features --checkpoint=runs/mine --list_layers
    python -m alexnet_tf.features --checkpoint=runs/mine --layer=fc7 --images=photos \\
        --output=features.npz
    python -m alexnet_tf.features --checkpoint=runs/mine --layer=conv1/relu,conv5 \\
        --dataset=data/mine-256 --split=validation --output=features.npz

A bare name such as fc7 is what the next layer reads; fc7/linear is before the ReLU, and
fc7/relu after it. The file has an array per layer and the names and labels of the
images. Work that is interrupted in whatever way is continued by the same command.
docs/features.md explains the files.
"""

import dataclasses
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from alexnet_tf.runtime import command, loading, options, shared_options, tables
from alexnet_tf.runtime.options import option
from alexnet_tf.runtime.shared_options import DeviceOptions, ReadingOptions

if TYPE_CHECKING:
    from alexnet_tf.evaluation import image_sets
    from alexnet_tf.models import trained


@dataclasses.dataclass(frozen=True)
class NetOptions:
    """The net, its layers, and the type that it computes in."""

    checkpoint: str = shared_options.checkpoint()
    layer: tuple[str, ...] | None = option(
        None, "name of a layer, or several, separated by commas; see --list_layers"
    )
    list_layers: bool = option(
        False, "print the names of the net's layers with their shapes, and do no more"
    )
    towers: Literal["joined", "separate"] = option(
        "joined",
        "joined: both towers' channels one after the other, [images, ..., channels]; "
        "separate: each tower as a stream of its own, [images, towers, ..., channels of "
        "a tower]",
    )
    precision: shared_options.Precision = shared_options.precision(
        "float32", "; features are written as float32"
    )


@dataclasses.dataclass(frozen=True)
class ImageOptions:
    """The images: those of a folder, or of a prepared dataset."""

    images: str | None = option(
        None,
        "folder with images at any depth; the first folder below it names the class",
        is_path=True,
    )
    dataset: str | None = option(
        None, "prepared folder, instead of --images", is_path=True
    )
    split: str | None = shared_options.split()


@dataclasses.dataclass(frozen=True)
class OutputOptions:
    """The file that is written."""

    output: str | None = option(
        None,
        "file to write, which must not exist: .npz, or .npy for one layer of a large "
        "set, which can be memory-mapped and has a .json file beside it",
        is_path=True,
    )
    format: tables.Format = option("table", "how results are printed")


@dataclasses.dataclass(frozen=True)
class FeaturesOptions:
    """All options of `features`."""

    net: NetOptions = options.group(NetOptions, "Net")
    images: ImageOptions = options.group(ImageOptions, "Images")
    reading: ReadingOptions = options.group(ReadingOptions, "Reading")
    devices: DeviceOptions = options.group(DeviceOptions, "Devices")
    output: OutputOptions = options.group(OutputOptions, "Output")


OPTIONS = FeaturesOptions


def main(chosen: FeaturesOptions, arguments: Sequence[str]) -> None:
    options.refuse_arguments(arguments, "--checkpoint=")
    if chosen.net.list_layers:
        _refuse_with_list(chosen)
        print(layers_text(_restored(chosen), chosen.output.format))
        return
    _refuse_missing(chosen)
    from alexnet_tf.evaluation import feature_files

    assert chosen.net.layer is not None
    assert chosen.output.output is not None
    layers = list(dict.fromkeys(chosen.net.layer))
    output = feature_files.check_output(chosen.output.output, layers)
    restored = _restored(chosen)
    from alexnet_tf.evaluation import features
    from alexnet_tf.models import devices
    from alexnet_tf.training import stop_signals

    images = _images(chosen, restored.trained)
    print(
        f"computing {', '.join(layers)} of {restored.checkpoint} for {images.count:,} "
        f"images of {images.where}",
        *images.notes,
        sep="\n",
        file=sys.stderr,
    )
    towers = restored.architecture.towers
    with stop_signals.StopSignals() as signals:
        written = features.write_features(
            restored,
            images,
            output,
            layers=layers,
            towers=chosen.net.towers,
            batch_size=chosen.reading.batch_size,
            max_bad_files=chosen.reading.max_bad_files,
            settings={
                "precision": devices.precision(chosen.net.precision),
                "devices": devices.resolve(chosen.devices.tower_devices, towers),
            },
            stop_signal=lambda: signals.received,
        )
    results = {
        "file": str(written.path),
        "checkpoint": restored.checkpoint,
        "images": images.count - len(written.left_out),
        "left_out": len(written.left_out),
        "layers": {layer: list(shape) for layer, shape in written.shapes.items()},
    }
    print(text(results, chosen.output.format))


def _refuse_with_list(chosen: FeaturesOptions) -> None:
    """Raises ValueError if `--list_layers` stands with options of another work."""
    given = {"layer": chosen.net.layer, "output": chosen.output.output}
    given |= {"images": chosen.images.images, "dataset": chosen.images.dataset}
    for name, value in given.items():
        if value is not None:
            raise ValueError(
                f"--list_layers prints the layers and writes nothing: leave --{name} out"
            )


def _refuse_missing(chosen: FeaturesOptions) -> None:
    """Raises ValueError if something is not named, or named twice."""
    images = chosen.images
    if not chosen.net.layer:
        raise ValueError("name a layer: --layer=fc7; --list_layers prints the names")
    if chosen.output.output is None:
        raise ValueError("name the file to write: --output=features.npz")
    if (images.images is None) == (images.dataset is None):
        raise ValueError(
            "name the images: either --images=FOLDER or --dataset=PREPARED_FOLDER"
        )
    if images.images is not None and images.split is not None:
        raise ValueError(
            f"--split={images.split} is of a dataset, and --images names a folder: "
            "leave --split out"
        )


def _restored(chosen: FeaturesOptions) -> "trained.Restored":
    with loading.libraries():
        from alexnet_tf.models import devices, trained

        devices.configure()
    devices.allow_tf32(chosen.net.precision == "tf32")
    return trained.restore(
        chosen.net.checkpoint,
        precision=chosen.net.precision,
        tower_devices=chosen.devices.tower_devices,
        inputs="pixels",
    )


def _images(
    chosen: FeaturesOptions, net: "trained.TrainedNet"
) -> "image_sets.ImageSet":
    from alexnet_tf.evaluation import image_sets

    images, architecture = chosen.images, net.architecture
    side, size = architecture.input_size, architecture.record_size
    if images.images is not None:
        return image_sets.folder_images(
            images.images,
            size=size,
            side=side,
            background=net.background,
            resize=net.resize,
        )
    return image_sets.images_for(
        net,
        dataset=images.dataset,
        split=images.split,
        damaged=chosen.reading.damaged_records,
    )


def layers_text(restored: "trained.Restored", format: tables.Format) -> str:
    """Returns the names and shapes of a net's layers as a table, JSON or CSV."""
    from alexnet_tf.models import layer_outputs

    found = layer_outputs.layer_names(restored.model)
    rows = [(name, _shape_text(shape)) for name, shape in found.items()]
    width = max(map(len, found)) + 2
    return tables.render(
        format,
        data={name: list(shape) for name, shape in found.items()},
        columns=["layer", "shape"],
        rows=rows,
        table="\n".join(f"{name:{width}}{shape}" for name, shape in rows),
    )


def text(results: dict[str, Any], format: tables.Format) -> str:
    """Returns what was written as a line, JSON or CSV."""
    arrays = results["layers"]
    shapes = ", ".join(f"{name} {_shape_text(s)}" for name, s in arrays.items())
    left_out = f", {results['left_out']} left out" if results["left_out"] else ""
    what = {name: value for name, value in results.items() if name != "layers"}
    return tables.render(
        format,
        data=results,
        columns=["layer", "shape", *what],
        rows=[[name, _shape_text(s), *what.values()] for name, s in arrays.items()],
        table=(
            f"{results['file']}: {results['images']:,} images{left_out}, float32 "
            f"{shapes}, of {results['checkpoint']}"
        ),
    )


def _shape_text(shape: Sequence[int | None]) -> str:
    return "x".join(map(str, shape))


if __name__ == "__main__":
    command.run_command("features", OPTIONS, main, __doc__)
