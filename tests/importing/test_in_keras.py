"""An imported net in `AlexNet`: images as users have them, against the original's."""

import numpy as np
import pytest

import alexnet_tf
from alexnet_tf.importing import class_files, imported_run
from tests.support import arrays
from tests.support import published_files as published


def import_small(net, folder):
    """Imports a narrow net with random weights; returns its weights and its run."""
    family = "torchvision" if net == "torchvision" else "caffe"
    weights = published.random_weights(published.shapes_of(family, shrink=8))
    if family == "caffe":
        path = published.write_caffemodel(folder / "net.caffemodel", weights, net=net)
    else:
        path = published.write_torch(folder / "net.pth", published.state_dict(weights))
    imported_run.write(folder / "run", imported_run.read(str(path)))
    return weights, folder / "run"


@pytest.mark.parametrize("net", ["caffe_alexnet", "caffenet", "torchvision"])
def test_pixels_through_preprocess_input_give_the_originals_logits(
    net, tmp_path, monkeypatch
):
    """So scale, order of colors and mean are right; the original's are plain ONNX."""
    published.small_zoo(monkeypatch)
    weights, run = import_small(net, tmp_path)
    side = 224 if net == "torchvision" else 227
    images = np.random.default_rng(0).integers(0, 256, (3, side, side, 3), np.uint8)
    graph = (
        published.at_size(published.zoo_graph(weights), 227)
        if net == "caffe_alexnet"
        else published.sequential_graph(weights, net)
    )
    as_original = (
        published.torch_inputs if net == "torchvision" else published.caffe_inputs
    )
    expected = published.run_graph(graph, as_original(images))
    model = alexnet_tf.AlexNet(weights=run, classifier_activation=None)
    found = model(alexnet_tf.preprocess_input(images, mean=run))
    arrays.assert_equal_to_rounding(found, expected)
    # The default mean is another one, which shows.
    other = model(alexnet_tf.preprocess_input(images))
    assert np.abs(other - expected).max() > 1e-4 * np.abs(expected).max()
    synsets = class_files.read_class_names(None, 1000)
    decoded = alexnet_tf.decode_predictions(found, 1, model)
    assert [name for ((_, name, _),) in decoded] == [
        synsets[index] for index in expected.argmax(1)
    ]
