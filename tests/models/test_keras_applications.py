"""AlexNet takes what the constructors of keras.applications take, as they do."""

import inspect
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

import alexnet_tf
from alexnet_tf.models import architecture as architectures
from alexnet_tf.models import layers, trained, zoo
from tests.support import arrays, nets

CIFAR = {"architecture": "cifar10_11pct", "classes": 4}


def below(**options):
    """The paper's net without its dense layers."""
    return alexnet_tf.AlexNet(include_top=False, **options)


# ---- The signature ----


@pytest.mark.parametrize("theirs", [keras.applications.VGG16, keras.applications.VGG19])
def test_the_arguments_and_their_order_are_those_of_keras_applications(theirs):
    expected = inspect.signature(theirs).parameters
    found = inspect.signature(alexnet_tf.AlexNet).parameters
    positional = [p.name for p in found.values() if p.kind is not p.KEYWORD_ONLY]
    assert positional == list(expected)
    differ = {n for n in expected if found[n].default != expected[n].default}
    assert differ == {"weights", "classes", "name"}
    assert found["weights"].default is None  # no weights come with the package
    assert alexnet_tf.AlexNet().output_shape[-1] == expected["classes"].default
    keras.backend.clear_session()


@pytest.mark.parametrize("net", zoo.ARCHITECTURES)
def test_every_architecture_can_be_named(net):
    built = below(architecture=net)
    assert built.input_shape == (None, *[zoo.find(net).input_size] * 2, 3)


# ---- classes ----


@pytest.mark.parametrize("classes", [7, np.int64(7), np.uint8(7), np.int32(7)])
def test_classes_may_have_any_integer_type(classes):
    built = alexnet_tf.AlexNet(architecture="cifar10_11pct", classes=classes)
    assert built.output_shape == (None, 7)
    built.to_json()  # a NumPy number would not be JSON


@pytest.mark.parametrize(
    "classes", [True, np.True_, 7.0, np.float32(7), "7", 0, -1, [7]]
)
def test_classes_that_are_not_a_positive_integer_are_refused(classes):
    with pytest.raises(
        ValueError, match="classes must be a whole number of at least 1"
    ):
        alexnet_tf.AlexNet(architecture="cifar10_11pct", classes=classes)


def test_one_class_is_for_a_sigmoid():
    options = {"architecture": "cifar10_11pct", "classes": 1}
    built = alexnet_tf.AlexNet(classifier_activation="sigmoid", **options)
    assert built.output_shape == (None, 1)
    with pytest.raises(ValueError, match="always 1: use .*sigmoid"):
        alexnet_tf.AlexNet(**options)


def test_without_the_top_classes_and_activation_are_ignored_as_in_keras():
    options = {"classes": 12, "classifier_activation": "sigmoid"}
    for make in (keras.applications.MobileNet, alexnet_tf.AlexNet):
        built = make(
            include_top=False, weights=None, input_shape=(96, 96, 3), **options
        )
        assert len(built.output_shape) == 4


# ---- pooling ----


@pytest.mark.parametrize(("pooling", "reduce"), [("avg", np.mean), ("max", np.max)])
def test_pooling_reduces_the_map_over_all_positions(pooling, reduce):
    x = nets.random_inputs(2, 131)
    maps = below(seed=1, input_shape=(131, 131, 3))(x)
    found = below(seed=1, input_shape=(131, 131, 3), pooling=pooling)(x)
    assert found.shape == (2, 256)
    arrays.assert_equal_to_rounding(found, reduce(np.asarray(maps), (1, 2)))


def test_pooling_is_ignored_with_the_top_as_in_keras():
    built = alexnet_tf.AlexNet(pooling="avg", **CIFAR)
    assert built.output_shape == (None, 4)


@pytest.mark.parametrize("include_top", [True, False])
def test_an_unknown_pooling_is_refused(include_top):
    with pytest.raises(ValueError, match="pooling must be one of avg, max, got 'mean'"):
        alexnet_tf.AlexNet(include_top=include_top, pooling="mean")


# ---- input_shape ----

CONVOLUTIONAL = [name for name in zoo.ARCHITECTURES if not name.startswith("cifar")]
SIZES = [(131, 150), (150, 131), (150, 150)]


@pytest.mark.parametrize("architecture", CONVOLUTIONAL)
def test_without_its_top_a_net_of_any_size_equals_those_of_one_size(architecture):
    options = {"architecture": architecture, "seed": 1}
    any_size = below(input_shape=(None, None, 3), **options)
    assert any_size.output_shape[:3] == (None, None, None)
    for height, width in SIZES:
        x = nets.random_inputs(1, 160)[:, :height, :width]
        one_size = below(input_shape=(height, width, 3), **options)
        expected = one_size(x)
        assert one_size.output_shape[1:] == expected.shape[1:]
        np.testing.assert_array_equal(any_size(x), expected)


def test_each_of_height_and_width_may_be_unknown():
    x = nets.random_inputs(1, 150)[:, :131]
    expected = below(seed=1, input_shape=(131, 150, 3))(x)
    for shape in ((None, 150, 3), (131, None, 3)):
        np.testing.assert_array_equal(below(seed=1, input_shape=shape)(x), expected)


def test_a_net_of_any_size_is_saved_and_trained(tmp_path):
    net = below(input_shape=(None, None, 3), pooling="avg", seed=1)
    net.save(tmp_path / "any.keras")
    x = nets.random_inputs(2, 150)[:, :131]
    again = keras.saving.load_model(tmp_path / "any.keras")
    np.testing.assert_array_equal(again(x), net(x))
    net.compile("sgd", "mse")
    before = net.get_layer("conv1_tower0").get_weights()[0]
    keras.utils.set_random_seed(0)  # which TensorFlow may demand after other tests
    net.fit(x, np.ones((2, 256), np.float32), verbose=0)
    assert (net.get_layer("conv1_tower0").get_weights()[0] != before).any()


def test_the_sides_may_have_any_integer_type():
    built = below(input_shape=[np.int64(131), np.int32(150), 3])
    assert built.input_shape == (None, 131, 150, 3)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (
            (224, 200, 3),
            r"must be \(side, side, 3\), got \(224, 200, 3\).*include_top=F",
        ),
        (
            (None, None, 3),
            r"got \(None, None, 3\).*include_top=False\) the net takes oth",
        ),
        ((16, 16, 3), "too small"),
        ((0, 0, 3), "at least 1, got 0"),
        ((-224, -224, 3), "at least 1, got -224"),
        ((224.0, 224.0, 3), r"\(224.0, 224.0, 3\)"),
        ((224, 224, 1), r"\(height, width, 3\), got \(224, 224, 1\)"),
        ((3, 224, 224), r"\(height, width, 3\), got \(3, 224, 224\)"),
        ((224, 224), r"\(height, width, 3\), got \(224, 224\)"),
        (224, r"\(height, width, 3\), got 224"),
    ],
)
def test_an_input_shape_that_the_net_cannot_take_is_refused(shape, message):
    with pytest.raises(ValueError, match=message) as info:
        alexnet_tf.AlexNet(input_shape=shape)
    assert "\n" not in str(info.value)


@pytest.mark.parametrize("shape", [(16, 224, 3), (224, 16, 3), (None, 16, 3)])
def test_without_its_top_a_side_that_is_too_small_is_refused(shape):
    with pytest.raises(ValueError, match="too small for the network paper"):
        below(input_shape=shape)


@pytest.mark.parametrize("architecture", ["cifar10_11pct", "cifar10_13pct"])
def test_unshared_convolutions_need_a_size_and_take_any(architecture):
    options = {"architecture": architecture, "include_top": False}
    with pytest.raises(ValueError, match="weights at every position in local3, local4"):
        alexnet_tf.AlexNet(input_shape=(None, 32, 3), **options)
    built = alexnet_tf.AlexNet(input_shape=(24, 32, 3), **options)
    assert built.output_shape == (None, 6, 8, 32)


# ---- input_tensor ----


def test_an_input_tensor_takes_the_place_of_the_input():
    image = keras.Input((24, 24, 3), name="mine")
    built = alexnet_tf.AlexNet(input_tensor=image, seed=1, **CIFAR)
    assert built.input is image
    x = nets.random_inputs(2, 24)
    np.testing.assert_array_equal(built(x), alexnet_tf.AlexNet(seed=1, **CIFAR)(x))


def test_the_model_begins_with_what_the_input_tensor_was_computed_from():
    pixels = keras.Input((24, 24, 3), dtype="uint8")
    finished = alexnet_tf.preprocess_input(pixels)
    built = alexnet_tf.AlexNet(input_tensor=finished, seed=1, **CIFAR)
    assert built.input is pixels
    x = np.random.default_rng(0).integers(0, 256, (2, 24, 24, 3)).astype(np.uint8)
    expected = alexnet_tf.AlexNet(seed=1, **CIFAR)(alexnet_tf.preprocess_input(x))
    np.testing.assert_array_equal(built(x), expected)


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5", ""])
def test_weights_are_not_mistaken_for_those_of_layers_before_the_input_tensor(
    tmp_path, trained_run, suffix
):
    own = alexnet_tf.AlexNet(weights=trained_run)
    path = tmp_path / f"w{suffix}"
    if suffix == ".keras":
        own.save(path)
    elif suffix:
        own.save_weights(path)
    image = keras.Input((24, 24, 8))
    colors = layers.Convolution(3, 1, name="colors", dtype="float32")
    units = keras.layers.Dense(3, dtype="float32")
    built = alexnet_tf.AlexNet(
        weights=path if suffix else trained_run, input_tensor=units(colors(image))
    )
    for layer in own.layers:
        if layer.weights:
            wanted = built.get_layer(layer.name).get_weights()
            for mine, theirs in zip(layer.get_weights(), wanted, strict=True):
                np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (
            (24, 24, 3),
            "must be a Keras tensor.* got tuple; a shape is named as input_sh",
        ),
        (np.zeros((1, 24, 24, 3)), "must be a Keras tensor"),
        (lambda: keras.Input((24, 24, 3), dtype="uint8"), "a float type.* got uint8"),
        (lambda: keras.Input((24 * 24 * 3,)), "must be images"),
        (lambda: keras.Input((24, 24, 1)), r"got \(24, 24, 1\)"),
        (lambda: keras.Input((24, 32, 3)), r"got \(24, 32, 3\).*include_top=False"),
    ],
)
def test_an_input_tensor_that_the_net_cannot_read_is_refused(tensor, message):
    with pytest.raises(ValueError, match=message):
        alexnet_tf.AlexNet(
            input_tensor=tensor() if callable(tensor) else tensor, **CIFAR
        )


def test_an_input_shape_other_than_that_of_the_input_tensor_is_refused():
    image = keras.Input((24, 24, 3))
    alexnet_tf.AlexNet(input_tensor=image, input_shape=(24, 24, 3), **CIFAR)
    with pytest.raises(ValueError, match="leave input_shape out"):
        alexnet_tf.AlexNet(input_tensor=image, input_shape=(32, 32, 3), **CIFAR)


# ---- weights ----


def test_imagenet_weights_are_explained_and_not_downloaded():
    with pytest.raises(ValueError, match="no weights come with this package") as info:
        alexnet_tf.AlexNet(weights="imagenet")
    assert "python -m alexnet_tf.import_weights --from=" in str(info.value)
    assert "docs/weights.md" in str(info.value)
    assert "\n" not in str(info.value)
    page = pathlib.Path(__file__).parents[2] / "docs/weights.md"
    assert "bvlc_alexnet.caffemodel" in page.read_text()


@pytest.mark.parametrize("name", ["runs/default", "net.h5", "net.ckpt"])
def test_weights_that_do_not_exist_are_named_with_what_is_expected(name):
    message = f"a run folder.* or a .keras file, got '{name}', which does not exist"
    with pytest.raises(ValueError, match=message):
        alexnet_tf.AlexNet(weights=name)


def test_a_file_of_another_kind_is_named(tmp_path):
    (tmp_path / "net.h5").write_bytes(b"weights")
    with pytest.raises(ValueError, match=r"net\.h5', which is none of them"):
        alexnet_tf.AlexNet(weights=tmp_path / "net.h5")


@pytest.mark.parametrize(
    "name", ["a.pth", "a.pth.tar", "a.caffemodel", "a.ONNX", "a.safetensors", "a.npy"]
)
def test_files_of_other_frameworks_are_to_be_imported_first(name):
    message = f"import_weights --from={name} --output=runs/imported, and pass"
    with pytest.raises(ValueError, match=message):
        alexnet_tf.AlexNet(weights=name)


def test_a_folder_without_a_checkpoint_is_refused(tmp_path):
    with pytest.raises(OSError, match="holds no checkpoint"):
        alexnet_tf.AlexNet(weights=tmp_path)


@pytest.mark.parametrize("which", ["", "checkpoints", "checkpoints/{}", "{}.keras"])
def test_a_trained_net_is_taken_from_a_run_a_checkpoint_or_a_file(
    trained_run, tmp_path, which
):
    path = trained_run / which.format(
        next((trained_run / "checkpoints").glob("*.index")).stem
    )
    if which.endswith(".keras"):
        path = tmp_path / "net.keras"
        alexnet_tf.AlexNet(weights=trained_run).save(path)
    net, loaded = alexnet_tf.AlexNet(weights=path), alexnet_tf.load(trained_run)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 24, 24, 3)).astype(np.uint8)
    scores = net(alexnet_tf.preprocess_input(pixels, mean=trained_run))
    arrays.assert_equal_to_rounding(scores, loaded.model(pixels))
    decoded = alexnet_tf.decode_predictions(scores, 1, net)
    assert [name for ((_, name, _),) in decoded] == [
        loaded.class_names[index] for index in np.argmax(scores, 1)
    ]


@pytest.mark.parametrize("kind", [".keras", ".weights.h5", "run"])
@pytest.mark.filterwarnings("ignore")  # Keras warns about the file before it fails
def test_weights_of_other_classes_say_what_to_do(trained_run, tmp_path, kind):
    path = trained_run
    if kind != "run":
        path = tmp_path / f"three{kind}"
        net = alexnet_tf.AlexNet(weights=trained_run)
        net.save(path) if kind == ".keras" else net.save_weights(path)
    with pytest.raises(ValueError, match="has 3 classes, and the net 10") as info:
        alexnet_tf.AlexNet(weights=path, classes=10)
    for advice in ("classes=3", "include_top=False", f"train --weights={path}"):
        assert advice in str(info.value)
    assert "\n" not in str(info.value)
    # Without its top, which has the classes, there is nothing to refuse.
    headless = alexnet_tf.AlexNet(weights=path, classes=10, include_top=False)
    kernel = alexnet_tf.load(trained_run).model.get_layer("local4").kernel
    np.testing.assert_array_equal(headless.get_layer("local4").kernel, kernel)


def test_a_run_of_another_architecture_is_refused(trained_run):
    with pytest.raises(ValueError, match="'cifar10_11pct'.*'paper'"):
        alexnet_tf.AlexNet(weights=trained_run, architecture="paper")


def test_a_run_at_another_input_size_is_refused(trained_run):
    with pytest.raises(ValueError, match="input size 48: .* in local3, local4, fc10"):
        alexnet_tf.AlexNet(weights=trained_run, input_shape=(48, 48, 3))


def test_weights_of_one_size_are_used_at_any_size_without_the_top(tmp_path):
    whole = alexnet_tf.AlexNet(input_shape=(67, 67, 3), classes=2, seed=3)
    whole.save_weights(tmp_path / "w.weights.h5")
    net = below(weights=tmp_path / "w.weights.h5", input_shape=(None, None, 3))
    x = nets.random_inputs(1, 150)[:, :131]
    expected = below(seed=3, input_shape=(131, 150, 3))(x)
    np.testing.assert_array_equal(net(x), expected)


# ---- The global mixed-precision policy ----

POLICIES = {"mixed_bfloat16": "bfloat16", "mixed_float16": "float16"}


@pytest.fixture(params=POLICIES)
def mixed(request):
    """Sets a global mixed-precision policy; it is the type that nets compute in."""
    before = keras.config.dtype_policy()
    keras.mixed_precision.set_global_policy(request.param)
    yield POLICIES[request.param]
    keras.config.set_dtype_policy(before)


def test_alexnet_computes_in_the_type_of_the_global_policy(mixed):
    built = alexnet_tf.AlexNet(**CIFAR)
    theirs = keras.applications.MobileNet(weights=None, input_shape=(32, 32, 3))
    for net, layer in ((built, "conv1"), (theirs, "conv1")):
        assert net.get_layer(layer).compute_dtype == mixed
        assert net.compute_dtype == mixed
        assert {variable.dtype for variable in net.weights} == {"float32"}
    computing = {
        layer.compute_dtype
        for layer in built.layers
        if layer.name not in ("image", "predictions", "provenance")
    }
    assert computing == {mixed}


def test_probabilities_and_logits_are_float32_and_maps_have_the_compute_type(mixed):
    assert alexnet_tf.AlexNet(**CIFAR).output.dtype == "float32"
    assert alexnet_tf.AlexNet(**CIFAR, classifier_activation=None).output.dtype == (
        "float32"
    )
    assert alexnet_tf.AlexNet(**CIFAR).get_layer("predictions").compute_dtype == (
        "float32"
    )
    theirs = keras.applications.MobileNet(
        include_top=False, weights=None, input_shape=(67, 67, 3)
    )
    for pooling in (None, "avg", "max"):
        built = below(input_shape=(67, 67, 3), pooling=pooling)
        assert built.output.dtype == theirs.output.dtype == mixed


def test_scores_in_mixed_precision_are_those_of_float32_but_for_rounding(mixed):
    x = nets.random_inputs(4, 24)
    options = {"classes": 4, "seed": 1, "initialization": "pytorch"}
    narrow = alexnet_tf.AlexNet(architecture="cifar10_11pct", **options)(x)
    keras.config.set_dtype_policy("float32")
    wide = alexnet_tf.AlexNet(architecture="cifar10_11pct", **options)(x)
    assert np.abs(narrow - wide).max() < 0.02
    assert (np.asarray(narrow) != np.asarray(wide)).any()


def test_a_net_is_trained_in_mixed_precision(mixed):
    net = alexnet_tf.AlexNet(architecture="cifar10_11pct", classes=2)
    net.compile(keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy")
    scaled = isinstance(net.optimizer, keras.mixed_precision.LossScaleOptimizer)
    assert scaled == (mixed == "float16")
    before = net.get_layer("fc10").get_weights()[0]
    x, y = nets.random_inputs(4, 24), np.array([0, 1, 0, 1])
    keras.utils.set_random_seed(0)  # which TensorFlow may demand after other tests
    history = net.fit(x, y, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    after = net.get_layer("fc10").get_weights()[0]
    assert (after != before).any()
    assert np.isfinite(after).all()


def test_weights_are_the_same_in_mixed_precision(mixed, trained_run):
    del mixed
    net = alexnet_tf.AlexNet(weights=trained_run)
    kernel = alexnet_tf.load(trained_run).model.get_layer("local4").kernel
    np.testing.assert_array_equal(net.get_layer("local4").kernel, kernel)


def test_a_loaded_net_keeps_its_precision(mixed, trained_run):
    del mixed
    restored = trained.restore(trained_run, inputs="pixels").model
    loaded = alexnet_tf.load(trained_run).model
    for net in (restored, loaded):
        computing = {layer.compute_dtype for layer in net.layers[1:]}
        assert computing == {"float32"}


def test_a_file_keeps_the_precision_that_it_was_saved_in(mixed, tmp_path):
    net = alexnet_tf.AlexNet(**CIFAR)
    net.save(tmp_path / "mixed.keras")
    keras.config.set_dtype_policy("float32")
    again = keras.saving.load_model(tmp_path / "mixed.keras")
    assert again.get_layer("conv1").compute_dtype == mixed
    x = nets.random_inputs(2, 24)
    np.testing.assert_array_equal(again(x), net(x))


@pytest.mark.parametrize("policy", ["float16", "bfloat16", "float64"])
def test_other_policies_leave_weights_and_arithmetic_in_float32(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        net = alexnet_tf.AlexNet(**CIFAR)
    finally:
        keras.config.set_dtype_policy(before)
    assert net.get_layer("conv1").compute_dtype == "float32"
    assert {variable.dtype for variable in net.weights} == {"float32"}


# ---- preprocess_input and decode_predictions ----


@pytest.mark.parametrize(
    "theirs", [keras.applications.vgg16, keras.applications.resnet]
)
def test_preprocessing_subtracts_what_keras_subtracts_for_caffes_nets(theirs):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 6, 3)).astype(np.uint8)
    reversed_colors = theirs.preprocess_input(pixels.astype(np.float32))[..., ::-1]
    found = alexnet_tf.preprocess_input(pixels, (123.68, 116.779, 103.939))
    np.testing.assert_allclose(found, reversed_colors, atol=1e-4)


def test_preprocessing_takes_keras_tensors_and_the_argument_of_keras():
    image = keras.Input((8, 8, 3), dtype="uint8")
    found = alexnet_tf.preprocess_input(image, data_format="channels_last")
    assert (found.shape, found.dtype) == ((None, 8, 8, 3), "float32")
    with pytest.raises(
        ValueError, match="data_format must be 'channels_last', got 'ch"
    ):
        alexnet_tf.preprocess_input(np.zeros((3, 8, 8)), data_format="channels_first")


@pytest.mark.parametrize("shape", [(2, 8, 8, 1), (2, 8, 8, 4), (2, 3, 8, 8), (8, 3)])
@pytest.mark.parametrize("make", [np.zeros, tf.zeros])
def test_preprocessing_refuses_what_is_not_rgb(shape, make):
    with pytest.raises(ValueError, match=r"must be RGB images \[..., H, W, 3\], got"):
        alexnet_tf.preprocess_input(make(shape))


@pytest.mark.parametrize("shape", [(), (1,), (4,), (8, 3), (9, 8, 3), (8, 8, 1)])
def test_preprocessing_refuses_a_mean_of_another_size(shape):
    with pytest.raises(ValueError, match="the mean must be three numbers or an image"):
        alexnet_tf.preprocess_input(np.zeros((2, 8, 8, 3)), np.ones(shape))


def test_preprocessing_does_not_change_its_argument():
    pixels = np.full((1, 4, 4, 3), 9, np.float32)
    alexnet_tf.preprocess_input(pixels)
    assert (pixels == 9).all()


def test_the_name_of_a_run_is_not_taken_for_class_names():
    with pytest.raises(ValueError, match="a list of names or a net, got 'abc'"):
        alexnet_tf.decode_predictions(np.ones((1, 3)), class_names="abc")


@pytest.mark.parametrize("architecture", ["torchvision", "paper"])
def test_images_that_are_too_small_for_a_net_of_any_size_are_refused(architecture):
    """TensorFlow's pooling would end the process."""
    net = alexnet_tf.AlexNet(
        include_top=False,
        input_shape=(None, None, 3),
        pooling="avg",
        architecture=architecture,
    )
    least = architectures.least_side(zoo.find(architecture))
    for shape in ((1, least - 1, least, 3), (1, least, 8, 3)):
        images = np.zeros(shape, np.float32)
        for call in (net, lambda images: net.predict(images, verbose=0)):
            with pytest.raises(ValueError, match=f"at least {least} x {least} pixels"):
                call(images)
        traced = tf.function(net, [tf.TensorSpec([None, None, None, 3])])
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"at least {least}"):
            traced(images)
    assert net(np.zeros((1, least, least, 3), np.float32)).shape == (1, 256)


def test_a_path_in_the_place_of_include_top_is_refused():
    with pytest.raises(
        ValueError, match=r"include_top must be .*AlexNet\(weights=...\)"
    ):
        alexnet_tf.AlexNet("runs/mine")
