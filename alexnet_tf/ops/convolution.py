"""Direct convolution whose weight gradients are an op of this package."""

import contextlib

import tensorflow as tf

from alexnet_tf.ops import library

_WEIGHT_GRADIENTS = "AlexnetTf>ConvolutionWeightGradients"


def direct_convolution(x, kernel, bias, *, zeros=(0, 0), name=None) -> tf.Tensor:
    """`tf.nn.conv2d` of stride 1 and `tf.nn.bias_add`, with our weights' gradients.

    For `tf.gradients` in the function that calls this, the gradients by kernel and bias
    are one op that multiplies tiles (AMX) where the instruction set has them, and
    elsewhere makes the same sums in plain loops. Products of bfloat16 are summed in
    float32 and rounded once. Eagerly and under `tf.GradientTape` the gradients are
    TensorFlow's. On the CPU alone; no second derivative.

    Args:
        x: `[batch, height, width, channels]`, bfloat16.
        kernel: `[taps, taps, channels, filters]`, bfloat16.
        bias: `[filters]`, bfloat16.
        zeros: rows and columns of zeros around `x`, (before, after).
        name: of the ops.

    Returns:
        `[batch, height', width', filters]`, with height' = height + before + after -
        taps + 1, bfloat16.

    Raises:
        ValueError: ranks, kernel or zeros are wrong.
        TypeError: `x` is not bfloat16.
    """
    with tf.name_scope(name or "convolution"):
        x = tf.convert_to_tensor(x)
        kernel = tf.convert_to_tensor(kernel)
        x.shape.assert_has_rank(4)
        kernel.shape.assert_has_rank(4)
        if x.dtype != tf.bfloat16:
            raise TypeError(f"x must be bfloat16, got {x.dtype.name}")
        taps = kernel.shape[0]
        if kernel.shape[1] != taps:
            raise ValueError(f"kernel must be square, got shape {kernel.shape}")
        if min(zeros) < 0:
            raise ValueError(f"zeros must be at least 0, got {tuple(zeros)}")
        # Explicit padding would be the plain way, and 20 times slower: it leaves oneDNN.
        if taps % 2 and tuple(zeros) == (taps // 2, taps // 2):
            padding = "SAME"
        else:
            padding = "VALID"
            if any(zeros):
                x = tf.pad(x, [[0, 0], list(zeros), list(zeros), [0, 0]])
        overrides = {"Conv2D": "AlexnetTf>Convolution", "BiasAdd": "AlexnetTf>Bias"}
        graph = tf.compat.v1.get_default_graph()
        with (
            contextlib.nullcontext()
            if tf.executing_eagerly()
            else graph.gradient_override_map(overrides)
        ):
            return tf.nn.bias_add(tf.nn.conv2d(x, kernel, 1, padding), bias)


def _weight_gradients(conv2d, dy):
    """Both gradients of a Conv2D's weights, by one op for whoever asks first."""
    x, kernel = conv2d.inputs
    taps = kernel.shape[0]
    around = taps // 2 if conv2d.get_attr("padding") == b"SAME" else 0
    for known in dy.consumers():
        if (
            known.type == _WEIGHT_GRADIENTS
            and known.inputs[0] is x
            and known.get_attr("taps") == taps
            and known.get_attr("before") == around
        ):
            return known.outputs
    return library.ops.alexnet_tf_convolution_weight_gradients(
        x, dy, taps=taps, before=around, after=around
    )


@tf.RegisterGradient("AlexnetTf>Convolution")
def _convolution_gradient(op, dy):
    x, kernel = op.inputs
    dx = tf.raw_ops.Conv2DBackpropInput(
        input_sizes=tf.shape(x),
        filter=kernel,
        out_backprop=dy,
        strides=op.get_attr("strides"),
        padding=op.get_attr("padding").decode(),
    )
    return dx, _weight_gradients(op, dy)[0]


@tf.RegisterGradient("AlexnetTf>Bias")
def _bias_gradient(op, dy):
    return dy, _weight_gradients(op.inputs[0].op, dy)[1]
