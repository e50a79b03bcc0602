"""The preflight accepts a good export and refuses each broken one with the reason."""

import pathlib
import pickle
import shutil
import subprocess

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from alexnet_tf.models import builder, trained
from alexnet_tf.serving import (
    model_versions,
    preflight,
    saved_model,
    signatures,
    warmup_requests,
)


def edited(exported, folder, change):
    """Copies an export and lets `change` edit the graph of its SavedModel."""
    path = folder / "1"
    shutil.copytree(exported, path)
    saved = saved_model_pb2.SavedModel.FromString(
        (path / "saved_model.pb").read_bytes()
    )
    change(saved.meta_graphs[0])
    (path / "saved_model.pb").write_bytes(saved.SerializeToString())
    return path


def some_function(graph):
    """The first function with a convolution."""
    return next(
        function
        for function in graph.graph_def.library.function
        if any(node.op == "Conv2D" for node in function.node_def)
    )


def compiled_function(graph):
    some_function(graph).attr["_XlaMustCompile"].b = True


def compiled_node(graph):
    some_function(graph).node_def[0].attr["_XlaMustCompile"].b = True


def python_function(graph):
    next(n for n in some_function(graph).node_def if n.op == "Conv2D").op = "PyFunc"


def unknown_operation(graph):
    next(n for n in some_function(graph).node_def if n.op == "Conv2D").op = "Mine>Conv"


def type_without_kernel(graph):
    node = next(n for n in some_function(graph).node_def if n.op == "LRN")
    node.attr["T"].type = tf.bfloat16.as_datatype_enum


def unbatched_output(graph):
    shape = graph.signature_def["serving_default"].outputs["scores"].tensor_shape
    shape.dim[0].size = 5


def signature_without_request(graph):
    graph.signature_def["more"].CopyFrom(graph.signature_def["features"])


def signature_that_is_gone(graph):
    del graph.signature_def["features"]


def no_graph_to_serve(graph):
    del graph.meta_info_def.tags[:]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (compiled_function, "must be compiled by XLA"),
        (compiled_node, "must be compiled by XLA"),
        (python_function, "PyFunc, and a server does not run Python"),
        (unknown_operation, "Mine>Conv, which is not an operation of TensorFlow"),
        (type_without_kernel, "LRN has no CPU kernel for T=bfloat16"),
        (unbatched_output, "serving_default: scores must have a batch"),
        (signature_without_request, "no warm-up request for more"),
        (
            signature_that_is_gone,
            "asks for the signature features, which does not exist",
        ),
        (no_graph_to_serve, "one graph with the tag serve, it has 0"),
    ],
)
def test_an_export_that_a_server_cannot_run_is_rejected(
    exported, tmp_path, change, message
):
    path = edited(exported, tmp_path, change)
    with pytest.raises(preflight.CheckError, match=message):
        preflight.examine_export(path)


def without_variables(path):
    shutil.rmtree(path / "variables")


def with_half_of_the_variables(path):
    (data,) = (path / "variables").glob("*.data-*")
    data.write_bytes(data.read_bytes()[: data.stat().st_size // 2])


def without_warmup_requests(path):
    (path / model_versions.EXTRA_ASSETS / warmup_requests.FILE).unlink()


def without_graph(path):
    (path / "saved_model.pb").write_bytes(b"no proto")


@pytest.mark.parametrize(
    ("remove", "message"),
    [
        (without_variables, "does not load"),
        (with_half_of_the_variables, "does not load"),
        (without_warmup_requests, "no warm-up requests"),
        (without_graph, "the SavedModel cannot be read"),
    ],
)
def test_an_export_with_missing_or_broken_files_is_rejected(
    exported, tmp_path, remove, message
):
    path = tmp_path / "1"
    shutil.copytree(exported, path)
    remove(path)
    with pytest.raises((preflight.CheckError, FileNotFoundError), match=message):
        preflight.examine_export(path)


def test_a_signature_that_fails_on_its_warm_up_request_is_rejected(exported, tmp_path):
    path = tmp_path / "1"
    shutil.copytree(exported, path)
    with tf.io.TFRecordWriter(
        str(path / model_versions.EXTRA_ASSETS / warmup_requests.FILE)
    ) as writer:
        for name, inputs in warmup_requests.read_warmup_requests(exported):
            ((key, _),) = inputs.items()
            broken = warmup_requests._predict_log(name, key, [b"not an image"])
            writer.write(broken.SerializeToString())
    with pytest.raises(
        preflight.CheckError, match="serving_default fails on its warm-up"
    ):
        preflight.examine_export(path)


def save(net, path, restored):
    saved_model.save_model(
        net,
        path,
        architecture=restored.architecture,
        mean=restored.trained.mean,
        classes=restored.trained.class_names,
        top=5,
        crops=1,
    )


def with_the_ops_of_training(restored):
    """The restored net, untrained, with the custom op."""
    return builder.build(
        restored.architecture, lrn="op", classifier_activation="softmax"
    )


def test_a_net_with_the_ops_of_training_is_rejected(trained_run, tmp_path):
    """By a process that has not loaded them: here they are known operations."""
    restored = trained.restore(trained_run)
    save(with_the_ops_of_training(restored), tmp_path / "1", restored)
    with pytest.raises(preflight.CheckError, match="not an operation of TensorFlow"):
        preflight.check_export(tmp_path / "1")


def test_a_net_that_xla_compiles_is_rejected(trained_run, tmp_path):
    restored = trained.restore(trained_run, stock=True, inputs="finished")
    net = restored.model
    compiled = keras.layers.Lambda(tf.function(tf.negative, jit_compile=True))
    save(keras.Model(net.input, compiled(net.output)), tmp_path / "1", restored)
    with pytest.raises(preflight.CheckError, match="must be compiled by XLA"):
        preflight.examine_export(tmp_path / "1")


@pytest.mark.parametrize(("rows", "images"), [(1, 4), (4, 8)])
def test_an_output_without_one_row_per_image_is_rejected(tmp_path, rows, images):
    """Its declared shape is open, so that only running it shows the mistake."""
    archive = keras.export.ExportArchive()
    archive.add_endpoint(
        "serving_default",
        lambda image_bytes: {"features": tf.strings.length(image_bytes)[:rows]},
        input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")],
    )
    archive.track(tf.Variable(0.0))
    archive.write_out(str(tmp_path / "1"), verbose=False)
    spec = {"serving_default": tf.TensorSpec([None], tf.string, name="image_bytes")}
    warmup_requests.write_warmup_requests(tmp_path / "1", spec, signatures.CLASSIFY)
    with pytest.raises(
        preflight.CheckError, match=f"not batched: {images} images gave"
    ):
        preflight.examine_export(tmp_path / "1")


def test_replays_keep_every_bit_on_their_way_from_the_process(tmp_path):
    replay = preflight.Replay(
        "features",
        {"image_bytes": np.array([b"ends in zeros\0\0", b"", b"\xff\0x"], object)},
        {
            "scores": np.array([[0.1, 1e-42], [np.nan, np.inf]], np.float32),
            "classes": np.array([["caf\u00e9".encode()], [b"cat"]], object),
            "image": np.arange(6, dtype=np.uint8).reshape(1, 2, 3),
        },
    )
    preflight._write_replays([replay, replay], str(tmp_path / "replays"))
    for found in preflight._read_replays(tmp_path / "replays"):
        assert found.signature == "features"
        for arrays, wanted in zip(found[1:], replay[1:], strict=True):
            assert set(arrays) == set(wanted)
            for name, array in wanted.items():
                np.testing.assert_array_equal(arrays[name], array)
                assert arrays[name].dtype == array.dtype


class Harmful:
    """What an export could send instead of answers; to unpickle it creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


def ending_with(monkeypatch, status, output="", answers=None):
    """Lets the process that runs an export end in another way."""

    def run(command, **options):
        if answers is not None:
            pathlib.Path(command[-1]).write_bytes(answers)
        return subprocess.CompletedProcess(command, status, "", output)

    monkeypatch.setattr(preflight.subprocess, "run", run)


def test_answers_of_the_process_are_read_and_never_run(tmp_path, monkeypatch):
    harmful = pickle.dumps(Harmful(tmp_path / "harm"))
    ending_with(monkeypatch, 0, answers=harmful)
    with pytest.raises(preflight.CheckError, match="cannot be read"):
        preflight.check_export(tmp_path)
    assert not (tmp_path / "harm").exists()
    pickle.loads(harmful)
    assert (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("status", "output", "message"),
    [
        (-11, "", "was ended by SIGSEGV: no message$"),
        (1, "Traceback\n  File x\nKeyError: 'y'\n", "ended with status 1: KeyError"),
        (3, "noise\nwhy it was refused\n", "^why it was refused$"),
    ],
)
def test_a_process_that_fails_is_explained_in_one_line(
    tmp_path, monkeypatch, status, output, message
):
    ending_with(monkeypatch, status, output)
    with pytest.raises(preflight.CheckError, match=message) as caught:
        preflight.check_export(tmp_path)
    assert "\n" not in str(caught.value)
