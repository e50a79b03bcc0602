"""The gradients of our ops' gradients equal those of TensorFlow's own operations."""

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf import ops

CONSTANTS = {"size": 5, "k": 1.5, "alpha": 0.02, "beta": 0.75}


def drawn(shape, seed=0, dtype=tf.float32):
    values = np.random.default_rng(seed).standard_normal(shape)
    return tf.cast(tf.constant(values), dtype)


def distance(measured, expected):
    measured, expected = (tf.cast(v, tf.float64).numpy() for v in (measured, expected))
    return np.linalg.norm(measured - expected) / np.linalg.norm(expected)


def second(function, x, dy, ddx):
    """The gradients of `ddx` times the gradient of `function`, by dy and by x."""
    with tf.GradientTape() as outer:
        outer.watch([x, dy])
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = function(x)
        dx = inner.gradient(y, x, dy)
    return outer.gradient(dx, [dy, x], ddx)


def lrn_gradient(x, dy, *, size, k, alpha, beta):
    """The formula of docs/lrn.md in float64, for rows of channels."""
    reach = np.abs(np.subtract.outer(*[np.arange(x.shape[-1])] * 2)) <= size // 2
    s = k + alpha * (x**2) @ reach
    pulled = (dy * x * s ** (-beta - 1)) @ reach
    return dy * s**-beta - 2 * alpha * beta * x * pulled


@pytest.mark.parametrize("beta", [0.75, 0.6])
def test_the_second_derivative_of_lrn_is_the_numerical_one(beta):
    constants = CONSTANTS | {"beta": beta}
    x, dy, ddx, step = (drawn((2, 1, 1, 7), seed).numpy() * 3 for seed in range(4))
    by_dy, by_x = second(
        lambda x: ops.local_response_normalization(x, **constants),
        *map(tf.constant, (x, dy, ddx)),
    )

    def loss(x, dy):
        return (ddx * lrn_gradient(x, dy, **constants)).sum()

    wide, h = [v.astype(np.float64) for v in (x, dy, step)], 1e-5
    x, dy, step = wide
    along_x = (loss(x + h * step, dy) - loss(x - h * step, dy)) / (2 * h)
    along_dy = (loss(x, dy + h * step) - loss(x, dy - h * step)) / (2 * h)
    assert np.vdot(by_x, step) == pytest.approx(along_x, rel=1e-4)
    assert np.vdot(by_dy, step) == pytest.approx(along_dy, rel=1e-4)


PAIRS = {
    "lrn": (ops.local_response_normalization, ops.local_response_normalization_xla),
    "spatial": (ops.spatial_normalization, ops.spatial_normalization_stock),
}


@pytest.mark.parametrize(
    ("pair", "dtype"),
    [
        ("lrn", tf.float32),
        ("lrn", tf.float16),
        ("lrn", tf.bfloat16),
        ("spatial", tf.float32),
        ("spatial", tf.bfloat16),
    ],
)
@pytest.mark.parametrize("constants", [CONSTANTS, CONSTANTS | {"size": 9, "beta": 1.3}])
@pytest.mark.parametrize("graph", [False, True])
def test_second_derivatives_of_normalizations_equal_the_stock_forms(
    pair, dtype, constants, graph
):
    arguments = [3 * drawn((2, 6, 5, 11), seed, dtype) for seed in range(3)]

    def of(function):
        run = tf.function(second, autograph=False) if graph else second
        return run(lambda x: function(x, **constants), *arguments)

    op, stock = PAIRS[pair]
    limit = 1e-5 if dtype == tf.float32 else 2e-2
    for mine, expected in zip(of(op), of(stock), strict=True):
        assert mine.dtype == dtype
        assert distance(mine, expected) < limit


def test_lrn_has_a_third_derivative():
    x = drawn((1, 1, 1, 7))

    def third(function):
        with tf.GradientTape() as tape:
            tape.watch(x)
            by_x = second(lambda x: function(x, **CONSTANTS), x, tf.ones_like(x), x)[1]
        return tape.gradient(by_x, x)

    assert distance(*map(third, PAIRS["lrn"])) < 1e-5


def test_the_second_derivative_of_the_fused_relu_and_lrn_equals_that_apart():
    z, dy, ddz = (3 * drawn((2, 3, 3, 11), seed) for seed in range(3))

    def graph(relu, normalize):
        @tf.function
        def derivatives():
            y = normalize(relu(z), **CONSTANTS)
            (dz,) = tf.compat.v1.gradients(y, z, dy)
            return tf.compat.v1.gradients(dz, [z, dy], ddz)

        traced = derivatives.get_concrete_function().graph.get_operations()
        fused = [
            op
            for op in traced
            if op.type.endswith("NormalizationGrad") and op.get_attr("rectified")
        ]
        return derivatives(), len(fused)

    mine, fused = graph(ops.relu, ops.local_response_normalization)
    expected, _ = graph(tf.nn.relu, ops.local_response_normalization_xla)
    assert fused == ops.runs_on_cpu("")
    for one, other in zip(mine, expected, strict=True):
        assert distance(one, other) < 1e-5


@pytest.mark.parametrize(("size", "padding"), [(3, (1, 1)), (3, (2, 0)), (1, (0, 3))])
def test_the_second_derivative_of_direct_convolution_equals_tensorflows(size, padding):
    x = drawn((2, 6, 7, 4), 0, tf.bfloat16)
    kernel = drawn((size, size, 4, 5), 1, tf.bfloat16)
    bias = drawn((5,), 2, tf.bfloat16)
    edges = [[0, 0], padding, padding, [0, 0]]

    def stock(x, kernel, bias):
        return tf.nn.conv2d(tf.pad(x, edges), kernel, 1, "VALID") + bias

    def derivatives(convolve, *arguments):
        @tf.function
        def graph():
            x, kernel, bias = arguments
            y = convolve(x, kernel, bias)
            dkernel, dbias = tf.compat.v1.gradients(y**2, [kernel, bias])
            penalty = tf.reduce_sum(dkernel**2) + tf.reduce_sum(dbias**2)
            return tf.compat.v1.gradients(penalty, [x, kernel, bias])

        return graph()

    mine = derivatives(
        lambda *a: ops.direct_convolution(*a, padding=padding), x, kernel, bias
    )
    wide = [tf.cast(v, tf.float32) for v in (x, kernel, bias)]
    for one, other in zip(mine, derivatives(stock, *wide), strict=True):
        assert one.dtype == tf.bfloat16
        assert distance(one, other) < 3e-2
