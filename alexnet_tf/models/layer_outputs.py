"""The outputs of whole layers, by name, on any net of the family.

A layer with weights is one layer, though each tower has its own Keras layer for its part
of it. Each is followed by steps without weights, and a name says after which step:

    conv1           what the next layer reads: after all the steps
    conv1/linear    weights and biases alone, before the ReLU
    conv1/relu      after the ReLU (conv1/tanh in a net with tanh)
    conv1/lrn       after local response normalization (conv1/spatial_lrn within a map)
    conv1/pool      after max pooling
    conv1/dropout   after dropout

So `fc7` is what fc8 reads: 4,096 units in AlexNet, the vector of paper section 6.1, and
what `LoadedNet.features` and an export's `features` return. With the original convention
of dropout it is half of `fc7/relu`, because dropout halves it at test time.
"""

import re

import keras

from alexnet_tf.models import layers
from alexnet_tf.runtime import suggestions

# What each Keras layer is in a name, and how `architecture.extents` names it.
_STEPS: dict[type[keras.layers.Layer], tuple[str, str]] = {
    layers.Convolution: ("linear", ""),
    layers.UnsharedConvolution: ("linear", ""),
    layers.Dense: ("linear", ""),
    layers.ReLU: ("relu", "_relu"),
    keras.layers.Activation: ("tanh", "_tanh"),
    layers.LocalResponseNormalization: ("lrn", "_responsenormalization"),
    layers.ChannelPart: ("lrn", "_responsenormalization"),
    layers.SpatialNormalization: ("spatial_lrn", "_spatialnormalization"),
    keras.layers.MaxPooling2D: ("pool", "_maxpool"),
    layers.CeilMaxPooling2D: ("pool", "_maxpool"),
    layers.Dropout: ("dropout", "_dropout"),
}


def layer_names(model: keras.Model) -> dict[str, tuple[int | None, ...]]:
    """Returns the names that `layer_output` knows, in order, with their shapes.

    A shape is that of one image's output, both towers together: (height, width,
    channels) or (units,).

    Example:
        >>> from alexnet_tf.models import builder, zoo
        >>> found = layer_names(builder.build(zoo.find("cifar10_11pct")))
        >>> found["conv1"], found["conv1/linear"], found["fc10"]
        ((12, 12, 64), (24, 24, 64), (10,))
    """
    shapes = {}
    for name, parts in _find(model).items():
        *map_size, channels = parts[0].output.shape[1:]
        shapes[name] = (*map_size, channels * len(parts))
    return shapes


def layer_output(model: keras.Model, name: str) -> keras.KerasTensor:
    """Returns the output of a whole layer: both towers, joined along the channels.

    `keras.Model(model.input, layer_output(model, name))` computes it.

    Args:
        model: any net of this package: of `AlexNet`, `builder.build`, `load` or a
            `.keras` file.
        name: one of `layer_names`, such as "fc7" or "conv1/relu".

    Returns: [N, height, width, channels] or [N, units], in the model's compute type.

    Raises:
        ValueError: the model has no such layer; the message lists those that it has.

    Example:
        >>> from alexnet_tf.models import builder, zoo
        >>> layer_output(builder.build(zoo.find("cifar10_11pct")), "conv1/relu").shape
        (None, 24, 24, 64)
    """
    parts = tower_outputs(model, name)
    # The operation, because a layer would follow Keras' global policy of types.
    return parts[0] if len(parts) == 1 else keras.ops.concatenate(parts, axis=-1)


def tower_outputs(model: keras.Model, name: str) -> list[keras.KerasTensor]:
    """Returns the outputs of a layer's towers, each as a stream of its own.

    There is one if the net has one tower, or the whole layer is on the first one. The
    arguments and errors are those of `layer_output`.
    """
    found = _find(model)
    if name not in found:
        raise ValueError(
            f"{model.name} has no layer {name!r}: choose one of {', '.join(found)}"
            f"{suggestions.did_you_mean(name, found)}"
        )
    return [part.output for part in found[name]]


def weighted_layers(model: keras.Model, layer: str) -> list[keras.layers.Layer]:
    """Returns the Keras layers with the weights of a layer, one per tower, in order.

    Example:
        >>> from alexnet_tf.models import builder, zoo
        >>> built = builder.build(zoo.find("cifar10_11pct"))
        >>> [part.name for part in weighted_layers(built, "conv1")]
        ['conv1']

    Raises ValueError if the model has no such layer; the message lists those it has.
    """
    found = _find(model)
    if f"{layer}/linear" not in found:
        known = [name.removesuffix("/linear") for name in found if "/linear" in name]
        raise ValueError(
            f"{getattr(model, 'model', model).name} has no layer {layer!r} with weights: "
            f"choose one of {', '.join(known)}{suggestions.did_you_mean(layer, known)}"
        )
    return found[f"{layer}/linear"]


def _find(model: keras.Model) -> dict[str, list[keras.layers.Layer]]:
    """The Keras layers of every name, one per tower, in the order of the towers."""
    model = getattr(model, "model", model)  # of what `load` returns
    stages: dict[str, dict[str, list[keras.layers.Layer]]] = {}
    for layer in model.layers:
        if type(layer) not in _STEPS or re.search(r"_device\d+$", layer.name):
            continue  # of what runs once per device, each tower has a `ChannelPart`
        step, suffix = _STEPS[type(layer)]
        stage = re.sub(rf"{suffix}(_tower\d+)?$", "", layer.name)
        if step == "linear":
            stages.setdefault(stage, {})
        if stage in stages:  # and not a layer that a user has added
            stages[stage].setdefault(step, []).append(layer)
    found = {}
    for stage, steps in stages.items():
        whole = {step: sorted(parts, key=_tower) for step, parts in steps.items()}
        found[stage] = list(whole.values())[-1]
        found |= {f"{stage}/{step}": parts for step, parts in whole.items()}
    return found


def _tower(layer: keras.layers.Layer) -> int:
    """The number of the tower that a Keras layer belongs to."""
    tower = re.search(r"_tower(\d+)$", layer.name)
    return int(tower[1]) if tower else 0
