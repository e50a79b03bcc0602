"""LPIPS with the trunk that it has by default: how different two images look."""

import dataclasses
import os
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf.importing import published, torch_file
from alexnet_tf.importing.source import WeightsError
from alexnet_tf.models import architecture as architectures
from alexnet_tf.models import builder, layer_outputs, loaded_net, saved_weights, zoo
from alexnet_tf.runtime import files, suggestions

_ARCHITECTURE = "torchvision"
_STAGES = ("conv1", "conv2", "conv3", "conv4", "conv5")

# What the lpips package adds to the length of a vector before it divides by it.
_EPSILON = 1e-10

# The heads of lpips v0.0, which belong to images that were not scaled.
_V0_0 = "18720f55913d0af89042f13faa7e536a6ce1444a0914e6db9461355ece1e8cd5"


@keras.saving.register_keras_serializable(package="alexnet_tf")
class LPIPS(keras.metrics.Mean):
    """Learned perceptual image patch similarity: how different two images look.

    "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric" (Zhang et
    al., 2018), version 0.1 with the trunk `alex`, equal to `lpips.LPIPS(net="alex")` of
    the lpips package. The activations after the five ReLUs of torchvision's AlexNet are
    divided by their length at each position. A distance is the sum over the five of the
    mean over all positions of the weighted squared differences.

    As a metric it is the mean distance. `distances` gives that of each pair and can be
    differentiated, so `model.compile(loss=lpips.distances)` minimizes it. The weights
    are constant, and everything is computed in float32.

    Args:
        trunk: torchvision's AlexNet, imported by `python -m alexnet_tf.import_weights`:
            its run folder or `.keras` file, or what `alexnet_tf.load` returned for it,
            or a model of `AlexNet`.
        heads: the path of the lpips package's `weights/v0.1/alex.pth` (6 kB).
        value_range: what black and white are in the images: (-1, 1) as in the lpips
            package, (0, 1), or (0, 255).
        name, dtype: as in Keras.

    Raises:
        ValueError: the trunk is another net, the heads are of another trunk or version,
            or a file is damaged.

    Example::

        lpips = alexnet_tf.metrics.LPIPS("runs/torchvision", "alex.pth")
        lpips.distances(images, changed)               # [N]
        lpips.update_state(images, changed)
        lpips.result()                                 # their mean
    """

    def __init__(
        self,
        trunk: "str | os.PathLike[str] | loaded_net.LoadedNet | keras.Model",
        heads: str | os.PathLike[str],
        value_range: tuple[float, float] = (-1.0, 1.0),
        name: str = "lpips",
        dtype: Any = None,
    ):
        super().__init__(name=name, dtype=dtype)
        self.value_range = _checked_range(value_range)
        self._sources = (trunk, os.fspath(heads))
        source, net = _open_trunk(trunk)
        self._heads = _read_heads(self._sources[1], net)
        self._least_side = architectures.least_side(net)
        self._trunk = _build_trunk(source, net)

    def distances(self, y_true, y_pred) -> tf.Tensor:
        """Returns the distance of each pair of images: float32 [N], at least 0.

        Args:
            y_true, y_pred: RGB images [N, H, W, 3] of the same shape, whose values are
                in `value_range`. H and W are at least 31.

        Raises:
            ValueError: the shapes differ, or are not those of such images.
        """
        pair = [self._finished(images) for images in (y_true, y_pred)]
        if not pair[0].shape.is_compatible_with(pair[1].shape):
            raise ValueError(
                "the images must have the same shape, got "
                f"{list(pair[0].shape)} and {list(pair[1].shape)}"
            )
        total = 0.0
        found = [self._trunk(images, training=False) for images in pair]
        for ours, theirs, weights in zip(*found, self._heads, strict=True):
            difference = tf.square(_of_length_1(ours) - _of_length_1(theirs))
            total += tf.reduce_mean(tf.tensordot(difference, weights, 1), axis=(1, 2))
        return total

    def update_state(self, y_true, y_pred, sample_weight=None) -> None:
        """Adds the distances of a batch; `sample_weight` [N] weights them."""
        super().update_state(self.distances(y_true, y_pred), sample_weight)

    def _finished(self, images) -> tf.Tensor:
        """The images as the trunk reads them: pixels 0-255 less torchvision's mean."""
        images = tf.convert_to_tensor(images)
        least, greatest = self.value_range
        if images.dtype.is_integer and greatest <= 1:
            raise ValueError(
                f"images of {images.dtype.name} need value_range=(0, 255), and it is "
                f"{self.value_range}"
            )
        sides = images.shape[1:3] if images.shape.rank == 4 else (0,)
        if (
            images.shape.rank != 4
            or images.shape[3] != 3
            or any(side is not None and side < self._least_side for side in sides)
        ):
            raise ValueError(
                "images must be RGB, [N, height, width, 3], of at least "
                f"{self._least_side} x {self._least_side} pixels, got "
                f"{list(images.shape)}"
            )
        pixels = (tf.cast(images, tf.float32) - least) * (255 / (greatest - least))
        return pixels - published.NETS[_ARCHITECTURE].mean

    def get_config(self) -> dict[str, Any]:
        trunk, heads = self._sources
        if not isinstance(trunk, str | os.PathLike):
            raise ValueError(
                f"the metric {self.name} cannot be saved, because its trunk is a net and "
                "not a path: make it of a run folder, or save the model without compile"
            )
        return {
            "trunk": os.fspath(trunk),
            "heads": heads,
            "value_range": self.value_range,
            "name": self.name,
            "dtype": self.dtype,
        }


def _of_length_1(x: tf.Tensor) -> tf.Tensor:
    """Divides the vector at each position by its length; one of zeros stays so."""
    squares = tf.reduce_sum(tf.square(x), axis=-1, keepdims=True)
    # The gradient of the root of 0 would be infinite, and NaN under XLA.
    nonzero = squares > 0
    length = tf.sqrt(tf.where(nonzero, squares, 1.0))
    return x / (tf.where(nonzero, length, 0.0) + _EPSILON)


def _checked_range(value_range: tuple[float, float]) -> tuple[float, float]:
    try:
        least, greatest = map(float, value_range)
    except (TypeError, ValueError):
        least = greatest = 0.0
    if not least < greatest:
        raise ValueError(
            "value_range must be two numbers, those of black and white, as (-1, 1), got "
            f"{value_range!r}"
        )
    return least, greatest


def _open_trunk(
    trunk: "str | os.PathLike[str] | loaded_net.LoadedNet | keras.Model",
) -> tuple[saved_weights.SavedWeights | keras.Model, architectures.Architecture]:
    """Returns the weights of the trunk, and its net up to the last ReLU."""
    source: saved_weights.SavedWeights | keras.Model
    if isinstance(trunk, loaded_net.LoadedNet | keras.Model):
        source = trunk.model if isinstance(trunk, loaded_net.LoadedNet) else trunk
        described = loaded_net.provenance_of(source)
        recorded = None if described is None else described.architecture
        shown = f"the model {source.name!r}"
    else:
        source = saved_weights.SavedWeights(trunk)
        recorded, shown = source.architecture, source.path
    name = None if recorded is None else recorded["name"]
    if name != _ARCHITECTURE:
        raise ValueError(
            f"the trunk must be torchvision's AlexNet, and {shown} "
            + ("does not say which net it is" if name is None else f"is {name!r}")
            + ": import torchvision's file by python -m alexnet_tf.import_weights "
            "--from=alexnet-owt-7be5be79.pth --output=runs/torchvision"
        )
    return source, _trunk_of(zoo.find(_ARCHITECTURE))


def _trunk_of(net: architectures.Architecture) -> architectures.Architecture:
    """The net up to the ReLU after its last convolution."""
    last = max(
        place
        for place, layer in enumerate(net.layers)
        if isinstance(layer, architectures.Convolution)
    )
    return dataclasses.replace(net, layers=net.layers[: last + 2])


def _build_trunk(
    source: saved_weights.SavedWeights | keras.Model, net: architectures.Architecture
) -> keras.Model:
    """A model of images of any size to the five maps after the ReLUs, in float32."""
    image = keras.Input((None, None, 3), dtype="float32", name="image")
    model = builder.build(net, image=image, name="lpips_trunk")
    if isinstance(source, keras.Model):
        saved_weights.copy_weights(source, model)
    else:
        source.load_into(model)
    outputs = [layer_outputs.layer_output(model, f"{name}/relu") for name in _STAGES]
    return keras.Model(image, outputs, name=model.name)


def _read_heads(path: str, net: architectures.Architecture) -> list[tf.Tensor]:
    """The weights of the channels of each map, float32 [C]."""
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"there is no file {path}{suggestions.did_you_mean_path(path)}"
        )
    expected = {
        f"lin{number}.model.1.weight": (1, layer.filters, 1, 1)
        for number, layer in enumerate(
            layer
            for layer in net.layers
            if isinstance(layer, architectures.Convolution)
        )
    }
    found = torch_file.read(path)
    shapes = {name: tensor.shape for name, tensor in found.items()}
    advice = (
        "take weights/v0.1/alex.pth of the lpips package, which is its file for the "
        "trunk alex"
    )
    if shapes != expected:
        differs = next(
            name
            for name in (*expected, *shapes)
            if shapes.get(name) != expected.get(name)
        )
        raise WeightsError(
            f"{path} does not hold the heads of LPIPS for this trunk: its {differs} is "
            f"{_shown(shapes.get(differs))}, expected {_shown(expected.get(differs))}; "
            f"{advice}"
        )
    if files.sha256(path) == _V0_0:
        raise WeightsError(f"{path} is of lpips v0.0, which had a defect: {advice}")
    for name, weights in found.items():
        if not np.isfinite(weights).all():
            raise WeightsError(
                f"{path}: the tensor {name} has numbers that are NaN or infinite"
            )
    return [tf.constant(found[name].reshape(-1), tf.float32) for name in expected]


def _shown(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else str(list(shape))
