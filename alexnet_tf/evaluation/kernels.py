"""The kernels of a trained layer as small images, and how color-selective they are.

Paper, figure 3: the kernels of the first convolution, those of the first GPU above those
of the second. The 2012 program's `shownet.py` showed those of any layer.
"""

import dataclasses
import itertools
import math

import keras
import numpy as np

from alexnet_tf.models import architecture as architectures
from alexnet_tf.models import layer_outputs, layers, stages

GAP = 1  # pixels between kernels, before they are enlarged
BACKGROUND = 255  # of a mosaic


@dataclasses.dataclass(frozen=True)
class Kernels:
    """The kernels of one layer.

    Attributes:
        layer: its name.
        values: float32 [towers, height, width, channels, kernels of a tower].
        place: for a layer whose kernels differ by position, the (row, column) of the
            position that `values` are from; otherwise None.
    """

    layer: str
    values: np.ndarray
    place: tuple[int, int] | None = None

    @property
    def channels(self) -> int:
        """How many channels each kernel reads."""
        return self.values.shape[3]

    @property
    def are_colored(self) -> bool:
        """Whether the kernels read the image itself: red, green and blue."""
        return self.channels == 3

    @property
    def scale(self) -> float:
        """The largest magnitude of a weight, or 1 if all weights are 0."""
        return float(np.abs(self.values).max()) or 1.0


def first_layer(architecture: architectures.Architecture) -> str:
    """Returns the name of the first layer whose kernels are images.

    Raises ValueError if the network has none.
    """
    for before, stage in itertools.pairwise(stages.stages_of(architecture)):
        if len(before.final_shape) == 3:
            return stage.name
    raise ValueError(f"{architecture.name} has no layer with weights")


def read_kernels(
    model: keras.Model,
    architecture: architectures.Architecture,
    layer: str | None = None,
) -> Kernels:
    """Returns the kernels of a layer, of all its towers.

    Args:
        model: of the architecture, with its weights.
        architecture: the network.
        layer: the name of a convolution, of an unshared convolution, or of a dense layer
            that reads maps; None is the first one.

    Raises:
        ValueError: the model has no such layer, or its kernels are not images.

    Example:
        >>> from alexnet_tf.models import builder, zoo
        >>> net = zoo.find("cifar10_11pct")
        >>> read_kernels(builder.build(net), net, "local3").values.shape
        (1, 3, 3, 64, 64)
    """
    layer = layer or first_layer(architecture)
    parts = layer_outputs.weighted_layers(model, layer)
    found = [np.asarray(part.kernel, np.float32) for part in parts]
    if isinstance(parts[0], layers.UnsharedConvolution):
        row, column = (side // 2 for side in found[0].shape[:2])
        size = parts[0].kernel_size
        values = [k[row, column].reshape(size, size, -1, k.shape[-1]) for k in found]
        return Kernels(layer, np.stack(values), (row, column))
    if isinstance(parts[0], layers.Convolution):
        return Kernels(layer, np.stack(found))
    values = [_dense_kernels(kernel, architecture, layer) for kernel in found]
    return Kernels(layer, np.stack(values))


def _dense_kernels(
    kernel: np.ndarray, architecture: architectures.Architecture, layer: str
) -> np.ndarray:
    """The weights [H * W * C, units] of a dense layer as [H, W, C, units].

    If it reads several towers, their maps are flattened before they are joined.
    """
    before, stage = next(
        (one, other)
        for one, other in itertools.pairwise(stages.stages_of(architecture))
        if other.name == layer
    )
    if len(before.final_shape) != 3:
        raise ValueError(
            f"{layer} reads {math.prod(before.final_shape)} units, so that its weights "
            "are not images: choose a layer that reads maps"
        )
    height, width, channels = before.final_shape
    read = max(1, len(stage.sources[0]))
    by_tower = kernel.reshape(read, height, width, channels // before.towers, -1)
    return np.concatenate(list(by_tower), axis=2)


def tiles(kernels: Kernels, channel: int | None = None) -> np.ndarray:
    """Returns every kernel as an image, uint8 [towers, kernels, height, width, 3].

    All kernels have one scale: 0 is gray, 127.5, and a weight of the largest magnitude
    in the layer is 0 or 255.

    Args:
        kernels: of any layer.
        channel: the channel that is shown in gray. None shows red, green and blue
            together if the kernels read those, or else channel 0.

    Raises:
        ValueError: the kernels have no such channel.
    """
    if channel is not None and not 0 <= channel < kernels.channels:
        raise ValueError(
            f"--channel={channel}: the kernels of {kernels.layer} read "
            f"{kernels.channels} channels, so name one of 0 to {kernels.channels - 1}"
        )
    shown = kernels.values
    if channel is not None or not kernels.are_colored:
        channel = channel or 0
        shown = np.repeat(shown[:, :, :, channel : channel + 1], 3, axis=3)
    pixels = np.rint(127.5 + 127.5 * shown / kernels.scale).astype(np.uint8)
    return pixels.transpose(0, 4, 1, 2, 3)


def columns_of(count: int) -> int:
    """How many kernels stand in one row: 16 as in the paper, or more if they are many.

    Example:
        >>> columns_of(48), columns_of(2048)
        (16, 64)
    """
    return 16 if count <= 256 else math.ceil(math.sqrt(2 * count))


def mosaic(images: np.ndarray, zoom: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Arranges the tiles of one tower in rows, with white between them.

    Args:
        images: uint8 [kernels, height, width, 3].
        zoom: how many pixels of the result one weight is high and wide.

    Returns:
        The pixels, uint8 [H, W, 3], and the box of every kernel, int [kernels, 4]: left,
        top, right and bottom in pixels.
    """
    count, height, width, _ = images.shape
    columns = min(count, columns_of(count))
    rows = math.ceil(count / columns)
    down, across = zoom * (height + GAP), zoom * (width + GAP)
    gap = zoom * GAP
    pixels = np.full((rows * down - gap, columns * across - gap, 3), BACKGROUND, "u1")
    boxes = np.empty((count, 4), np.int64)
    for number, image in enumerate(images):
        top, left = number // columns * down, number % columns * across
        box = left, top, left + zoom * width, top + zoom * height
        enlarged = image.repeat(zoom, axis=0).repeat(zoom, axis=1)
        pixels[box[1] : box[3], box[0] : box[2]] = enlarged
        boxes[number] = box
    return pixels, boxes


def stacked(pixels: list[np.ndarray], gap: int) -> np.ndarray:
    """Puts the mosaics of the towers one below the other, uint8 [H, W, 3]."""
    parts = []
    for part in pixels:
        parts += [np.full((gap, part.shape[1], 3), BACKGROUND, np.uint8), part]
    return np.concatenate(parts[1:])


def color_selectivity(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns how color-selective the kernels of each tower, and each kernel, are.

    A kernel's weights at one position, (red, green, blue), are the sum of a gray part,
    whose three numbers are their mean, and of a colored part. The color selectivity is
    the colored parts' share in the sum of squares: 0 if a kernel sees brightness alone,
    1 if it does not see it at all, and about 2/3 for random weights. A tower's is that of
    all its kernels together, so that kernels with large weights count for more.

    Args:
        values: [towers, height, width, 3, kernels].

    Returns:
        float64 [towers] and [towers, kernels]; 0 if all weights are 0.

    Example:
        >>> blue_minus_yellow = np.array([-1.0, -1.0, 2.0]).reshape(1, 1, 1, 3, 1)
        >>> color_selectivity(blue_minus_yellow)[0]
        array([1.])
    """
    values = values.astype(np.float64)
    colored = values - values.mean(axis=3, keepdims=True)
    colored_squares = np.square(colored).sum(axis=(1, 2, 3))
    squares = np.square(values).sum(axis=(1, 2, 3))
    of_towers = colored_squares.sum(axis=1), squares.sum(axis=1)
    return _share(*of_towers), _share(colored_squares, squares)


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)
