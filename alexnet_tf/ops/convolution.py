"""Direct convolution whose weight gradients are an op of this package."""

import tensorflow as tf

from alexnet_tf.ops import library, tracing

_WEIGHT_GRADIENTS = "AlexnetTf>ConvolutionWeightGradients"


def padded_convolution(x, kernel, *, strides=(1, 1), padding=(0, 0)) -> tf.Tensor:
    """`tf.nn.conv2d` with explicit padding, in the way that is fast on every device.

    TensorFlow's explicit padding would be simpler, but in bfloat16 it does not use
    oneDNN and is 20 times slower. "SAME", or `tf.pad` with "VALID", gives the same
    results.

    Args:
        x: `[batch, height, width, channels]`.
        kernel: `[height, width, channels, filters]`, in the type of `x`.
        strides: of the rows and the columns.
        padding: the rows and columns of zeros around `x`, (before, after).

    Returns:
        `[batch, height', width', filters]`.

    Example:
        >>> x, kernel = tf.ones([1, 4, 4, 1]), tf.ones([3, 3, 1, 1])
        >>> padded_convolution(x, kernel, padding=(1, 1))[0, :, :, 0].numpy().tolist()
        [[4.0, 6.0, 6.0, 4.0], [6.0, 9.0, 9.0, 6.0], [6.0, 9.0, 9.0, 6.0], [4.0, 6.0, 6.0, 4.0]]
    """
    rows, columns = kernel.shape[:2]
    padding, half = tuple(padding), rows // 2
    odd_square = rows == columns and rows % 2 == 1
    if odd_square and padding == (half, half) and tuple(strides) == (1, 1):
        return tf.nn.conv2d(x, kernel, strides, "SAME")
    if any(padding):
        x = tf.pad(x, [[0, 0], padding, padding, [0, 0]])
    return tf.nn.conv2d(x, kernel, strides, "VALID")


def direct_convolution(x, kernel, bias, *, padding=(0, 0), name=None) -> tf.Tensor:
    """`tf.nn.conv2d` of stride 1 and `tf.nn.bias_add`, with our own weight gradients.

    For `tf.gradients` in the function that calls this, one op computes the gradients
    with respect to kernel and bias. It multiplies tiles if the instruction set has them
    (AMX), and otherwise computes the same sums in plain loops. Products of bfloat16
    values are summed in float32 and rounded once. When called eagerly and under
    `tf.GradientTape`, the gradients are TensorFlow's.

    The op runs on the CPU only. TensorFlow's own ops compute its second derivatives.

    Args:
        x: `[batch, height, width, channels]`, bfloat16.
        kernel: `[kernel_size, kernel_size, channels, filters]`, bfloat16.
        bias: `[filters]`, bfloat16.
        padding: the rows and columns of zeros around `x`, (before, after).
        name: the name of the ops.

    Returns:
        `[batch, height', width', filters]`, bfloat16, where height' is
        height + before + after - kernel_size + 1.

    Raises:
        ValueError: if a rank, the kernel's shape or `padding` is wrong.
        TypeError: if `x` is not bfloat16.
    """
    with tf.name_scope(name or "convolution"):
        x = tf.convert_to_tensor(x)
        kernel = tf.convert_to_tensor(kernel)
        x.shape.assert_has_rank(4)
        kernel.shape.assert_has_rank(4)
        if x.dtype != tf.bfloat16:
            raise TypeError(f"x must be bfloat16, got {x.dtype.name}")
        kernel_size = kernel.shape[0]
        if kernel.shape[1] != kernel_size:
            raise ValueError(f"kernel must be square, got shape {kernel.shape}")
        padding = tuple(padding)
        if min(padding) < 0:
            raise ValueError(f"padding must be at least 0, got {padding}")
        overrides = {"Conv2D": "AlexnetTf>Convolution", "BiasAdd": "AlexnetTf>Bias"}
        with tracing.overridden_gradients(overrides):
            y = padded_convolution(x, kernel, padding=padding)
            return tf.nn.bias_add(y, bias)


def _weight_gradients(conv2d, dy):
    """The gradients of a Conv2D and its bias with respect to kernel and bias.

    Both come from one op, which the first call adds to the graph.
    """
    x, kernel = conv2d.inputs
    kernel_size = kernel.shape[0]
    padding = kernel_size // 2 if conv2d.get_attr("padding") == b"SAME" else 0
    for known in dy.consumers():
        if (
            known.type == _WEIGHT_GRADIENTS
            and known.inputs[0] is x
            and known.get_attr("kernel_size") == kernel_size
            and known.get_attr("padding_before") == padding
        ):
            return known.outputs
    return library.ops.alexnet_tf_convolution_weight_gradients(
        x, dy, kernel_size=kernel_size, padding_before=padding, padding_after=padding
    )


@tf.RegisterGradient(_WEIGHT_GRADIENTS)
def _gradient_of_the_weight_gradients(op, ddkernel, ddbias):
    """Both outputs are linear in x and in dy, so these are a convolution and its dx."""
    x, dy = op.inputs
    before, after = op.get_attr("padding_before"), op.get_attr("padding_after")
    edges = [[0, 0], [before, after], [before, after], [0, 0]]
    ddy = tf.nn.conv2d(tf.pad(x, edges), ddkernel, 1, "VALID") + ddbias
    dx = tf.raw_ops.Conv2DBackpropInput(
        input_sizes=tf.shape(x) + tf.reduce_sum(edges, 1),
        filter=ddkernel,
        out_backprop=dy,
        strides=[1, 1, 1, 1],
        padding="VALID",
    )
    return tf.slice(dx, [0, before, before, 0], tf.shape(x)), ddy


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
