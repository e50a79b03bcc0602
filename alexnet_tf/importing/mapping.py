"""Turns the tensors of a file into the weights of our nets, and records how.

Our kernels are HWIO and IO, towers are halves of the outputs, the input is RGB in pixel
values, and a map is flattened as H, W, C, tower by tower. Everything in which a file
differs is one transposition, permutation or division here, so nothing after this module
knows where weights came from.
"""

import dataclasses

import numpy as np

from alexnet_tf.importing.published import PublishedNet
from alexnet_tf.importing.source import (
    Channels,
    Source,
    SourceLayer,
    WeightsError,
    flat_shape,
)
from alexnet_tf.models import architecture as architectures


@dataclasses.dataclass(frozen=True)
class Moved:
    """A tensor of the file, what was done to it, and what it became.

    Attributes:
        source, shape: its name and shape in the file.
        done: what was done, in words.
        target: the names of our weights.
    """

    source: str
    shape: tuple[int, ...]
    done: str
    target: str


def map_weights(
    source: Source,
    net: architectures.Architecture,
    *,
    channels: Channels,
    deviation: tuple[float, float, float] | None,
) -> tuple[dict[str, np.ndarray], list[Moved]]:
    """Returns our weights by path, float32, and what was done to get them.

    Args:
        source: what the file holds; `recognition` must have found that it fits `net`.
        net: the architecture.
        channels: the order of the colors that the file's first convolution reads.
        deviation: see `PublishedNet.deviation`.

    Raises:
        WeightsError: a weight is NaN or infinite, or no float32.
    """
    weights: dict[str, np.ndarray] = {}
    moved: list[Moved] = []
    shape: tuple[int, ...] = (net.input_size, net.input_size, 3)
    found = iter(source.weighted)
    first = True
    for extent in architectures.extents(net):
        layer = extent.layer
        if isinstance(layer, architectures.Convolution | architectures.Dense):
            theirs = next(found)
            steps = _Steps(source, theirs)
            if isinstance(layer, architectures.Dense):
                steps.make_dense(shape, net.towers)
            else:
                steps.make_convolution()
            if first:
                steps.fold_colors(channels, deviation)
            split = not isinstance(layer, architectures.Dense) or layer.split
            named, rows = steps.divided(extent.name, net.towers if split else 1)
            weights |= named
            moved += rows
            first = False
        shape = extent.shape
    return weights, moved


class _Steps:
    """One layer's kernel on its way to ours, with a list of what was done to it."""

    def __init__(self, source: Source, layer: SourceLayer):
        assert layer.kernel is not None
        assert layer.bias is not None
        self._source = source
        self._layer = layer
        self.kernel = self._floats(layer.kernel, source.kernel(layer))
        self.bias = self._floats(layer.bias, source.tensors[layer.bias])
        self._done: list[str] = []
        if source.tensors[layer.kernel].dtype != np.float32:
            self._done.append(f"{source.tensors[layer.kernel].dtype} to float32")

    def _floats(self, name: str, tensor: np.ndarray) -> np.ndarray:
        where = f"{self._source.path}: the tensor {name}"
        if tensor.dtype.kind != "f":
            raise WeightsError(f"{where} holds {tensor.dtype}, expected floats")
        with np.errstate(over="ignore"):
            floats = tensor.astype(np.float32)
        bad = int(np.count_nonzero(~np.isfinite(floats)))
        if bad:
            raise WeightsError(
                f"{where} has {bad} of {floats.size} numbers that are NaN or infinite: "
                "the file is damaged, or its training diverged"
            )
        return floats

    def make_convolution(self) -> None:
        """Turns the axes O, I, H, W into ours, H, W, I, O."""
        if self._layer.axes != "HWIO":
            self._done.append(f"transposed {self._layer.axes} to HWIO")
        self.kernel = self.kernel.transpose(2, 3, 1, 0)

    def make_dense(self, below: tuple[int, ...], towers: int) -> None:
        """Turns the axes O, I into ours, I, O, for a layer that reads shape `below`."""
        flat = flat_shape(self.kernel.shape)
        if self.kernel.ndim == 4:
            self._done.append("flattened")
        if self._layer.axes != "IO":
            self._done.append("transposed OI to IO")
        kernel = self.kernel.reshape(flat).T
        if len(below) == 3:
            kernel = self._permuted(kernel, below, towers)
        self.kernel = kernel

    def _permuted(
        self, kernel: np.ndarray, below: tuple[int, ...], towers: int
    ) -> np.ndarray:
        """Puts the inputs in our order: towers, height, width, channels of a tower."""
        height, width, channels = below
        parts = (towers, channels // towers)
        if self._source.flattened == "CHW":
            view = kernel.reshape(*parts, height, width, -1).transpose(0, 2, 3, 1, 4)
        else:
            view = kernel.reshape(height, width, *parts, -1).transpose(2, 0, 1, 3, 4)
        ours = "HWC" if towers == 1 else "towers, HWC"
        if ours != self._source.flattened:
            self._done.append(f"inputs permuted {self._source.flattened} to {ours}")
        return view.reshape(kernel.shape)

    def fold_colors(
        self, channels: Channels, deviation: tuple[float, float, float] | None
    ) -> None:
        """Makes the first convolution read RGB in pixel values."""
        if channels == "BGR":
            self._done.append("BGR reversed")
            self.kernel = self.kernel[:, :, ::-1]
        if deviation is not None:
            self._done.append("divided by 255 std")
            divisor = np.asarray(deviation, np.float64)[:, None]
            self.kernel = (self.kernel / divisor).astype(np.float32)

    def divided(
        self, name: str, towers: int
    ) -> tuple[dict[str, np.ndarray], list[Moved]]:
        """Our weights by path, of which each tower has its part of the outputs."""
        named = {}
        for part, whole in (("kernel", self.kernel), ("bias", self.bias)):
            for tower, values in enumerate(np.split(whole, towers, axis=-1)):
                suffix = f"_tower{tower}" if towers > 1 else ""
                named[f"{name}{suffix}/{part}"] = np.ascontiguousarray(values)
        suffix = f"_tower{{0..{towers - 1}}}" if towers > 1 else ""
        split = ["outputs split between towers"] if towers > 1 else []
        rows = []
        for part, tensor in (
            ("kernel", self._layer.kernel),
            ("bias", self._layer.bias),
        ):
            assert tensor is not None
            done = [*(self._done if part == "kernel" else []), *split]
            rows.append(
                Moved(
                    tensor,
                    self._source.tensors[tensor].shape,
                    ", ".join(done) or "as it is",
                    f"{name}{suffix}/{part}",
                )
            )
        return named, rows


def convention(
    source: Source, published_net: PublishedNet | None, channels: Channels | None
) -> tuple[Channels, tuple[float, float, float] | None]:
    """Returns the order of the colors and the deviation that a file's net expects.

    The user's word, `channels`, comes before the file's, and that before what was
    published. A graph that subtracts the mean itself does all that its net expects.
    """
    if published_net is None:
        return channels or source.channels or "RGB", None
    chosen = channels or source.channels or published_net.channels
    return chosen, None if source.mean is not None else published_net.deviation
