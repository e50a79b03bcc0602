"""A network in stages: the image, then each layer with weights and what follows it.

This is how the paper's figure 2 shows a network. A stage counts its neurons, as the
paper does in section 3.5: the outputs of the layer with weights, before any pooling.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence

from alexnet_tf.models import architecture as architectures

IMAGE = "image"  # the name of the first stage


@dataclasses.dataclass(frozen=True)
class Stage:
    """The image or a layer with weights, with the layers without weights after it.

    Attributes:
        name: that of the layer with weights, or `IMAGE`.
        layer: the layer with weights; None for the image.
        shape: of its output for one image, all towers together: (height, width, channels)
            or (units,).
        towers: how many towers its outputs are divided over.
        sources: for each of these towers, the towers of the stage before that it reads;
            none if that stage is the image.
        kernel: the shape of one kernel: (height, width, channels), or (inputs,) of a
            dense layer; () for the image.
        parameters: weights and biases.
        multiply_adds: of one image's forward pass.
        steps: the layers without weights that follow, in order.
        final_shape: of the output after these steps.
    """

    name: str
    layer: architectures.Weighted | None
    shape: tuple[int, ...]
    towers: int
    sources: tuple[tuple[int, ...], ...]
    kernel: tuple[int, ...]
    parameters: int
    multiply_adds: int
    steps: tuple[architectures.Layer, ...] = ()
    final_shape: tuple[int, ...] = ()

    @property
    def neurons(self) -> int:
        """The number of outputs of the layer with weights, or of values in the image."""
        return math.prod(self.shape)

    @property
    def exchanges(self) -> bool:
        """Whether a tower reads what another tower has computed."""
        return any(set(read) - {tower} for tower, read in enumerate(self.sources))


def stages_of(architecture: architectures.Architecture) -> list[Stage]:
    """Returns the stages of a network, of which the first is the image.

    Example:
        >>> from alexnet_tf.models import zoo
        >>> conv3 = stages_of(zoo.find("paper"))[3]
        >>> conv3.name, conv3.shape, conv3.kernel, conv3.sources
        ('conv3', (13, 13, 384), (3, 3, 256), ((0, 1), (0, 1)))
    """
    side = architecture.input_size
    image = (side, side, 3)
    found = [Stage(IMAGE, None, image, 1, (), (), 0, 0, (), image)]
    for extent in architectures.extents(architecture):
        before, layer = found[-1], extent.layer
        if not isinstance(layer, architectures.Weighted):
            found[-1] = dataclasses.replace(
                before, steps=(*before.steps, layer), final_shape=extent.shape
            )
            continue
        whole = isinstance(layer, architectures.Dense) and not layer.split
        towers = 1 if whole else architecture.towers
        found.append(
            Stage(
                extent.name,
                layer,
                extent.shape,
                towers,
                _sources(layer, towers, before),
                _kernel(layer, extent.fan_in),
                extent.parameters,
                extent.multiply_adds,
                (),
                extent.shape,
            )
        )
    return found


# How `layer_outputs` calls the steps after a layer with weights.
_STEP_NAMES = {
    architectures.Relu: "relu",
    architectures.Tanh: "tanh",
    architectures.ResponseNormalization: "lrn",
    architectures.SpatialNormalization: "spatial_lrn",
    architectures.MaxPool: "pool",
    architectures.Dropout: "dropout",
}


def output_names(architecture: architectures.Architecture) -> dict[str, Stage]:
    """Returns the names of `layer_outputs.layer_names`, each with its stage, in order.

    It needs no model.

    Example:
        >>> from alexnet_tf.models import zoo
        >>> list(output_names(zoo.find("cifar10_11pct")))[:4]
        ['conv1', 'conv1/linear', 'conv1/relu', 'conv1/pool']
    """
    found: dict[str, Stage] = {}
    for stage in stages_of(architecture)[1:]:
        steps = ["linear", *(_STEP_NAMES[type(step)] for step in stage.steps)]
        found |= dict.fromkeys(
            (stage.name, *(f"{stage.name}/{s}" for s in steps)), stage
        )
    return found


def _sources(
    layer: architectures.Weighted, towers: int, before: Stage
) -> tuple[tuple[int, ...], ...]:
    read: list[tuple[int, ...]]
    if before.layer is None:
        read = [()] * towers
    elif before.towers == 1:
        read = [(0,)] * towers
    elif layer.inputs == "both":
        read = [tuple(range(before.towers))] * towers
    else:
        read = [(tower,) for tower in range(towers)]
    return tuple(read)


def _kernel(layer: architectures.Weighted, fan_in: int) -> tuple[int, ...]:
    if isinstance(layer, architectures.Convolution | architectures.UnsharedConvolution):
        size = layer.kernel_size
        return size, size, fan_in // size**2
    return (fan_in,)


def neurons(found: Sequence[Stage]) -> int:
    """The number of neurons of a network, without the values of the image."""
    return sum(stage.neurons for stage in found[1:])


def shape_text(shape: Sequence[int]) -> str:
    """Returns a shape as it is read: "13 x 13 x 384"."""
    return " x ".join(map(str, shape))


@functools.singledispatch
def step_text(layer: architectures.Layer) -> str:
    """Returns a layer without weights in a few words.

    Example:
        >>> step_text(architectures.MaxPool(size=3, stride=2))
        'max pool 3/2'
    """
    return type(layer).__name__.lower()


@step_text.register
def _(layer: architectures.Relu) -> str:
    return "ReLU"


@step_text.register
def _(layer: architectures.MaxPool) -> str:
    return f"max pool {layer.size}/{layer.stride}"


@step_text.register
def _(layer: architectures.ResponseNormalization) -> str:
    return f"LRN {layer.size}" + (" (all towers)" if layer.inputs == "both" else "")


@step_text.register
def _(layer: architectures.SpatialNormalization) -> str:
    return f"spatial LRN {layer.size}"


@step_text.register
def _(layer: architectures.Dropout) -> str:
    return f"dropout {layer.rate:g}"
