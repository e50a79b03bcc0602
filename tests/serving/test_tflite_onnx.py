"""TFLite and ONNX files agree with Keras, each run by its own runtime."""

import json
import math
import os
import zipfile

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.data import records
from alexnet_tf.models import builder, layers, resizing, trained, zoo
from alexnet_tf.serving import model_versions, tflite_onnx
from tests.support import commands, nets, plain_nets, programs, quiet


@pytest.fixture(scope="module")
def crops_and_probabilities(trained_run, small_dataset):
    """Crops of the run's validation images, and the probabilities that Keras gives."""
    restored = trained.restore(trained_run)
    source = records.open_records(small_dataset, "validation")
    squares = [
        records.decode_image(source[i].encoded, 32, "raw") for i in range(len(source))
    ]
    crops = resizing.center_crop(tf.stack(squares), 24)
    probabilities = tf.nn.softmax(
        restored.model(layers.plain_inputs(crops), training=False)
    ).numpy()
    return crops.numpy().astype(np.float32), probabilities


def export_as(trained_run, folder, form, *options):
    """Exports a run by the command, which is quiet; returns the file."""
    done = commands.run(
        *("export", f"--checkpoint={trained_run}", f"--output={folder}"),
        *(f"--format={form}", *options),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == f"{folder / f'1.{form}'}\n"
    quiet.assert_quiet(done.stderr, 2)  # the checkpoint, and whose normalization
    return folder / f"1.{form}"


@pytest.mark.parametrize(("count", "chosen"), [(2, [0, 23]), (3, [0, 11, 23])])
def test_calibration_images_are_spread_over_all_classes(small_dataset, count, chosen):
    """Records of a folder may be in the order of the classes."""
    found = tflite_onnx.calibration_images(small_dataset, 24, count)
    source = records.open_records(small_dataset, "train")
    for image, index in zip(found, chosen, strict=True):
        square = records.decode_image(source[index].encoded, 32, "raw")
        np.testing.assert_array_equal(image, resizing.center_crop(square, 24))
    assert found.dtype == np.float32
    assert len(tflite_onnx.calibration_images(small_dataset, 24, 100)) == 24


# By type: the largest difference of a probability, and the mean difference of a logit
# as a fraction of the standard deviation of the logits.
TFLITE = {"float32": (1e-5, 1e-5), "float16": (1e-3, 1e-3), "int8": (0.005, 0.01)}


BYTES = {"float32": 4, "float16": 2, "int8": 1}


@pytest.mark.parametrize("dtype", TFLITE)
def test_tflite_agrees_with_keras_to_its_precision(
    trained_run, small_dataset, tmp_path, crops_and_probabilities, dtype
):
    calibration = [f"--calibration_dataset={small_dataset.path}"]
    file = export_as(
        *(trained_run, tmp_path, "tflite", f"--dtype={dtype}"),
        *(calibration if dtype == "int8" else []),
    )
    images, wanted = crops_and_probabilities
    probability, logit = TFLITE[dtype]
    for found in answers_of_tflite(file, images, tmp_path):
        np.testing.assert_allclose(found, wanted, atol=probability)
        assert (found.argmax(1) == wanted.argmax(1)).all()
        off = np.abs(centered_logits(found) - centered_logits(wanted))
        assert off.mean() < logit * centered_logits(wanted).std()
    size = 0
    for weight in trained.restore(trained_run).model.weights:
        unshared = dtype == "int8" and weight.path.startswith("local")
        size += math.prod(weight.shape) * (4 if unshared else BYTES[dtype])
    assert size <= file.stat().st_size < size + 70_000
    archive = zipfile.ZipFile(file)
    labels = archive.read(tflite_onnx.LABELS).decode()
    assert labels.split() == ["class0", "class1", "class2"]
    assert_made_of(trained_run, archive.read(model_versions.ORIGIN), file, dtype)


def assert_made_of(run, text, file, dtype):
    """An export says which checkpoint it was made of, and what that contained."""
    origin = json.loads(text)
    restored = trained.restore(run)
    assert origin["checkpoint"] == os.path.abspath(restored.checkpoint)
    from_here = file / origin["checkpoint_from_here"]
    assert os.path.normpath(from_here) == os.path.normpath(restored.checkpoint)
    assert origin["made_of"] == trained.fingerprint(restored)
    assert origin["dtype"] == dtype
    assert origin["background"] == [255, 255, 255]


def centered_logits(probabilities):
    """Logits float [N, classes] from probabilities; the mean of each row is 0."""
    logits = np.log(np.maximum(probabilities, 1e-30))
    return logits - logits.mean(axis=1, keepdims=True)


INTERPRETER = """
import sys
import numpy as np
import tensorflow as tf
images = np.load(sys.argv[2] + "/images.npy")
kinds = tf.lite.experimental.OpResolverType
found = []
for kind in (kinds.AUTO, kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES):
    interpreter = tf.lite.Interpreter(sys.argv[1], experimental_op_resolver_type=kind)
    (entry,) = interpreter.get_input_details()
    (result,) = interpreter.get_output_details()
    interpreter.resize_tensor_input(entry["index"], images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(entry["index"], images)
    interpreter.invoke()
    found.append(interpreter.get_tensor(result["index"]))
np.save(sys.argv[2] + "/found.npy", found)
"""


def answers_of_tflite(file, images, folder):
    """What TFLite's default kernels and its reference kernels answer.

    In a process of its own, because the interpreter ends with a deprecation notice,
    which would be an error here.
    """
    np.save(folder / "images.npy", images)
    done = programs.run("-c", INTERPRETER, file, folder)
    assert done.returncode == 0, done.stderr[-3000:]
    return np.load(folder / "found.npy")


def test_onnx_agrees_with_keras(trained_run, tmp_path, crops_and_probabilities):
    import onnxruntime

    file = export_as(trained_run, tmp_path, "onnx")
    images, wanted = crops_and_probabilities
    session = onnxruntime.InferenceSession(file)
    (found,) = session.run(["probabilities"], {"image": images})
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    recorded = session.get_modelmeta().custom_metadata_map
    assert recorded["labels"].split() == ["class0", "class1", "class2"]
    assert_made_of(trained_run, recorded["alexnet_tf"], file, "float32")


def test_a_keras_file_says_what_it_was_made_of(trained_run, tmp_path):
    file = export_as(trained_run, tmp_path, "keras")
    found = zipfile.ZipFile(file).read(model_versions.ORIGIN)
    assert_made_of(trained_run, found, file, "float32")


@pytest.mark.parametrize("name", ["caffe_alexnet", "caffenet", "torchvision"])
def test_nets_of_other_libraries_agree_with_keras_in_both_formats(tmp_path, name):
    """With normalization over both towers, and pooling that rounds down."""
    import onnxruntime

    plan = nets.narrowed(zoo.find(name), 99)
    built = builder.build(plan, lrn="stock", jit=False, classifier_activation="softmax")
    weights = plain_nets.random_weights(nets.NARROW, groups=plan.towers, side=2)
    weights["fc8"] = tuple(weight * 0.01 for weight in weights["fc8"])
    plain_nets.set_weights(built, weights, plan.towers)
    images = nets.random_inputs(3, 99) + 128
    mean = np.full((99, 99, 3), 120, np.float32)
    wanted = built(images - mean).numpy()
    assert wanted.std() > 0.01
    named = {"mean": mean, "classes": [f"class{i}" for i in range(5)], "origin": {}}
    tflite_onnx.save_onnx(built, tmp_path / "net.onnx", **named)
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    (found,) = session.run(["probabilities"], {"image": images})
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    tflite_onnx.save_tflite(
        built, tmp_path / "net.tflite", precision="float32", **named
    )
    for found in answers_of_tflite(tmp_path / "net.tflite", images, tmp_path):
        np.testing.assert_allclose(found, wanted, atol=1e-5)
