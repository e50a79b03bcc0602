"""AlexNet, its weights, its preprocessing, and the decoding of its predictions."""

import copy

import keras
import numpy as np
import pytest
import tensorflow as tf

import alexnet_tf
from alexnet_tf.models import (
    architecture_json,
    builder,
    layers,
    loaded_net,
    saved_weights,
    zoo,
)
from alexnet_tf.serving import exporting
from tests.support import arrays, nets


def cifar(**options):
    """The smallest of the nets, as a user builds it."""
    return alexnet_tf.AlexNet(architecture="cifar10_11pct", **options)


def features(**options):
    """The paper's net for 67 pixels, without its dense layers."""
    return alexnet_tf.AlexNet(include_top=False, input_shape=(67, 67, 3), **options)


def test_by_default_alexnet_is_the_papers_net_with_1000_probabilities():
    built = alexnet_tf.AlexNet()
    assert built.name == "alexnet"
    assert loaded_net.provenance_of(built).architecture["name"] == zoo.PAPER.name
    assert built.input_shape == (None, 224, 224, 3)
    assert built.output_shape == (None, 1000)
    assert built.count_params() == 60_965_224
    scores = built(nets.random_inputs(2, 224)).numpy()
    assert scores.min() >= 0
    np.testing.assert_allclose(scores.sum(1), 1, rtol=1e-5)
    keras.backend.clear_session()


def test_without_its_top_alexnet_ends_at_the_last_pooling():
    built = alexnet_tf.AlexNet(include_top=False)
    assert built.output_shape == (None, 6, 6, 256)
    assert built.count_params() == 34_944 + 307_456 + 885_120 + 663_936 + 442_624
    assert features().output_shape == (None, 1, 1, 256)


def test_without_its_top_the_output_is_both_towers_side_by_side():
    built = features()
    x = nets.random_inputs(1, 67)
    towers = [
        keras.Model(built.input, layer.output)(x).numpy()
        for layer in nets.towers_of(built, "conv5_maxpool")
    ]
    np.testing.assert_array_equal(built(x), np.concatenate(towers, -1))


def test_classes_activation_and_name_can_be_chosen():
    x = nets.random_inputs(3, 24)
    logits = cifar(classes=7, classifier_activation=None, name="mine", seed=1)
    softmax = cifar(classes=7, seed=1)
    assert (logits.name, logits.output_shape) == ("mine", (None, 7))
    arrays.assert_equal_to_rounding(softmax(x), tf.nn.softmax(logits(x)))


def test_an_unknown_architecture_is_rejected_with_the_known_ones():
    with pytest.raises(
        ValueError, match="must be one of paper, cuda_convnet.*got 'vgg'"
    ):
        alexnet_tf.AlexNet(architecture="vgg")


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
@pytest.mark.parametrize("make", [cifar, features])
def test_weights_are_saved_to_a_file_and_loaded_again(tmp_path, make, suffix):
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


def test_the_weights_of_a_whole_net_fit_a_net_without_its_top(tmp_path):
    whole = nets.small_net(seed=1)
    path = tmp_path / "whole.keras"
    whole.save(path)
    below = nets.small_net(seed=2, include_top=False)
    saved_weights.copy_weights(keras.saving.load_model(path), below)
    for layer in below.layers:
        if layer.weights:
            for ours, theirs in zip(
                layer.weights, whole.get_layer(layer.name).weights, strict=True
            ):
                np.testing.assert_array_equal(ours, theirs)


def test_weights_determine_the_dropout_convention(tmp_path):
    path = tmp_path / "w.weights.h5"
    net = alexnet_tf.AlexNet(architecture="small", dropout="inverted", classes=2)
    net.save_weights(path)
    assert (
        loaded_net.provenance_of(alexnet_tf.AlexNet(weights=path)).dropout == "inverted"
    )
    with pytest.raises(ValueError, match="trained with 'inverted' dropout"):
        alexnet_tf.AlexNet(weights=path, dropout="original")


def test_weights_without_an_architecture_need_one_as_an_argument(tmp_path):
    net = alexnet_tf.AlexNet(architecture="cifar10_11pct", classes=3)
    bare = keras.Model(net.input, net.layers[-2].output)
    bare.save_weights(tmp_path / "w.weights.h5")
    with pytest.raises(ValueError, match="does not say which architecture"):
        alexnet_tf.AlexNet(weights=tmp_path / "w.weights.h5")
    again = alexnet_tf.AlexNet(
        weights=tmp_path / "w.weights.h5", architecture="cifar10_11pct", classes=3
    )
    for mine, theirs in zip(again.get_weights(), net.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_weights_of_another_architecture_are_rejected_and_both_are_named(tmp_path):
    path = tmp_path / "w.weights.h5"  # their weights have the same shapes
    other, wanted = "cifar10_11pct_no_lrn", "cifar10_11pct"
    saved = alexnet_tf.AlexNet(architecture=other, classes=2)
    saved.save_weights(path)
    message = f"of the architecture '{other}'.*'{wanted}'"
    with pytest.raises(ValueError, match=message):
        alexnet_tf.AlexNet(weights=path, architecture=wanted, classes=2)
    # Keras' own method refuses them too.
    with pytest.raises(ValueError, match=message):
        alexnet_tf.AlexNet(architecture=wanted, classes=2).load_weights(path)
    net = alexnet_tf.AlexNet(weights=path)
    described = loaded_net.provenance_of(net)
    assert described.architecture["name"] == other
    assert net.output_shape == (None, 2)
    image = np.full((1, 24, 24, 3), 10, np.float32)
    np.testing.assert_array_equal(net(image), saved(image))


def test_a_keras_file_of_another_architecture_is_rejected(trained_run, tmp_path):
    path = exporting.export(trained_run, format="keras", folder=tmp_path)
    with pytest.raises(ValueError, match="'cifar10_11pct'.*'cifar10_13pct'"):
        alexnet_tf.AlexNet(weights=path, architecture="cifar10_13pct")
    net = alexnet_tf.AlexNet(weights=path)
    loaded = alexnet_tf.load(path)
    pixels = np.full((1, 24, 24, 3), 60, np.uint8)
    mean = np.load(trained_run / "mean.npy")
    np.testing.assert_allclose(
        net(alexnet_tf.preprocess_input(pixels, mean)), loaded.model(pixels), atol=1e-6
    )


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
@pytest.mark.parametrize("architecture", [None, "cifar10_11pct"])
@pytest.mark.filterwarnings("ignore")  # Keras warns about the file before it fails
def test_weights_of_another_number_of_classes_are_rejected(
    tmp_path, suffix, architecture
):
    path = tmp_path / f"ten{suffix}"
    net = cifar(classes=10)
    if suffix == ".keras":
        net.save(path)
    else:
        net.save_weights(path)
    message = "has 10 classes, and the net 7: build it with classes=10"
    with pytest.raises(ValueError, match=message):
        alexnet_tf.AlexNet(weights=path, classes=7, architecture=architecture)


def test_a_keras_file_of_another_architecture_is_rejected_without_a_top(tmp_path):
    path = tmp_path / "ten.keras"
    cifar(classes=10).save(path)
    with pytest.raises(ValueError, match="'cifar10_11pct'.*'paper'"):
        features(architecture="paper", weights=path)


def test_another_input_size_is_refused_in_one_line(tmp_path):
    path = tmp_path / "w.weights.h5"
    cifar(classes=3).save_weights(path)
    with pytest.raises(ValueError, match="input size 48: .* in local3, local4") as info:
        alexnet_tf.AlexNet(weights=path, input_shape=(48, 48, 3), include_top=False)
    assert "\n" not in str(info.value)


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_the_weights_fit_a_net_without_its_top(tmp_path, suffix):
    net = cifar(classes=3, seed=4)
    path = tmp_path / f"w{suffix}"
    net.save(path) if suffix == ".keras" else net.save_weights(path)
    below = alexnet_tf.AlexNet(weights=path, include_top=False)
    for layer in below.layers:
        wanted = net.get_layer(layer.name).get_weights()
        for mine, theirs in zip(layer.get_weights(), wanted, strict=True):
            np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("name", ["w.keras", "w.weights.h5"])
def test_a_damaged_file_is_named(tmp_path, name):
    (tmp_path / name).write_bytes(b"damaged")
    with pytest.raises(ValueError, match=f"{name} is damaged, or not a "):
        alexnet_tf.AlexNet(weights=tmp_path / name)


def save_changed(path, change):
    """Saves weights whose file says that the first layer has other values too."""
    net = cifar(classes=3)
    described = copy.deepcopy(net.get_layer("provenance").architecture)
    described["layers"][0].update(change)
    named = layers.Provenance(described, "original", name="provenance")
    keras.Model(net.input, named(net.layers[-2].output)).save_weights(path)


def test_a_net_of_the_same_name_that_was_defined_otherwise_is_refused(tmp_path):
    path = tmp_path / "w.weights.h5"
    save_changed(path, {"padding": [1, 3]})
    with pytest.raises(
        ValueError, match="called 'cifar10_11pct' too, but whose layers"
    ):
        alexnet_tf.AlexNet(weights=path, architecture="cifar10_11pct")
    net = alexnet_tf.AlexNet(weights=path)
    assert loaded_net.provenance_of(net).architecture["layers"][0]["padding"] == [1, 3]


def test_a_net_that_this_version_does_not_know_is_named_with_its_file(tmp_path):
    path = tmp_path / "w.weights.h5"
    save_changed(path, {"rotation": 1})
    with pytest.raises(ValueError, match=r"w\.weights\.h5 holds a net .*'rotation'"):
        alexnet_tf.AlexNet(weights=path)


@pytest.mark.parametrize("name", ["none.keras", "none.weights.h5"])
def test_a_missing_file_of_weights_is_named(tmp_path, name):
    with pytest.raises(FileNotFoundError, match=f"no file .*{name}"):
        cifar(weights=tmp_path / name)


@pytest.mark.parametrize("as_tensor", [False, True])
def test_preprocessing_subtracts_the_mean_and_does_not_rescale(as_tensor):
    pixels = np.array([[[[0, 0, 0], [255, 255, 255]]]], np.uint8)
    found = alexnet_tf.preprocess_input(tf.constant(pixels) if as_tensor else pixels)
    expected = [[[[-127.2, -118.6, -103.4], [127.8, 136.4, 151.6]]]]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert np.asarray(found).dtype == np.float32
    assert pixels.max() == 255


def test_preprocessing_can_subtract_a_mean_image():
    mean = nets.random_inputs(1, 4)[0]
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


def test_decoded_predictions_are_plain_python_numbers():
    (((index, name, score),),) = alexnet_tf.decode_predictions(np.ones((1, 2)), top=1)
    assert [type(value) for value in (index, name, score)] == [int, str, float]


def test_predictions_of_another_shape_are_rejected():
    with pytest.raises(ValueError, match=r"\[N, classes\], got shape \(3,\)"):
        alexnet_tf.decode_predictions(np.ones(3))
    with pytest.raises(ValueError, match="2 names for 3 classes"):
        alexnet_tf.decode_predictions(np.ones((1, 3)), class_names=["a", "b"])


def test_classes_have_the_names_that_the_net_knows(tmp_path):
    architecture = zoo.find("cifar10_11pct").with_classes(2)
    model = builder.build(architecture, classifier_activation="softmax")
    provenance = layers.Provenance(
        architecture_json.to_json(architecture),
        "original",
        ("cat", "dog"),
        name="provenance",
        dtype="float32",
    )
    named = keras.Model(model.input, provenance(model.output))
    found = alexnet_tf.decode_predictions([[0.1, 0.9]], 1, named)
    assert found == [[(1, "dog", 0.9)]]
    assert alexnet_tf.decode_predictions([[0.1, 0.9]], 1, loaded_net.LoadedNet(named))[
        0
    ] == [(1, "dog", 0.9)]
    with pytest.raises(ValueError, match="does not hold its class names"):
        alexnet_tf.decode_predictions([[0.1, 0.9]], 1, model)
    # A net that is built with the weights of such a file keeps the names.
    named.save(tmp_path / "named.keras")
    again = alexnet_tf.AlexNet(weights=tmp_path / "named.keras")
    found = alexnet_tf.decode_predictions([[0.9, 0.1]], 1, again)
    assert found == [[(0, "cat", 0.9)]]
