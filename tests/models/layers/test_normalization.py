"""Both normalizations against plain numpy loops and TensorFlow's own operations."""

import hypothesis
import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from alexnet_tf import ops
from alexnet_tf.models import layers
from tests.support.arrays import noise

FEW = hypothesis.settings(deadline=None, max_examples=15)


def lrn_by_hand(x, size, k, alpha, beta):
    """The formula of section 3.3, channel by channel, in double precision."""
    x = x.astype(np.float64)
    y = np.empty_like(x)
    for i in range(x.shape[-1]):
        window = x[..., max(0, i - size // 2) : i + size // 2 + 1]
        y[..., i] = x[..., i] / (k + alpha * (window**2).sum(-1)) ** beta
    return y


@pytest.mark.parametrize("implementation", ["op", "stock"])
def test_response_normalization_is_the_papers_formula(implementation):
    x = noise(2, 3, 4, 7, scale=100)
    layer = layers.LocalResponseNormalization(implementation=implementation)
    expected = lrn_by_hand(x, 5, 2, 1e-4, 0.75)
    np.testing.assert_allclose(layer(x), expected, rtol=2e-6)


@pytest.mark.parametrize("size", [1, 3, 9])
def test_op_and_stock_response_normalization_are_equal(size):
    x = noise(3, 5, 5, 8, scale=50)
    ours, stock = (
        layers.LocalResponseNormalization(size, 1.5, 3e-4, 0.6, implementation)(x)
        for implementation in ("op", "stock")
    )
    np.testing.assert_allclose(ours, stock, rtol=2e-6)


@pytest.mark.parametrize("implementation", ["op", "stock"])
def test_response_normalization_in_bfloat16_rounds_only_the_result(
    implementation,
):
    x = tf.cast(noise(2, 4, 4, 16, scale=100), tf.bfloat16)
    layer = layers.LocalResponseNormalization(
        implementation=implementation, dtype="mixed_bfloat16"
    )
    y = layer(x)
    assert y.dtype == tf.bfloat16
    exact = lrn_by_hand(tf.cast(x, tf.float32).numpy(), 5, 2, 1e-4, 0.75)
    np.testing.assert_allclose(tf.cast(y, tf.float32), exact, rtol=2**-8)


def test_only_stock_response_normalization_supports_jit():
    assert layers.LocalResponseNormalization(implementation="stock").supports_jit
    assert not layers.LocalResponseNormalization(implementation="op").supports_jit


@pytest.mark.parametrize("implementation", ["op", "stock"])
def test_response_normalization_under_xla_equals_that_without(implementation):
    layer = layers.LocalResponseNormalization(implementation=implementation)
    x, pull = noise(2, 3, 3, 8, scale=100), noise(2, 3, 3, 8, seed=1)

    def value_and_gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
        return y, tape.gradient(y, x, output_gradients=pull)

    x = tf.constant(x)
    plain = value_and_gradient(x)
    compiled = tf.function(value_and_gradient, jit_compile=True)(x)
    for found, expected in zip(compiled, plain, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_model_with_our_op_is_compiled_without_xla():
    model = keras.Sequential(
        [keras.Input((4, 4, 6)), layers.LocalResponseNormalization()]
    )
    model.compile(optimizer="sgd", loss="mse")
    assert not model.jit_compile


@pytest.mark.parametrize(
    "kind", [layers.LocalResponseNormalization, layers.SpatialNormalization]
)
@pytest.mark.parametrize("size", [0, 2, -1])
def test_window_sizes_that_are_even_or_below_one_are_rejected(kind, size):
    with pytest.raises(
        ValueError, match=f"size must be odd and at least 1, got {size}"
    ):
        kind(size)


def test_an_unknown_implementation_is_rejected():
    with pytest.raises(ValueError, match="one of auto, op, stock, got 'cudnn'"):
        layers.LocalResponseNormalization(implementation="cudnn")


@pytest.mark.parametrize(
    "layer",
    [
        layers.LocalResponseNormalization(),
        layers.SpatialNormalization(),
        layers.UnsharedConvolution(2, 3),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_inputs_without_four_axes_are_rejected(layer):
    with pytest.raises(ValueError, match="expected ndim=4"):
        layer(noise(5, 5, 3))


def box_sums(x, size):
    """Sums over squares of one map, clipped at the border, by three loops."""
    sums, half = np.zeros_like(x), size // 2
    for row in range(x.shape[1]):
        for column in range(x.shape[2]):
            for channel in range(x.shape[3]):
                square = x[
                    :,
                    max(0, row - half) : row + half + 1,
                    max(0, column - half) : column + half + 1,
                    channel,
                ]
                sums[:, row, column, channel] = square.sum((1, 2))
    return sums


def spatial_by_hand(x, size, k, alpha, beta):
    x = x.astype(np.float64)
    return x / (k + alpha * box_sums(x * x, size)) ** beta


SPATIAL = [
    pytest.param(ops.spatial_normalization, id="op"),
    pytest.param(ops.spatial_normalization_stock, id="stock"),
]


@pytest.mark.parametrize("implementation", ["op", "stock"])
@pytest.mark.parametrize("beta", [0.75, 0.6])
@pytest.mark.parametrize("size", [1, 3, 5, 9])
def test_spatial_normalization_equals_a_loop_over_squares(size, beta, implementation):
    x = noise(2, 6, 7, 3, scale=2)
    layer = layers.SpatialNormalization(size, 1.5, 0.1, beta, implementation)
    expected = spatial_by_hand(x, size, 1.5, 0.1, beta)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5)


def test_spatial_normalization_has_the_constants_of_cnorm2():
    x = noise(1, 6, 6, 2, scale=100)
    expected = spatial_by_hand(x, 5, 1, 0.001 / 25, 0.75)
    np.testing.assert_allclose(layers.SpatialNormalization()(x), expected, rtol=1e-5)


@pytest.mark.parametrize("normalize", SPATIAL)
@pytest.mark.parametrize(("size", "beta"), [(3, 0.75), (5, 0.75), (5, 0.6)])
def test_the_gradient_of_spatial_normalization_is_the_numeric_one(
    normalize, size, beta
):
    constants = {"size": size, "k": 1.5, "alpha": 0.1, "beta": beta}
    x, pull = noise(1, 5, 4, 2, scale=2), noise(1, 5, 4, 2, seed=1)
    variable = tf.Variable(x)
    with tf.GradientTape() as tape:
        y = normalize(variable, **constants)
    found = tape.gradient(y, variable, output_gradients=pull).numpy()

    step, expected = 1e-5, np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        nudge = np.zeros(x.shape)
        nudge[place] = step
        above, below = (
            spatial_by_hand(x + sign * nudge, **constants) for sign in (1, -1)
        )
        expected[place] = ((above - below) * pull).sum() / (2 * step)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@FEW
@hypothesis.example(shape=(3, 27, 27, 128), half=2, seed=0)
@hypothesis.given(
    shape=st.tuples(*[st.integers(1, 9)] * 4),
    half=st.integers(0, 6),
    seed=st.integers(0, 99),
)
def test_op_and_stock_spatial_normalization_are_equal(shape, half, seed):
    constants = {"size": 2 * half + 1, "k": 1.0, "alpha": 0.01, "beta": 0.75}
    x = tf.constant(noise(*shape, seed=seed, scale=5))
    dy = tf.constant(noise(*shape, seed=seed + 100))
    results = []
    for normalize in (ops.spatial_normalization, ops.spatial_normalization_stock):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = normalize(x, **constants)
        results.append((y, tape.gradient(y, x, dy)))
    for mine, stock in zip(*results, strict=True):
        np.testing.assert_allclose(mine, stock, rtol=1e-5, atol=1e-5)


def test_spatial_normalization_uses_the_op_only_where_it_runs():
    def kinds(function):
        x = tf.TensorSpec([2, 5, 5, 3], tf.float32)
        graph = function.get_concrete_function(x).graph
        return {op.type for op in graph.get_operations()}

    own = "AlexnetTf>SpatialNormalization"
    assert own in kinds(tf.function(layers.SpatialNormalization()))
    stock = layers.SpatialNormalization(implementation="stock")
    assert own not in kinds(tf.function(stock))
    compiled = tf.function(layers.SpatialNormalization(), jit_compile=True)
    assert own not in kinds(compiled)
    x = tf.constant(noise(2, 5, 5, 3))
    np.testing.assert_allclose(compiled(x), stock(x), rtol=1e-5)
    with tf.Graph().as_default(), tf.device("/GPU:0"):
        tower = layers.SpatialNormalization()(tf.zeros([2, 5, 5, 3]))
        assert own not in {op.type for op in tower.graph.get_operations()}


@pytest.mark.parametrize("shape", [(0, 3, 3, 2), (2, 0, 3, 2), (2, 3, 3, 0)])
def test_spatial_normalization_accepts_empty_inputs(shape):
    x = tf.zeros(shape)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layers.SpatialNormalization()(x)
    assert y.shape == tape.gradient(y, x).shape == shape


def test_the_gradient_of_spatial_normalization_in_bfloat16_is_rounded_once():
    x = tf.cast(noise(2, 7, 6, 4, scale=5), tf.bfloat16)
    dy = tf.cast(noise(2, 7, 6, 4, seed=1), tf.bfloat16)
    found = []
    for dtype in (tf.bfloat16, tf.float32):
        wide = tf.cast(x, dtype)
        with tf.GradientTape() as tape:
            tape.watch(wide)
            y = ops.spatial_normalization(wide, size=5, k=1.0, alpha=0.1, beta=0.75)
        found.append(tf.cast(tape.gradient(y, wide, tf.cast(dy, dtype)), tf.float32))
    np.testing.assert_allclose(*found, rtol=2**-8, atol=1e-6)


def test_spatial_normalization_in_bfloat16_is_rounded_once():
    x = tf.cast(noise(1, 6, 6, 4, scale=5), tf.bfloat16)
    y = layers.SpatialNormalization(5, 1.0, 0.1, 0.75, dtype="mixed_bfloat16")(x)
    assert y.dtype == tf.bfloat16
    exact = spatial_by_hand(tf.cast(x, tf.float32).numpy(), 5, 1.0, 0.1, 0.75)
    np.testing.assert_allclose(tf.cast(y, tf.float32), exact, rtol=2**-8)
