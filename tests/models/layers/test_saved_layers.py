"""What a file holds of each layer."""

import inspect
import subprocess
import sys

import keras
import numpy as np
import pytest

from alexnet_tf.models import layers
from tests.support.arrays import noise

LOADER = """
import sys
import keras, numpy
import alexnet_tf
model = keras.saving.load_model(sys.argv[1])
numpy.save(sys.argv[2], model.predict(numpy.load(sys.argv[3]), verbose=0))
"""


def test_every_layer_survives_a_keras_file_and_a_fresh_process(tmp_path):
    model = keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            layers.Convolution(6, 3, strides=2, explicit_padding=(0, 3)),
            layers.LocalResponseNormalization(3, 1.5, 0.2, 0.6),
            layers.LocalResponseNormalization(implementation="stock"),
            layers.SpatialNormalization(3, 1.5, 0.2, 0.6),
            layers.UnsharedConvolution(4, 3, (1, 1)),
            keras.layers.Flatten(),
            layers.Dropout(0.2),
        ]
    )
    x = noise(2, 12, 12, 3)
    paths = [str(tmp_path / name) for name in ("net.keras", "y.npy", "x.npy")]
    model.save(paths[0])
    np.save(paths[2], x)
    subprocess.run([sys.executable, "-c", LOADER, *paths], check=True)
    np.testing.assert_allclose(np.load(paths[1]), model(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "layer",
    [
        layers.Convolution(6, 3, strides=2, explicit_padding=(0, 3)),
        layers.LocalResponseNormalization(3, 1.0, 1e-3, 0.5, "stock"),
        layers.SpatialNormalization(3, 2.0, 1e-3, 0.5),
        layers.UnsharedConvolution(4, 3, (1, 0)),
        layers.Dropout(0.2, "inverted", 7),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_a_layer_can_be_rebuilt_from_its_configuration(layer):
    again = keras.layers.deserialize(keras.layers.serialize(layer))
    assert type(again) is type(layer)
    assert again.get_config() == layer.get_config()
    arguments = set(inspect.signature(type(layer)).parameters) - {"kwargs"}
    assert arguments <= set(layer.get_config())
