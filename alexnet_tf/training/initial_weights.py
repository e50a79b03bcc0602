"""Starts a run from the weights of another one.

Paper, section 6: the nets of the 2012 competition that are marked by an asterisk were
trained on the whole ImageNet release of 2011 first, and then on the 1,000 classes.
"""

import dataclasses
import json
import os
import pathlib
from collections.abc import Iterator, Mapping

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf.importing import own_files, published, weight_files
from alexnet_tf.models import architecture as architectures
from alexnet_tf.models import (
    checkpoint_files,
    checkpoint_weights,
    layers,
    resize_rule,
    trained,
    zoo,
)
from alexnet_tf.runtime import files
from alexnet_tf.runtime import options as options_of
from alexnet_tf.training import train_options


@dataclasses.dataclass(frozen=True)
class InitialWeights:
    """The weights of a trained net, from which another run may start.

    Attributes:
        path: of the checkpoint or the file.
        digest: a SHA-256 digest that changes if any weight does.
        architecture, dropout: of the net.
        weights: float32 by path, as a checkpoint names them.
        class_names: None if the file does not hold them.
        mean: the mean image that the net subtracts, float32 [side, side, 3]; None if the
            file does not hold it.
        resize: how the images that it was trained on became squares.
        deviation: what the images were divided by where the weights were trained, in
            pixel values; conv1 holds it now. 1 if they were not divided.
    """

    path: str
    digest: str
    architecture: architectures.Architecture
    dropout: layers.DropoutConvention
    weights: Mapping[str, np.ndarray]
    class_names: tuple[str, ...] | None
    mean: np.ndarray | None
    resize: resize_rule.Rule = resize_rule.DEFAULT
    deviation: float = 1.0

    @property
    def started_from(self) -> trained.StartedFrom:
        """What the net that is trained from these weights records of them."""
        return trained.StartedFrom(self.path, self.digest)


@dataclasses.dataclass(frozen=True)
class Taken:
    """What a net has taken from initial weights.

    Attributes:
        layers: the layers whose weights it has taken.
        new: each layer that starts with new weights, with the reason.
        unused: the layers of the initial weights that the net does not have.
        notes: what else may matter to who trains the net.
    """

    layers: tuple[str, ...]
    new: Mapping[str, str]
    unused: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [f"{_listed(self.layers)} taken"]
        parts += [f"{name} is new ({why})" for name, why in self.new.items()]
        if self.unused:
            parts.append(f"{_listed(self.unused)} not used")
        return "; ".join(parts)


def _listed(names: tuple[str, ...]) -> str:
    """A few names, or the first and the last of many.

    Example:
        >>> _listed(("conv1", "conv2", "conv3", "conv4"))
        'conv1 to conv4'
    """
    return ", ".join(names) if len(names) < 4 else f"{names[0]} to {names[-1]}"


def find(
    options: train_options.TrainOptions,
) -> InitialWeights | trained.TrainedNet | None:
    """Returns what a run starts from.

    Args:
        options: of the run.

    Returns:
        The weights that `--weights` names; the net in the run folder, if the run goes
        on from a checkpoint of its own, so that the weights need not be there any more;
        or None without `--weights`.

    Raises ValueError, CheckpointError and FileNotFoundError as `read` does.
    """
    if options.start.weights is None:
        return None
    run_dir = pathlib.Path(options.run.run_dir)
    goes_on = options.run.resume and checkpoint_files.list_checkpoints(
        run_dir / checkpoint_files.NEWEST
    )
    if goes_on and (run_dir / trained.MODEL_FILE).exists():
        return trained.read_trained_net(run_dir)
    return read(options.start.weights)


def with_conventions(
    options: train_options.TrainOptions,
    initial: InitialWeights | trained.TrainedNet | None,
) -> train_options.TrainOptions:
    """Returns the options with the net of the initial weights, if none is named.

    That is the architecture and the dropout convention, or the defaults without weights.

    Raises ValueError if the options name another dropout convention than that of the
    weights, which would scale all activations above dropout differently.
    """
    if initial is None:
        named = options.net.architecture or zoo.DEFAULT_TO_TRAIN
        net = _net_of(options, named)
        dropout = options.net.dropout or net.dropout
    else:
        named = options.net.architecture or initial.architecture.name
        if named not in zoo.ARCHITECTURES:
            raise ValueError(
                f"the net of --weights={options.start.weights} is {named}: name the same "
                f"one, as --architecture={named.split('-')[0]} and what was left out of "
                "it (--without, --activation, --dropout_rate)"
            )
        net = _net_of(options, named)
        of_weights = (
            initial.dropout
            if _has_dropout(net) and _has_dropout(initial.architecture)
            else net.dropout
        )
        dropout = options.net.dropout or of_weights
        if dropout != of_weights:
            raise ValueError(
                f"--weights={options.start.weights} were trained with {initial.dropout} "
                f"dropout, and --dropout={dropout} scales what follows it differently: "
                "leave --dropout out"
            )
    return options_of.replace(
        options,
        architecture=named,
        init=options.net.init or net.initialization,
        dropout=dropout,
    )


def _net_of(
    options: train_options.TrainOptions, named: str
) -> architectures.Architecture:
    named_net = options_of.replace(options, architecture=named).net
    return train_options.net_of(named_net)


def _has_dropout(net: architectures.Architecture) -> bool:
    return any(isinstance(layer, architectures.Dropout) for layer in net.layers)


def read(which: str | os.PathLike[str]) -> InitialWeights:
    """Reads the weights of a run folder, a checkpoint, or a file of `export`.

    Raises:
        ValueError: a weight is NaN or infinite, or the file is damaged.
        CheckpointError: there is no checkpoint, or it is broken. For a file of another
            framework, the message says how to import it.
        FileNotFoundError: there is no such file, or no `model.json` in the run folder.
    """
    path = os.fspath(which)
    is_file = path.lower().endswith(weight_files.OWN)
    found = _of_file(path) if is_file else _of_run(path)
    for name, values in found.weights.items():
        if not np.isfinite(values).all():
            raise ValueError(f"--weights={path}: {name} is NaN or infinite")
    return found


def _of_file(path: str) -> InitialWeights:
    own = own_files.read(path)
    return InitialWeights(
        os.path.abspath(path),
        files.sha256(path),
        own.architecture,
        own.dropout,
        own.weights,
        own.class_names,
        own.mean,
        own.resize,
    )


def _of_run(path: str) -> InitialWeights:
    run_dir, prefix = checkpoint_files.locate_checkpoint(path)
    net = trained.read_trained_net(run_dir)
    with checkpoint_weights.readable(prefix):
        trained.check_identity(prefix, net)
        weights = checkpoint_weights.read_weights(prefix)
    return InitialWeights(
        os.path.abspath(prefix),
        files.sha256(f"{prefix}.index"),
        net.architecture,
        net.dropout,
        weights,
        net.class_names,
        net.mean,
        net.resize,
        _deviation_of(net),
    )


def _deviation_of(net: trained.TrainedNet) -> float:
    about = published.NETS.get(net.architecture.name)
    if net.imported is None or net.imported.format == own_files.FORMAT or about is None:
        return 1.0
    return 1.0 if about.deviation is None else float(np.mean(about.deviation))


def take(
    initial: InitialWeights,
    model: keras.Model,
    architecture: architectures.Architecture,
    class_names: tuple[str, ...],
    factors: Mapping[str, float] | None = None,
) -> Taken:
    """Sets each layer of a model to the initial weights of the layer of its name.

    A layer is taken if all its weights have the shapes that the model's have. The last
    layer is taken only if it is for the same classes in the same order.

    Args:
        initial: the weights.
        model: of `builder.build`.
        architecture: of the model.
        class_names: the classes of the model.
        factors: the learning rate factors of the run, by layer or kind of layer.

    Raises:
        ValueError: no layer agrees.
    """
    wanted = _by_layer(checkpoint_weights.weights_by_path(model))
    found = _by_layer(initial.weights)
    classifier = list(wanted)[-1]
    new: dict[str, str] = {}
    for layer, variables in wanted.items():
        of_classes = ""
        if layer == classifier and layer in found and initial.class_names is not None:
            of_classes = _difference_of_classes(initial.class_names, class_names)
        if why := of_classes or _difference(found.get(layer), variables):
            new[layer] = why
    taken = tuple(layer for layer in wanted if layer not in new)
    if not taken:
        raise ValueError(
            f"no layer of {initial.path} ({initial.architecture.name}) fits the net "
            f"{model.name}: {'; '.join(f'{n} is new ({why})' for n, why in new.items())}"
        )
    for layer in taken:
        for name, variable in wanted[layer].items():
            variable.assign(found[layer][name])
    layers.refresh_kernel_copies(model)
    unused = tuple(layer for layer in found if layer not in wanted)
    if classifier in taken and initial.class_names is None:
        unknown = ["the file does not say which classes its last layer is for"]
    else:
        unknown = []
    notes = [*unknown, *_differences(initial, architecture)]
    first = next(iter(wanted))
    learns = any(v.path in wanted[first] for v in model.trainable_variables)
    factors = factors or {}
    has_factor = first in factors or architectures.kind_of(first) in factors
    if first in taken and learns and not has_factor:
        notes += _note_on_scale(initial.deviation, first, factors)
    return Taken(taken, new, unused, tuple(notes))


def _note_on_scale(
    deviation: float, layer: str, factors: Mapping[str, float]
) -> list[str]:
    """Says so if the first layer learns faster than where the weights were trained.

    Weights that are divided by d have gradients that are d times as large, so that the
    same learning rate changes them d squared times as fast in proportion.
    """
    if deviation == 1:
        return []
    all_factors = {**factors, layer: float(f"{deviation**-2:.1g}")}
    flag = ",".join(f"{name}:{factor:g}" for name, factor in all_factors.items())
    return [
        f"{layer} was trained on images divided by {deviation:.0f} and holds that scale "
        f"now, so it learns {deviation**2:.0f} times as fast as there: "
        f"give --freeze={layer}, or --learning_rate_factors={flag}"
    ]


def _differences(
    initial: InitialWeights, architecture: architectures.Architecture
) -> Iterator[str]:
    """What makes the layers that were taken compute something else than before."""
    before = initial.architecture
    if before.classes != architecture.classes:
        before = before.with_classes(architecture.classes)
    if differs := trained.difference_of_architectures(before, architecture):
        yield f"these weights were trained in another net: {differs}"
    side = architecture.input_size
    if initial.mean is None:
        yield "the file holds no mean image, so that of the dataset is subtracted"
    elif initial.mean.shape[0] != side:
        yield (
            f"their mean image has {initial.mean.shape[0]} pixels instead of {side}, so "
            "that of the dataset is subtracted"
        )


def _by_layer(weights):
    """Values by the layer's name without its tower, and then by path, in order."""
    found: dict[str, dict] = {}
    for path, value in weights.items():
        found.setdefault(architectures.layer_of(path), {})[path] = value
    return found


def _difference(
    found: Mapping[str, np.ndarray] | None, wanted: Mapping[str, tf.Variable]
) -> str:
    """Why the weights of a layer cannot be taken, or ""."""
    if found is None:
        return "the weights have no such layer"
    if found.keys() != wanted.keys():
        return f"there {', '.join(found)}, here {', '.join(wanted)}"
    for path, variable in wanted.items():
        there, here = list(found[path].shape), variable.shape.as_list()
        if there != here:
            return f"{path} is {there} there and {here} here"
    return ""


def _difference_of_classes(there: tuple[str, ...], here: tuple[str, ...]) -> str:
    if there == here:
        return ""
    if sorted(there) == sorted(here):
        return "the classes have another order there"
    if len(there) != len(here):
        return f"{len(there)} classes there and {len(here)} here"
    other = next(name for name in here if name not in there)
    return f"{len(there)} other classes there, without {json.dumps(other)}"
