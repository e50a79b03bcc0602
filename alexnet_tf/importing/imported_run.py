"""From a file of weights to a run folder that every other command takes."""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Callable

import numpy as np

from alexnet_tf.importing import (
    class_files,
    mapping,
    means,
    own_files,
    published,
    recognition,
    weight_files,
)
from alexnet_tf.importing.source import Channels, Source, WeightsError
from alexnet_tf.models import architecture as architectures
from alexnet_tf.models import (
    builder,
    checkpoint_files,
    checkpoint_weights,
    layers,
    resize_rule,
    trained,
)
from alexnet_tf.runtime import files

_READ_BYTES = 16 << 20


@dataclasses.dataclass(frozen=True)
class ImportedNet:
    """A net as it will be written, and how it came about.

    Attributes:
        trained: the description of the net.
        weights: float32 by path, as a checkpoint names them.
        moved: what was done to each tensor of the file.
        source: what the file holds; None if it is a file of this package.
        channels, deviation: what the file's own net reads; see `PublishedNet`.
    """

    trained: trained.TrainedNet
    weights: dict[str, np.ndarray]
    moved: list[mapping.Moved]
    source: Source | None
    channels: Channels = "RGB"
    deviation: tuple[float, float, float] | None = None


def read(
    path: str,
    *,
    architecture: str | None = None,
    class_names: str | None = None,
    mean: str | None = None,
    channels: Channels | None = None,
    resize: resize_rule.Rule | None = None,
) -> ImportedNet:
    """Returns the net in a file of weights.

    Args:
        path: the file; its suffix names the format.
        architecture: a name in `zoo.ARCHITECTURES`; None recognizes it.
        class_names: see `class_files.read_class_names`.
        mean: see `means.parse`; None takes what was published, or what the file holds.
        channels: the order of the colors that the file's net reads; None takes what was
            published.
        resize: how an image of any shape becomes a square; None takes what the
            published accuracy was measured with, or what a file of this package says.

    Raises:
        WeightsError: the file cannot be imported; the message says why.
        ValueError: a class name is not allowed.
    """
    suffix = weight_files.suffix_of(path)
    sha1, sha256 = _digests(path)
    if suffix in weight_files.OWN:
        if channels is not None or (architecture is not None and suffix == ".keras"):
            raise WeightsError(
                f"{path} says itself which net it holds, and that reads RGB: leave "
                "--architecture and --channels out"
            )
        own = own_files.read(path, architecture)
        return _own_net(path, own, sha256, class_names, mean, resize)
    known = published.architecture_of(sha1, sha256)
    source = weight_files.read(path)
    net = recognition.recognize(source, architecture, known)
    about = published.NETS.get(net.name)
    channels, deviation = mapping.convention(source, about, channels)
    weights, moved = mapping.map_weights(
        source, net, channels=channels, deviation=deviation
    )
    origin = trained.Imported(
        os.path.basename(path),
        source.format,
        sha256,
        published.NETS[known].name if known == net.name else "",
    )
    described = _describe(
        net,
        class_names=class_files.read_class_names(class_names, net.classes),
        mean=_mean(mean, source, about, net, channels),
        dropout=net.dropout,
        origin=origin,
        resize=resize or (about.resize if about else resize_rule.DEFAULT),
    )
    return ImportedNet(described, weights, moved, source, channels, deviation)


def _mean(
    text: str | None,
    source: Source,
    about: published.PublishedNet | None,
    net: architectures.Architecture,
    channels: Channels,
) -> np.ndarray:
    side = net.input_size
    if text is not None:
        return means.parse(text, side)
    if source.mean is not None:
        return means.of_array(
            source.mean, side, where=f"the mean in {source.path}", channels=channels
        )
    if about is None:
        raise WeightsError(
            f"nothing says which mean the net {net.name} in {source.path} subtracts: name "
            "it by --mean=FILE, or as three numbers by --mean=123,117,104"
        )
    return means.of_array(np.array(about.mean), side, where=about.name)


def _own_net(
    path: str,
    own: own_files.OwnNet,
    sha256: str,
    class_names: str | None,
    mean: str | None,
    resize: resize_rule.Rule | None,
) -> ImportedNet:
    net = own.architecture
    if mean is None and own.mean is None:
        raise WeightsError(
            f"{path} does not hold the mean that its net subtracts: name it by "
            "--mean=FILE, or as three numbers, as --mean=127.2,118.6,103.4 for images "
            "that went through preprocess_input"
        )
    described = _describe(
        net,
        class_names=own.class_names
        if own.class_names is not None and class_names is None
        else class_files.read_class_names(class_names, net.classes),
        mean=own.mean if mean is None else means.parse(mean, net.input_size),
        dropout=own.dropout,
        origin=trained.Imported(os.path.basename(path), own_files.FORMAT, sha256),
        resize=resize or own.resize,
    )
    moved = [
        mapping.Moved(name, values.shape, "as it is", name)
        for name, values in own.weights.items()
    ]
    return ImportedNet(described, own.weights, moved, None)


def _describe(
    net: architectures.Architecture,
    *,
    class_names: tuple[str, ...],
    mean: np.ndarray | None,
    dropout: layers.DropoutConvention,
    origin: trained.Imported,
    resize: resize_rule.Rule,
) -> trained.TrainedNet:
    assert mean is not None
    return trained.TrainedNet(
        net,
        class_names,
        mean,
        dropout,
        "float32",
        dataset_path=None,
        dataset_digest=None,
        imported=origin,
        resize=resize,
    )


def refuse_existing(output: str | os.PathLike[str]) -> None:
    """Raises FileExistsError if a run folder, or anything else, is in the way."""
    if os.path.lexists(output):
        raise FileExistsError(
            f"{os.fspath(output)} exists, and a run folder is never overwritten: choose "
            "another --output, or remove it"
        )


def write(
    output: str | os.PathLike[str],
    net: ImportedNet,
    check: Callable[[pathlib.Path], object] = lambda folder: None,
) -> None:
    """Writes a run folder, or nothing at all.

    `check` is called with the folder before it gets its name. If it raises an error,
    the folder is removed.

    Raises:
        FileExistsError: `output` exists.
    """
    refuse_existing(output)
    folder = pathlib.Path(output)
    files.make_folder(folder.absolute().parent)
    with files.written_aside(folder) as temporary:
        temporary.mkdir()
        trained.write_trained_net(temporary, net.trained)
        model = builder.build(net.trained.architecture, dropout=net.trained.dropout)
        for name, variable in checkpoint_weights.weights_by_path(model).items():
            variable.assign(net.weights[name])
        checkpoint_weights.write_weights(
            str(temporary / checkpoint_files.NEWEST / "step-0"),
            model,
            step=0,
            state={"net": trained.identity(net.trained)},
        )
        check(temporary)


def _digests(path: str) -> tuple[str, str]:
    """The SHA-1 and the SHA-256 digests of a file, in hexadecimal."""
    sha1, sha256 = hashlib.sha1(usedforsecurity=False), hashlib.sha256()
    with open(path, "rb") as file:
        while data := file.read(_READ_BYTES):
            sha1.update(data)
            sha256.update(data)
    return sha1.hexdigest(), sha256.hexdigest()
