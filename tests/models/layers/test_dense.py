"""The dense layer's copy of its kernel: who reads it, and who must not."""

import contextlib
import threading
from concurrent import futures

import keras
import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.models import builder, layers, zoo
from alexnet_tf.training import optimizer, schedule, training_step


def bfloat16_layer(**options):
    """A layer of three units whose copy is twice its kernel, and an input for it."""
    layer = layers.Dense(
        3, dtype="mixed_bfloat16", bias_initializer="ones", name="fc", **options
    )
    layer.build((None, 4))
    layer.keep_kernel_copy()
    layer.kernel_copy.assign(2 * layer.kernel_copy)
    return layer, tf.cast(tf.random.stateless_normal([5, 4], [0, 1]), tf.bfloat16)


@pytest.mark.parametrize("more", [{}, {"activation": "relu"}, {"use_bias": False}])
def test_a_layer_with_a_copy_computes_the_same_as_without(more):
    layer, x = bfloat16_layer(**more)
    layer.refresh_kernel_copy()
    with_copy = layer(x, training=True)
    layer.drop_kernel_copy()
    tf.debugging.assert_equal(with_copy, layer(x, training=True))


def test_only_calls_in_training_read_the_copy():
    layer, x = bfloat16_layer()
    doubled = tf.matmul(x, layer.kernel_copy) + 1
    tf.debugging.assert_equal(layer(x, training=True), doubled)
    own = tf.matmul(x, tf.cast(layer.kernel.value, tf.bfloat16)) + 1
    for options in ({}, {"training": False}, {"training": None}):
        tf.debugging.assert_equal(layer(x, **options), own)


def test_a_refreshed_copy_is_the_rounded_kernel():
    layer, _ = bfloat16_layer()
    layer.kernel.assign(np.full((4, 3), 1 + 2**-12, np.float32))
    layer.refresh_kernel_copy()
    tf.debugging.assert_equal(layer.kernel_copy, tf.ones([4, 3], tf.bfloat16))


def test_a_copy_is_in_no_weight_list_checkpoint_or_export(tmp_path):
    layer, x = bfloat16_layer()
    model = keras.Sequential([keras.Input((4,)), layer])
    assert [weight.path for weight in model.weights] == ["fc/kernel", "fc/bias"]
    prefix = tf.train.Checkpoint(net=model).save(str(tmp_path / "checkpoint"))
    kept = [name for name, _ in tf.train.list_variables(prefix)]
    assert not [name for name in kept if "copy" in name]
    assert len([name for name in kept if name.startswith("net/")]) == 2

    model.export(str(tmp_path / "export"), verbose=False)
    exported = tf.saved_model.load(str(tmp_path / "export"))
    assert {variable.dtype for variable in exported.variables} == {tf.float32}
    found = tf.cast(exported.serve(tf.cast(x, tf.float32)), tf.float32)
    own = tf.cast(layer(x), tf.float32)  # far from what the doubled copy would give
    np.testing.assert_allclose(found, own, atol=0.02)
    assert np.abs(own - tf.cast(layer(x, training=True), tf.float32)).max() > 0.5


@pytest.mark.parametrize(
    ("precision", "names"),
    [
        ("float32", []),
        ("bfloat16", ["fc6_tower0", "fc6_tower1", "fc7_tower0", "fc7_tower1", "fc8"]),
    ],
)
def test_dense_layers_that_compute_in_bfloat16_keep_copies(precision, names):
    net = builder.build(zoo.PAPER.with_input_size((67, 67, 3)), precision=precision)
    copies = layers.keep_kernel_copies(net)
    assert list(copies) == [f"{name}/kernel" for name in names]
    read = dict(
        zip(
            [variable.path for variable in net.trainable_variables],
            layers.variables_read_in_training(net),
            strict=True,
        )
    )
    for variable in net.trainable_variables:
        assert read[variable.path] is copies.get(variable.path, variable)


def rendezvous_net(meet):
    """A net of one dense layer, whose training calls are traced when all have met."""

    class Rendezvous(keras.layers.Layer):
        def call(self, inputs, training=False):
            if training:
                meet()
            return inputs

    inputs = keras.Input((4,))
    outputs = layers.Dense(3, dtype="mixed_bfloat16", name="fc")(Rendezvous()(inputs))
    return keras.Model(inputs, outputs)


def traced_step(net):
    rule = optimizer.MomentumSGD(
        net.trainable_variables, [0.0, 0.0], copies=layers.keep_kernel_copies(net)
    )
    batch = tf.data.Dataset.from_tensors((tf.ones([2, 4]), tf.constant([0, 2])))
    return training_step.Step(net, rule).trace(batch)


def test_steps_traced_in_two_threads_each_read_their_own_copies():
    # Both layers have the path fc/kernel, and both steps are inside their networks at
    # the same time.
    barrier = threading.Barrier(2, timeout=60)

    def meet():
        with contextlib.suppress(threading.BrokenBarrierError):
            barrier.wait()

    nets = [rendezvous_net(meet) for _ in range(2)]
    with futures.ThreadPoolExecutor() as pool:
        steps = list(pool.map(traced_step, nets))
    learning_rates = schedule.LearningRates(0.1, 0.1, 1.0).tensors()
    for net, step in zip(nets, steps, strict=True):
        layer = net.get_layer("fc")
        captured = [tensor for tensor, _ in step.graph.captures]
        assert any(tensor is layer.kernel_copy.handle for tensor in captured)
        for other in nets:
            if other is not net:
                handle = other.get_layer("fc").kernel_copy.handle
                assert not any(tensor is handle for tensor in captured)
        before = layer.kernel.numpy()
        step(tf.ones([2, 4]), tf.constant([0, 2]), learning_rates)
        assert (layer.kernel.numpy() != before).any()
        tf.debugging.assert_equal(
            layer.kernel_copy, tf.cast(layer.kernel.value, tf.bfloat16)
        )
