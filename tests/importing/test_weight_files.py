"""What is read from each format, and what is refused, without TensorFlow."""

import io
import os
import pathlib
import pickle
import zipfile

import numpy as np
import onnx
import pytest

from alexnet_tf.importing import (
    caffe_model,
    numpy_dict,
    recognition,
    restricted_pickle,
    torch_file,
    weight_files,
)
from alexnet_tf.importing.source import WeightsError
from alexnet_tf.models import saved_weights
from tests.support import published_files as files

CLASSES = 5
FORMATS = [
    "onnx",
    "caffemodel",
    "v1.caffemodel",
    "npy",
    "pth",
    "old.pth",
    "safetensors",
]


@pytest.fixture(autouse=True)
def _small_nets(monkeypatch):
    files.small_zoo(monkeypatch, shrink=16)


def weights_for(name):
    family = "torchvision" if name.endswith(("pth", "safetensors")) else "caffe"
    return files.random_weights(files.shapes_of(family, CLASSES, 16))


def write(folder, name, weights=None, **options):
    """Writes a file of random weights; `options` are those of its writer."""
    weights = weights_for(name) if weights is None else weights
    path = folder / f"net.{name}"
    if name == "onnx":
        onnx.save(files.zoo_graph(weights), path)
    elif name.endswith("caffemodel"):
        form = "v1" if name.startswith("v1") else "new"
        files.write_caffemodel(path, weights, form=form, **options)
    elif name == "npy":
        files.write_numpy(path, weights, **options)
    elif name == "safetensors":
        numpy = pytest.importorskip("safetensors.numpy")
        numpy.save_file(files.state_dict(weights), path)
    else:
        content = files.state_dict(weights)
        files.write_torch(path, content, legacy=name.startswith("old"))
    return path


def recognized(path, name=None):
    return recognition.recognize(weight_files.read(str(path)), name)


def refusal(path):
    """The message with which a file is refused, or ""."""
    try:
        recognized(path, "caffe_alexnet" if path.suffix == ".npy" else None)
    except WeightsError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", FORMATS)
def test_every_tensor_is_read_as_it_was_written(name, tmp_path):
    weights = weights_for(name)
    source = weight_files.read(str(write(tmp_path, name, weights)))
    assert len(source.weighted) == 8
    for layer, (kernel, bias) in zip(source.weighted, weights.values(), strict=True):
        found = source.kernel(layer)
        if name == "npy" and layer.name == "fc6":
            assert found.sum() == pytest.approx(kernel.sum(), rel=1e-3)
        else:
            np.testing.assert_array_equal(found, kernel)
        np.testing.assert_array_equal(source.tensors[layer.bias], bias)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", ["<f2", "<f4", ">f4", ">f8"])
def test_arrays_of_any_layout_in_memory_are_read_as_they_were_written(
    kind, order, tmp_path
):
    """NumPy pickles an array as it lies in memory, and a transposed one by columns."""
    written = {
        "conv1": [np.arange(24.0).reshape(1, 2, 3, 4), np.arange(4.0)],
        "fc6": [np.arange(15.0).reshape(3, 5), np.arange(5.0)],
    }
    content = {
        name: [np.array(array, kind, order=order) for array in pair]
        for name, pair in written.items()
    }
    np.save(tmp_path / "net.npy", np.array(content, object), allow_pickle=True)
    tensors, _ = numpy_dict.read(str(tmp_path / "net.npy"))
    for name, pair in written.items():
        for part, array in zip(("weights", "biases"), pair, strict=True):
            np.testing.assert_array_equal(tensors[f"{name}/{part}"], array)


@pytest.mark.parametrize("name", FORMATS)
def test_the_architecture_and_the_classes_are_recognized(name, tmp_path):
    path = write(tmp_path, name)
    if name == "npy":  # it holds no order of layers
        with pytest.raises(WeightsError, match=r"--architecture=caffe_alexnet or"):
            recognized(path)
        net = recognized(path, "caffenet")
        assert net.name == "caffenet"
    else:
        net = recognized(path)
        caffe = name in ("onnx", "caffemodel", "v1.caffemodel")
        assert net.name == ("caffe_alexnet" if caffe else "torchvision")
    assert net.classes == CLASSES


@pytest.mark.parametrize("form", ["new", "v1"])
def test_caffenet_is_recognized_by_the_order_of_its_layers(form, tmp_path):
    path = files.write_caffemodel(
        tmp_path / "net.caffemodel", weights_for("caffe"), net="caffenet", form=form
    )
    assert recognized(path).name == "caffenet"


def test_a_known_digest_decides_between_nets_of_the_same_shapes(tmp_path):
    source = weight_files.read(str(write(tmp_path, "npy")))
    assert recognition.recognize(source, None, "caffenet").name == "caffenet"


def test_a_caffemodel_of_tensors_alone_asks_for_the_architecture(tmp_path):
    path = write(tmp_path, "caffemodel", order=False, constants=False)
    with pytest.raises(WeightsError, match="--architecture=caffenet"):
        recognized(path)
    assert recognized(path, "caffe_alexnet").name == "caffe_alexnet"


def test_a_fine_tuned_net_may_call_its_last_layer_as_it_likes(tmp_path):
    path = write(tmp_path, "caffemodel", rename={"fc8": "fc8_flickr"})
    source = weight_files.read(str(path))
    assert source.weighted[-1].name == "fc8_flickr"
    assert recognition.recognize(source).classes == CLASSES


def test_an_architecture_that_does_not_fit_is_refused(tmp_path):
    path = write(tmp_path, "caffemodel")
    with pytest.raises(WeightsError, match=r"caffenet: its norm1 is layer 3.*pooling"):
        recognized(path, "caffenet")
    with pytest.raises(
        WeightsError, match=r"torchvision: its conv1, in place of conv1"
    ):
        recognized(path, "torchvision")


def test_another_alpha_is_another_net(tmp_path):
    path = write(tmp_path, "caffemodel", alpha=5e-4)
    with pytest.raises(
        WeightsError, match=r"alpha of its norm1 is 0.0001, expected 2e-05"
    ):
        recognized(path)


def test_a_net_without_groups_is_another_net(tmp_path):
    shapes = files.shapes_of("caffe", CLASSES, 16)
    shapes["conv2"] = (16, 6, 5, 5)
    path = write(tmp_path, "caffemodel", files.random_weights(shapes), constants=False)
    with pytest.raises(
        WeightsError, match=r"conv2.*\[16, 6, 5, 5\], expected \[16, 3, 5"
    ):
        recognized(path)


def test_a_layer_more_or_less_is_another_net(tmp_path):
    weights = weights_for("pth")
    del weights["classifier.4"]
    path = write(tmp_path, "pth", weights)
    with pytest.raises(WeightsError, match="7 layers with weights, expected 8"):
        recognized(path)


def test_a_missing_bias_is_named(tmp_path):
    weights = weights_for("caffemodel")
    weights["conv3"] = weights["conv3"][:1]
    with pytest.raises(WeightsError, match="its conv3.* has no bias"):
        recognized(write(tmp_path, "caffemodel", weights))


def test_other_tensors_are_of_another_net(tmp_path):
    content = files.state_dict(weights_for("pth"))
    content["features.1.running_mean"] = np.zeros(4, np.float32)
    path = files.write_torch(tmp_path / "net.pth", content)
    with pytest.raises(WeightsError, match="'features.1.running_mean'"):
        weight_files.read(str(path))


def test_an_unknown_operation_is_of_another_net(tmp_path):
    graph = files.zoo_graph(weights_for("onnx"))
    graph.graph.node[3].op_type = "Sigmoid"
    onnx.save(graph, tmp_path / "net.onnx")
    with pytest.raises(WeightsError, match="Sigmoid"):
        weight_files.read(str(tmp_path / "net.onnx"))


def test_a_graph_that_branches_is_of_another_net(tmp_path):
    graph = files.zoo_graph(weights_for("onnx"))
    norm1, pool1 = graph.graph.node[2:4]
    pool1.input[0] = norm1.input[0]  # around the normalization
    onnx.save(graph, tmp_path / "net.onnx")
    with pytest.raises(WeightsError, match="MaxPool.*does not follow the one before"):
        weight_files.read(str(tmp_path / "net.onnx"))


@pytest.mark.parametrize("shape", [(256, 64, 3, 3), (256, 36, 4, 4)])
def test_a_dense_layer_over_part_of_the_map_is_another_net(shape, tmp_path):
    shapes = files.shapes_of("caffe", CLASSES, 16)
    assert np.prod(shape[1:]) == 6 * 6 * 16
    shapes["fc6"] = shape
    graph = files.zoo_graph(files.random_weights(shapes))
    for node in graph.graph.node:
        if "fc6_w_0" in node.input:
            node.op_type = "Conv"
            del node.attribute[:]
    onnx.save(graph, tmp_path / "net.onnx")
    with pytest.raises(WeightsError, match="fc6"):
        recognized(tmp_path / "net.onnx", "caffe_alexnet")


@pytest.mark.parametrize("legacy", [False, True])
def test_a_checkpoint_of_training_holds_one_state_dict(legacy, tmp_path):
    weights = weights_for("pth")
    content = {
        "epoch": 90,
        "arch": "alexnet",
        "state_dict": files.state_dict(weights, "module."),
        "optimizer": {"state": {0: {"step": 1}}, "param_groups": [{"lr": 0.1}]},
    }
    path = files.write_torch(tmp_path / "net.pth.tar", content, legacy=legacy)
    source = weight_files.read(str(path))
    assert recognition.recognize(source).name == "torchvision"
    np.testing.assert_array_equal(
        source.kernel(source.weighted[0]), weights["features.0"][0]
    )


def test_two_state_dicts_are_not_guessed_between(tmp_path):
    state = files.state_dict(weights_for("pth"))
    content = {"model": state, "model_ema": state}
    path = files.write_torch(tmp_path / "net.pth", content)
    with pytest.raises(WeightsError, match=r"\(model, model_ema\)"):
        weight_files.read(str(path))


def test_tensors_may_be_views_of_one_another(tmp_path):
    """A transposed view has strides of its own, and shares its storage."""
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    path = files.write_torch(tmp_path / "net.pth", {"a.weight": array.T})
    (found,) = torch_file.read(str(path)).values()
    np.testing.assert_array_equal(found, [[0, 3], [1, 4], [2, 5]])


def _tensor(shape, strides, offset=0, count=4):
    storage = torch_file._Storage("<f4", "0", count)
    view = torch_file._Tensor(storage, offset, shape, strides)
    return view.of(np.zeros(count, np.float32))


def test_a_tensor_never_reaches_outside_its_storage():
    assert _tensor((2, 2), (2, 1)).shape == (2, 2)
    for shape, strides, offset in (
        ((5,), (1,), 0),
        ((2,), (1,), 3),
        ((2, 2), (3, 1), 0),
        ((2,), (-1,), 1),
        ((2,), (1,), -1),
        ((1000, 1000), (0, 0), 0),
        ((-1,), (1,), 0),
    ):
        with pytest.raises(restricted_pickle.PickleError):
            _tensor(shape, strides, offset)


class _Program:
    """Pickled, it is a program that makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def _write_archive(path, content):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(content, protocol=2))


def _write_first(path, content):
    path.write_bytes(pickle.dumps(content, protocol=2))


def _write_after_the_magic_numbers(path, content):
    parts = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, content)
    path.write_bytes(b"".join(pickle.dumps(part, protocol=2) for part in parts))


def _write_npy(path, content):
    np.save(path, np.array({"conv1": content}, dtype=object), allow_pickle=True)


@pytest.mark.parametrize(
    ("name", "write_program"),
    [
        ("net.pth", _write_archive),
        ("net.pth", _write_first),
        ("net.pth", _write_after_the_magic_numbers),
        ("net.npy", _write_npy),
    ],
)
@pytest.mark.parametrize("wrap", [lambda program: program, lambda program: [program]])
def test_no_file_can_run_code(name, write_program, wrap, tmp_path):
    made = tmp_path / "made by the file"
    path = tmp_path / name
    write_program(path, wrap(_Program(made)))
    with pytest.raises(WeightsError, match=r"asks for (posix|os)\.mkdir"):
        weight_files.read(str(path))
    assert not made.exists()


@pytest.mark.parametrize(
    "name",
    [
        "builtins.eval",
        "os.system",
        "torch.load",
        "numpy.load",
        "copyreg._reconstructor",
    ],
)
def test_only_listed_names_are_found(name):
    module, _, function = name.rpartition(".")
    program = f"c{module}\n{function}\n.".encode()
    with pytest.raises(restricted_pickle.PickleError, match=name):
        restricted_pickle.load(io.BytesIO(program), torch_file._ALLOWED)


def test_a_whole_module_is_refused_with_how_to_save_its_tensors(tmp_path):
    path = tmp_path / "net.pth"
    with zipfile.ZipFile(path, "w") as archive:
        program = b"ctorchvision.models.alexnet\nAlexNet\n)\x81."
        archive.writestr("archive/data.pkl", b"\x80\x02" + program)
    with pytest.raises(WeightsError, match=r"AlexNet.*torch.save\(model.state_dict"):
        weight_files.read(str(path))


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_that_is_cut_off_is_refused(name, tmp_path):
    path = write(tmp_path, name)
    whole = path.read_bytes()
    for part in (0.999, 0.9, 0.5, 0.1, 0.01, 0.0001):
        path.write_bytes(whole[: int(part * len(whole))])
        with pytest.raises(WeightsError, match=path.name):
            recognized(path, "caffe_alexnet" if name == "npy" else None)


@pytest.mark.parametrize("name", FORMATS)
def test_damage_is_an_error_that_names_the_file_or_changes_numbers_only(name, tmp_path):
    path = write(tmp_path, name)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = []
    for _ in range(60):
        changed = bytearray(whole)
        # Near the beginning and the end, where the formats keep what is not numbers.
        for place in rng.integers(0, min(len(whole), 4000), 3):
            changed[place if rng.random() < 0.7 else -place - 1] = rng.integers(256)
        path.write_bytes(changed)
        refused.append(refusal(path))
    assert any(refused)
    assert all(path.name in message for message in refused if message)


def test_a_text_file_under_a_models_name_is_refused(tmp_path):
    for name in FORMATS:
        path = tmp_path / f"text.{name}"
        path.write_text("<html>404: not found</html>\n" * 20)
        with pytest.raises(WeightsError, match="text"):
            weight_files.read(str(path))


def test_what_is_not_a_file_of_weights_is_named(tmp_path):
    (tmp_path / "net.zip").write_bytes(b"x")
    (tmp_path / "empty.pth").write_bytes(b"")
    for path, wrong in (
        (tmp_path, "is a folder"),
        (tmp_path / "net.zip", r"must be one of \.caffemodel"),
        (tmp_path / "missing.pth", "there is no file"),
        (tmp_path / "emtpy.pth", r"there is no file .* Did you mean .*/empty\.pth\?"),
        (tmp_path / "empty.pth", "is empty"),
    ):
        with pytest.raises(WeightsError, match=wrong):
            weight_files.read(str(path))


def test_a_prototxt_has_no_weights(tmp_path):
    path = files.write_caffemodel(tmp_path / "net.caffemodel", {})
    with pytest.raises(WeightsError, match="blobs"):
        caffe_model.read(str(path))


def test_a_type_of_layer_that_is_not_alexnets_is_named(tmp_path):
    path = tmp_path / "net.caffemodel"
    layer = files._bytes(1, "bn1") + files._bytes(2, "BatchNorm")
    path.write_bytes(files._bytes(100, layer))
    with pytest.raises(WeightsError, match=r"'bn1' has the type BatchNorm"):
        caffe_model.read(str(path))


def test_reading_files_does_not_import_tensorflow():
    import subprocess
    import sys

    code = (
        "import sys; from alexnet_tf.importing import weight_files, recognition; "
        "assert 'tensorflow' not in sys.modules"
    )
    root = pathlib.Path(weight_files.__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)


@pytest.mark.parametrize("name", ["archive", "sequence"])
def test_files_that_torch_itself_wrote_are_read(name):
    """By torch 2.14.1, in its format of today and that from before 1.6."""
    path = pathlib.Path(__file__).parent / "torch" / f"{name}.pth"
    found = torch_file.read(str(path))
    assert {key: value.tolist() for key, value in found.items()} == {
        "a.weight": [[0, 3], [1, 4], [2, 5]],  # a transposed view
        "a.bias": [1, 2],
        "b.weight": [[0, 1], [2, 3]],  # bfloat16
        "b.bias": [1, 1],  # a parameter in float64
    }


def test_every_file_that_can_be_imported_is_known_to_be_of_another_framework():
    """`AlexNet(weights=...)` names the command that imports it."""
    assert all(
        suffix.endswith(saved_weights._FOREIGN) for suffix in weight_files.READERS
    )
