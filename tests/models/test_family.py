"""Caffe's AlexNet, CaffeNet and torchvision's AlexNet.

The numbers are worked out by hand from Caffe's `train_val.prototxt` files and from
torchvision's `models/alexnet.py`, and the models are compared with tests/support's
plain formulations of them.
"""

import dataclasses
import math
import pathlib
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import alexnet_tf
from alexnet_tf import ops
from alexnet_tf.models import architecture, architecture_json, builder, layers, zoo
from alexnet_tf.models.zoo import CAFFE_ALEXNET, CAFFENET, TORCHVISION
from tests.support import arrays, nets, plain_nets

CAFFE = [CAFFE_ALEXNET, CAFFENET]
ALL = [*CAFFE, TORCHVISION]


def name_of(net):
    return net.name


def weighted(net):
    """The layers that have weights, by name."""
    return {x.name: x for x in net.layers if isinstance(x, architecture.Weighted)}


def chain(net):
    """The layers in order, in Caffe's words for those without weights."""
    words = {
        architecture.Relu: "relu",
        architecture.ResponseNormalization: "norm",
        architecture.MaxPool: "pool",
        architecture.Dropout: "drop",
    }
    return " ".join(
        x.name if isinstance(x, architecture.Weighted) else words[type(x)]
        for x in net.layers
    )


# Name: kernel size, stride, padding, outputs, inputs of a kernel, side of the map.
CAFFE_CONVOLUTIONS = {
    "conv1": (11, 4, 0, 96, 3, 55),
    "conv2": (5, 1, 2, 256, 48, 27),
    "conv3": (3, 1, 1, 384, 256, 13),
    "conv4": (3, 1, 1, 384, 192, 13),
    "conv5": (3, 1, 1, 256, 192, 13),
}
TORCHVISION_CONVOLUTIONS = {
    "conv1": (11, 4, 2, 64, 3, 55),
    "conv2": (5, 1, 2, 192, 64, 27),
    "conv3": (3, 1, 1, 384, 192, 13),
    "conv4": (3, 1, 1, 256, 384, 13),
    "conv5": (3, 1, 1, 256, 256, 13),
}


@pytest.mark.parametrize(
    ("net", "convolutions"),
    [
        (CAFFE_ALEXNET, CAFFE_CONVOLUTIONS),
        (CAFFENET, CAFFE_CONVOLUTIONS),
        (TORCHVISION, TORCHVISION_CONVOLUTIONS),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_convolutions_are_those_of_the_originals(net, convolutions):
    found = {extent.name: extent for extent in architecture.extents(net)}
    for name, (size, stride, around, filters, seen, side) in convolutions.items():
        layer = weighted(net)[name]
        assert (layer.kernel_size, layer.stride) == (size, stride)
        assert layer.padding == (around, around)
        assert found[name].shape == (side, side, filters)
        assert found[name].fan_in == size * size * seen
        assert found[name].parameters == size * size * seen * filters + filters
    last = [extent for extent in found.values() if len(extent.shape) == 3][-1]
    assert last.shape == (6, 6, 256)  # what fc6 reads


def test_parameters_and_multiply_adds_of_caffes_nets_are_those_of_the_paper():
    for net in CAFFE:
        costs = [(e.parameters, e.multiply_adds) for e in architecture.extents(net)]
        papers = [
            (e.parameters, e.multiply_adds) for e in architecture.extents(zoo.PAPER)
        ]
        assert [c for c in costs if c[0]] == [c for c in papers if c[0]]
        assert architecture.parameters(net) == 60_965_224
        assert architecture.multiply_adds(net) == 724_406_816


def test_parameters_and_multiply_adds_of_torchvisions_net():
    found = {e.name: e for e in architecture.extents(TORCHVISION) if e.parameters}
    assert {name: e.parameters for name, e in found.items()} == {
        "conv1": 23_296,
        "conv2": 307_392,
        "conv3": 663_936,
        "conv4": 884_992,
        "conv5": 590_080,
        "fc6": 37_752_832,
        "fc7": 16_781_312,
        "fc8": 4_097_000,
    }
    assert (
        architecture.parameters(TORCHVISION) == 61_100_840
    )  # torchvision's num_params
    assert {name: e.multiply_adds for name, e in found.items()} == {
        "conv1": 70_276_800,
        "conv2": 223_948_800,
        "conv3": 112_140_288,
        "conv4": 149_520_384,
        "conv5": 99_680_256,
        "fc6": 37_748_736,
        "fc7": 16_777_216,
        "fc8": 4_096_000,
    }
    # torchvision says 0.714 GFLOPS, and counts a multiply-add as one.
    assert architecture.multiply_adds(TORCHVISION) == 714_188_480


CAFFE_TOP = "conv3 relu conv4 relu conv5 relu pool fc6 relu drop fc7 relu drop fc8"


@pytest.mark.parametrize(
    ("net", "order"),
    [
        (CAFFE_ALEXNET, f"conv1 relu norm pool conv2 relu norm pool {CAFFE_TOP}"),
        (CAFFENET, f"conv1 relu pool norm conv2 relu pool norm {CAFFE_TOP}"),
        (
            TORCHVISION,
            "conv1 relu pool conv2 relu pool conv3 relu conv4 relu conv5 relu pool "
            "drop fc6 relu drop fc7 relu fc8",
        ),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_order_of_layers_is_that_of_the_originals(net, order):
    assert chain(net) == order


@pytest.mark.parametrize("net", CAFFE, ids=name_of)
def test_caffes_normalization_reads_all_channels_with_alpha_1e_4_divided_by_5(net):
    found = [
        layer
        for layer in net.layers
        if isinstance(layer, architecture.ResponseNormalization)
    ]
    assert len(found) == 2
    for layer in found:
        assert (layer.size, layer.k, layer.beta) == (5, 1, 0.75)
        assert layer.alpha == pytest.approx(2e-5)
        assert layer.inputs == "both"


@pytest.mark.parametrize("net", CAFFE, ids=name_of)
def test_caffes_groups_are_towers_that_meet_where_caffe_has_no_groups(net):
    assert net.towers == 2
    both = {name for name, layer in weighted(net).items() if layer.inputs == "both"}
    assert both == {"conv3", "fc6", "fc7", "fc8"}


@pytest.mark.parametrize(("net", "bias"), [(CAFFE_ALEXNET, 0.1), (CAFFENET, 1.0)])
def test_caffes_nets_start_as_their_train_val_files_say(net, bias):
    assert net.initialization == "cuda_convnet"  # Gaussian, each layer with its own
    assert {n: x.standard_deviation for n, x in weighted(net).items()} == {
        **dict.fromkeys(("conv1", "conv2", "conv3", "conv4", "conv5", "fc8"), 0.01),
        **dict.fromkeys(("fc6", "fc7"), 0.005),
    }
    assert {n: x.initial_bias for n, x in weighted(net).items()} == {
        **dict.fromkeys(("conv1", "conv3", "fc8"), 0),
        **dict.fromkeys(("conv2", "conv4", "conv5", "fc6", "fc7"), bias),
    }
    assert {x.weight_decay for x in weighted(net).values()} == {0.0005}


@pytest.mark.parametrize("net", ALL, ids=name_of)
def test_the_three_drop_half_and_scale_in_training(net):
    assert net.dropout == "inverted"
    rates = {x.rate for x in net.layers if isinstance(x, architecture.Dropout)}
    assert rates == {0.5}


@pytest.mark.parametrize("net", ALL, ids=name_of)
def test_crops_are_of_227_pixels_in_caffe_and_224_in_torchvision(net):
    assert net.input_size == (224 if net is TORCHVISION else 227)
    assert (net.record_size, net.record_encoding, net.classes) == (256, "jpeg", 1000)


def test_torchvision_has_one_tower_and_pytorchs_initialization():
    assert (TORCHVISION.towers, TORCHVISION.initialization) == (1, "pytorch")
    pools = [x for x in TORCHVISION.layers if isinstance(x, architecture.MaxPool)]
    assert pools == [architecture.MaxPool(3, 2, ceil_mode=False)] * 3
    assert {x.weight_decay for x in weighted(TORCHVISION).values()} == {1e-4}


def test_at_224_pixels_torchvisions_pooling_leaves_nothing_out():
    past_the_edge = changed(TORCHVISION, architecture.MaxPool, ceil_mode=True)
    shapes = [
        [extent.shape for extent in architecture.extents(net)]
        for net in (TORCHVISION, past_the_edge)
    ]
    assert shapes[0] == shapes[1]
    other = [net.with_input_size((227, 227, 3)) for net in (TORCHVISION, past_the_edge)]
    sides = [
        next(e.shape[0] for e in architecture.extents(net) if e.name == "conv1_maxpool")
        for net in other
    ]
    assert sides == [27, 28]  # of a map of 56: (56 - 3) / 2 = 26.5


@pytest.mark.parametrize("net", ALL, ids=name_of)
def test_the_three_survive_a_round_trip_through_json(net):
    assert architecture_json.from_json(architecture_json.to_json(net)) == net


# ---- Small nets, compared with the plain formulations ----

SMALL, small = nets.NARROW, nets.narrowed


def changed(net, kind, **fields):
    """`net` with other fields in all layers of a kind."""
    return dataclasses.replace(
        net,
        layers=tuple(
            dataclasses.replace(layer, **fields) if isinstance(layer, kind) else layer
            for layer in net.layers
        ),
    )


def plain_logits(net, weights, x, **options):
    if net.name == "torchvision":
        return plain_nets.torchvision(weights, x, **options)
    return plain_nets.caffe(weights, x, pool_first=net.name == "caffenet", **options)


def last_side(net):
    return [e.shape[0] for e in architecture.extents(net) if len(e.shape) == 3][-1]


def weights_of(net, outputs, seed=0):
    return plain_nets.random_weights(
        outputs, groups=net.towers, side=last_side(net), seed=seed
    )


def built_with(net, weights, **options):
    built = builder.build(net, **options)
    plain_nets.set_weights(built, weights, net.towers)
    return built


def difference(found, expected):
    """The largest difference of logits, in standard deviations of the expected ones."""
    found, expected = np.asarray(found), np.asarray(expected)
    return float(np.abs(found - expected).max() / expected.std())


# conv1's maps have 23 pixels, or 24, at which the two ways of pooling differ.
@pytest.mark.parametrize("lrn", ["op", "stock"])
@pytest.mark.parametrize(
    ("net", "side"),
    [
        *((CAFFE_ALEXNET, 99), (CAFFE_ALEXNET, 103), (CAFFENET, 99), (CAFFENET, 103)),
        *((TORCHVISION, 95), (TORCHVISION, 99)),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_small_net_equals_its_plain_formulation(net, side, lrn):
    net = small(net, side)
    weights = weights_of(net, SMALL)
    x = nets.random_inputs(3, side)
    expected = plain_logits(net, weights, x)
    assert difference(built_with(net, weights, lrn=lrn)(x), expected) < 1e-5


LRN = architecture.ResponseNormalization
FAULTS = {
    "normalization within towers": (CAFFE_ALEXNET, {"inputs": "own"}),
    "normalization within towers of CaffeNet": (CAFFENET, {"inputs": "own"}),
    "alpha five times as large": (CAFFE_ALEXNET, {"alpha": 1e-4}),
    "the paper's k": (CAFFE_ALEXNET, {"k": 2.0}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_normalization_is_found_by_the_plain_formulation(fault):
    net, fields = FAULTS[fault]
    net = small(net, 99)
    weights, x = weights_of(net, SMALL), nets.random_inputs(3, 99)
    wrong = built_with(changed(net, LRN, **fields), weights)
    assert difference(wrong(x), plain_logits(net, weights, x)) > 0.01


@pytest.mark.parametrize(("net", "other"), [CAFFE, CAFFE[::-1]])
def test_pooling_and_normalization_in_the_wrong_order_are_found(net, other):
    net, other = small(net, 99), small(other, 99)
    weights, x = weights_of(net, SMALL), nets.random_inputs(3, 99)
    assert (
        difference(built_with(other, weights)(x), plain_logits(net, weights, x)) > 0.01
    )


def test_pooling_past_the_edge_is_found_in_torchvisions_net():
    net = small(TORCHVISION, 99)
    wrong = changed(net, architecture.MaxPool, ceil_mode=True)
    assert (last_side(net), last_side(wrong)) == (2, 3)
    # fc6 would read another number of units. Below it the maps differ too.
    weights, x = weights_of(net, SMALL), nets.random_inputs(1, 99)
    maps = [builder.build(plan, include_top=False) for plan in (net, wrong)]
    for built in maps:
        plain_nets.set_weights(
            built, {n: w for n, w in weights.items() if n.startswith("conv")}, 1
        )
    right, past = (built(x).numpy() for built in maps)
    assert np.abs(past[:, :2, :2] - right).max() > 0.01 * right.std()


@pytest.mark.parametrize("net", ALL, ids=name_of)
def test_the_full_net_equals_its_plain_formulation(net):
    convolutions = (
        TORCHVISION_CONVOLUTIONS if net is TORCHVISION else CAFFE_CONVOLUTIONS
    )
    outputs = {name: filters for name, (_, _, _, filters, *_) in convolutions.items()}
    weights = weights_of(net, outputs | {"fc6": 4096, "fc7": 4096, "fc8": 1000})
    x = nets.random_inputs(1, net.input_size)
    built = built_with(net, weights)
    assert difference(built(x), plain_logits(net, weights, x)) < 1e-5
    keras.backend.clear_session()


def masks_of(built, shapes):
    """The masks that a model's dropout draws in its first step: reader -> array.

    Args:
        built: a model whose dropout has rate 0.5 and has drawn nothing yet.
        shapes: what each layer with dropout before it reads, name -> shape.
    """
    drops = [layer for layer in built.layers if isinstance(layer, layers.Dropout)]
    towers = len(drops) // len(shapes)
    found = {}
    for number, (name, shape) in enumerate(shapes.items()):
        parts = [
            layers.Dropout(0.5, "original", drop.seed)(
                tf.ones((*shape[:-1], shape[-1] // towers)), training=True
            )
            for drop in drops[number * towers : (number + 1) * towers]
        ]
        found[name] = tf.concat(parts, -1)
        for drop in drops[number * towers : (number + 1) * towers]:
            assert drop.output.shape[1:-1] == shape[1:-1]
    return found


DROPPED = {
    "caffe_alexnet": {"fc7": (4, SMALL["fc6"]), "fc8": (4, SMALL["fc7"])},
    "caffenet": {"fc7": (4, SMALL["fc6"]), "fc8": (4, SMALL["fc7"])},
    "torchvision": {"fc6": (4, 2, 2, SMALL["conv5"]), "fc7": (4, SMALL["fc6"])},
}


@pytest.mark.parametrize("net", ALL, ids=name_of)
def test_in_training_dropout_is_where_the_original_has_it_and_scales_by_two(net):
    net = small(net, 99)
    weights, x = weights_of(net, SMALL), nets.random_inputs(4, 99)
    built = built_with(net, weights)
    masks = masks_of(built, DROPPED[net.name])
    expected = plain_logits(net, weights, x, drop=lambda x, name: 2 * x * masks[name])
    found = built(x, training=True)
    assert difference(found, expected) < 1e-5
    assert difference(found, plain_logits(net, weights, x)) > 0.1
    # What the test would miss if the net halved its outputs at test time.
    original = built_with(net, weights, dropout="original")
    assert difference(original(x), plain_logits(net, weights, x)) > 0.1


def test_dropout_after_fc6_and_fc7_is_found_in_torchvisions_net():
    net = small(TORCHVISION, 99)
    order = [x for x in net.layers if not isinstance(x, architecture.Dropout)]
    # ... fc6, relu, drop, fc7, relu, drop, fc8
    wrong = (*order[:-3], architecture.Dropout(), *order[-3:-1], architecture.Dropout())
    wrong = dataclasses.replace(net, layers=(*wrong, order[-1]))
    built = builder.build(wrong)
    with pytest.raises(AssertionError):
        masks_of(built, DROPPED["torchvision"])


@pytest.mark.parametrize("lrn", ["op", "stock"])
@pytest.mark.parametrize("net", ALL, ids=name_of)
def test_loss_and_gradients_equal_those_of_the_plain_formulation(net, lrn):
    net = small(net, 99)
    weights, x = weights_of(net, SMALL), nets.random_inputs(4, 99)
    labels = np.array([0, 4, 2, 2])
    built = built_with(net, weights, lrn=lrn)

    def loss_of(logits):
        return tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        )

    variables = built.trainable_variables
    with tf.GradientTape() as tape:
        loss = loss_of(built(x))
    ours = tape.gradient(loss, [variable.value for variable in variables])
    watched = {n: tuple(map(tf.constant, pair)) for n, pair in weights.items()}
    with tf.GradientTape() as tape:
        tape.watch(watched)
        expected_loss = loss_of(plain_logits(net, watched, x))
    expected = tape.gradient(expected_loss, watched)
    assert float(loss) == pytest.approx(float(expected_loss), rel=1e-4)
    # The gradients are put into a second model in the way that weights are.
    target = builder.build(net)
    plain_nets.set_weights(
        target, {n: tuple(np.asarray(g) for g in pair) for n, pair in expected.items()},
        net.towers,
    )  # fmt: skip
    for found, wanted in zip(ours, target.trainable_variables, strict=True):
        arrays.assert_equal_to_rounding(found, wanted, 1e-4)


# ---- Normalization across both towers ----


def normalized_and_gradient(plan, x, weight, **options):
    """The output of conv1's normalization, and gradients of a weighted sum of it."""
    built = builder.build(plan, include_top=False, **options)
    towers = nets.towers_of(built, "conv1_responsenormalization")
    below = nets.towers_of(built, "conv1_relu")
    parts = keras.Model(
        built.input, [[t.output for t in below], [t.output for t in towers]]
    )
    kernels = [t.kernel for t in nets.towers_of(built, "conv1")]
    with tf.GradientTape() as tape:
        relu, normalized = (tf.concat(part, -1) for part in parts(x))
        loss = tf.reduce_sum(normalized * weight)
    gradients = tape.gradient(loss, [kernel.value for kernel in kernels])
    with tf.GradientTape() as tape:
        tape.watch(relu)
        loss = tf.reduce_sum(
            weight * ops.local_response_normalization(relu, size=5, k=1.0, alpha=2e-5)
        )
    return relu, normalized, tf.concat(gradients, -1), tape.gradient(loss, relu)


def test_on_one_device_normalization_over_both_towers_equals_that_of_one_tower_exactly():
    plan = small(CAFFE_ALEXNET, 67)
    rng = np.random.default_rng(1)
    x = nets.random_inputs(2, 67)
    weight = rng.normal(size=(2, 15, 15, 8)).astype(np.float32)
    relu, found, gradient, of_relu = normalized_and_gradient(plan, x, weight)
    alone = ops.local_response_normalization(relu, size=5, k=1.0, alpha=1e-4 / 5)
    np.testing.assert_array_equal(found, alone)
    # Through the ReLU and conv1, by the one-tower normalization.
    conv1 = nets.towers_of(builder.build(plan), "conv1")
    kernel = tf.concat([tower.kernel.value for tower in conv1], -1)
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        maps = tf.nn.relu(tf.nn.conv2d(x, kernel, 4, "VALID"))
    expected = tape.gradient(maps, kernel, of_relu)
    arrays.assert_equal_to_rounding(gradient, expected)
    within = changed(plan, LRN, inputs="own")
    _, apart, _, _ = normalized_and_gradient(within, x, weight)
    # With windows of 5 over 8 channels, two on each side of the border differ.
    differ = (np.asarray(apart) != np.asarray(alone)).any(axis=(0, 1, 2))
    assert differ.tolist() == [False] * 2 + [True] * 4 + [False] * 2


@pytest.mark.parametrize("towers", [2, 4])
def test_normalization_over_all_channels_needs_no_other_weights(towers):
    """A checkpoint of it has the names and shapes of one within towers."""
    both = dataclasses.replace(small(CAFFENET, 67), towers=towers)
    own = changed(both, LRN, inputs="own")
    found, expected = builder.build(both, seed=3), builder.build(own, seed=3)
    assert [v.path for v in found.variables] == [v.path for v in expected.variables]
    for ours, theirs in zip(found.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_with_one_tower_reading_both_is_reading_ones_own():
    one = dataclasses.replace(small(CAFFENET, 67), towers=1)
    built = [
        builder.build(plan, seed=1) for plan in (one, changed(one, LRN, inputs="own"))
    ]
    names = [[layer.name for layer in each.layers] for each in built]
    assert names[0] == names[1]
    x = nets.random_inputs(2, 67)
    np.testing.assert_array_equal(*(each(x) for each in built))


@pytest.mark.parametrize("net", CAFFE, ids=name_of)
def test_caffes_nets_compute_the_same_under_xla(net):
    net = small(net, 67)
    built = built_with(net, weights_of(net, SMALL))
    x = nets.random_inputs(2, 67)
    compiled = tf.function(lambda x: built(x, training=False), jit_compile=True)
    assert difference(compiled(x), built(x)) < 1e-4


def test_caffes_nets_survive_a_keras_file(tmp_path):
    net = small(CAFFENET, 67)
    built = built_with(net, weights_of(net, SMALL))
    built.save(tmp_path / "net.keras")
    x = nets.random_inputs(2, 67)
    again = keras.saving.load_model(tmp_path / "net.keras")
    np.testing.assert_array_equal(again(x), built(x))


def test_a_channel_part_is_one_of_equal_parts():
    x = arrays.noise(2, 3, 3, 12)
    for part in range(3):
        found = layers.ChannelPart(part, 3)(x)
        np.testing.assert_array_equal(found, x[..., 4 * part : 4 * part + 4])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.ChannelPart(2, 2), "part must be from 0 to 1, got 2"),
        (lambda: layers.ChannelPart(-1, 2), "part must be from 0 to 1, got -1"),
        (lambda: layers.ChannelPart(0, 0), "parts must be a whole .* got 0"),
        (
            lambda: layers.ChannelPart(0, 5)(np.ones((1, 2, 2, 12), np.float32)),
            "12 channels cannot be divided into 5 equal parts",
        ),
        (lambda: layers.ChannelPart(0, 2)(np.ones((2, 4), np.float32)), "ndim=4"),
    ],
)
def test_impossible_channel_parts_are_rejected(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# ---- Defaults of an architecture ----


def test_pytorchs_initialization_is_uniform_and_bounded_by_the_number_of_inputs():
    net = small(TORCHVISION, 95)
    wide = dataclasses.replace(
        net,
        layers=tuple(
            dataclasses.replace(x, units=400) if getattr(x, "name", "") == "fc7" else x
            for x in net.layers
        ),
    )
    built = builder.build(wide, seed=2)
    inputs = {e.name: e.fan_in for e in architecture.extents(wide) if e.fan_in}
    assert inputs["conv2"] == 5 * 5 * 8
    assert inputs["fc6"] == 2 * 2 * 8
    for name, count in inputs.items():
        kernel, bias = built.get_layer(name).get_weights()
        bound = 1 / math.sqrt(count)
        for values in (kernel, bias):
            assert np.abs(values).max() <= bound
            # Uniform: that none of n values is in the outer tenth has odds of 0.9^n.
            assert values.size < 60 or np.abs(values).max() > 0.9 * bound
            standard_error = bound / math.sqrt(3 * values.size)
            assert abs(values.mean()) < 5 * standard_error
        assert abs(np.corrcoef(kernel.ravel()[: bias.size], bias)[0, 1]) < 0.999
    fc7 = built.get_layer("fc7").get_weights()[0]
    assert fc7.std() == pytest.approx(1 / math.sqrt(3 * 24), rel=0.05)


def test_pytorchs_initialization_counts_the_inputs_of_one_group_and_of_one_position():
    built = builder.build(small(CAFFENET, 67), initialization="pytorch")
    bound = 1 / math.sqrt(5 * 5 * 4)
    for tower in nets.towers_of(built, "conv2"):
        assert 0.9 * bound < np.abs(tower.kernel.numpy()).max() <= bound
    unshared = zoo.find("cifar10_13pct")
    built = builder.build(unshared, initialization="pytorch")
    bound = 1 / math.sqrt(3 * 3 * 64)
    for weight in built.get_layer("local3").get_weights():
        assert 0.9 * bound < np.abs(weight).max() <= bound


@pytest.mark.parametrize("net", [*ALL, zoo.PAPER, zoo.ONE_GPU], ids=name_of)
def test_a_model_has_its_architectures_dropout_unless_another_is_named(net):
    plan = small(net, 99)

    def conventions(**options):
        return {
            layer.convention
            for layer in builder.build(plan, **options).layers
            if isinstance(layer, layers.Dropout)
        }

    other = "original" if net.dropout == "inverted" else "inverted"
    assert conventions() == {net.dropout}
    assert conventions(dropout=other) == {other}


def test_the_nets_of_2012_keep_their_defaults():
    for net in zoo.ARCHITECTURES.values():
        if net not in ALL:
            assert (net.dropout, net.initialization) == ("original", "cuda_convnet")
    own = builder.build(small(zoo.PAPER, 99), seed=4)
    named = builder.build(small(zoo.PAPER, 99), seed=4, initialization="cuda_convnet")
    for ours, theirs in zip(own.get_weights(), named.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("net", ALL, ids=name_of)
def test_alexnet_builds_the_three_by_name(net):
    built = alexnet_tf.AlexNet(architecture=net.name, classes=7, include_top=False)
    side = net.input_size
    assert built.input_shape == (None, side, side, 3)
    assert built.output_shape == (None, 6, 6, 256)
    assert not [x for x in built.layers if isinstance(x, layers.Dropout)]
    described = built.get_layer("provenance")
    assert described.dropout == "inverted"
    assert described.architecture["name"] == net.name


def test_weights_of_a_net_within_towers_are_refused_by_caffes():
    caffe, paper = (
        layers.Provenance(architecture_json.to_json(net), "inverted")
        for net in (CAFFE_ALEXNET, zoo.PAPER)
    )
    store = {}
    paper.save_own_variables(store)
    with pytest.raises(ValueError, match="'paper', and the net is 'caffe_alexnet'"):
        caffe.load_own_variables(store)


# ---- The table of the documentation ----

FAMILY = pathlib.Path(__file__).parents[2] / "docs" / "family.md"
COLUMNS = ["paper", "cuda_convnet", "caffe_alexnet", "caffenet", "torchvision"]
COLUMNS += ["one_gpu"]


def table():
    """The table of docs/family.md: row -> column -> text."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in FAMILY.read_text().splitlines()
        if line.startswith("|")
    ]
    names = [cell.strip("`") for cell in rows[0][1:]]
    assert names == COLUMNS
    return {row[0]: dict(zip(names, row[1:], strict=True)) for row in rows[2:]}


def number(text):
    return int(text.replace(",", ""))


@pytest.mark.parametrize("name", COLUMNS)
def test_the_documentations_table_has_the_numbers_of_the_architectures(name):
    net = zoo.find(name)
    cells = {row: cells[name] for row, cells in table().items()}
    padding = weighted(net)["conv1"].padding
    assert cells["input, side"] == str(net.input_size)
    assert cells["conv1's padding"] == f"{padding[0]}, {padding[1]}"
    assert cells["towers"] == str(net.towers)
    filters = [
        str(x.filters) for x in net.layers if isinstance(x, architecture.Convolution)
    ]
    assert cells["kernels"] == ", ".join(filters)
    first, second = chain_of_two(net)
    assert cells["layer 1"] == first
    assert cells["layer 2"] == second
    lrn = [x for x in net.layers if isinstance(x, LRN)]
    if lrn:
        assert cells["LRN: size, k"] == f"{lrn[0].size}, {lrn[0].k:g}"
        assert float(cells["LRN: alpha on the sum"]) == pytest.approx(lrn[0].alpha)
        assert cells["LRN: beta"] == f"{lrn[0].beta:g}"
        over = "its tower" if lrn[0].inputs == "own" and net.towers > 1 else "all"
        assert cells["LRN: over channels of"] == over
    else:
        lrn_rows = [row for row in cells if row.startswith("LRN:")]
        assert {cells[row] for row in lrn_rows} == {"none"}
        assert len(lrn_rows) == 4
    assert cells["dropout"].split(",")[0] == net.dropout
    assert number(cells["parameters"]) == architecture.parameters(net)
    assert number(cells["multiply-adds"]) == architecture.multiply_adds(net)


def chain_of_two(net):
    """The first two layers of a net in the words of the table."""
    words = {
        architecture.Convolution: "conv",
        architecture.Relu: "ReLU",
        LRN: "LRN",
        architecture.SpatialNormalization: "spatial",
        architecture.MaxPool: "pool",
    }
    text = ", ".join(words[type(x)] for x in net.layers if type(x) in words)
    first, second = re.split(r", (?=conv)", text)[:2]
    return first, second
