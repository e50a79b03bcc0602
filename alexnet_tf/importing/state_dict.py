"""The layers of a state dict of torch, which holds named tensors and nothing else."""

import collections
from collections.abc import Mapping

import numpy as np

from alexnet_tf.importing.source import SourceLayer, WeightsError, natural_order

_AXES = {4: "OIHW", 2: "OI"}


def layers_of(tensors: Mapping[str, np.ndarray], path: str) -> tuple[SourceLayer, ...]:
    """Returns the layers of a state dict, convolutions first, in the order of names.

    What stands before `.weight` and `.bias` is the name of a layer. Modules around the
    net, such as `DataParallel`, lengthen the names and change no order.

    Raises:
        WeightsError: a tensor is neither a weight nor a bias of such a layer.
    """
    parts: dict[str, set[str]] = collections.defaultdict(set)
    for name in tensors:
        layer, _, part = name.rpartition(".")
        parts[layer].add(part)
        if part not in ("weight", "bias") or not layer:
            raise WeightsError(
                f"{path} is of another net: no layer of the AlexNet family has a tensor "
                f"{name!r}"
            )
    layers = []
    for layer in sorted(parts, key=natural_order):
        axes = tensors[f"{layer}.weight"].ndim if "weight" in parts[layer] else 0
        if axes not in _AXES:
            raise WeightsError(
                f"{path} is of another net: its layer {layer} "
                + (f"has a weight of {axes} axes" if axes else "has no weight")
                + ", expected a convolution (4 axes) or a dense layer (2)"
            )
        layers.append(
            SourceLayer(
                "convolution" if axes == 4 else "dense",
                layer,
                f"{layer}.weight",
                f"{layer}.bias" if "bias" in parts[layer] else None,
                _AXES[axes],
            )
        )
    return tuple(sorted(layers, key=lambda layer: layer.kind == "dense"))
