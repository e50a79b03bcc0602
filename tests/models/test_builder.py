"""The Keras models against their architectures, and against TensorFlow's operations.

The full networks have 61 million parameters, so each is built only once.
"""

import dataclasses
import math
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import alexnet_tf
from alexnet_tf.models import applications, architecture, builder, layers, zoo

PARAMETERS = {
    "paper": 60_965_224,
    "cuda_convnet": 60_965_224,
    "one_gpu": 59_798_312,
    "no_lrn": 60_965_224,
    "pool2x2": 60_965_224,
    "conv6": 61_555_304,
    "cifar10_11pct": 2_112_970,
    "cifar10_13pct": 1_116_490,
}


@pytest.fixture(scope="module", params=PARAMETERS)
def net(request):
    """(architecture, its model with the 2012 program's initialization), one by one."""
    plan = zoo.find(request.param)
    yield plan, builder.build(plan)
    keras.backend.clear_session()


@pytest.fixture(scope="module")
def paper_net():
    """The paper's network with the paper's initial weights."""
    yield builder.build(zoo.PAPER, initialization="paper", seed=1)
    keras.backend.clear_session()


def towers_of(built, name):
    """The Keras layers of one layer of an architecture: one, or one per tower."""
    named = {layer.name: layer for layer in built.layers}
    if name in named:
        return [named[name]]
    return [named[f"{name}_tower{tower}"] for tower in (0, 1)]


def test_the_number_of_parameters_is_the_papers(net):
    plan, built = net
    assert built.count_params() == PARAMETERS[plan.name]
    assert built.count_params() == architecture.parameters(plan)


def test_every_layer_has_the_shape_and_the_parameters_of_its_extent(net):
    plan, built = net
    for extent in architecture.extents(plan):
        found = towers_of(built, extent.name)
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
        for layer in towers_of(built, extent.name)
    }
    assert names == expected


def assert_normal(values, std):
    """Gaussian with mean 0 to five standard errors, not truncated at two deviations."""
    values = values.ravel().astype(np.float64)
    count = values.size
    assert abs(values.mean()) < 5 * std / math.sqrt(count)
    assert values.std() == pytest.approx(std, rel=5 / math.sqrt(2 * count))
    beyond = (np.abs(values) > 2 * std).mean()
    assert beyond == pytest.approx(0.0455, abs=5 * math.sqrt(0.0455 / count))


def test_the_2012_programs_initialization_follows_each_layer(
    net,
):
    plan, built = net
    for extent in architecture.extents(plan):
        if not isinstance(extent.layer, architecture.Weighted):
            continue
        for layer in towers_of(built, extent.name):
            kernel, bias = (weight.numpy() for weight in layer.weights)
            assert_normal(kernel[..., :64], extent.layer.standard_deviation)
            np.testing.assert_array_equal(bias, extent.layer.initial_bias)


def test_the_papers_initialization_has_one_standard_deviation(
    paper_net,
):
    for extent in architecture.extents(zoo.PAPER):
        if not isinstance(extent.layer, architecture.Weighted):
            continue
        for layer in towers_of(paper_net, extent.name):
            kernel, bias = (weight.numpy() for weight in layer.weights)
            assert_normal(kernel[..., :64], 0.01)
            np.testing.assert_array_equal(bias, extent.layer.initial_bias)


def grouped_logits(weights, x, plan):
    """The two towers as one network: kernels side by side, groups of channels.

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
    """Name -> (kernel, bias) of both towers together."""
    return {
        layer.name: tuple(
            tf.concat([tower.weights[i].value for tower in towers], -1) for i in (0, 1)
        )
        for layer in plan.layers
        if isinstance(layer, architecture.Weighted)
        for towers in [towers_of(built, layer.name)]
    }


def pictures(count, side, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-128, 128, (count, side, side, 3)).astype(np.float32)


def assert_equal_to_rounding(found, expected, tolerance=1e-5):
    """Within `tolerance` of the largest value."""
    found, expected = np.asarray(found), np.asarray(expected)
    largest = np.abs(expected).max()
    assert largest > 0
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * largest)


def test_the_full_network_equals_its_grouped_formulation(paper_net):
    x = pictures(2, 224)
    expected = grouped_logits(side_by_side(paper_net, zoo.PAPER), x, zoo.PAPER)
    assert_equal_to_rounding(paper_net(x), expected)


SMALL = architecture.Architecture(
    name="small",
    description="two towers, every kind of exchange, a few thousand parameters",
    input_size=99,  # 23, 11, 5 and 2 pixels
    record_size=110,
    towers=2,
    layers=tuple(
        dataclasses.replace(layer, filters=layer.filters // 16, standard_deviation=0.05)
        if isinstance(layer, architecture.Convolution)
        else dataclasses.replace(layer, units=24, standard_deviation=0.1)
        if isinstance(layer, architecture.Dense)
        else layer
        for layer in zoo.PAPER.layers
        if not isinstance(layer, architecture.Dropout)
    ),
).with_classes(5)


def small(**options):
    return builder.build(SMALL, **options)


@pytest.mark.parametrize("lrn", ["op", "stock"])
def test_loss_and_all_gradients_equal_those_of_the_grouped_formulation(lrn):
    plan = dataclasses.replace(
        SMALL,
        layers=tuple(
            dataclasses.replace(layer, filters=layer.filters // 4 * 4)
            if isinstance(layer, architecture.Convolution)
            else layer
            for layer in SMALL.layers
        ),
    )
    built = builder.build(plan, lrn=lrn, seed=3)
    x, labels = pictures(4, 99), np.array([0, 4, 2, 2])

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
        towers = [layer.name for layer in towers_of(built, name)]
        for kind, gradient in zip(("kernel", "bias"), parts, strict=True):
            ours = tf.concat([found[f"{tower}/{kind}"] for tower in towers], -1)
            assert_equal_to_rounding(ours, gradient, 2e-5)


def test_towers_that_stay_apart_do_not_see_each_other():
    # A change to the first tower's conv2 reaches the second tower's conv5 only through
    # conv3, which reads both. If conv3 reads its own tower only, nothing changes.
    apart = dataclasses.replace(
        SMALL,
        layers=tuple(
            dataclasses.replace(layer, inputs="own")
            if isinstance(layer, architecture.Convolution)
            else layer
            for layer in SMALL.layers
        ),
    )
    x = pictures(1, 99)
    changed = []
    for plan in (SMALL, apart):
        built = builder.build(plan)
        second = keras.Model(built.input, built.get_layer("conv5_tower1").output)
        before = second(x).numpy()
        built.get_layer("conv2_tower0").kernel.assign_add(
            0.1 * tf.ones_like(built.get_layer("conv2_tower0").kernel)
        )
        changed.append(bool((second(x).numpy() != before).any()))
    assert changed == [True, False]


def test_the_same_seed_gives_the_same_weights_and_another_gives_others():
    first, again, other = (small(seed=seed).get_weights() for seed in (4, 4, 5))
    kernels = [i for i, weight in enumerate(first) if weight.std() > 0]
    assert len(kernels) == 15
    for i in kernels:
        np.testing.assert_array_equal(first[i], again[i])
        assert not np.isin(first[i], other[i]).all()
        assert (first[i] != other[i]).mean() > 0.99


def test_no_two_layers_or_towers_have_the_same_initial_weights():
    kernels = [w.ravel()[:50] for w in small(seed=0).get_weights() if w.std() > 0]
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
    x = -np.abs(pictures(1, side))  # negative: a padded zero would win
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
    whole, plain = small(mean=mean, jit=jit, seed=2), small(seed=2)
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
    assert_equal_to_rounding(whole(inputs), plain(finished))


def test_bfloat16_computes_in_bfloat16_and_keeps_its_variables_in_float32():
    low, high = small(precision="bfloat16", seed=1), small(seed=1)
    assert {str(v.dtype) for v in low.variables} == {"float32"}
    assert {layer.compute_dtype for layer in low.layers[1:]} == {"bfloat16"}
    x = pictures(4, 99)
    found = low(x)
    assert found.dtype == tf.bfloat16
    expected = high(x).numpy()
    assert_equal_to_rounding(tf.cast(found, tf.float32), expected, 0.05)


def test_every_layer_and_tower_draws_different_dropout_masks():
    plan = dataclasses.replace(
        SMALL, layers=(*SMALL.layers[:-1], architecture.Dropout(), SMALL.layers[-1])
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
        for layer in small(lrn=lrn).layers
        if isinstance(layer, layers.LocalResponseNormalization)
    }
    assert kinds == {lrn}


def test_a_number_of_devices_other_than_that_of_towers_is_rejected():
    with pytest.raises(ValueError, match="small has 2 towers, got 3 devices"):
        small(devices=["/CPU:0"] * 3)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"precision": "float16"}, "one of float32, tf32, bfloat16, got 'float16'"),
        ({"initialization": "he"}, "one of paper, cuda_convnet, got 'he'"),
        ({"lrn": "cudnn"}, "one of op, stock, got 'cudnn'"),
        (
            {"dropout": "gaussian", "architecture": zoo.PAPER},
            "one of original, inverted, got 'gaussian'",
        ),
    ],
)
def test_an_unknown_option_is_rejected(option, message):
    with pytest.raises(ValueError, match=message):
        builder.build(option.pop("architecture", SMALL), **option)


def test_a_layer_on_one_tower_that_reads_its_own_inputs_is_rejected():
    top = dataclasses.replace(SMALL.layers[-1], inputs="own")
    with pytest.raises(ValueError, match="fc8 is on one tower and its inputs are on 2"):
        builder.build(dataclasses.replace(SMALL, layers=(*SMALL.layers[:-1], top)))


def test_a_pooling_whose_last_window_extends_too_far_is_rejected():
    plan = dataclasses.replace(
        SMALL, layers=(SMALL.layers[0], architecture.MaxPool(5, 3), SMALL.layers[-1])
    )
    with pytest.raises(ValueError, match="last 5 x 5 window with stride 3 extends 2"):
        builder.build(plan.with_input_size((103, 103, 3)))


def test_a_type_of_layer_without_a_keras_layer_is_rejected():
    with pytest.raises(TypeError, match="there is no Keras layer for 'batch norm'"):
        builder.build(dataclasses.replace(SMALL, layers=("batch norm",)))


def cifar(**options):
    """The smallest of the nets, as a user builds it."""
    return alexnet_tf.AlexNet(architecture="cifar10_11pct", **options)


def features(**options):
    """The paper's net for 67 pixels, without its dense layers."""
    return alexnet_tf.AlexNet(include_top=False, input_shape=(67, 67, 3), **options)


def test_alexnet_is_the_papers_net_with_probabilities_of_1000_classes():
    built = alexnet_tf.AlexNet()
    assert built.name == "alexnet"
    assert built.input_shape == (None, 224, 224, 3)
    assert built.output_shape == (None, 1000)
    assert built.count_params() == 60_965_224
    scores = built(pictures(2, 224)).numpy()
    assert scores.min() >= 0
    np.testing.assert_allclose(scores.sum(1), 1, rtol=1e-5)
    keras.backend.clear_session()


def test_without_its_top_alexnet_ends_at_the_last_pooling():
    built = alexnet_tf.AlexNet(include_top=False)
    assert built.output_shape == (None, 6, 6, 256)
    assert built.count_params() == 34_944 + 307_456 + 885_120 + 663_936 + 442_624
    assert features().output_shape == (None, 1, 1, 256)


def test_the_map_without_a_top_is_the_towers_side_by_side():
    built = features()
    x = pictures(1, 67)
    towers = [
        keras.Model(built.input, layer.output)(x).numpy()
        for layer in towers_of(built, "conv5_maxpool")
    ]
    np.testing.assert_array_equal(built(x), np.concatenate(towers, -1))


def test_classes_activation_and_name_are_the_users():
    x = pictures(3, 24)
    logits = cifar(classes=7, classifier_activation=None, name="mine", seed=1)
    softmax = cifar(classes=7, seed=1)
    assert (logits.name, logits.output_shape) == ("mine", (None, 7))
    assert_equal_to_rounding(softmax(x), tf.nn.softmax(logits(x)))


def test_an_input_shape_that_the_net_cannot_take_is_refused():
    with pytest.raises(ValueError, match=r"\(side, side, 3\), got \(224, 200, 3\)"):
        alexnet_tf.AlexNet(input_shape=(224, 200, 3))
    with pytest.raises(ValueError, match="too small"):
        alexnet_tf.AlexNet(input_shape=(16, 16, 3))


def test_an_unknown_architecture_lists_those_there_are():
    with pytest.raises(
        ValueError, match="must be one of paper, cuda_convnet.*got 'vgg'"
    ):
        alexnet_tf.AlexNet(architecture="vgg")


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
@pytest.mark.parametrize("make", [cifar, features])
def test_weights_go_to_a_file_and_back(tmp_path, make, suffix):
    saved, fresh = make(seed=1), make(seed=2)
    path = tmp_path / f"net{suffix}"
    if suffix == ".keras":
        saved.save(path)
    else:
        saved.save_weights(path)
    loaded = make(weights=path)
    for ours, theirs, others in zip(
        loaded.weights, saved.weights, fresh.weights, strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.path.endswith("bias") or (ours.numpy() != others.numpy()).any()


def test_the_weights_of_a_run_fit_without_its_top(tmp_path):
    whole = small(seed=1)
    path = tmp_path / "whole.keras"
    whole.save(path)
    below = small(seed=2, include_top=False)
    applications.copy_weights(keras.saving.load_model(path), below)
    for layer in below.layers:
        if layer.weights:
            for ours, theirs in zip(
                layer.weights, whole.get_layer(layer.name).weights, strict=True
            ):
                np.testing.assert_array_equal(ours, theirs)


def test_weights_of_another_network_are_rejected_with_what_differs(tmp_path):
    path = tmp_path / "ten.keras"
    cifar(classes=10).save(path)
    with pytest.raises(
        ValueError, match="has 10 classes, and the net 7: build it with"
    ):
        cifar(classes=7, weights=path)
    with pytest.raises(ValueError, match="'cifar10_11pct'.*'paper'"):
        features(architecture="paper", weights=path)


def test_h5_weights_of_another_network_are_rejected(tmp_path):
    path = tmp_path / "ten.weights.h5"
    cifar(classes=10).save_weights(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras, of what it finds on the way
        with pytest.raises(
            ValueError, match="has 10 classes, and the net 7: build it with"
        ):
            cifar(classes=7, weights=path)


@pytest.mark.parametrize("name", ["none.keras", "none.weights.h5"])
def test_missing_weights_are_named(tmp_path, name):
    with pytest.raises(FileNotFoundError, match=f"no file .*{name}"):
        cifar(weights=tmp_path / name)


@pytest.mark.parametrize("weights", ["imagenet", "runs/default", "net.h5"])
def test_weights_are_a_file_of_a_known_kind(weights):
    with pytest.raises(ValueError, match=f"a .keras file, got '{weights}'"):
        cifar(weights=weights)


@pytest.mark.parametrize("as_tensor", [False, True])
def test_preprocessing_subtracts_the_mean_and_does_not_rescale(as_tensor):
    pixels = np.array([[[[0, 0, 0], [255, 255, 255]]]], np.uint8)
    found = alexnet_tf.preprocess_input(tf.constant(pixels) if as_tensor else pixels)
    expected = [[[[-127.2, -118.6, -103.4], [127.8, 136.4, 151.6]]]]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert np.asarray(found).dtype == np.float32
    assert pixels.max() == 255


def test_preprocessing_takes_a_mean_image():
    mean = pictures(1, 4)[0]
    pixels = np.full((2, 4, 4, 3), 100.0)
    found = alexnet_tf.preprocess_input(pixels, mean)
    np.testing.assert_allclose(found, np.stack([100 - mean] * 2), rtol=1e-6)


def test_predictions_are_decoded_best_first():
    scores = np.array([[0.1, 0.5, 0.0, 0.4], [0.7, 0.0, 0.2, 0.1]], np.float32)
    found = alexnet_tf.decode_predictions(scores, 2, ["ant", "bee", "cat", "dog"])
    assert found == [
        [(1, "bee", pytest.approx(0.5)), (3, "dog", pytest.approx(0.4))],
        [(0, "ant", pytest.approx(0.7)), (2, "cat", pytest.approx(0.2))],
    ]


def test_ties_are_decoded_in_the_order_of_the_classes():
    ((*found,),) = alexnet_tf.decode_predictions(np.array([[0.2, 0.3, 0.2, 0.3]]), 4)
    assert [(index, name) for index, name, _ in found] == [
        (1, "1"),
        (3, "3"),
        (0, "0"),
        (2, "2"),
    ]


def test_no_more_classes_are_decoded_than_there_are():
    (found,) = alexnet_tf.decode_predictions(np.ones((1, 3)), top=5)
    assert len(found) == 3
    (found,) = alexnet_tf.decode_predictions(np.ones((1, 8)))
    assert len(found) == 5


def test_predictions_decode_to_plain_numbers():
    (((index, name, score),),) = alexnet_tf.decode_predictions(np.ones((1, 2)), top=1)
    assert [type(value) for value in (index, name, score)] == [int, str, float]


def test_predictions_of_another_form_are_refused():
    with pytest.raises(ValueError, match=r"\[N, classes\], got shape \(3,\)"):
        alexnet_tf.decode_predictions(np.ones(3))
    with pytest.raises(ValueError, match="2 names for 3 classes"):
        alexnet_tf.decode_predictions(np.ones((1, 3)), class_names=["a", "b"])
