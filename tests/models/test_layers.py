"""The layers against plain numpy loops, hand-made padding and stock TensorFlow."""

import inspect
import subprocess
import sys

import hypothesis
import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from alexnet_tf import ops
from alexnet_tf.models import builder, layers, zoo
from alexnet_tf.models.layers import normalization

FEW = hypothesis.settings(deadline=None, max_examples=15)


def noise(*shape, seed=0, scale=1.0):
    return np.random.default_rng(seed).normal(0, scale, shape).astype(np.float32)


def lrn_by_hand(x, size, k, alpha, beta):
    """The formula of section 3.3, channel by channel, in double precision."""
    x = x.astype(np.float64)
    y = np.empty_like(x)
    for i in range(x.shape[-1]):
        window = x[..., max(0, i - size // 2) : i + size // 2 + 1]
        y[..., i] = x[..., i] / (k + alpha * (window**2).sum(-1)) ** beta
    return y


@pytest.mark.parametrize("implementation", ["op", "stock"])
def test_normalisation_is_the_papers_formula(implementation):
    x = noise(2, 3, 4, 7, scale=100)
    layer = layers.LocalResponseNormalization(implementation=implementation)
    expected = lrn_by_hand(x, 5, 2, 1e-4, 0.75)
    np.testing.assert_allclose(layer(x), expected, rtol=2e-6)


@pytest.mark.parametrize("size", [1, 3, 9])
def test_op_and_stock_normalisation_are_the_same(size):
    x = noise(3, 5, 5, 8, scale=50)
    ours, stock = (
        layers.LocalResponseNormalization(size, 1.5, 3e-4, 0.6, implementation)(x)
        for implementation in ("op", "stock")
    )
    np.testing.assert_allclose(ours, stock, rtol=2e-6)


@pytest.mark.parametrize("implementation", ["op", "stock"])
def test_normalisation_in_bfloat16_loses_only_the_rounding_of_the_result(
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


def test_only_the_stock_normalisation_may_be_jitted():
    assert layers.LocalResponseNormalization(implementation="stock").supports_jit
    assert not layers.LocalResponseNormalization(implementation="op").supports_jit


@pytest.mark.parametrize("implementation", ["op", "stock"])
def test_normalisation_under_xla_is_that_without(implementation):
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


def test_compile_leaves_xla_alone_where_our_op_is():
    model = keras.Sequential(
        [keras.Input((4, 4, 6)), layers.LocalResponseNormalization()]
    )
    model.compile(optimizer="sgd", loss="mse")
    assert not model.jit_compile


@pytest.mark.parametrize(
    "kind", [layers.LocalResponseNormalization, layers.SpatialNormalization]
)
@pytest.mark.parametrize("size", [0, 2, -1])
def test_a_window_has_a_middle(kind, size):
    with pytest.raises(
        ValueError, match=f"size must be odd and at least 1, got {size}"
    ):
        kind(size)


def test_an_unknown_implementation_is_refused():
    with pytest.raises(ValueError, match="one of op, stock, got 'cudnn'"):
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
def test_maps_have_four_axes(layer):
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
    pytest.param(normalization.spatial_normalization, id="stock"),
]


@pytest.mark.parametrize("implementation", ["op", "stock"])
@pytest.mark.parametrize("beta", [0.75, 0.6])
@pytest.mark.parametrize("size", [1, 3, 5, 9])
def test_spatial_normalisation_is_a_loop_over_squares(size, beta, implementation):
    x = noise(2, 6, 7, 3, scale=2)
    layer = layers.SpatialNormalization(size, 1.5, 0.1, beta, implementation)
    expected = spatial_by_hand(x, size, 1.5, 0.1, beta)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5)


def test_spatial_normalisation_has_the_constants_of_cnorm2():
    x = noise(1, 6, 6, 2, scale=100)
    expected = spatial_by_hand(x, 5, 1, 0.001 / 25, 0.75)
    np.testing.assert_allclose(layers.SpatialNormalization()(x), expected, rtol=1e-5)


@pytest.mark.parametrize("normalize", SPATIAL)
@pytest.mark.parametrize(("size", "beta"), [(3, 0.75), (5, 0.75), (5, 0.6)])
def test_the_gradient_of_spatial_normalisation_is_the_numeric_one(
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
def test_the_op_of_spatial_normalisation_is_the_stock_form(shape, half, seed):
    constants = {"size": 2 * half + 1, "k": 1.0, "alpha": 0.01, "beta": 0.75}
    x = tf.constant(noise(*shape, seed=seed, scale=5))
    dy = tf.constant(noise(*shape, seed=seed + 100))
    results = []
    for normalize in (ops.spatial_normalization, normalization.spatial_normalization):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = normalize(x, **constants)
        results.append((y, tape.gradient(y, x, dy)))
    for mine, stock in zip(*results, strict=True):
        np.testing.assert_allclose(mine, stock, rtol=1e-5, atol=1e-5)


def test_spatial_normalisation_is_the_op_only_where_the_op_runs():
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
def test_spatial_normalisation_of_nothing(shape):
    x = tf.zeros(shape)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layers.SpatialNormalization()(x)
    assert y.shape == tape.gradient(y, x).shape == shape


def test_spatial_normalisations_gradient_in_bfloat16_is_rounded_once():
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


def test_spatial_normalisation_in_bfloat16_is_rounded_once():
    x = tf.cast(noise(1, 6, 6, 4, scale=5), tf.bfloat16)
    y = layers.SpatialNormalization(5, 1.0, 0.1, 0.75, dtype="mixed_bfloat16")(x)
    assert y.dtype == tf.bfloat16
    exact = spatial_by_hand(tf.cast(x, tf.float32).numpy(), 5, 1.0, 0.1, 0.75)
    np.testing.assert_allclose(tf.cast(y, tf.float32), exact, rtol=2**-8)


def padded(x, before, after):
    edges = [(0, 0), (before, after), (before, after), (0, 0)]
    return np.pad(x, edges)


@FEW
@hypothesis.example(kernel=4, stride=1, before=2, after=2)
@hypothesis.example(kernel=5, stride=1, before=2, after=2)
@hypothesis.given(
    kernel=st.integers(1, 5),
    stride=st.integers(1, 4),
    before=st.integers(0, 3),
    after=st.integers(0, 3),
)
def test_a_convolution_pads_exactly_as_told(kernel, stride, before, after):
    x = noise(2, 9, 9, 3)
    layer = layers.Convolution(4, kernel, strides=stride, zeros=(before, after))
    found = layer(x)
    assert found.shape == layer.compute_output_shape(x.shape)
    expected = tf.nn.conv2d(padded(x, before, after), layer.kernel, stride, "VALID")
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_the_first_convolution_reads_zeros_to_the_right_and_below_only():
    layer = layers.Convolution(2, 11, strides=4, zeros=(0, 3))
    x = noise(1, 224, 224, 3)
    by_hand = np.zeros((1, 227, 227, 3), np.float32)
    by_hand[:, :224, :224] = x
    found = layer(x)
    assert found.shape == (1, 55, 55, 2)
    expected = tf.nn.conv2d(by_hand, layer.kernel, 4, "VALID")
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_a_convolution_adds_its_bias():
    layer = layers.Convolution(
        3, 3, zeros=(1, 1), bias_initializer=keras.initializers.Constant(2.5)
    )
    layer.build((1, 4, 4, 2))
    np.testing.assert_array_equal(layer(np.zeros((1, 4, 4, 2), np.float32)), 2.5)


@pytest.mark.parametrize(
    ("size", "padding"), [(3, (1, 1)), (3, (0, 0)), (2, (1, 0)), (1, (0, 0))]
)
def test_an_unshared_convolution_is_a_loop_over_positions(size, padding):
    x = noise(2, 5, 6, 3)
    layer = layers.UnsharedConvolution(
        4, size, padding, bias_initializer=keras.initializers.RandomNormal(seed=1)
    )
    found = layer(x)
    wide = padded(x, *padding)
    height, width = (s + sum(padding) - size + 1 for s in (5, 6))
    expected = np.zeros((2, height, width, 4))
    kernel, bias = layer.kernel.numpy(), layer.bias.numpy()
    for row in range(height):
        for column in range(width):
            patch = wide[:, row : row + size, column : column + size].reshape(2, -1)
            expected[:, row, column] = patch @ kernel[row, column] + bias[row, column]
    assert found.shape == layer.compute_output_shape(x.shape) == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_an_unshared_convolution_with_equal_kernels_is_a_convolution():
    x = noise(1, 6, 6, 2)
    kernel = noise(3, 3, 2, 4, seed=1)
    layer = layers.UnsharedConvolution(4, 3, (1, 1))
    layer.build(x.shape)
    layer.kernel.assign(np.tile(kernel.reshape(18, 4), (6, 6, 1, 1)))
    expected = tf.nn.conv2d(x, kernel, 1, "SAME")
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-5)


ONES = np.ones((100, 1000), np.float32)


def masks(layer, steps, x=ONES):
    return [layer(x, training=True).numpy() for _ in range(steps)]


@pytest.mark.parametrize("rate", [0.5, 0.2])
def test_dropout_of_2012_keeps_activations_as_they_are(rate):
    (kept,) = masks(layers.Dropout(rate), 1)
    assert set(np.unique(kept)) == {0.0, 1.0}
    # 100,000 draws: five standard deviations.
    assert kept.mean() == pytest.approx(1 - rate, abs=5 * np.sqrt(0.25 / ONES.size))


def test_dropout_of_2012_multiplies_by_the_keep_rate_at_test_time():
    x = noise(4, 6)
    np.testing.assert_array_equal(layers.Dropout(0.5)(x), x / 2)
    np.testing.assert_allclose(layers.Dropout(0.2)(x), x * 0.8, rtol=1e-6)


def test_inverted_dropout_rescales_in_training_and_passes_at_test_time():
    layer = layers.Dropout(0.2, "inverted")
    (kept,) = masks(layer, 1)
    np.testing.assert_allclose(np.unique(kept), [0, 1.25], rtol=1e-6)
    np.testing.assert_array_equal(layer(ONES), ONES)


@pytest.mark.parametrize("convention", ["original", "inverted"])
def test_both_conventions_expect_in_training_what_they_give_at_test_time(convention):
    layer = layers.Dropout(0.3, convention)
    x = np.abs(noise(1, 200)) + 1
    mean = np.mean(masks(layer, 400, x), axis=0)
    error = x * np.sqrt(0.3 * 0.7 / 400) / (0.7 if convention == "inverted" else 1)
    assert (np.abs(mean - layer(x)) < 5 * error).all()


def test_a_mask_is_drawn_from_seed_and_step_alone():
    layer = layers.Dropout(0.5, seed=3)
    first, second, third = masks(layer, 3)
    assert int(layer.step) == 3
    assert (first != second).any()
    assert (second != third).any()
    layer.step.assign(1)
    np.testing.assert_array_equal(masks(layer, 2), [second, third])
    np.testing.assert_array_equal(masks(layers.Dropout(0.5, seed=3), 1)[0], first)


def philox(key, step, places):
    """Philox 4x32-10 (Salmon et al., 2011, figure 2): [places, 4] of 32 bits."""
    place = np.arange(places, dtype=np.uint64)
    zeros = np.zeros_like(place)
    words = [place, zeros, zeros + np.uint64(step), zeros]
    keys = [np.uint64(key), np.uint64(0)]
    low, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    for _ in range(10):
        one = words[0] * np.uint64(0xD2511F53)
        two = words[2] * np.uint64(0xCD9E8D57)
        words = [
            (two >> shift) ^ words[1] ^ keys[0],
            two & low,
            (one >> shift) ^ words[3] ^ keys[1],
            one & low,
        ]
        weyl = (0x9E3779B9, 0xBB67AE85)
        keys = [(k + np.uint64(w)) & low for k, w in zip(keys, weyl, strict=True)]
    return np.stack(words, 1)


def test_a_mask_is_philox_of_seed_step_and_place():
    layer = layers.Dropout(0.5, seed=3)
    layer.build((4, 6))
    layer.step.assign(2)
    kept = layer(np.ones((4, 6), np.float32), training=True).numpy()
    # A number's 23 lowest bits are its fraction, whose first is a half.
    expected = (philox(3, 2, 6) >> np.uint64(22)) & np.uint64(1)
    np.testing.assert_array_equal(kept.ravel(), expected.ravel())


def test_no_key_is_made_on_the_host():
    layer = layers.Dropout()
    layer.build((4, 6))
    function = tf.function(lambda x: layer(x, training=True))
    graph = function.get_concrete_function(tf.TensorSpec([4, 6])).graph
    kinds = {op.type for op in graph.get_operations()}
    assert "StatelessRandomUniformV2" in kinds
    assert not kinds & {"StatelessRandomGetKeyCounter", "StatelessRandomUniform"}


def test_masks_of_two_seeds_and_two_steps_are_independent():
    masks_ = masks(layers.Dropout(seed=0), 2) + masks(layers.Dropout(seed=1), 2)
    agreement = [(a == b).mean() for i, a in enumerate(masks_) for b in masks_[i + 1 :]]
    np.testing.assert_allclose(agreement, 0.5, atol=5 * np.sqrt(0.25 / ONES.size))


def test_a_traced_step_draws_as_an_eager_one_and_counts():
    eager, traced = layers.Dropout(seed=2), layers.Dropout(seed=2)
    traced.build(ONES.shape)
    function = tf.function(lambda x: traced(x, training=True))
    np.testing.assert_array_equal([function(ONES), function(ONES)], masks(eager, 2))
    assert int(traced.step) == 2


def test_testing_draws_nothing():
    layer = layers.Dropout()
    layer(ONES)
    layer(ONES, training=False)
    assert int(layer.step) == 0


def test_building_a_model_draws_nothing():
    layer = layers.Dropout()
    model = keras.Sequential([keras.Input((6,)), layer])
    assert int(layer.step) == 0
    assert model.count_params() == 0


@pytest.mark.parametrize(("convention", "factor"), [("original", 1), ("inverted", 2)])
def test_the_gradient_goes_where_the_activations_went(convention, factor):
    layer = layers.Dropout(0.5, convention)
    x = tf.Variable(ONES[:10, :10])
    with tf.GradientTape() as tape:
        y = layer(x, training=True)
    gradient = tape.gradient(y, x).numpy()
    np.testing.assert_array_equal(gradient, factor * (y.numpy() > 0))


def test_dropout_in_bfloat16_draws_the_masks_of_float32():
    low = layers.Dropout(seed=5, dtype="mixed_bfloat16")
    x = noise(10, 20)
    found = tf.cast(low(x, training=True), tf.float32)
    expected = tf.cast(layers.Dropout(seed=5)(x, training=True), tf.bfloat16)
    np.testing.assert_array_equal(found, tf.cast(expected, tf.float32))


@pytest.mark.parametrize("rate", [-0.1, 1.0, 2])
def test_an_impossible_rate_is_refused(rate):
    with pytest.raises(ValueError, match=f"at least 0 and below 1, got {rate}"):
        layers.Dropout(rate)


def test_an_unknown_convention_is_refused():
    with pytest.raises(ValueError, match="one of original, inverted, got 'alpha'"):
        layers.Dropout(convention="alpha")


def finished_by_hand(image, mirror, shift, gain, mean):
    finished = []
    for picture, turned, colour, factor in zip(image, mirror, shift, gain, strict=True):
        picture = picture[:, ::-1] if turned else picture
        finished.append((picture - mean.astype(np.float64) + colour) * factor)
    return np.array(finished)


def crops():
    rng = np.random.default_rng(0)
    return {
        "image": rng.integers(0, 256, (3, 4, 5, 3)).astype(np.uint8),
        "mirror": np.array([True, False, True]),
        "shift": rng.normal(0, 10, (3, 3)).astype(np.float32),
        "gain": np.array([1, 1 / 1.1, 0.5], np.float32),
    }


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("shape", [(4, 5, 3), (3,)], ids=["mean image", "means"])
def test_preprocessing_is_mirror_colour_mean_and_gain(shape, jit):
    mean = np.random.default_rng(1).uniform(0, 255, shape)
    found = layers.Preprocessing(mean, jit)(**crops())
    assert found.dtype == tf.float32
    expected = finished_by_hand(**crops(), mean=mean)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


def test_the_mean_is_not_mirrored_with_the_picture():
    mean = np.zeros((1, 2, 3))
    mean[0, 0] = 100  # left
    image = np.full((1, 1, 2, 3), 100, np.uint8)
    found = layers.Preprocessing(mean)(
        image, np.array([True]), np.zeros((1, 3), np.float32), np.ones(1, np.float32)
    )
    np.testing.assert_array_equal(found[0, 0, :, 0], [0, 100])


def test_preprocessing_in_bfloat16_rounds_only_the_result():
    mean = np.random.default_rng(1).uniform(100, 101, (4, 5, 3))
    layer = layers.Preprocessing(mean, dtype="mixed_bfloat16")
    found = layer(**crops())
    assert found.dtype == tf.bfloat16
    expected = finished_by_hand(**crops(), mean=mean)
    np.testing.assert_allclose(
        tf.cast(found, tf.float32), expected, rtol=2**-8, atol=1e-4
    )


LOADER = """
import sys
import keras, numpy
import alexnet_tf.models.layers
model = keras.saving.load_model(sys.argv[1])
numpy.save(sys.argv[2], model.predict(numpy.load(sys.argv[3]), verbose=0))
"""


def test_every_layer_survives_a_keras_file_and_a_fresh_process(tmp_path):
    model = keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            layers.Convolution(6, 3, strides=2, zeros=(0, 3)),
            layers.LocalResponseNormalization(3, 1.5, 0.2, 0.6),
            layers.LocalResponseNormalization(implementation="stock"),
            layers.SpatialNormalization(3, 1.5, 0.2, 0.6),
            layers.UnsharedConvolution(4, 3, (1, 1)),
            keras.layers.Flatten(),
            layers.Dropout(0.2),
        ]
    )
    x = noise(2, 12, 12, 3)
    paths = [str(tmp_path / name) for name in ("net.keras", "y.npy", "x.npy")]
    model.save(paths[0])
    np.save(paths[2], x)
    subprocess.run([sys.executable, "-c", LOADER, *paths], check=True)
    np.testing.assert_allclose(np.load(paths[1]), model(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "layer",
    [
        layers.Convolution(6, 3, strides=2, zeros=(0, 3)),
        layers.LocalResponseNormalization(3, 1.0, 1e-3, 0.5, "stock"),
        layers.SpatialNormalization(3, 2.0, 1e-3, 0.5),
        layers.UnsharedConvolution(4, 3, (1, 0)),
        layers.Dropout(0.2, "inverted", 7),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_a_layers_configuration_makes_the_same_layer(layer):
    again = keras.layers.deserialize(keras.layers.serialize(layer))
    assert type(again) is type(layer)
    assert again.get_config() == layer.get_config()
    arguments = set(inspect.signature(type(layer)).parameters) - {"kwargs"}
    assert arguments <= set(layer.get_config())


@pytest.mark.parametrize("more", [{}, {"activation": "relu"}, {"use_bias": False}])
def test_dense_with_a_copy_is_dense(more):
    layer = layers.Dense(3, dtype="mixed_bfloat16", bias_initializer="ones", **more)
    x = tf.cast(tf.random.stateless_normal([5, 4], [0, 1]), tf.bfloat16)
    own = layer(x)
    copy = tf.Variable(tf.cast(layer.kernel.value, tf.bfloat16))
    with layers.reading_copies({layer.kernel.path: copy}):
        tf.debugging.assert_equal(layer(x), own)


def test_dense_reads_its_copy_where_it_is_told_to():
    layer = layers.Dense(3, dtype="mixed_bfloat16", bias_initializer="ones")
    x = tf.cast(tf.random.stateless_normal([5, 4], [0, 1]), tf.bfloat16)
    own = layer(x)
    copy = tf.Variable(tf.cast(2 * layer.kernel.value, tf.bfloat16))
    with layers.reading_copies({layer.kernel.path: copy}):
        read = layer(x, training=True)
        tf.debugging.assert_equal(read, tf.matmul(x, copy) + 1)
    with layers.reading_copies({"another/kernel": copy}):
        tf.debugging.assert_equal(layer(x), own)
    tf.debugging.assert_equal(layer(x), own)


def test_the_kernels_to_copy_are_the_dense_ones_of_a_bfloat16_net():

    for precision, names in (
        ("float32", []),
        ("bfloat16", ["fc6_tower0", "fc6_tower1", "fc7_tower0", "fc7_tower1", "fc8"]),
    ):
        net = zoo.PAPER.with_input_size((67, 67, 3))
        built = builder.build(net, precision=precision)
        paths = [kernel.path for kernel in layers.copied_kernels(built)]
        assert paths == [f"{name}/kernel" for name in names]
