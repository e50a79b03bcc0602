"""Times the weight gradients of the paper's convolutions: ours and TensorFlow's.

    python tools/benchmarks/convolution.py --json=convolution.json

These are the weight gradients of one tower at batch 128 in bfloat16. One call of each
variant is made in turn, and the results are the least and the median after a warm-up.
Ours computes the gradients of kernel and bias in
`AlexnetTf>ConvolutionWeightGradients`; TensorFlow's uses Conv2DBackpropFilter (oneDNN)
and BiasAddGrad. For conv1, ours is a convolution of 3 x 3 over squares of 4 x 4 pixels,
as the layer makes it, and TensorFlow's is one of 11 x 11 with stride 4. The relative
error is the distance of each kernel's gradients from TensorFlow's in float32, divided
by the norm of those.
"""

import functools
import json
import pathlib
import statistics
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import timing
from absl import app, flags

from alexnet_tf import ops
from alexnet_tf.models import architecture, zoo
from alexnet_tf.models.layers import convolution
from alexnet_tf.ops import library

_JSON = flags.DEFINE_string("json", None, "File to write the results to.")
_BATCH = flags.DEFINE_integer("batch_size", 128, "Images per batch.", lower_bound=1)
_REPEATS = flags.DEFINE_integer(
    "repeats", 15, "Calls of each variant, in turn.", lower_bound=1
)


class Tower(NamedTuple):
    """One tower's convolution: its layer, and the sizes of its input and output."""

    layer: architecture.Convolution
    side: int
    channels: int

    @property
    def out_side(self) -> int:
        layer = self.layer
        return architecture.convolution_output_size(
            self.side, layer.kernel_size, layer.stride, layer.padding
        )

    @property
    def filters(self) -> int:
        return self.layer.filters // zoo.PAPER.towers

    @property
    def kernel_shape(self) -> list[int]:
        return [
            self.layer.kernel_size,
            self.layer.kernel_size,
            self.channels,
            self.filters,
        ]

    @property
    def gflop(self) -> float:
        """Of the kernel's gradients; those of the bias are not counted."""
        return (
            2e-9 * _BATCH.value * self.out_side**2 * float(np.prod(self.kernel_shape))
        )


class Variant(NamedTuple):
    """A call that returns the gradients of kernel and bias; the kernel's in pixels."""

    gradients: Callable[[], tuple[tf.Tensor, tf.Tensor]]
    kernel_in_pixels: Callable[[tf.Tensor], tf.Tensor] = lambda kernel: kernel


def convolutions() -> Iterator[Tower]:
    """The five convolutions of the paper's net."""
    net = zoo.PAPER
    shape = (net.input_size, net.input_size, 3)
    towers = 1  # between which the channels are divided: conv1 reads the whole image
    for extent in architecture.extents(net):
        layer = extent.layer
        if isinstance(layer, architecture.Convolution):
            read = 1 if layer.inputs == "both" else towers
            yield Tower(layer, shape[0], shape[2] // read)
            towers = net.towers
        shape = extent.shape


def random_pair(tower: Tower) -> tuple[tf.Tensor, tf.Tensor]:
    """The convolution's inputs and output gradients, in bfloat16."""
    random = np.random.default_rng(0)

    def drawn(side, channels):
        shape = (_BATCH.value, side, side, channels)
        return tf.constant(random.standard_normal(shape, np.float32), tf.bfloat16)

    return drawn(tower.side, tower.channels), drawn(tower.out_side, tower.filters)


def stock_variant(tower: Tower, x: tf.Tensor, dy: tf.Tensor) -> Variant:
    """TensorFlow's two operations."""
    layer = tower.layer
    same = layer.stride == 1
    edges = [[0, 0], list(layer.padding), list(layer.padding), [0, 0]]
    padded = x if same else tf.pad(x, edges)

    @tf.function
    def gradients():
        kernel = tf.raw_ops.Conv2DBackpropFilter(
            input=padded,
            filter_sizes=tower.kernel_shape,
            out_backprop=dy,
            strides=[1, layer.stride, layer.stride, 1],
            padding="SAME" if same else "VALID",
        )
        return kernel, tf.raw_ops.BiasAddGrad(out_backprop=dy)

    return Variant(gradients)


def our_variant(tower: Tower, x: tf.Tensor, dy: tf.Tensor) -> Variant:
    """Our op; if the stride is above 1, on squares of pixels."""
    layer = tower.layer
    if layer.stride == 1:
        return Variant(_our_gradients(x, dy, layer.kernel_size, layer.padding))
    kernel = tf.zeros(tower.kernel_shape, tf.bfloat16)
    squares, whole = convolution._in_squares(x, kernel, layer.padding, layer.stride)
    wide, stride = whole.shape[0], layer.stride

    def in_pixels(kernel):
        """The gradients over squares in the shape of the layer's own kernel."""
        channels, filters = tower.kernel_shape[2:]
        kernel = tf.reshape(kernel, [wide, wide, stride, stride, channels, filters])
        kernel = tf.transpose(kernel, [0, 2, 1, 3, 4, 5])
        kernel = tf.reshape(kernel, [wide * stride, wide * stride, channels, filters])
        return kernel[: layer.kernel_size, : layer.kernel_size]

    return Variant(_our_gradients(squares, dy, wide, (0, 0)), in_pixels)


def _our_gradients(x, dy, kernel_size: int, padding: tuple[int, int]) -> Callable:
    before, after = padding
    return tf.function(
        lambda: library.ops.alexnet_tf_convolution_weight_gradients(
            x, dy, kernel_size=kernel_size, padding_before=before, padding_after=after
        )
    )


def relative_errors(tower: Tower, x, dy, variants: dict[str, Variant]) -> dict:
    """Name -> distance of the kernel's gradients from those in float32."""
    wide = stock_variant(tower, tf.cast(x, tf.float32), tf.cast(dy, tf.float32))
    exact = wide.gradients()[0].numpy()
    errors = {}
    for name, variant in variants.items():
        kernel = variant.kernel_in_pixels(variant.gradients()[0])
        difference = tf.cast(kernel, tf.float32).numpy() - exact
        errors[name] = float(np.linalg.norm(difference) / np.linalg.norm(exact))
    return errors


def measure(tower: Tower) -> dict[str, dict[str, float]]:
    """Times, speed and relative error of both variants."""
    x, dy = random_pair(tower)
    variants = {"ours": our_variant(tower, x, dy), "stock": stock_variant(tower, x, dy)}
    errors = relative_errors(tower, x, dy, variants)  # warms up, too

    def taken_s(variant: Variant) -> float:
        start = time.perf_counter()
        variant.gradients()[1].numpy()
        return time.perf_counter() - start

    calls = {
        name: functools.partial(taken_s, variant) for name, variant in variants.items()
    }
    times = timing.in_turn(calls, _REPEATS.value)
    return {
        name: {
            "least_s": min(taken),
            "median_s": statistics.median(taken),
            "gflop_s": tower.gflop / min(taken),
            "relative_error": errors[name],
        }
        for name, taken in times.items()
    }


HEADER = (
    *("", "ours, ms", "stock, ms", "ours, GFLOP/s", "stock, GFLOP/s"),
    *("ours, error", "stock, error"),
)


def row(name: str, result: dict[str, dict[str, float]]) -> list[str]:
    """The cells below HEADER; milliseconds are the least and (the median)."""
    both = [result["ours"], result["stock"]]
    cells = [name]
    cells += [f"{1e3 * r['least_s']:.1f} ({1e3 * r['median_s']:.1f})" for r in both]
    cells += [f"{r['gflop_s']:.0f}" for r in both]
    return cells + [f"{r['relative_error']:.1e}" for r in both]


def main(arguments):
    if len(arguments) > 1:
        raise app.UsageError(f"unexpected argument {arguments[1]!r}")
    print(f"instruction set: {ops.instruction_set()}")
    print("".join(f"{cell:>15}" for cell in HEADER))
    results = {}
    for tower in convolutions():
        name = tower.layer.name
        results[name] = measure(tower)
        cells = row(name, results[name])
        print("".join(f"{cell:>15}" for cell in cells), flush=True)
    if _JSON.value:
        pathlib.Path(_JSON.value).write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    app.run(main)
