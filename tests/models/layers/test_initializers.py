"""Initial weights have the same bits for every device, and are those of Keras."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.models import builder, layers
from tests.support import nets

PAIRS = [
    (layers.RandomNormal, keras.initializers.RandomNormal, {"stddev": 0.01}),
    (
        layers.RandomUniform,
        keras.initializers.RandomUniform,
        {"minval": -0.1, "maxval": 0.1},
    ),
]


@pytest.mark.parametrize(("ours", "keras_own", "arguments"), PAIRS)
@pytest.mark.parametrize("seed", [0, 7, 5003])
def test_the_bits_on_a_cpu_are_those_of_keras(ours, keras_own, arguments, seed):
    shape = (5, 5, 48, 3)
    np.testing.assert_array_equal(
        ours(seed=seed, **arguments)(shape), keras_own(seed=seed, **arguments)(shape)
    )


@pytest.mark.parametrize(("ours", "keras_own", "arguments"), PAIRS)
def test_weights_for_a_gpu_are_drawn_on_the_cpu(ours, keras_own, arguments):
    def devices(initializer):
        with tf.Graph().as_default() as graph, tf.device("/GPU:1"):
            initializer([2, 3], dtype="float32")
        return {op.device for op in graph.get_operations()}

    assert devices(ours(seed=1, **arguments)) == {"/device:CPU:0"}
    assert "/device:GPU:1" in devices(keras_own(seed=1, **arguments))


@pytest.mark.parametrize("initialization", ["paper", "cuda_convnet", "pytorch"])
def test_every_random_weight_of_a_net_is_drawn_on_the_cpu(initialization):
    net = builder.build(nets.SMALL, initialization=initialization)
    for layer in net.layers:
        for name in ("kernel_initializer", "bias_initializer"):
            initializer = getattr(layer, name, None)
            assert initializer is None or isinstance(
                initializer,
                layers.RandomNormal
                | layers.RandomUniform
                | keras.initializers.Constant,
            )


@pytest.mark.parametrize(("ours", "keras_own", "arguments"), PAIRS)
def test_a_saved_layer_keeps_how_it_was_initialized(ours, keras_own, arguments):
    del keras_own
    initializer = ours(seed=3, **arguments)
    saved = keras.initializers.serialize(initializer)
    restored = keras.initializers.deserialize(saved)
    assert type(restored) is ours
    np.testing.assert_array_equal(restored([4, 4]), initializer([4, 4]))
