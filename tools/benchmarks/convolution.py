# Copyright 2026 The alexnet_tf authors. Apache-2.0.
"""Times the gradients by weights of the paper's convolutions: ours, TensorFlow's.

    python tools/benchmarks/convolution.py --json=convolution.json

One tower's at batch 128 in bfloat16, a call of each in turn, least and median after a
warm-up: kernel and bias by `AlexnetTf>ConvolutionWeightGradients`, and by TensorFlow's
Conv2DBackpropFilter (oneDNN) and BiasAddGrad. conv1 is a step of 3 x 3 over squares of
4 x 4 pixels in ours, as the layer makes it, and 11 x 11 by 4 in TensorFlow's. Beside
them how far each kernel's gradient is from TensorFlow's in float32, as a part of its norm.
"""

import json
import pathlib
import statistics
import time

import numpy as np
import tensorflow as tf
from absl import app, flags

from alexnet_tf import ops
from alexnet_tf.models import architecture, zoo
from alexnet_tf.models.layers import convolution
from alexnet_tf.ops import library

_JSON = flags.DEFINE_string("json", None, "Where to write the results.")
_BATCH = flags.DEFINE_integer("batch_size", 128, "Pictures.", lower_bound=1)
_REPEATS = flags.DEFINE_integer("repeats", 15, "Calls of each.", lower_bound=1)


def convolutions():
    """(its line of the architecture, side and channels of a tower's input) of each."""
    net = zoo.PAPER
    shape = (net.input_size, net.input_size, 3)
    towers = 1  # that a tower reads: the image is whole
    for extent in architecture.extents(net):
        layer = extent.layer
        if isinstance(layer, architecture.Convolution):
            read = 1 if layer.inputs == "both" else towers
            yield layer, shape[0], shape[2] // read
            towers = net.towers
        shape = extent.shape


def gradients(layer, side: int, channels: int):
    """(a call of ours, one of TensorFlow's, how far each is off, GFLOP of a call)."""
    filters = layer.filters // zoo.PAPER.towers
    out = architecture.convolution_output_size(
        side, layer.kernel_size, layer.stride, layer.padding
    )
    random = np.random.default_rng(0)

    def drawn(*shape):
        return tf.constant(random.standard_normal(shape, np.float32), tf.bfloat16)

    x, dy = (
        drawn(_BATCH.value, side, side, channels),
        drawn(_BATCH.value, out, out, filters),
    )
    shape = [layer.kernel_size, layer.kernel_size, channels, filters]
    strides = [1, layer.stride, layer.stride, 1]
    before, after = layer.padding
    edges = [[0, 0], [before, after], [before, after], [0, 0]]
    same = layer.stride == 1
    padded = x if same else tf.pad(x, edges)

    def kernel_of(x, dy):
        return tf.raw_ops.Conv2DBackpropFilter(
            input=x,
            filter_sizes=shape,
            out_backprop=dy,
            strides=strides,
            padding="SAME" if same else "VALID",
        )

    @tf.function
    def stock():
        return kernel_of(padded, dy), tf.raw_ops.BiasAddGrad(out_backprop=dy)

    squares = x
    constants = {"taps": layer.kernel_size, "before": before, "after": after}
    if not same:
        kernel = tf.zeros(shape, tf.bfloat16)
        squares, whole = convolution._in_squares(x, kernel, layer.padding, layer.stride)
        constants = {"taps": whole.shape[0], "before": 0, "after": 0}

    @tf.function
    def ours():
        return library.ops.alexnet_tf_convolution_weight_gradients(
            squares, dy, **constants
        )

    def in_pixels(kernel):
        """Our kernel gradient in the form of the layer's own."""
        if same:
            return kernel
        wide, stride = constants["taps"], layer.stride
        kernel = tf.reshape(kernel, [wide, wide, stride, stride, channels, filters])
        kernel = tf.transpose(kernel, [0, 2, 1, 3, 4, 5])
        kernel = tf.reshape(kernel, [wide * stride, wide * stride, channels, filters])
        return kernel[: layer.kernel_size, : layer.kernel_size]

    exact = kernel_of(tf.cast(padded, tf.float32), tf.cast(dy, tf.float32)).numpy()
    off = {}
    for name, kernel in (("ours", in_pixels(ours()[0])), ("stock", stock()[0])):
        difference = tf.cast(kernel, tf.float32).numpy() - exact
        off[name] = float(np.linalg.norm(difference) / np.linalg.norm(exact))
    gflop = 2e-9 * _BATCH.value * out * out * np.prod(shape)
    return ours, stock, off, float(gflop)


def main(arguments):
    if len(arguments) > 1:
        raise app.UsageError(f"unexpected argument {arguments[1]!r}")
    print(f"instruction set: {ops.instruction_set()}")
    header = (
        "",
        "ours, ms",
        "stock, ms",
        "ours, GFLOP/s",
        "stock",
        "ours off",
        "stock off",
    )
    print("".join(f"{cell:>15}" for cell in header))
    results = {}
    for layer, side, channels in convolutions():
        ours, stock, off, gflop = gradients(layer, side, channels)
        times = {"ours": [], "stock": []}
        for _ in range(_REPEATS.value):
            for name, call in (("ours", ours), ("stock", stock)):
                start = time.perf_counter()
                call()[1].numpy()
                times[name].append(time.perf_counter() - start)
        result = {
            name: {
                "least_s": min(taken),
                "median_s": statistics.median(taken),
                "gflop_s": gflop / min(taken),
                "off": off[name],
            }
            for name, taken in times.items()
        }
        results[layer.name] = result
        both = [result["ours"], result["stock"]]
        cells = [layer.name]
        cells += [f"{1e3 * r['least_s']:.1f} ({1e3 * r['median_s']:.1f})" for r in both]
        cells += [f"{r['gflop_s']:.0f}" for r in both] + [
            f"{r['off']:.1e}" for r in both
        ]
        print("".join(f"{cell:>15}" for cell in cells), flush=True)
    if _JSON.value:
        pathlib.Path(_JSON.value).write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    app.run(main)
