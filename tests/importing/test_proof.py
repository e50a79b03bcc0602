"""Imported nets compute what the file's own framework computes.

The references are onnxruntime on the ONNX model zoo's own graph, OpenCV's reader of
Caffe, and a graph of torchvision's net. The nets are narrow here, and whole in
tests/commands/test_import_weights.py.
"""

import dataclasses

import numpy as np
import onnx
import pytest
import tensorflow as tf

from alexnet_tf.importing import imported_run, mapping, recognition
from alexnet_tf.models import architecture as architectures
from alexnet_tf.models import layers, trained, zoo
from tests.support import published_files as files

LIMIT = 1e-4  # of the logits' standard deviation
CLASSES = 7


@pytest.fixture(autouse=True)
def _small_nets(monkeypatch):
    files.small_zoo(monkeypatch)


@pytest.fixture
def class_names(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_text("".join(f"class {n}\n" for n in range(CLASSES)))
    return str(path)


def images_of(side, count=3):
    rng = np.random.default_rng(5)
    return rng.integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def restored_logits(run, images):
    return trained.restore(run).model(layers.plain_inputs(tf.constant(images))).numpy()


def imported_logits(path, class_names, images, **options):
    net = imported_run.read(str(path), class_names=class_names, **options)
    run = path.parent / "run"
    imported_run.write(run, net)
    return restored_logits(run, images)


def difference(ours, theirs):
    """The largest difference, in standard deviations of the logits of an output."""
    assert ours.shape == theirs.shape
    assert theirs.std() > 0
    return np.abs(ours - theirs).max() / theirs.std()


def caffe_weights(seed=0):
    return files.random_weights(files.shapes_of("caffe", CLASSES, 8), seed)


def torch_weights(seed=0):
    return files.random_weights(files.shapes_of("torchvision", CLASSES, 8), seed)


def zoo_logits(weights, images):
    graph = files.at_size(files.zoo_graph(weights), 227)
    return files.run_graph(graph, files.caffe_inputs(images))


def write(kind, folder, weights):
    path = folder / f"net.{kind.split(' ')[0]}"
    if path.suffix == ".onnx":
        onnx.save(files.zoo_graph(weights), path)
    elif path.suffix == ".caffemodel":
        form = "v1" if "v1" in kind else "new"
        files.write_caffemodel(path, weights, form=form, double="double" in kind)
    else:
        files.write_numpy(path, weights, nested="nested" in kind)
    return path


CAFFE_FILES = [
    "onnx",
    "caffemodel",
    "caffemodel v1",
    "caffemodel double",
    "npy",
    "npy nested",
]


@pytest.mark.parametrize("kind", CAFFE_FILES)
def test_caffe_alexnet_agrees_with_the_zoos_graph(kind, tmp_path, class_names):
    weights, images = caffe_weights(), images_of(227)
    path = write(kind, tmp_path, weights)
    named = {"architecture": "caffe_alexnet"} if path.suffix == ".npy" else {}
    ours = imported_logits(path, class_names, images, **named)
    assert difference(ours, zoo_logits(weights, images)) < LIMIT


def test_dense_layers_may_be_written_as_convolutions(tmp_path, class_names):
    """As in Caffe's example of a fully convolutional net."""
    weights, images = caffe_weights(), images_of(227)
    expected = zoo_logits(weights, images)
    for name, side in (("fc6", 6), ("fc7", 1), ("fc8", 1)):
        kernel, bias = weights[name]
        weights[name] = kernel.reshape(len(kernel), -1, side, side), bias
    path = files.write_caffemodel(
        tmp_path / "net.caffemodel", weights, dense="Convolution", constants=False
    )
    ours = imported_logits(path, class_names, images)
    assert difference(ours, expected) < LIMIT


@pytest.mark.parametrize("form", ["new", "v1"])
@pytest.mark.parametrize("net", ["caffe_alexnet", "caffenet"])
def test_a_caffemodel_agrees_with_opencv(net, form, tmp_path, class_names):
    cv2 = pytest.importorskip("cv2")
    weights, images = caffe_weights(), images_of(227)
    path = files.write_caffemodel(
        tmp_path / "net.caffemodel", weights, net=net, form=form
    )
    deploy = tmp_path / "deploy.prototxt"
    deploy.write_text(files.deploy_prototxt(net, weights))
    read = cv2.dnn.readNetFromCaffe(str(deploy), str(path))
    read.setInput(files.caffe_inputs(images))
    theirs = read.forward()
    assert difference(imported_logits(path, class_names, images), theirs) < LIMIT


def test_caffenet_agrees_with_a_graph_of_it(tmp_path, class_names):
    weights, images = caffe_weights(), images_of(227)
    graph = files.sequential_graph(weights, "caffenet")
    onnx.save(graph, tmp_path / "net.onnx")
    ours = imported_logits(tmp_path / "net.onnx", class_names, images)
    theirs = files.run_graph(graph, files.caffe_inputs(images))
    assert difference(ours, theirs) < LIMIT


@pytest.mark.parametrize("kind", ["pth", "pth legacy", "safetensors", "onnx"])
def test_torchvisions_net_agrees_with_a_graph_of_it(kind, tmp_path, class_names):
    weights, images = torch_weights(), images_of(224)
    graph = files.sequential_graph(weights, "torchvision")
    path = tmp_path / f"net.{kind.split(' ')[0]}"
    if path.suffix == ".onnx":
        onnx.save(graph, path)
    elif path.suffix == ".safetensors":
        numpy = pytest.importorskip("safetensors.numpy")
        numpy.save_file(files.state_dict(weights), path)
    else:
        files.write_torch(path, files.state_dict(weights), legacy="legacy" in kind)
    ours = imported_logits(path, class_names, images)
    theirs = files.run_graph(graph, files.torch_inputs(images))
    assert difference(ours, theirs) < 1e-5


def test_a_torchvision_net_of_bgr_images_agrees_with_its_graph(tmp_path, class_names):
    """Mean and deviation stay those of red, green and blue."""
    weights, images = torch_weights(), images_of(224)
    path = files.write_torch(tmp_path / "net.pth", files.state_dict(weights))
    ours = imported_logits(path, class_names, images, channels="BGR")
    bgr = np.ascontiguousarray(files.torch_inputs(images)[:, ::-1])
    graph = files.sequential_graph(weights, "torchvision")
    assert difference(ours, files.run_graph(graph, bgr)) < 1e-5


def test_a_mean_image_is_cropped_where_caffe_crops_it(tmp_path, class_names):
    weights, records = caffe_weights(), images_of(256)
    mean = np.random.default_rng(1).uniform(50, 200, (3, 256, 256)).astype(np.float32)
    np.save(tmp_path / "mean.npy", mean)
    (tmp_path / "mean.binaryproto").write_bytes(files.blob(mean, legacy=True))
    path = write("onnx", tmp_path, weights)
    whole = records[..., ::-1].transpose(0, 3, 1, 2) - mean  # BGR
    crop = np.ascontiguousarray(whole[:, :, 14:241, 14:241], np.float32)
    theirs = files.run_graph(files.at_size(files.zoo_graph(weights), 227), crop)
    for name in ("mean.npy", "mean.binaryproto"):
        net = imported_run.read(
            str(path), class_names=class_names, mean=str(tmp_path / name)
        )
        run = tmp_path / f"run of {name}"
        imported_run.write(run, net)
        images = records[:, 14:241, 14:241]
        ours = restored_logits(run, images)
        assert difference(ours, theirs) < LIMIT


@pytest.mark.parametrize("channels", [None, "BGR"])
def test_a_mean_in_the_graph_is_subtracted_once(channels, tmp_path, class_names):
    """As in files of MATLAB, whose nets read RGB, and in files of other tools."""
    weights, images = caffe_weights(), images_of(227)
    graph = files.sequential_graph(weights, "caffenet")
    mean = np.array([120, 110, 100], np.float32).reshape(3, 1, 1)
    graph.producer_name = "MATLAB Deep Learning Toolbox Converter for ONNX Model Format"
    graph.graph.initializer.append(onnx.numpy_helper.from_array(mean, "data_Mean"))
    node = onnx.helper.make_node("Sub", ["image", "data_Mean"], ["centered"])
    graph.graph.node[0].input[0] = "centered"
    graph.graph.node.insert(0, node)
    onnx.save(graph, tmp_path / "net.onnx")
    ours = imported_logits(
        tmp_path / "net.onnx", class_names, images, channels=channels
    )
    read = images[..., ::-1] if channels == "BGR" else images
    pixels = np.ascontiguousarray(read.transpose(0, 3, 1, 2), np.float32)
    assert difference(ours, files.run_graph(graph, pixels)) < LIMIT


# Each fault is one line that an importer could have wrong.


def _swap_towers(monkeypatch):
    divided = mapping._Steps.divided

    def swapped(self, name, towers):
        weights, moved = divided(self, name, towers)
        if name == "conv2":
            for part in ("kernel", "bias"):
                one, other = (f"conv2_tower{n}/{part}" for n in (0, 1))
                weights[one], weights[other] = weights[other], weights[one]
        return weights, moved

    monkeypatch.setattr(mapping._Steps, "divided", swapped)


def _keep_bgr(monkeypatch):
    monkeypatch.setattr(
        mapping._Steps, "fold_colors", lambda self, channels, deviation: None
    )


def _keep_the_order_of_fc6(monkeypatch):
    monkeypatch.setattr(
        mapping._Steps, "_permuted", lambda self, kernel, below, towers: kernel
    )


def _change_normalization(monkeypatch, **changes):
    net = zoo.ARCHITECTURES["caffe_alexnet"]
    changed = tuple(
        dataclasses.replace(layer, **changes)
        if isinstance(layer, architectures.ResponseNormalization)
        else layer
        for layer in net.layers
    )
    monkeypatch.setitem(
        zoo.ARCHITECTURES, "caffe_alexnet", dataclasses.replace(net, layers=changed)
    )


def _multiply_alpha(monkeypatch):
    _change_normalization(monkeypatch, alpha=1e-4)
    # Without this, recognition refuses the file for its alpha.
    monkeypatch.setattr(recognition, "_constants_differ", lambda layer, wanted: "")


def _normalize_within_towers(monkeypatch):
    _change_normalization(monkeypatch, inputs="own")


def _take_the_graphs_size(monkeypatch):
    net = zoo.ARCHITECTURES["caffe_alexnet"]
    monkeypatch.setitem(
        zoo.ARCHITECTURES, "caffe_alexnet", dataclasses.replace(net, input_size=224)
    )


@pytest.mark.parametrize(
    "plant",
    [
        _swap_towers,
        _keep_bgr,
        _keep_the_order_of_fc6,
        _multiply_alpha,
        _normalize_within_towers,
    ],
)
def test_a_planted_fault_is_found(plant, tmp_path, class_names, monkeypatch):
    weights, images = caffe_weights(), images_of(227)
    path = write("onnx", tmp_path, weights)
    plant(monkeypatch)
    ours = imported_logits(path, class_names, images)
    assert difference(ours, zoo_logits(weights, images)) > 10 * LIMIT


def test_reading_224_pixels_instead_of_227_is_found(tmp_path, class_names, monkeypatch):
    """At the size of the zoo's graph, its maps and ours differ: 26 and 12, 27 and 13."""
    weights, images = caffe_weights(), images_of(224)
    path = write("onnx", tmp_path, weights)
    _take_the_graphs_size(monkeypatch)
    ours = imported_logits(path, class_names, images)
    theirs = files.run_graph(files.zoo_graph(weights), files.caffe_inputs(images))
    assert difference(ours, theirs) > 10 * LIMIT
