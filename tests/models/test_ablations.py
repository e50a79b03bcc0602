"""Nets without some of their parts."""

import dataclasses

import keras
import numpy as np
import pytest

from alexnet_tf.models import ablations, architecture, architecture_json, builder, zoo

CUDA_CONVNET, SMALL = zoo.find("cuda_convnet"), zoo.find("small")


def weighted(net):
    """The layers with weights by name."""
    return {
        layer.name: layer
        for layer in net.layers
        if isinstance(layer, architecture.Weighted)
    }


@pytest.mark.parametrize(("part", "named"), [("lrn", "no_lrn"), ("tower", "one_gpu")])
def test_the_2012_program_left_out_the_same_parts(part, named):
    found = ablations.ablated(CUDA_CONVNET, without=[part])
    assert (found.layers, found.towers) == (zoo.find(named).layers, found.towers)
    assert found.towers == zoo.find(named).towers


def test_lrn_of_the_small_cifar_net_is_left_out_as_in_the_net_of_that_name():
    found = ablations.ablated(zoo.find("cifar10_11pct"), without=["lrn"])
    assert found.layers == zoo.find("cifar10_11pct_no_lrn").layers


def test_windows_without_overlap_are_as_large_as_their_stride():
    found = ablations.ablated(CUDA_CONVNET, without=["overlap"])
    pools = [la for la in found.layers if isinstance(la, architecture.MaxPool)]
    assert pools == [architecture.MaxPool(size=2, stride=2)] * 3


@pytest.mark.parametrize("net", [CUDA_CONVNET, SMALL, zoo.find("caffe_alexnet")])
def test_towers_without_exchange_meet_only_in_the_last_layer(net):
    found = ablations.ablated(net, without=["exchange"])
    both = [la for la in found.layers if getattr(la, "inputs", "own") == "both"]
    assert [layer.name for layer in both] == ["fc8"]


def test_a_tower_that_does_not_exchange_sees_nothing_of_the_other():
    net = ablations.ablated(SMALL, without=["exchange"])
    model = builder.build(net)
    part = keras.Model(
        model.input,
        [
            model.get_layer(f"fc7_{'' if n is None else 'relu_'}tower{n or 0}").output
            for n in (0, 1)
        ],
    )
    image = np.random.default_rng(0).uniform(0, 50, (1, 56, 56, 3)).astype(np.float32)
    before = part(image)
    for layer in model.layers:
        if layer.name.endswith("tower1") and layer.weights:
            layer.set_weights([2 * w for w in layer.get_weights()])
    after = part(image)
    assert np.array_equal(before[0], after[0])
    assert not np.array_equal(before[1], after[1])


@pytest.mark.parametrize("name", ["conv3", "conv4", "conv5"])
def test_a_layer_is_left_out_with_its_activation_and_not_with_the_pooling(name):
    found = ablations.ablated(CUDA_CONVNET, without=[name])
    assert list(weighted(found)) == [n for n in weighted(CUDA_CONVNET) if n != name]
    assert len(found.layers) == len(CUDA_CONVNET.layers) - 2
    shapes = {e.name: e.shape for e in architecture.extents(found)}
    last = [n for n in ("conv3", "conv4", "conv5") if n != name][-1]
    assert shapes[f"{last}_maxpool"][:2] == (6, 6)


def test_the_layer_after_a_crossing_that_is_left_out_crosses_in_its_place():
    found = weighted(ablations.ablated(CUDA_CONVNET, without=["conv3"]))
    assert found["conv4"].inputs == "both"
    assert found["conv5"].inputs == "own"
    only_conv4 = weighted(ablations.ablated(CUDA_CONVNET, without=["conv4"]))
    assert only_conv4["conv5"].inputs == "own"


def test_a_dense_layer_is_left_out_with_its_dropout():
    found = ablations.ablated(CUDA_CONVNET, without=["fc6"])
    dropouts = [la for la in found.layers if isinstance(la, architecture.Dropout)]
    assert "fc6" not in weighted(found)
    assert len(dropouts) == 1


def test_the_order_of_the_parts_makes_no_difference():
    one = ablations.ablated(SMALL, without=["tower", "conv3", "lrn"])
    other = ablations.ablated(SMALL, without=["lrn", "tower", "conv3"])
    assert one.layers == other.layers


def test_nothing_is_left_out_by_default():
    assert ablations.ablated(SMALL) is SMALL


def test_the_name_and_the_description_say_what_is_left_out():
    found = ablations.ablated(
        SMALL, without=["conv3", "lrn"], activation="tanh", dropout_rate=0.0
    )
    assert found.name == "small-without-conv3-lrn-tanh-dropout-0"
    assert found.description.endswith("; without conv3 lrn, tanh, dropout 0")
    assert architecture_json.from_json(architecture_json.to_json(found)) == found


def test_tanh_takes_the_place_of_every_relu():
    found = ablations.ablated(zoo.find("figure1"), activation="tanh")
    assert not any(isinstance(layer, architecture.Relu) for layer in found.layers)
    model = builder.build(found)
    bounded = keras.Model(model.input, model.get_layer("conv1_tanh").output)
    image = np.random.default_rng(0).uniform(-9e5, 9e5, (1, 32, 32, 3))
    linear = keras.Model(model.input, model.get_layer("conv1").output)(image)
    assert np.abs(linear).max() > 1
    assert np.allclose(bounded(image), np.tanh(linear), atol=1e-6)


def test_dropout_at_rate_zero_changes_nothing_in_training_and_in_use():
    net = ablations.ablated(SMALL, dropout_rate=0.0)
    model = builder.build(net)
    image = np.random.default_rng(0).uniform(0, 9, (2, 56, 56, 3)).astype(np.float32)
    # Winograd convolutions, which only training uses, round differently.
    assert np.allclose(
        model(image, training=True), model(image, training=False), atol=1e-4
    )


@pytest.mark.parametrize("part", ["conv3", "overlap", "exchange", "tower", "lrn"])
def test_every_ablation_of_the_small_net_can_be_built(part):
    net = ablations.ablated(SMALL, without=[part])
    with keras.StatelessScope(initialize_variables=False):
        model = builder.build(net)
    assert model.output_shape == (None, 1000)


@pytest.mark.parametrize(
    ("net", "without", "message"),
    [
        ("figure1", ["lrn"], "figure1 has no normalization layers"),
        ("pool2x2", ["overlap"], "no pooling windows that overlap"),
        ("one_gpu", ["exchange"], "no towers that read each other"),
        ("torchvision", ["tower"], "no second tower"),
        ("small", ["conv1"], "of conv3, conv4, conv5, fc6, fc7, lrn, overlap"),
        ("small", ["conv2"], "--without=conv2 is no part of small that can be left"),
        ("small", ["fc8"], "--without=fc8 is no part of small that can be left out"),
        ("figure1", ["conv9"], "name one or more of overlap$"),
        ("small", ["lrn", "lrn"], "names lrn twice"),
        ("small", ["exchange", "tower"], "no towers that read each other"),
    ],
)
def test_a_part_that_is_not_there_is_refused(net, without, message):
    with pytest.raises(ValueError, match=message):
        ablations.ablated(zoo.find(net), without=without)


def test_dropout_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="figure1 has no dropout layers"):
        ablations.ablated(zoo.find("figure1"), dropout_rate=0.0)


def test_an_unknown_activation_is_refused():
    with pytest.raises(ValueError, match="relu or tanh, got 'gelu'"):
        ablations.ablated(SMALL, activation="gelu")


def test_the_original_is_not_changed():
    before = dataclasses.replace(SMALL)
    ablations.ablated(SMALL, without=["conv3", "tower"], activation="tanh")
    assert before == SMALL


def test_the_dropout_rate_that_a_net_has_already_changes_nothing():
    assert ablations.ablated(SMALL, dropout_rate=0.5) is SMALL
