# Copyright 2026 The alexnet_tf authors. Apache-2.0.
"""Winograd convolution and its gradients equal those of direct convolution."""

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from alexnet_tf import ops
from alexnet_tf.models import layers
from alexnet_tf.ops import library

SIZES = [(2, 3), (4, 3), (2, 5), (4, 5)]  # outputs, kernel_size


def naive(x, kernel, padding):
    """The convolution in float64, term by term."""
    kernel_size = kernel.shape[0]
    padded = np.pad(x, [(0, 0), padding, padding, (0, 0)])
    height = padded.shape[1] - kernel_size + 1
    width = padded.shape[2] - kernel_size + 1
    return sum(
        padded[:, i : i + height, j : j + width] @ kernel[i, j]
        for i in range(kernel_size)
        for j in range(kernel_size)
    )


def distance(measured, expected):
    measured = tf.cast(measured, tf.float64).numpy()
    return np.linalg.norm(measured - expected) / np.linalg.norm(expected)


def drawn(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


@hypothesis.given(
    size=st.sampled_from(SIZES),
    batch=st.integers(1, 3),
    height=st.integers(5, 14),
    width=st.integers(5, 14),
    channels=st.integers(1, 35),
    filters=st.integers(1, 35),
    before=st.integers(0, 3),
    after=st.integers(0, 3),
)
@hypothesis.settings(max_examples=60, deadline=None)
def test_convolutions_of_any_shape_equal_a_plain_loop(
    size, batch, height, width, channels, filters, before, after
):
    outputs, kernel_size = size
    x = drawn((batch, height, width, channels))
    kernel = drawn((kernel_size, kernel_size, channels, filters), 1)
    y = ops.winograd_convolution(
        tf.constant(x, tf.float32),
        tf.constant(kernel, tf.float32),
        outputs=outputs,
        padding=(before, after),
    )
    expected = naive(x, kernel, (before, after))
    assert y.shape == expected.shape
    # An output is the sum of so many products of variance 1. A few outputs may all be
    # near zero, and their errors are not.
    deviation = np.sqrt(kernel[..., 0].size)
    error = np.linalg.norm(y.numpy() - expected) / np.sqrt(expected.size)
    assert error < 3e-5 * deviation


@pytest.mark.parametrize(("outputs", "kernel_size"), SIZES)
def test_gradients_equal_those_of_direct_convolution(outputs, kernel_size):
    x = tf.constant(drawn((2, 13, 11, 20)), tf.float32)
    kernel = tf.constant(drawn((kernel_size, kernel_size, 20, 18), 1), tf.float32)
    half = kernel_size // 2
    dy = tf.constant(drawn((2, 13, 11, 18), 2), tf.float32)

    def gradients(convolve):
        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            y = convolve()
        return tape.gradient(y, [x, kernel], dy)

    ours = gradients(
        lambda: ops.winograd_convolution(
            x, kernel, outputs=outputs, padding=(half, half)
        )
    )
    plain = gradients(lambda: tf.nn.conv2d(x, kernel, 1, "SAME"))
    for mine, expected in zip(ours, plain, strict=True):
        assert distance(mine, expected.numpy()) < 3e-5


def test_outputs_for_ones_are_counts():
    # For ones, each result counts the kernel positions inside the image.
    y = ops.winograd_convolution(
        tf.ones([1, 4, 4, 1]), tf.ones([3, 3, 1, 1]), outputs=2, padding=(1, 1)
    )
    np.testing.assert_allclose(
        y[0, :, :, 0], [[4, 6, 6, 4], [6, 9, 9, 6], [6, 9, 9, 6], [4, 6, 6, 4]]
    )


def test_the_second_derivative_equals_that_of_direct_convolution():
    x = tf.constant(drawn((1, 6, 6, 3)), tf.float32)
    kernel = tf.constant(drawn((3, 3, 3, 2), 1), tf.float32)

    def second(convolve):
        with tf.GradientTape() as outer:
            outer.watch(kernel)
            with tf.GradientTape() as inner:
                inner.watch(x)
                loss = tf.reduce_sum(convolve(x, kernel) ** 2)
            dx = inner.gradient(loss, x)
            penalty = tf.reduce_sum(dx**2)
        return outer.gradient(penalty, kernel)

    ours = second(lambda x, w: ops.winograd_convolution(x, w, padding=(1, 1)))
    plain = second(lambda x, w: tf.nn.conv2d(x, w, 1, "SAME"))
    assert distance(ours, plain.numpy()) < 1e-4


@pytest.mark.parametrize("isa", ["avx512", "avx2", "baseline"])
@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
def test_every_instruction_set_equals_a_plain_loop(isa, dtype, monkeypatch):
    monkeypatch.setenv("ALEXNET_TF_ISA", isa)
    x, kernel = drawn((2, 9, 10, 21)), drawn((3, 3, 21, 5), 1)
    try:
        # A graph of its own: kernels of eager calls are kept.
        y = tf.function(
            lambda: ops.winograd_convolution(
                tf.constant(x, dtype), tf.constant(kernel, dtype), outputs=2
            )
        )()
    except tf.errors.FailedPreconditionError as error:
        pytest.skip(error.message)
    limit = 3e-5 if dtype == tf.float32 else 8e-3
    assert distance(y, naive(x, kernel, (0, 0))) < limit


def test_bfloat16_rounds_to_nearest_even():
    # A kernel that copies: tiles of whole numbers below 2^8 are exact.
    x = tf.constant(np.arange(64).reshape(1, 8, 8, 1) % 16, tf.bfloat16)
    kernel = tf.reshape(tf.constant([0] * 4 + [1] + [0] * 4, tf.bfloat16), [3, 3, 1, 1])
    y = ops.winograd_convolution(x, kernel, outputs=2, padding=(1, 1))
    np.testing.assert_array_equal(tf.cast(y, tf.float32), tf.cast(x, tf.float32))


def test_an_empty_batch_gives_an_empty_result():
    y = ops.winograd_convolution(tf.zeros([0, 8, 8, 4]), tf.zeros([3, 3, 4, 6]))
    assert y.shape == [0, 6, 6, 6]


def test_images_without_columns_take_no_time_however_many_rows_there_are():
    tiles = library.ops.alexnet_tf_winograd_to_tiles(
        tf.zeros([2**20, 2**20, 0, 5]),
        side="output",
        outputs=2,
        kernel_size=3,
        padding_before=0,
        padding_after=0,
    )
    assert tiles.shape == [16, 0, 5]


@pytest.mark.parametrize(
    ("padding", "message"),
    [
        ((2**30, 0), "padding_before must be between 0 and 65535, got 1073741824"),
        ((0, 65536), "padding_after must be between 0 and 65535, got 65536"),
        ((65535, 65535), "at most 2\\^60 values, which 2097152 images of 2097152 x "),
    ],
)
def test_padding_and_tiles_that_overflow_are_rejected(padding, message):
    before, after = padding
    attributes = {"outputs": 2, "kernel_size": 3, "side": "input"}
    attributes |= {"padding_before": before, "padding_after": after}
    images = tf.zeros([2**21, 2**21, 0, 1])
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        library.ops.alexnet_tf_winograd_to_tiles(images, **attributes)
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        library.ops.alexnet_tf_winograd_from_tiles(
            tf.zeros([16, 1, 1]), images.shape, **attributes
        )
    # A graph is refused while it is built.
    with pytest.raises((tf.errors.InvalidArgumentError, ValueError), match=message):
        tf.function(library.ops.alexnet_tf_winograd_to_tiles).get_concrete_function(
            tf.TensorSpec(images.shape), **attributes
        )


def test_shapes_are_known_while_tracing():
    spec = tf.TensorSpec([None, 13, 13, 4])

    @tf.function(input_signature=[spec])
    def traced(x):
        y = ops.winograd_convolution(x, tf.zeros([5, 5, 4, 6]), padding=(2, 2))
        assert y.shape.as_list() == [None, 13, 13, 6]
        return y

    assert traced(tf.zeros([2, 13, 13, 4])).shape == [2, 13, 13, 6]


@pytest.mark.parametrize(
    ("kernel", "arguments", "message"),
    [
        ([4, 4, 4, 6], {}, "kernel must be 3 x 3 or 5 x 5"),
        ([3, 3, 4, 6], {"outputs": 3}, "outputs must be 2 or 4, got 3"),
        ([3, 3, 4, 6], {"padding": (-1, 0)}, "padding must be at least 0"),
    ],
)
def test_wrong_arguments_are_rejected(kernel, arguments, message):
    with pytest.raises(ValueError, match=message):
        ops.winograd_convolution(tf.zeros([1, 8, 8, 4]), tf.zeros(kernel), **arguments)


def test_tiles_of_a_wrong_shape_are_rejected():
    with pytest.raises(tf.errors.InvalidArgumentError, match="tiles must have shape"):
        library.ops.alexnet_tf_winograd_from_tiles(
            tf.zeros([36, 3, 4]),
            [1, 8, 8, 4],
            side="output",
            outputs=4,
            kernel_size=3,
            padding_before=0,
            padding_after=0,
        )


def kinds_of_ops(layer, dtype, **call):
    graph = tf.function(lambda x: layer(x, **call)).get_concrete_function(
        tf.TensorSpec([2, 9, 9, 48], dtype)
    )
    return {op.type for op in graph.graph.get_operations()}


@pytest.mark.parametrize("kernel_size", [3, 5])
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_the_layer_uses_winograd_only_in_training(kernel_size, policy, monkeypatch):
    monkeypatch.setattr(ops, "instruction_set", lambda: "baseline")
    half = kernel_size // 2
    layer = layers.Convolution(
        48, kernel_size, explicit_padding=(half, half), dtype=policy
    )
    x = tf.constant(drawn((2, 9, 9, 48)), tf.as_dtype(layer.compute_dtype))
    trained, used = layer(x, training=True), layer(x)
    assert trained.dtype == used.dtype == x.dtype
    limit = 1e-5 if policy == "float32" else 1e-2
    assert distance(trained, tf.cast(used, tf.float64).numpy()) < limit
    assert "AlexnetTf>WinogradToTiles" in kinds_of_ops(layer, x.dtype, training=True)
    assert "AlexnetTf>WinogradToTiles" not in kinds_of_ops(layer, x.dtype)


@pytest.mark.parametrize(
    "layer",
    [
        lambda: layers.Convolution(48, 3, winograd=False),
        lambda: layers.Convolution(47, 3),
        lambda: layers.Convolution(48, 7),
        lambda: layers.Convolution(48, 3, strides=2),
    ],
)
def test_the_layer_uses_winograd_only_for_suitable_kernels(layer):
    kinds = kinds_of_ops(layer(), tf.float32, training=True)
    assert "AlexnetTf>WinogradToTiles" not in kinds
    assert "Conv2D" in kinds


def test_a_compiled_step_holds_stock_operations():
    layer = layers.Convolution(48, 3)
    x = tf.constant(drawn((2, 9, 9, 48)), tf.float32)
    layer.build(x.shape)
    compiled = tf.function(lambda x: layer(x, training=True), jit_compile=True)
    assert distance(compiled(x), layer(x).numpy()) < 1e-5
