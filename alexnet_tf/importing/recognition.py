"""Recognizes the architecture of a file of weights by the layers in it."""

import math
from collections.abc import Iterator
from typing import Any

from alexnet_tf.importing import published
from alexnet_tf.importing.source import Kind, Source, SourceLayer, WeightsError
from alexnet_tf.models import architecture as architectures
from alexnet_tf.models import zoo

_KINDS: dict[type, Kind] = {
    architectures.Convolution: "convolution",
    architectures.Dense: "dense",
    architectures.Relu: "relu",
    architectures.ResponseNormalization: "normalization",
    architectures.MaxPool: "pooling",
}


def recognize(
    source: Source, name: str | None = None, digest_says: str | None = None
) -> architectures.Architecture:
    """Returns the architecture of a file, with the number of classes in the file.

    Args:
        source: what the file holds.
        name: the architecture that the user says it is, any of `zoo.ARCHITECTURES`.
        digest_says: the architecture that its digest is known to belong to.

    Raises:
        WeightsError: the file is of no known net, or of another than `name`, or of two
            that its tensors cannot tell apart.
    """
    if name is not None:
        net = zoo.find(name)
        if differs := difference(source, net):
            raise WeightsError(f"{source.path} does not hold the net {name}: {differs}")
        return _with_its_classes(net, source)
    differences = {
        known: difference(source, zoo.find(known)) for known in published.NETS
    }
    fitting = [known for known, differs in differences.items() if not differs]
    if digest_says in fitting:
        fitting = [digest_says]
    if not fitting:
        raise WeightsError(
            f"{source.path} is of another net. "
            + ". ".join(f"It is not {net}: {why}" for net, why in differences.items())
        )
    if len(fitting) > 1:
        raise WeightsError(
            f"{source.path} holds the weights of {' or '.join(fitting)}, whose shapes are "
            "the same, and does not say in which order its layers are: name the net by "
            + " or ".join(f"--architecture={each}" for each in fitting)
        )
    return _with_its_classes(zoo.find(fitting[0]), source)


def _with_its_classes(
    net: architectures.Architecture, source: Source
) -> architectures.Architecture:
    return net.with_classes(source.kernel(source.weighted[-1]).shape[0])


def difference(source: Source, net: architectures.Architecture) -> str:
    """Returns the first way in which a file differs from a net, or "".

    The number of classes may be any.
    """
    wanted = [
        extent
        for extent in architectures.extents(net)
        if isinstance(extent.layer, architectures.Weighted)
    ]
    found = source.weighted
    if len(found) != len(wanted):
        return f"it has {len(found)} layers with weights, expected {len(wanted)}"
    maps = _maps_below(net)
    for layer, extent in zip(found, wanted, strict=True):
        is_top = extent is wanted[-1]
        if differs := _weights_differ(source, layer, extent, maps[extent.name], is_top):
            return differs
    for layer, extent, groups in zip(found, wanted, groups_of(net), strict=True):
        if differs := _constants_differ(layer, _constants(extent.layer, groups)):
            return differs
    return _order_differs(source, net) if source.has_order else ""


def groups_of(net: architectures.Architecture) -> Iterator[int]:
    """Yields for each layer with weights into how many groups its inputs are divided."""
    first = True
    for layer in net.layers:
        if isinstance(layer, architectures.Weighted):
            yield 1 if first or layer.inputs == "both" else net.towers
            first = False


def _maps_below(net: architectures.Architecture) -> dict[str, tuple[int, ...]]:
    """The shape that each layer reads, by name: (height, width, channels) or (units,)."""
    below: tuple[int, ...] = (net.input_size, net.input_size, 3)
    found = {}
    for extent in architectures.extents(net):
        found[extent.name] = below
        below = extent.shape
    return found


def _weights_differ(
    source: Source,
    layer: SourceLayer,
    extent: architectures.Extent,
    below: tuple[int, ...],
    is_top: bool,
) -> str:
    wanted = extent.layer
    kernel = source.kernel(layer)
    name = f"its {layer.name}, in place of {extent.name},"
    if not isinstance(wanted, architectures.Convolution | architectures.Dense):
        return (
            f"{extent.name} cannot be imported, because it is an unshared convolution"
        )
    outputs = extent.shape[-1]
    if isinstance(wanted, architectures.Convolution):
        size = wanted.kernel_size
        shape: tuple[int, ...] = (outputs, extent.fan_in // size**2, size, size)
        fits = kernel.shape == shape
    else:
        shape = (outputs, extent.fan_in)
        # It may be written as a convolution over the whole map, or one of 1 x 1.
        fits = kernel.shape[1:] in (
            (extent.fan_in,),
            (extent.fan_in, 1, 1),
            (below[-1], *below[:-1]),
        ) and (is_top or kernel.shape[0] == outputs)
    if not fits:
        of = " (outputs, inputs, height, width)" if len(shape) == 4 else ""
        some = ["any number", shape[1]] if is_top else list(shape)
        return (
            f"{name} has weights of shape {list(kernel.shape)}, expected "
            f"[{', '.join(map(str, some))}]{of}"
        )
    if is_top and kernel.shape[0] < 2:
        return f"{name} has {kernel.shape[0]} output, expected at least 2 classes"
    if layer.bias is None:
        return f"{name} has no bias"
    bias = source.tensors[layer.bias]
    if bias.shape != (kernel.shape[0],):
        return (
            f"{name} has biases of shape {list(bias.shape)}, expected "
            f"[{kernel.shape[0]}]"
        )
    return ""


def _constants(layer: architectures.Layer, groups: int = 1) -> dict[str, Any]:
    """The constants of a layer, as `SourceLayer.constants` names them."""
    if isinstance(layer, architectures.Convolution):
        before, after = layer.padding
        return {
            "groups": groups,
            "stride": layer.stride,
            "padding": (before, before, after, after),
        }
    if isinstance(layer, architectures.ResponseNormalization):
        return {
            "size": layer.size,
            "k": layer.k,
            "alpha": layer.alpha,
            "beta": layer.beta,
        }
    if isinstance(layer, architectures.MaxPool):
        return {"size": layer.size, "stride": layer.stride}
    return {}


def _constants_differ(layer: SourceLayer, wanted: dict[str, Any]) -> str:
    for name in wanted.keys() & layer.constants.keys():
        ours, theirs = wanted[name], layer.constants[name]
        same = (
            ours == theirs
            if isinstance(theirs, tuple)
            else math.isclose(ours, theirs, rel_tol=1e-5)
        )
        if not same:
            shown = theirs if isinstance(theirs, tuple) else f"{theirs:.6g}"
            return f"the {name} of its {layer.name} is {shown}, expected {ours}"
    return ""


def _order_differs(source: Source, net: architectures.Architecture) -> str:
    """Compares what stands between the layers with weights."""
    wanted = [layer for layer in net.layers if not _only_in_training(layer)]
    for number, layer in enumerate(wanted):
        kind = _KINDS.get(type(layer), "another layer")
        if number >= len(source.layers):
            return f"it ends before the {kind} that is layer {number + 1}"
        found = source.layers[number]
        # A dense layer may be written as a convolution over the whole map.
        if found.kind != kind and not (found.kernel and kind == "dense"):
            return (
                f"its {found.name} is layer {number + 1} and is a {found.kind}, expected "
                f"a {kind}"
            )
        if found.kernel is None and (
            differs := _constants_differ(found, _constants(layer))
        ):
            return differs
    if len(source.layers) > len(wanted):
        extra = source.layers[len(wanted)]
        return f"it goes on with {extra.name}, a {extra.kind}, after the last layer"
    return ""


def _only_in_training(layer: architectures.Layer) -> bool:
    return isinstance(layer, architectures.Dropout)
