"""What TensorBoard shows of a net at each validation besides numbers.

The kernels of the first layer, what the net says of a few validation images, and a
histogram of every weight. Nothing here needs matplotlib, and nothing changes the net.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf
from PIL import Image, ImageDraw, ImageFont

from alexnet_tf.evaluation import image_sets, kernels
from alexnet_tf.models import architecture as architectures
from alexnet_tf.models import checkpoint_weights, layers

COUNT = 6  # images whose predictions are shown
_BARS = 5
_BUCKETS = 30  # of a histogram, as TensorBoard itself has them

# In pixels.
_KERNEL_SIDE = 44
_IMAGE_SIDE = 128  # at least, of a shown image
_PANEL = 190  # width of the names and bars
_ROW = 18
_MARGIN = 4

_RIGHT, _WRONG = (0, 158, 115), (150, 150, 150)


@dataclasses.dataclass(frozen=True)
class Shown:
    """What is shown at one validation.

    Attributes:
        filters: the kernels of the first layer, uint8 [H, W, 3].
        predictions: one image each with its five best classes, uint8 [H, W, 3].
        histograms: by the path of each weight, float64 [buckets, 3]: left edge, right
            edge and count of every bucket.
    """

    filters: np.ndarray
    predictions: Sequence[np.ndarray]
    histograms: Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Look:
    """Looks at a net in training, at always the same images.

    Attributes:
        net: of the input pipeline's inputs to logits.
        architecture: of the net.
        images: opens the images of the validation split.
        class_names: of the outputs.
    """

    net: keras.Model
    architecture: architectures.Architecture
    images: Callable[[], image_sets.ImageSet]
    class_names: Sequence[str]

    def __call__(self) -> Shown:
        """Returns what is shown of the net as it is now."""
        return Shown(
            first_kernels(self.net, self.architecture),
            self._predictions(),
            {
                variable.path: histogram(np.asarray(variable.value))
                for variable in checkpoint_weights.weights_of(self.net)
            },
        )

    @functools.cached_property
    def _views(self) -> list[image_sets.View]:
        """The images to show: spread over the split, which may be in order of classes.

        A damaged record that is to be skipped is left out.
        """
        images = self.images()
        places = np.linspace(0, images.count - 1, min(COUNT, images.count))
        read = [images.read(int(place)) for place in places.round()]
        return [view for view in read if view is not None]

    def _predictions(self) -> list[np.ndarray]:
        if not self._views:
            return []
        pixels = np.stack([view.pixels for view in self._views])
        logits = self.net(layers.plain_inputs(tf.constant(pixels)), training=False)
        probabilities = tf.nn.softmax(tf.cast(logits, tf.float32)).numpy()
        return [
            prediction_image(*view, of_image, self.class_names)
            for view, of_image in zip(self._views, probabilities, strict=True)
        ]


def first_kernels(
    net: keras.Model, architecture: architectures.Architecture
) -> np.ndarray:
    """Returns the kernels of a net's first layer as an image, uint8 [H, W, 3].

    The kernels of the first tower stand above those of the second.
    """
    found = kernels.read_kernels(net, architecture)
    zoom = max(1, _KERNEL_SIDE // max(found.values.shape[1:3]))
    towers = [kernels.mosaic(tiles, zoom)[0] for tiles in kernels.tiles(found)]
    return kernels.stacked(towers, gap=4 * zoom)


def histogram(values: np.ndarray) -> np.ndarray:
    """Returns the buckets of TensorBoard's histogram, float64 [buckets, 3].

    `tf.summary.histogram` would take 30 numbers of memory for each weight.
    """
    # As float64, because float32 has no 30 edges between values that hardly differ.
    ends = np.float64(values.min()), np.float64(values.max())
    counts, edges = np.histogram(values, _BUCKETS, ends)
    return np.stack([edges[:-1], edges[1:], counts], axis=1).astype(np.float64)


def prediction_image(
    pixels: np.ndarray,
    label: int,
    probabilities: np.ndarray,
    class_names: Sequence[str],
) -> np.ndarray:
    """Returns an image beside bars of its five best classes, the true one in green.

    Args:
        pixels: uint8 [side, side, 3].
        label: the number of the true class.
        probabilities: float [classes].
        class_names: of the outputs.

    Returns: uint8 [H, W, 3]; a bar is `bar_width` pixels wide.
    """
    zoom = math.ceil(_IMAGE_SIDE / pixels.shape[0])
    image = pixels.repeat(zoom, axis=0).repeat(zoom, axis=1)
    best = np.argsort(-probabilities, kind="stable")[:_BARS]
    height = max(image.shape[0], 2 * _MARGIN + _ROW * (1 + 2 * len(best)))
    width = image.shape[1] + 2 * _MARGIN + _PANEL
    canvas = Image.new("RGB", (width, height), "white")
    canvas.paste(Image.fromarray(image), (0, 0))
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(12)
    left = image.shape[1] + _MARGIN
    draw.text((left, _MARGIN), f"true: {class_names[label]}", "black", font)
    for row, number in enumerate(best):
        top = _MARGIN + _ROW * (1 + 2 * row)
        words = f"{100 * probabilities[number]:.1f} %  {class_names[number]}"
        draw.text((left, top), words, "black", font)
        if bar := bar_width(probabilities[number]):
            box = left, top + _ROW, left + bar - 1, top + _ROW + _ROW // 2
            draw.rectangle(box, _RIGHT if number == label else _WRONG)
    return np.asarray(canvas)


def bar_width(probability: float) -> int:
    """The width in pixels of the bar of a probability.

    Example:
        >>> bar_width(0.5)
        95
    """
    return round(_PANEL * float(probability))
