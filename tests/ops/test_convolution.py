# Copyright 2026 The alexnet_tf authors. Apache-2.0.
"""Direct convolution and its weight gradients equal those of a plain loop."""

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from alexnet_tf import ops
from alexnet_tf.models import layers
from alexnet_tf.models.layers import convolution
from alexnet_tf.ops import library

GRADIENTS = "AlexnetTf>ConvolutionWeightGradients"
ROUNDING = 2**-8  # of bfloat16, once


def drawn(shape, seed=0):
    """Random numbers that bfloat16 represents exactly."""
    values = np.random.default_rng(seed).standard_normal(shape)
    return tf.cast(tf.constant(values, tf.float32), tf.bfloat16)


def wide(values):
    return tf.cast(values, tf.float64).numpy()


def assert_close(measured, expected, terms=0):
    """Asserts equality to the rounding of the result and of the float32 sum.

    If all sums are of so many `terms` of variance 1, they may all be near zero, but the
    errors are not.
    """
    expected = np.asarray(expected)
    slack = 1e-5 * max(np.abs(expected).max(initial=1e-30), np.sqrt(terms))
    np.testing.assert_allclose(wide(measured), expected, rtol=ROUNDING, atol=slack)


def naive(x, dy, kernel_size, before, after):
    """Both gradients in float64, one kernel position at a time."""
    x, dy = wide(x), wide(dy)
    _, height, width, _ = dy.shape
    edges = (before, after)
    padded = np.pad(x, [(0, 0), edges, edges, (0, 0)])
    kernel = [
        [
            np.einsum("npqc,npqf->cf", padded[:, i : i + height, j : j + width], dy)
            for j in range(kernel_size)
        ]
        for i in range(kernel_size)
    ]
    return np.array(kernel), dy.sum((0, 1, 2))


def weight_gradients(x, dy, *, kernel_size, before=0, after=0):
    return library.ops.alexnet_tf_convolution_weight_gradients(
        x, dy, kernel_size=kernel_size, padding_before=before, padding_after=after
    )


@pytest.fixture(params=["amx_bf16", "baseline"])
def isa(request, monkeypatch):
    monkeypatch.setenv("ALEXNET_TF_ISA", request.param)
    if ops.instruction_set() is None:
        pytest.skip(f"this processor does not have {request.param}")


def run(*arguments, **constants):
    # A graph of its own: kernels of eager calls are kept, with their instruction set.
    return tf.function(lambda: weight_gradients(*arguments, **constants))()


@hypothesis.given(
    kernel_size=st.integers(1, 5),
    batch=st.integers(1, 5),
    height=st.integers(5, 12),
    width=st.integers(5, 12),
    channels=st.integers(1, 70),
    filters=st.integers(1, 70),
    before=st.integers(0, 6),
    after=st.integers(0, 6),
)
@hypothesis.settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
def test_weight_gradients_of_any_shape_equal_a_plain_loop(
    isa, kernel_size, batch, height, width, channels, filters, before, after
):
    grow = before + after - kernel_size + 1
    x = drawn((batch, height, width, channels))
    dy = drawn((batch, height + grow, width + grow, filters), 1)
    padding = {"before": before, "after": after}
    kernel, bias = run(x, dy, kernel_size=kernel_size, **padding)
    expected_kernel, expected_bias = naive(x, dy, kernel_size, **padding)
    assert_close(kernel, expected_kernel, terms=dy[..., 0].numpy().size)
    assert_close(bias, expected_bias, terms=dy[..., 0].numpy().size)


@pytest.mark.parametrize(
    ("side", "channels", "filters", "kernel_size"),
    [(57, 48, 48, 3), (27, 48, 128, 5), (13, 256, 192, 3)],
    ids=["conv1 in squares", "conv2", "conv3"],
)
def test_weight_gradients_of_the_papers_layers_equal_a_plain_loop(
    side, channels, filters, kernel_size
):
    around = 0 if side == 57 else kernel_size // 2
    out = side + 2 * around - kernel_size + 1
    x = drawn((7, side, side, channels))
    dy = drawn((7, out, out, filters), 1)
    kernel, bias = run(x, dy, kernel_size=kernel_size, before=around, after=around)
    float32 = tf.raw_ops.Conv2DBackpropFilter(
        input=tf.cast(x, tf.float32),
        filter_sizes=kernel.shape,
        out_backprop=tf.cast(dy, tf.float32),
        strides=[1, 1, 1, 1],
        padding="SAME" if around else "VALID",
    )
    assert_close(kernel, wide(float32))
    assert_close(bias, wide(dy).sum((0, 1, 2)))


def test_weight_gradients_for_ones_are_counts(isa):
    # For ones, each kernel position counts the results that it reaches.
    ones = tf.ones([1, 4, 4, 1], tf.bfloat16)
    kernel, bias = run(ones, ones, kernel_size=3, before=1, after=1)
    counts = [[9, 12, 9], [12, 16, 12], [9, 12, 9]]
    np.testing.assert_array_equal(wide(kernel)[:, :, 0, 0], counts)
    np.testing.assert_array_equal(wide(bias), [16])


@pytest.mark.parametrize(
    ("shape", "filters"), [((0, 8, 8, 4), 5), ((2, 8, 8, 0), 5), ((2, 8, 8, 0), 0)]
)
def test_kernel_gradients_of_empty_inputs_are_zero(isa, shape, filters):
    dy = tf.ones([shape[0], 6, 6, filters], tf.bfloat16)
    kernel, bias = run(tf.zeros(shape, tf.bfloat16), dy, kernel_size=3)
    assert kernel.shape == [3, 3, shape[3], filters]
    assert not wide(kernel).any()
    np.testing.assert_array_equal(wide(bias), [36 * shape[0]] * filters)


@pytest.mark.parametrize(
    ("x", "dy", "kernel_size", "message"),
    [
        ([2, 8, 8, 4], [2, 7, 6, 5], 3, r"dy must have shape \[2,6,6,filters\]"),
        ([2, 8, 8, 4], [3, 6, 6, 5], 3, r"dy must have shape \[2,6,6,filters\]"),
        (
            [2, 8, 8, 4],
            [2, 6, 6, 5],
            0,
            "kernel_size must be between 1 and 65535, got 0",
        ),
    ],
)
def test_wrong_shapes_of_the_gradient_op_are_rejected(x, dy, kernel_size, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        weight_gradients(
            tf.zeros(x, tf.bfloat16), tf.zeros(dy, tf.bfloat16), kernel_size=kernel_size
        )


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        (
            {"kernel_size": 2**31 - 1},
            "kernel_size must be between 1 and 65535, got 2147483647",
        ),
        ({"kernel_size": 1, "before": 2**30}, "padding_before .* got 1073741824"),
        ({"kernel_size": 1, "after": -1}, "padding_after .* between 0 .* got -1"),
    ],
)
def test_attributes_of_the_gradient_op_that_overflow_are_rejected(attributes, message):
    x = tf.zeros([1, 4, 4, 2], tf.bfloat16)
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        weight_gradients(x, x, **attributes)


def test_gradients_without_values_may_have_any_shape_that_fits():
    # The products of these dimensions exceed 2^63 unless the zero comes first.
    x = tf.zeros([0, 4, 4, 2**20], tf.bfloat16)
    dy = tf.zeros([0, 4, 4, 0], tf.bfloat16)
    kernel, bias = weight_gradients(x, dy, kernel_size=65535, before=65534)
    assert kernel.shape == [65535, 65535, 2**20, 0]
    assert bias.shape == [0]
    wide = tf.zeros([0, 4, 4, 2**31 - 1], tf.bfloat16)
    with pytest.raises(tf.errors.InvalidArgumentError, match="overflow"):
        weight_gradients(wide, wide, kernel_size=65535, before=65534)


def gradients_of(convolve, x, kernel, bias, dy):
    @tf.function
    def graph():
        y = convolve(x, kernel, bias)
        return y, tf.compat.v1.gradients(y, [x, kernel, bias], dy)

    return graph, graph()


@pytest.mark.parametrize(
    ("kernel_size", "padding"),
    [(3, (1, 1)), (5, (2, 2)), (3, (0, 0)), (4, (1, 2)), (1, (0, 3))],
)
def test_direct_convolution_and_its_gradients_equal_tensorflows(kernel_size, padding):
    x = drawn((3, 9, 11, 20))
    kernel = drawn((kernel_size, kernel_size, 20, 18), 1)
    bias = drawn((18,), 2)
    grow = sum(padding) - kernel_size + 1
    dy = drawn((3, 9 + grow, 11 + grow, 18), 3)
    graph, (y, (dx, dkernel, dbias)) = gradients_of(
        lambda *which: ops.direct_convolution(*which, padding=padding),
        x,
        kernel,
        bias,
        dy,
    )
    kinds = [op.type for op in graph.get_concrete_function().graph.get_operations()]
    assert kinds.count(GRADIENTS) == 1  # of both weights

    def stock(x, kernel, bias):
        edges = [[0, 0], list(padding), list(padding), [0, 0]]
        return tf.nn.conv2d(tf.pad(x, edges), kernel, 1, "VALID") + bias

    float32 = [tf.cast(v, tf.float32) for v in (x, kernel, bias, dy)]
    _, (expected_y, expected) = gradients_of(stock, *float32)
    for mine, theirs in zip(
        (y, dx, dkernel, dbias), (expected_y, *expected), strict=True
    ):
        assert mine.dtype == tf.bfloat16
        difference = np.linalg.norm(wide(mine) - wide(theirs))
        assert difference < 4e-3 * np.linalg.norm(wide(theirs))


# (which input, kernel size, padding) of convolutions with outputs of the same shape.
ADDED = [(0, 3, 1), (1, 3, 1), (0, 1, 0), (0, 5, 2), (1, 5, 2)]


@pytest.mark.parametrize("one", ADDED)
@pytest.mark.parametrize("other", ADDED)
def test_two_convolutions_that_are_added_have_the_right_gradients(one, other):
    # The gradient from above is one tensor.
    inputs, dy = [drawn((2, 6, 6, 4), n) for n in (4, 5)], drawn((2, 6, 6, 5), 3)
    kernels = [
        drawn((size, size, 4, 5), n) for n, (_, size, _) in enumerate((one, other))
    ]
    biases = [tf.zeros([5], tf.bfloat16), tf.ones([5], tf.bfloat16)]

    @tf.function
    def graph():
        y = tf.add_n(
            [
                ops.direct_convolution(inputs[x], kernel, bias, padding=(zeros, zeros))
                for (x, _, zeros), kernel, bias in zip(
                    (one, other), kernels, biases, strict=True
                )
            ]
        )
        return tf.compat.v1.gradients(y, [*kernels, *biases], dy)

    found = graph()
    for (x, size, zeros), *mine in zip((one, other), found[:2], found[2:], strict=True):
        expected = naive(inputs[x], dy, size, zeros, zeros)
        for gradient, theirs in zip(mine, expected, strict=True):
            assert_close(gradient, theirs)


@pytest.mark.parametrize(
    ("x", "kernel", "padding", "error", "message"),
    [
        ([2, 8, 8], [3, 3, 4, 5], (0, 0), ValueError, "rank 4"),
        ([2, 8, 8, 4], [3, 2, 4, 5], (0, 0), ValueError, "kernel must be square"),
        ([2, 8, 8, 4], [3, 3, 4, 5], (-1, 0), ValueError, "padding must be at least 0"),
    ],
)
def test_wrong_arguments_of_the_convolution_are_rejected(
    x, kernel, padding, error, message
):
    kernel, bias = tf.zeros(kernel, tf.bfloat16), tf.zeros([5], tf.bfloat16)
    with pytest.raises(error, match=message):
        ops.direct_convolution(tf.zeros(x, tf.bfloat16), kernel, bias, padding=padding)
    with pytest.raises(TypeError, match="x must be bfloat16, got float32"):
        ops.direct_convolution(tf.zeros([2, 8, 8, 4]), kernel, bias)


def test_gradients_of_a_tape_equal_a_plain_loop():
    x, kernel, bias = drawn((2, 6, 6, 4)), drawn((3, 3, 4, 5), 1), drawn((5,), 2)
    dy = tf.ones([2, 4, 4, 5], tf.bfloat16)

    @tf.function
    def graph():
        with tf.GradientTape() as tape:
            tape.watch([kernel, bias])
            y = ops.direct_convolution(x, kernel, bias)
        return tape.gradient(y, [kernel, bias], dy)

    for mine, expected in zip(graph(), naive(x, dy, 3, 0, 0), strict=True):
        np.testing.assert_allclose(wide(mine), expected, rtol=2e-2, atol=0.1)


def test_eager_gradients_equal_a_plain_loop():
    x, kernel, bias = drawn((2, 6, 6, 4)), drawn((3, 3, 4, 5), 1), drawn((5,), 2)
    with tf.GradientTape() as tape:
        tape.watch([kernel, bias])
        y = ops.direct_convolution(x, kernel, bias)
    eager = tape.gradient(y, [kernel, bias], tf.ones_like(y))
    for mine, expected in zip(eager, naive(x, tf.ones_like(y), 3, 0, 0), strict=True):
        np.testing.assert_allclose(wide(mine), expected, rtol=2e-2, atol=0.1)


@hypothesis.given(
    kernel_size=st.integers(1, 11),
    stride=st.integers(2, 5),
    height=st.integers(11, 23),
    width=st.integers(11, 23),
    before=st.integers(0, 3),
    after=st.integers(0, 3),
)
@hypothesis.settings(max_examples=50, deadline=None)
def test_a_stride_over_pixels_is_a_step_over_squares(
    kernel_size, stride, height, width, before, after
):
    x = tf.cast(drawn((2, height, width, 3)), tf.float32)
    kernel = tf.cast(drawn((kernel_size, kernel_size, 3, 4), 1), tf.float32)
    zeros = (before, after)
    squares, whole = convolution._in_squares(x, kernel, zeros, stride)
    edges = [[0, 0], zeros, zeros, [0, 0]]
    expected = tf.nn.conv2d(tf.pad(x, edges), kernel, stride, "VALID")
    result = tf.nn.conv2d(squares, whole, 1, "VALID")
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-4)


def traced(layer, dtype, **call):
    """The operations of the layer and of its gradients."""

    @tf.function
    def graph(x):
        y = layer(x, **call)
        return tf.compat.v1.gradients(y, [v.value for v in layer.trainable_variables])

    spec = tf.TensorSpec([2, 23, 23, 3], dtype)
    layer.build(spec.shape)
    return [op.type for op in graph.get_concrete_function(spec).graph.get_operations()]


@pytest.mark.parametrize(
    "layer",
    [
        lambda **k: layers.Convolution(8, 3, explicit_padding=(1, 1), **k),
        lambda **k: layers.Convolution(8, 11, strides=4, explicit_padding=(0, 3), **k),
    ],
)
def test_the_layer_uses_direct_convolution_if_the_cpu_multiplies_tiles(
    layer, monkeypatch
):
    narrow = {"dtype": "mixed_bfloat16"}
    for name, policy, call, taken in (
        ("amx_bf16", narrow, {"training": True}, 1),
        ("amx_bf16", narrow, {}, 0),
        ("amx_bf16", {}, {"training": True}, 0),
        ("avx512_bf16", narrow, {"training": True}, 0),
    ):
        monkeypatch.setattr(ops, "instruction_set", lambda name=name: name)
        dtype = tf.bfloat16 if policy else tf.float32
        kinds = traced(layer(**policy), dtype, **call)
        assert kinds.count(GRADIENTS) == taken, (name, policy, call)


@pytest.mark.parametrize(
    ("size", "strides", "padding"),
    [
        (3, 1, (1, 1)),
        (11, 4, (0, 3)),
        (3, (2, 1), (0, 0)),  # which TensorFlow computes
        ((3, 2), 1, (0, 0)),
    ],
)
def test_the_layer_computes_the_same_with_and_without_our_op(
    size, strides, padding, monkeypatch
):
    layer = layers.Convolution(
        8,
        size,
        strides=strides,
        explicit_padding=padding,
        winograd=False,
        dtype="mixed_bfloat16",
    )
    x = drawn((2, 24, 24, 3))
    layer.build(x.shape)
    layer.bias.assign(np.linspace(-1, 1, 8))

    def both(name):
        monkeypatch.setattr(ops, "instruction_set", lambda: name)

        @tf.function
        def graph():
            y = layer(x, training=True)
            loss = tf.reduce_sum(tf.cast(y, tf.float32) ** 2)
            weights = [v.value for v in layer.trainable_variables]
            return [y, *tf.compat.v1.gradients(loss, weights)]

        return graph()

    for tiled, direct in zip(both("amx_bf16"), both("baseline"), strict=True):
        difference = np.linalg.norm(wide(tiled) - wide(direct))
        assert difference < 1e-2 * np.linalg.norm(wide(direct))


def test_an_unknown_instruction_set_is_none(monkeypatch):
    monkeypatch.setenv("ALEXNET_TF_ISA", "mmx")
    assert ops.instruction_set() is None
    monkeypatch.setenv("ALEXNET_TF_ISA", "baseline")
    assert ops.instruction_set() == "baseline"
