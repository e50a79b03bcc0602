"""Whole layers are found by name on every net, and both towers are part of them."""

import keras
import numpy as np
import pytest

import alexnet_tf
from alexnet_tf.models import architecture as architectures
from alexnet_tf.models import builder, layer_outputs, zoo
from tests.support import nets

PAPER = {
    "conv1/linear": (55, 55, 96),
    "conv1/relu": (55, 55, 96),
    "conv1/lrn": (55, 55, 96),
    "conv1/pool": (27, 27, 96),
    "conv1": (27, 27, 96),
    "conv2/linear": (27, 27, 256),
    "conv2/relu": (27, 27, 256),
    "conv2/lrn": (27, 27, 256),
    "conv2/pool": (13, 13, 256),
    "conv2": (13, 13, 256),
    "conv3/linear": (13, 13, 384),
    "conv3/relu": (13, 13, 384),
    "conv3": (13, 13, 384),
    "conv4/linear": (13, 13, 384),
    "conv4/relu": (13, 13, 384),
    "conv4": (13, 13, 384),
    "conv5/linear": (13, 13, 256),
    "conv5/relu": (13, 13, 256),
    "conv5/pool": (6, 6, 256),
    "conv5": (6, 6, 256),
    "fc6/linear": (4096,),
    "fc6/relu": (4096,),
    "fc6/dropout": (4096,),
    "fc6": (4096,),
    "fc7/linear": (4096,),
    "fc7/relu": (4096,),
    "fc7/dropout": (4096,),
    "fc7": (4096,),
    "fc8/linear": (1000,),
    "fc8": (1000,),
}

CUDA_CONVNET = PAPER | {  # where conv1's ReLU follows its pooling
    "conv1/relu": (27, 27, 96),
    "conv2/spatial_lrn": (27, 27, 256),
}
CIFAR = {"conv1": (12, 12, 64), "conv2": (6, 6, 64), "fc10": (10,)}

# Whole layers as the next one reads them, and a few of their steps, worked out by hand.
EXPECTED = {
    "paper": PAPER,
    "cuda_convnet": CUDA_CONVNET,
    "no_lrn": {k: v for k, v in CUDA_CONVNET.items() if not k.endswith("lrn")},
    "pool2x2": {"conv1": (28, 28, 96), "conv5": (6, 6, 256), "fc7": (4096,)},
    "conv6": CUDA_CONVNET | {"conv6/relu": (6, 6, 256), "conv6": (6, 6, 256)},
    "one_gpu": {
        "conv1": (27, 27, 48),
        "conv3/relu": (13, 13, 192),
        "conv5": (6, 6, 256),
        "fc7": (4096,),
    },
    "caffe_alexnet": PAPER,
    "caffenet": PAPER | {"conv1/lrn": (27, 27, 96), "conv2/lrn": (13, 13, 256)},
    "torchvision": {
        "conv1": (27, 27, 64),
        "conv2": (13, 13, 192),
        "conv5/relu": (13, 13, 256),
        "conv5/dropout": (6, 6, 256),  # in this net dropout comes before fc6
        "conv5": (6, 6, 256),
        "fc6/dropout": (4096,),
        "fc7": (4096,),
        "fc8": (1000,),
    },
    "cifar10_11pct": CIFAR | {"local3": (6, 6, 64), "local4": (6, 6, 32)},
    "cifar10_11pct_no_lrn": CIFAR | {"local3": (6, 6, 64), "local4": (6, 6, 32)},
    "cifar10_13pct": CIFAR | {"local3": (6, 6, 32), "local4": (6, 6, 32)},
    "figure1": {
        "conv1/relu": (32, 32, 32),
        "conv1": (16, 16, 32),
        "conv2": (8, 8, 32),
        "conv3": (4, 4, 64),
        "fc10": (10,),
    },
    "small": {
        "conv1/lrn": (28, 28, 32),
        "conv1": (14, 14, 32),
        "conv2": (7, 7, 64),
        "conv3": (7, 7, 96),
        "conv5": (3, 3, 64),
        "fc7": (256,),
        "fc8": (1000,),
    },
}


def test_every_architecture_is_covered():
    assert EXPECTED.keys() == zoo.ARCHITECTURES.keys()


@pytest.mark.parametrize("architecture", EXPECTED)
def test_the_layers_of_each_net_have_their_names_and_shapes(architecture):
    net = zoo.find(architecture)
    with keras.StatelessScope(initialize_variables=False):  # the weights are not needed
        model = builder.build(net)
    found = layer_outputs.layer_names(model)
    for name, shape in EXPECTED[architecture].items():
        assert found[name] == shape, name
        assert layer_outputs.layer_output(model, name).shape == (None, *shape)
    # Nothing is left out and nothing invented: one name per step, and one per layer.
    whole = [e.name for e in architectures.extents(net) if e.parameters]
    assert [name for name in found if "/" not in name] == whole
    assert len(found) == len(whole) + len(net.layers)
    for layer in whole:
        steps = [shape for name, shape in found.items() if name.startswith(f"{layer}/")]
        assert found[layer] == steps[-1]


def computed(model, outputs, images):
    return keras.Model(model.input, outputs)(images, training=False).numpy()


@pytest.fixture(scope="module")
def small():
    return nets.small_net(seed=3)


def test_towers_are_joined_in_their_order(small):
    images = nets.random_inputs(2, nets.SMALL.input_size)
    for name in ("conv1/linear", "conv2/relu", "conv5", "fc7"):
        streams = [
            computed(small, stream, images)
            for stream in layer_outputs.tower_outputs(small, name)
        ]
        assert len(streams) == 2
        assert not np.array_equal(*streams)
        joined = computed(small, layer_outputs.layer_output(small, name), images)
        np.testing.assert_array_equal(joined, np.concatenate(streams, axis=-1))


def test_a_layer_equals_a_submodel_of_its_keras_layers(small):
    images = nets.random_inputs(2, nets.SMALL.input_size)
    by_hand = {
        "conv1/linear": "conv1",
        "conv1/relu": "conv1_relu",
        "conv1/lrn": "conv1_responsenormalization",
        "conv1/pool": "conv1_maxpool",
        "conv1": "conv1_maxpool",
        "fc7": "fc7_relu",
        "fc8": "fc8",
    }
    for name, layer in by_hand.items():
        parts = [
            computed(small, tower.output, images)
            for tower in nets.towers_of(small, layer)
        ]
        found = computed(small, layer_outputs.layer_output(small, name), images)
        np.testing.assert_array_equal(found, np.concatenate(parts, axis=-1))


def test_normalization_across_all_channels_is_that_of_both_towers():
    net = nets.narrowed(zoo.find("caffe_alexnet"), 99)
    model = builder.build(net, seed=2)
    images = nets.random_inputs(2, 99)
    found, relu = (
        computed(model, layer_outputs.layer_output(model, f"conv1/{step}"), images)
        for step in ("lrn", "relu")
    )
    whole = model.get_layer("conv1_responsenormalization_device0")
    np.testing.assert_allclose(found, whole(relu).numpy(), rtol=1e-6)


def test_the_layer_that_is_on_one_tower_is_one_stream(small):
    (stream,) = layer_outputs.tower_outputs(small, "fc8")
    assert stream.shape == (None, 5)


def test_a_layer_as_the_next_one_reads_it_comes_after_dropout():
    net = alexnet_tf.AlexNet(
        architecture="one_gpu", classes=3, dropout="original", weights=None, seed=1
    )
    images = nets.random_inputs(1, 224)
    fc7, relu, logits = (
        computed(net, layer_outputs.layer_output(net, name), images)
        for name in ("fc7", "fc7/relu", "fc8")
    )
    np.testing.assert_array_equal(fc7, relu / 2)  # at test time
    kernel, bias = net.get_layer("fc8").get_weights()
    np.testing.assert_allclose(fc7 @ kernel + bias, logits, atol=1e-5)


def test_a_net_without_its_top_and_one_with_a_new_top_have_their_own_layers():
    base = builder.build(nets.SMALL, include_top=False)
    assert list(layer_outputs.layer_names(base))[-1] == "conv5/pool"
    pooled = keras.layers.MaxPooling2D(2)(base.output)
    output = keras.layers.Dense(7, name="new")(keras.layers.Flatten()(pooled))
    tuned = keras.Model(base.input, output)
    assert layer_outputs.layer_names(tuned) == layer_outputs.layer_names(base)


def test_a_net_of_a_file_has_the_same_layers_in_the_same_order(small, tmp_path):
    small.save(tmp_path / "net.keras")
    loaded = keras.saving.load_model(tmp_path / "net.keras")
    assert layer_outputs.layer_names(loaded) == layer_outputs.layer_names(small)
    images = nets.random_inputs(1, nets.SMALL.input_size)
    for name in ("conv4/linear", "fc6"):
        np.testing.assert_array_equal(
            *(
                computed(model, layer_outputs.layer_output(model, name), images)
                for model in (small, loaded)
            )
        )


def test_mixed_precision_of_keras_does_not_change_a_layer(small):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        assert layer_outputs.layer_output(small, "fc7").dtype == "float32"
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("name", ["fc9", "conv1/lrm", "conv1_relu", "conv1_tower0", ""])
def test_an_unknown_name_is_refused_with_those_that_there_are(small, name):
    message = (
        rf"small has no layer '{name}': choose one of conv1, conv1/linear, .*, fc8,"
    )
    for function in (alexnet_tf.layer_output, layer_outputs.tower_outputs):
        with pytest.raises(ValueError, match=message):
            function(small, name)
