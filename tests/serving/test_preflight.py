"""`--check` takes a good export and refuses each broken one, saying what is wrong."""

import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from alexnet_tf.models import builder, trained
from alexnet_tf.serving import (
    preflight,
    saved_model,
    signatures,
    verification,
    warmup_requests,
)


def test_the_command_passes_a_good_export(exported):
    """With no other flag: an export knows the checkpoint that it was made of."""
    done = subprocess.run(
        [sys.executable, "-m", "alexnet_tf.export", "--check", str(exported.parent)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == (
        f"{exported}: good: serving_default, predict_images, predict_float_images, "
        "classify, features\n"
    )


@pytest.mark.long
def test_an_export_of_ten_crops_in_bfloat16_passes(trained_run, tmp_path):
    path = tmp_path / "1"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "alexnet_tf.export", "--dtype=bfloat16"),
            *("--crops=10", "--top=2"),
            *(f"--checkpoint={trained_run}", f"--output={tmp_path}"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    replays = verification.verify(path)
    assert len(replays) == 5
    assert replays[0].outputs["scores"].shape == (4, 2)


def edited(exported, folder, change):
    """A copy of an export, its SavedModel proto given to `change`."""
    path = folder / "1"
    shutil.copytree(exported, path)
    saved = saved_model_pb2.SavedModel.FromString(
        (path / "saved_model.pb").read_bytes()
    )
    change(saved.meta_graphs[0])
    (path / "saved_model.pb").write_bytes(saved.SerializeToString())
    return path


def some_function(graph):
    """A function that holds a convolution."""
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
    ("change", "told"),
    [
        (compiled_function, "must be compiled by XLA"),
        (compiled_node, "must be compiled by XLA"),
        (python_function, "PyFunc: a server runs no Python"),
        (unknown_operation, "Mine>Conv: no operation of TensorFlow"),
        (type_without_kernel, "LRN has no CPU kernel for T=bfloat16"),
        (unbatched_output, "serving_default: scores must have a batch"),
        (signature_without_request, "no warm-up request for more"),
        (signature_that_is_gone, "asks for features: no such signature"),
        (no_graph_to_serve, "0 graphs are tagged serve"),
    ],
)
def test_a_graph_that_a_server_refuses_is_refused(exported, tmp_path, change, told):
    path = edited(exported, tmp_path, change)
    with pytest.raises(preflight.CheckError, match=told):
        preflight.examine(path)


def without_variables(path):
    shutil.rmtree(path / "variables")


def with_half_of_the_variables(path):
    (data,) = (path / "variables").glob("*.data-*")
    data.write_bytes(data.read_bytes()[: data.stat().st_size // 2])


def without_warmup(path):
    (path / warmup_requests.FOLDER / warmup_requests.FILE).unlink()


def without_graph(path):
    (path / "saved_model.pb").write_bytes(b"no proto")


@pytest.mark.parametrize(
    ("remove", "told"),
    [
        (without_variables, "does not load"),
        (with_half_of_the_variables, "does not load"),
        (without_warmup, "no warm-up requests"),
        (without_graph, "no SavedModel can be read"),
    ],
)
def test_an_export_with_a_part_missing_is_refused(exported, tmp_path, remove, told):
    path = tmp_path / "1"
    shutil.copytree(exported, path)
    remove(path)
    with pytest.raises((preflight.CheckError, FileNotFoundError), match=told):
        preflight.examine(path)


def test_a_signature_that_fails_is_refused(exported, tmp_path):
    path = tmp_path / "1"
    shutil.copytree(exported, path)
    with tf.io.TFRecordWriter(
        str(path / warmup_requests.FOLDER / warmup_requests.FILE)
    ) as writer:
        for name, inputs in warmup_requests.read(exported):
            ((key, _),) = inputs.items()
            broken = warmup_requests._predict_log(name, key, [b"no picture"])
            writer.write(broken.SerializeToString())
    with pytest.raises(
        preflight.CheckError, match="serving_default fails on its warm-up"
    ):
        preflight.examine(path)


def save(net, path, restored):
    saved_model.save_model(
        net,
        path,
        architecture=restored.architecture,
        classes=restored.dataset.classes,
        top=5,
        crops=1,
    )


@pytest.mark.parametrize(
    ("jit", "told"),
    [(False, "no operation of TensorFlow"), (True, "must be compiled by XLA")],
)
def test_a_net_as_it_is_trained_is_refused(trained_run, tmp_path, jit, told):
    """Real exports: with the custom operation inside, and with XLA's function too."""
    restored = trained.restore(trained_run)
    mean = restored.dataset.statistics().mean_crop(24)
    net = builder.build(restored.architecture, mean=mean, lrn="op", jit=jit)
    save(net, tmp_path / "1", restored)
    with pytest.raises(preflight.CheckError, match=told):
        preflight.check(tmp_path / "1")


def test_other_weights_than_the_checkpoints_are_found(exported, tmp_path, trained_run):
    """An export whose every request runs, and whose answers are another net's."""
    restored = trained.restore(trained_run, stock=True)
    kernel = restored.net.get_layer("fc10").kernel
    kernel.assign(kernel * 0)
    path = tmp_path / "1"
    save(restored.net, path, restored)
    origin = f"{warmup_requests.FOLDER}/{saved_model.ORIGIN}"
    shutil.copy(exported / origin, path / origin)
    with pytest.raises(preflight.CheckError, match="differs from the checkpoint's by"):
        verification.verify(path)


def test_an_output_with_no_rows_of_its_own_is_refused(tmp_path):
    """Its declared shape is open, so that only running it tells."""
    archive = keras.export.ExportArchive()
    archive.add_endpoint(
        "serving_default",
        lambda image_bytes: {"features": tf.strings.length(image_bytes)[:1]},
        input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")],
    )
    archive.track(tf.Variable(0.0))
    archive.write_out(str(tmp_path / "1"), verbose=False)
    spec = {"serving_default": tf.TensorSpec([None], tf.string, name="image_bytes")}
    warmup_requests.write(tmp_path / "1", spec, signatures.CLASSIFY)
    with pytest.raises(preflight.CheckError, match="not batched: 4 pictures gave"):
        preflight.examine(tmp_path / "1")


def test_the_warmup_is_read_back_as_it_was_written(exported):
    found = dict(warmup_requests.read(exported))
    pictures = list(warmup_requests.pictures().values())
    assert found["serving_default"]["image_bytes"].tolist() == pictures
    examples = [tf.train.Example.FromString(e) for e in found["classify"]["inputs"]]
    kept = [e.features.feature["image/encoded"].bytes_list.value[0] for e in examples]
    assert kept == pictures
    image = found["predict_images"]["image"]
    assert (image.dtype, image.shape) == (np.uint8, (1, 64, 80, 3))
    assert found["predict_float_images"]["image"].dtype == np.float32
