"""Keras' global settings change neither a net nor what it computes.

A mixed-precision policy alone changes what `AlexNet` builds, as it does in
keras.applications (test_keras_applications.py).
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

import alexnet_tf
from alexnet_tf.models import builder, layers, trained
from tests.support import nets

SETTINGS = {
    "channels_first": lambda: keras.config.set_image_data_format("channels_first"),
    "mixed_bfloat16": lambda: keras.config.set_dtype_policy("mixed_bfloat16"),
    "mixed_float16": lambda: keras.config.set_dtype_policy("mixed_float16"),
    "float64 policy": lambda: keras.config.set_dtype_policy("float64"),
    "float16": lambda: keras.config.set_floatx("float16"),
    "float64": lambda: keras.config.set_floatx("float64"),
}


@pytest.fixture(params=SETTINGS)
def change_settings(request):
    """Changes one global setting when it is called, and restores it afterwards."""
    before = (
        keras.config.image_data_format(),
        keras.config.dtype_policy(),
        keras.config.floatx(),
    )
    yield SETTINGS[request.param]
    keras.config.set_image_data_format(before[0])
    keras.config.set_dtype_policy(before[1])
    keras.config.set_floatx(before[2])


IMAGES = np.random.default_rng(0).integers(0, 256, (3, 40, 36, 3)).astype(np.uint8)


def outputs_of_all(run, tmp_path):
    """What every way to get a net computes, by name."""
    loaded = alexnet_tf.load(run)
    made = alexnet_tf.AlexNet(architecture="cifar10_11pct", classes=4, seed=1)
    made.save(tmp_path / "made.keras")
    finished = alexnet_tf.preprocess_input(IMAGES[:, :24, :24])
    plain = layers.plain_inputs(tf.constant(IMAGES[:, :24, :24]))
    return {
        "predict": [score for row in loaded.predict(IMAGES) for _, score in row],
        "features": loaded.features(IMAGES, "conv2"),
        "AlexNet": made(finished),
        "saved": keras.saving.load_model(tmp_path / "made.keras")(finished),
        "pipeline": trained.restore(run, precision="bfloat16").model(plain),
        "towers": nets.small_net(seed=1)(nets.random_inputs(2, nets.SMALL.input_size)),
    }


@pytest.fixture(scope="module")
def expected(trained_run, tmp_path_factory):
    """What every way to get a net computes with Keras' own settings."""
    return outputs_of_all(trained_run, tmp_path_factory.mktemp("expected"))


def test_a_global_setting_changes_no_output(
    trained_run, expected, tmp_path, change_settings
):
    change_settings()
    mixed = keras.config.dtype_policy().name.startswith("mixed_")
    for name, value in outputs_of_all(trained_run, tmp_path).items():
        if mixed and name in ("AlexNet", "saved"):
            continue  # `AlexNet` made both
        found, wanted = np.asarray(value), np.asarray(expected[name])
        assert found.dtype == wanted.dtype, name
        np.testing.assert_array_equal(found, wanted, err_msg=name)


def test_a_global_setting_changes_no_input_type_and_no_weight(change_settings):
    change_settings()
    for options in ({}, {"mean": np.zeros(3, np.float32), "pixels": True}):
        model = builder.build(nets.SMALL, **options)
        assert model.input.dtype == "float32"
        assert {variable.dtype for variable in model.weights} == {"float32"}


def test_a_convolution_has_channels_last_even_if_the_default_is_another(
    change_settings,
):
    change_settings()
    for given in ({}, {"data_format": None}, {"data_format": "channels_last"}):
        layer = layers.Convolution(2, 3, dtype="float32", **given)
        assert layer(np.zeros((1, 6, 5, 4), np.float32)).shape == (1, 4, 3, 2)
