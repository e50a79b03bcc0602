"""AlexNet takes the weights of its own net, and no others."""

import copy

import keras
import numpy as np
import pytest

import alexnet_tf
from alexnet_tf.models import layers, trained, zoo
from alexnet_tf.serving import exporting

SMALL = {"classes": 3, "architecture": "cifar10_11pct"}


def test_weights_of_another_architecture_are_refused_and_both_are_named(tmp_path):
    program = alexnet_tf.AlexNet(architecture="cuda_convnet", classes=2)
    program.save_weights(tmp_path / "w.weights.h5")
    with pytest.raises(ValueError, match="of the architecture 'cuda_convnet'.*'paper'"):
        alexnet_tf.AlexNet(
            weights=tmp_path / "w.weights.h5", architecture="paper", classes=2
        )
    # Keras' own method refuses them too.
    with pytest.raises(ValueError, match="of the architecture 'cuda_convnet'.*'paper'"):
        alexnet_tf.AlexNet(architecture="paper", classes=2).load_weights(
            tmp_path / "w.weights.h5"
        )
    net = alexnet_tf.AlexNet(weights=tmp_path / "w.weights.h5")
    described = trained.provenance_of(net)
    assert described.architecture["name"] == "cuda_convnet"
    assert net.output_shape == (None, 2)
    image = np.full((1, 224, 224, 3), 10, np.float32)
    np.testing.assert_array_equal(net(image), program(image))


def test_a_keras_file_of_another_architecture_is_refused(trained_run, tmp_path):
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


def test_weights_bring_their_dropout_convention(tmp_path):
    path = tmp_path / "w.weights.h5"
    net = alexnet_tf.AlexNet(dropout="inverted", classes=2)
    net.save_weights(path)
    assert trained.provenance_of(alexnet_tf.AlexNet(weights=path)).dropout == "inverted"
    with pytest.raises(ValueError, match="trained with 'inverted' dropout"):
        alexnet_tf.AlexNet(weights=path, dropout="original")


def test_another_input_size_is_refused_in_one_line(tmp_path):
    path = tmp_path / "w.weights.h5"
    alexnet_tf.AlexNet(**SMALL).save_weights(path)
    with pytest.raises(ValueError, match="input size 48: .* in local3, local4") as info:
        alexnet_tf.AlexNet(weights=path, input_shape=(48, 48, 3), include_top=False)
    assert "\n" not in str(info.value)


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_the_weights_fit_a_net_without_its_top(tmp_path, suffix):
    net = alexnet_tf.AlexNet(**SMALL, seed=4)
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
    net = alexnet_tf.AlexNet(**SMALL)
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
    assert trained.provenance_of(net).architecture["layers"][0]["padding"] == [1, 3]


def test_a_net_that_this_version_does_not_know_is_named_with_its_file(tmp_path):
    path = tmp_path / "w.weights.h5"
    save_changed(path, {"rotation": 1})
    with pytest.raises(ValueError, match=r"w\.weights\.h5 holds a net .*'rotation'"):
        alexnet_tf.AlexNet(weights=path)


def test_weights_that_do_not_say_what_they_are_need_an_architecture(tmp_path):
    net = alexnet_tf.AlexNet(**SMALL)
    bare = keras.Model(net.input, net.layers[-2].output)
    bare.save_weights(tmp_path / "w.weights.h5")
    with pytest.raises(ValueError, match="does not say which architecture"):
        alexnet_tf.AlexNet(weights=tmp_path / "w.weights.h5")
    again = alexnet_tf.AlexNet(weights=tmp_path / "w.weights.h5", **SMALL)
    for mine, theirs in zip(again.get_weights(), net.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_weights_of_another_number_of_classes_are_refused(tmp_path):
    alexnet_tf.AlexNet(**SMALL).save_weights(tmp_path / "w.weights.h5")
    with pytest.raises(
        ValueError, match="has 3 classes, and the net 5: build it with classes=3"
    ):
        alexnet_tf.AlexNet(weights=tmp_path / "w.weights.h5", classes=5)


def test_without_weights_it_is_the_papers_net_with_a_thousand_classes():
    net = alexnet_tf.AlexNet(lrn="stock")
    assert net.output_shape == (None, 1000)
    assert trained.provenance_of(net).architecture["name"] == zoo.PAPER.name
