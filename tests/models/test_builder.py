"""Keras models equal their architectures and a formulation in TensorFlow's operations."""

import dataclasses
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.models import architecture, builder, layers, zoo
from tests.support import arrays, nets

PARAMETERS = {
    "paper": 60_965_224,
    "cuda_convnet": 60_965_224,
    "one_gpu": 59_798_312,
    "no_lrn": 60_965_224,
    "pool2x2": 60_965_224,
    "conv6": 61_555_304,
    "caffe_alexnet": 60_965_224,
    "caffenet": 60_965_224,
    "cifar10_11pct": 2_112_970,
    "cifar10_13pct": 1_116_490,
}


@pytest.fixture(scope="module", params=PARAMETERS)
def net(request):
    """(architecture, its model without the values of its weights)."""
    plan = zoo.find(request.param)
    with keras.StatelessScope(initialize_variables=False):
        built = builder.build(plan)
    return plan, built


@pytest.fixture(scope="module")
def paper_net():
    """The paper's network with the paper's initial weights."""
    yield builder.build(zoo.PAPER, initialization="paper", seed=1)
    keras.backend.clear_session()


def test_the_number_of_parameters_is_the_papers(net):
    plan, built = net
    assert built.count_params() == PARAMETERS[plan.name]
    assert built.count_params() == architecture.parameters(plan)


def test_every_layer_has_the_shape_and_the_parameters_of_its_extent(net):
    plan, built = net
    for extent in architecture.extents(plan):
        found = nets.towers_of(built, extent.name)
        shapes = [layer.output.shape[1:] for layer in found]
        assert {shape[:-1] for shape in shapes} == {extent.shape[:-1]}
        assert sum(shape[-1] for shape in shapes) == extent.shape[-1]
        assert len({shape[-1] for shape in shapes}) == 1
        assert sum(layer.count_params() for layer in found) == extent.parameters


def test_a_model_of_an_architecture_has_no_other_weights(net):
    plan, built = net
    names = {layer.name for layer in built.layers if layer.weights}
    expected = {
        layer.name
        for extent in architecture.extents(plan)
        if isinstance(extent.layer, architecture.Weighted)
        for layer in nets.towers_of(built, extent.name)
    }
    assert names == expected


def assert_normal(values, std):
    """Asserts that values are Gaussian with mean 0, to five standard errors.

    They are not truncated at two standard deviations.
    """
    values = values.ravel().astype(np.float64)
    count = values.size
    assert abs(values.mean()) < 5 * std / math.sqrt(count)
    assert values.std() == pytest.approx(std, rel=5 / math.sqrt(2 * count))
    beyond = (np.abs(values) > 2 * std).mean()
    assert beyond == pytest.approx(0.0455, abs=5 * math.sqrt(0.0455 / count))


@pytest.mark.parametrize("name", ["cuda_convnet", "caffenet", "cifar10_11pct"])
def test_initial_weights_are_gaussian_with_each_layers_own_standard_deviation(name):
    plan = zoo.find(name)
    built = builder.build(plan)
    for extent in architecture.extents(plan):
        if not isinstance(extent.layer, architecture.Weighted):
            continue
        for layer in nets.towers_of(built, extent.name):
            kernel, bias = (weight.numpy() for weight in layer.weights)
            assert_normal(kernel[..., :64], extent.layer.standard_deviation)
            np.testing.assert_array_equal(bias, np.float32(extent.layer.initial_bias))
    keras.backend.clear_session()


def test_the_papers_initialization_has_one_standard_deviation(paper_net):
    for extent in architecture.extents(zoo.PAPER):
        if not isinstance(extent.layer, architecture.Weighted):
            continue
        for layer in nets.towers_of(paper_net, extent.name):
            kernel, bias = (weight.numpy() for weight in layer.weights)
            assert_normal(kernel[..., :64], 0.01)
            np.testing.assert_array_equal(bias, extent.layer.initial_bias)


def grouped_logits(weights, x, plan):
    """The two towers as one network, with kernels side by side and groups of channels.

    It uses nothing of `builder` or `layers`, only TensorFlow's own operations on
    `weights`, name -> (kernel, bias).
    """
    units = None
    for layer in plan.layers:
        match layer:
            case architecture.Convolution():
                kernel, bias = weights[layer.name]
                edges = list(layer.padding)
                padded = tf.pad(x, [[0, 0], edges, edges, [0, 0]])
                x = tf.nn.conv2d(padded, kernel, layer.stride, "VALID") + bias
            case architecture.ResponseNormalization():
                constants = {"bias": layer.k, "alpha": layer.alpha, "beta": layer.beta}
                halves = [
                    tf.nn.local_response_normalization(half, 2, **constants)
                    for half in tf.split(x, 2, axis=-1)
                ]
                x = tf.concat(halves, -1)
            case architecture.MaxPool():
                x = tf.nn.max_pool2d(x, layer.size, layer.stride, "VALID")
            case architecture.Dense():
                if units is None:
                    halves = tf.split(x, 2, axis=-1)
                    flat = [tf.reshape(half, [len(half), -1]) for half in halves]
                    units = tf.concat(flat, -1)
                kernel, bias = weights[layer.name]
                units = units @ kernel + bias
            case architecture.Dropout():
                units = units * (1 - layer.rate)  # at test time
            case architecture.Relu() if units is None:
                x = tf.nn.relu(x)
            case architecture.Relu():
                units = tf.nn.relu(units)
    return units


def side_by_side(built, plan):
    """Returns name -> (kernel, bias), with both towers' weights concatenated."""
    return {
        layer.name: tuple(
            tf.concat([tower.weights[i].value for tower in towers], -1) for i in (0, 1)
        )
        for layer in plan.layers
        if isinstance(layer, architecture.Weighted)
        for towers in [nets.towers_of(built, layer.name)]
    }


def test_the_full_network_equals_its_grouped_formulation(paper_net):
    x = nets.random_inputs(2, 224)
    expected = grouped_logits(side_by_side(paper_net, zoo.PAPER), x, zoo.PAPER)
    arrays.assert_equal_to_rounding(paper_net(x), expected)


@pytest.mark.parametrize("lrn", ["op", "stock"])
def test_loss_and_all_gradients_equal_those_of_the_grouped_formulation(lrn):
    plan = dataclasses.replace(
        nets.SMALL,
        layers=tuple(
            dataclasses.replace(layer, filters=layer.filters // 4 * 4)
            if isinstance(layer, architecture.Convolution)
            else layer
            for layer in nets.SMALL.layers
        ),
    )
    built = builder.build(plan, lrn=lrn, seed=3)
    x, labels = nets.random_inputs(4, 99), np.array([0, 4, 2, 2])

    def loss_of(logits):
        return tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        )

    with tf.GradientTape() as tape:
        loss = loss_of(built(x, training=True))
    variables = built.trainable_variables
    found = dict(
        zip(
            [variable.path for variable in variables],
            tape.gradient(loss, [variable.value for variable in variables]),
            strict=True,
        )
    )

    weights = side_by_side(built, plan)
    with tf.GradientTape() as tape:
        tape.watch(weights)
        expected_loss = loss_of(grouped_logits(weights, x, plan))
    expected = tape.gradient(expected_loss, weights)

    assert float(loss) == pytest.approx(float(expected_loss), rel=1e-5)
    assert len(found) == 2 * (2 * 7 + 1)
    for name, parts in expected.items():
        towers = [layer.name for layer in nets.towers_of(built, name)]
        for kind, gradient in zip(("kernel", "bias"), parts, strict=True):
            ours = tf.concat([found[f"{tower}/{kind}"] for tower in towers], -1)
            arrays.assert_equal_to_rounding(ours, gradient, 2e-5)


def test_towers_that_stay_apart_do_not_see_each_other():
    # A change to the first tower's conv2 reaches the second tower's conv5 only through
    # conv3, which reads both. If conv3 reads its own tower only, nothing changes.
    apart = dataclasses.replace(
        nets.SMALL,
        layers=tuple(
            dataclasses.replace(layer, inputs="own")
            if isinstance(layer, architecture.Convolution)
            else layer
            for layer in nets.SMALL.layers
        ),
    )
    x = nets.random_inputs(1, 99)
    changed = []
    for plan in (nets.SMALL, apart):
        built = builder.build(plan)
        second = keras.Model(built.input, built.get_layer("conv5_tower1").output)
        before = second(x).numpy()
        built.get_layer("conv2_tower0").kernel.assign_add(
            0.1 * tf.ones_like(built.get_layer("conv2_tower0").kernel)
        )
        changed.append(bool((second(x).numpy() != before).any()))
    assert changed == [True, False]


def test_the_same_seed_gives_the_same_weights_and_another_seed_gives_others():
    first, again, other = (
        nets.small_net(seed=seed).get_weights() for seed in (4, 4, 5)
    )
    kernels = [i for i, weight in enumerate(first) if weight.std() > 0]
    assert len(kernels) == 15
    for i in kernels:
        np.testing.assert_array_equal(first[i], again[i])
        assert not np.isin(first[i], other[i]).all()
        assert (first[i] != other[i]).mean() > 0.99


def test_no_two_layers_or_towers_have_the_same_initial_weights():
    kernels = [
        w.ravel()[:50] for w in nets.small_net(seed=0).get_weights() if w.std() > 0
    ]
    for i, one in enumerate(kernels):
        for two in kernels[:i]:
            assert abs(np.corrcoef(one, two)[0, 1]) < 0.7


@pytest.mark.parametrize(("size", "stride"), [(3, 2), (2, 2)])
@pytest.mark.parametrize("side", range(5, 13))
def test_the_last_pooling_window_may_extend_past_the_edge(side, size, stride):
    plan = architecture.Architecture(
        "pool",
        "a pooling alone",
        side,
        side,
        1,
        (
            architecture.Convolution("conv1", filters=2, kernel_size=1),
            architecture.MaxPool(size, stride),
            architecture.Dense("fc", units=2),
        ),
    )
    built = builder.build(plan, include_top=False)
    x = -np.abs(nets.random_inputs(1, side))  # negative: a padded zero would win
    kernel, _ = built.get_layer("conv1").weights
    whole = (x @ kernel.numpy())[0, :, :, :]
    count = 1 + math.ceil((side - size) / stride)
    expected = np.zeros((1, count, count, 2))
    for row, column in np.ndindex(count, count):
        top, left = row * stride, column * stride
        window = whole[top : top + size, left : left + size]
        expected[0, row, column] = window.max((0, 1))
    np.testing.assert_allclose(built(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("jit", [False, True])
def test_a_model_with_a_mean_finishes_the_images_that_the_host_sends(jit):
    mean = np.random.default_rng(0).uniform(80, 140, (99, 99, 3)).astype(np.float32)
    whole, plain = nets.small_net(mean=mean, jit=jit, seed=2), nets.small_net(seed=2)
    rng = np.random.default_rng(1)
    inputs = {
        "image": rng.integers(0, 256, (3, 99, 99, 3)).astype(np.uint8),
        "mirror": np.array([False, True, True]),
        "shift": rng.normal(0, 10, (3, 3)).astype(np.float32),
        "gain": np.array([1, 0.9, 1 / 1.1], np.float32),
    }
    image = inputs["image"].astype(np.float32)
    image[1:] = image[1:, :, ::-1]
    finished = image - mean + inputs["shift"][:, None, None]
    finished *= inputs["gain"][:, None, None, None]
    arrays.assert_equal_to_rounding(whole(inputs), plain(finished))


def test_bfloat16_computes_in_bfloat16_and_keeps_its_variables_in_float32():
    low, high = nets.small_net(precision="bfloat16", seed=1), nets.small_net(seed=1)
    assert {str(v.dtype) for v in low.variables} == {"float32"}
    assert {layer.compute_dtype for layer in low.layers[1:]} == {"bfloat16"}
    x = nets.random_inputs(4, 99)
    found = low(x)
    assert found.dtype == tf.bfloat16
    expected = high(x).numpy()
    arrays.assert_equal_to_rounding(tf.cast(found, tf.float32), expected, 0.05)


def test_every_layer_and_tower_draws_different_dropout_masks():
    plan = dataclasses.replace(
        nets.SMALL,
        layers=(*nets.SMALL.layers[:-1], architecture.Dropout(), nets.SMALL.layers[-1]),
    )
    built = builder.build(plan, seed=2, dropout="inverted")
    found = [layer for layer in built.layers if isinstance(layer, layers.Dropout)]
    assert len({layer.seed for layer in found}) == len(found) == 2
    assert {layer.convention for layer in found} == {"inverted"}
    other = builder.build(plan, seed=3)
    others = {layer.seed for layer in other.layers if isinstance(layer, layers.Dropout)}
    assert not others & {layer.seed for layer in found}


@pytest.mark.parametrize("lrn", ["op", "stock"])
def test_the_normalization_has_the_requested_implementation(lrn):
    kinds = {
        layer.implementation
        for layer in nets.small_net(lrn=lrn).layers
        if isinstance(layer, layers.LocalResponseNormalization)
    }
    assert kinds == {lrn}


def test_a_number_of_devices_that_differs_from_that_of_towers_is_rejected():
    with pytest.raises(ValueError, match="small has 2 towers, got 3 devices"):
        nets.small_net(devices=["/CPU:0"] * 3)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"precision": "float16"}, "one of float32, tf32, bfloat16, got 'float16'"),
        ({"initialization": "he"}, "one of paper, cuda_convnet, pytorch, got 'he'"),
        ({"lrn": "cudnn"}, "one of auto, op, stock, got 'cudnn'"),
        (
            {"dropout": "gaussian", "architecture": zoo.PAPER},
            "one of original, inverted, got 'gaussian'",
        ),
    ],
)
def test_an_unknown_option_is_rejected(option, message):
    with pytest.raises(ValueError, match=message):
        builder.build(option.pop("architecture", nets.SMALL), **option)


def test_a_layer_on_one_tower_that_reads_its_own_inputs_is_rejected():
    top = dataclasses.replace(nets.SMALL.layers[-1], inputs="own")
    with pytest.raises(ValueError, match="fc8 is on one tower and its inputs are on 2"):
        builder.build(
            dataclasses.replace(nets.SMALL, layers=(*nets.SMALL.layers[:-1], top))
        )


def test_a_pooling_whose_last_window_extends_too_far_is_rejected():
    plan = dataclasses.replace(
        nets.SMALL,
        layers=(
            nets.SMALL.layers[0],
            architecture.MaxPool(5, 3),
            nets.SMALL.layers[-1],
        ),
    )
    with pytest.raises(ValueError, match="last 5 x 5 window with stride 3 extends 2"):
        builder.build(plan.with_input_size((103, 103, 3)))


def test_a_type_of_layer_without_a_keras_layer_is_rejected():
    with pytest.raises(TypeError, match="there is no Keras layer for 'batch norm'"):
        builder.build(dataclasses.replace(nets.SMALL, layers=("batch norm",)))
