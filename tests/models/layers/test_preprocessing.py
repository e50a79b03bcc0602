"""Preprocessing against a loop over images in double precision."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.models import layers
from alexnet_tf.models.layers import preprocessing

# Without what it remembers of this process.
COMPILES = preprocessing._compiles.__wrapped__


def finished_by_hand(image, mirror, shift, gain, mean):
    finished = []
    for crop, turned, color, factor in zip(image, mirror, shift, gain, strict=True):
        crop = crop[:, ::-1] if turned else crop
        finished.append((crop - mean.astype(np.float64) + color) * factor)
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
def test_preprocessing_applies_mirror_color_mean_and_gain(shape, jit):
    mean = np.random.default_rng(1).uniform(0, 255, shape)
    found = layers.Preprocessing(mean, jit)(**crops())
    assert found.dtype == tf.float32
    expected = finished_by_hand(**crops(), mean=mean)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


def test_the_mean_is_not_mirrored_with_the_image():
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


def without_a_compiler(monkeypatch):
    """Makes XLA fail as it does on a GPU without `ptxas`: when a function runs."""
    right = tf.function

    def function(python_function, jit_compile=None, **options):
        if not jit_compile:
            return right(python_function, **options)

        def fail(*args, **kwargs):
            raise tf.errors.InternalError(None, None, "No PTX compiler found\nsecond")

        return fail

    monkeypatch.setattr(tf, "function", function)
    monkeypatch.setattr(preprocessing, "_compiles", functools.cache(COMPILES))


def test_where_xla_cannot_compile_images_are_finished_without_it(monkeypatch, caplog):
    mean = np.random.default_rng(1).uniform(0, 255, (4, 5, 3))
    compiled = layers.Preprocessing(mean)(**crops())
    assert "XLA" not in caplog.text
    without_a_compiler(monkeypatch)
    caplog.clear()
    for layer in (layers.Preprocessing(mean), layers.Preprocessing(mean)):
        np.testing.assert_allclose(layer(**crops()), compiled, rtol=1e-6, atol=1e-5)
    (said,) = caplog.messages
    assert said.startswith("XLA cannot compile on /CPU:0")
    assert said.endswith("No PTX compiler found")


def test_the_compiler_is_asked_while_a_graph_is_traced_too(monkeypatch, caplog):
    monkeypatch.setattr(preprocessing, "_compiles", functools.cache(COMPILES))
    layer = layers.Preprocessing([1, 2, 3])
    traced = tf.function(lambda inputs: layer(**inputs), autograph=False)
    inputs = {name: tf.constant(value) for name, value in crops().items()}
    graph = traced.get_concrete_function(inputs).graph
    assert any("Call" in op.type for op in graph.get_operations())
    assert "XLA" not in caplog.text
    without_a_compiler(monkeypatch)
    traced = tf.function(lambda inputs: layer(**inputs), autograph=False)
    graph = traced.get_concrete_function(inputs).graph
    assert not any("Call" in op.type for op in graph.get_operations())
    assert "XLA cannot compile on /CPU:0" in caplog.text


def test_a_layer_without_xla_asks_no_compiler(monkeypatch, caplog):
    without_a_compiler(monkeypatch)
    layers.Preprocessing([1, 2, 3], jit=False)(**crops())
    assert "XLA" not in caplog.text


def test_each_device_is_asked_for_itself(monkeypatch):
    asked = []

    def compiles(device):
        asked.append(device)
        return device.startswith("CPU")

    monkeypatch.setattr(preprocessing, "_compiles", compiles)
    layer = layers.Preprocessing([1, 2, 3])
    with tf.Graph().as_default() as graph, tf.device("/GPU:1"):
        layer(**{name: tf.constant(value) for name, value in crops().items()})
    assert asked == ["GPU:1"]
    assert not any("Call" in op.type for op in graph.get_operations())
