"""An export holds the model's numbers, its weights once, and runs where it is taken."""

import ast
import io
import json
import math
import pathlib
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import alexnet_tf
from alexnet_tf import export, predict
from alexnet_tf.data import image_decoding, record_files, records
from alexnet_tf.models import layers, resizing, trained
from alexnet_tf.runtime import options
from alexnet_tf.serving import (
    local_model,
    model_versions,
    saved_model,
    tflite_onnx,
)
from alexnet_tf.serving import signatures as signatures_module


def command(main, *arguments):
    return subprocess.run(
        [sys.executable, "-m", f"alexnet_tf.{main}", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def pictures():
    """Encoded pictures of every kind, and their pixels as Pillow reads them."""
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (50, 40, 3)).astype(np.uint8)
    found = []
    for mode, kind in (
        ("RGB", "PNG"), ("L", "PNG"), ("P", "GIF"), ("RGB", "BMP"),
        ("RGB", "JPEG"), ("L", "JPEG"), ("CMYK", "JPEG"),
    ):  # fmt: skip
        buffer = io.BytesIO()
        Image.fromarray(pixels).convert(mode).save(buffer, kind)
        found.append(buffer.getvalue())
    return [(data, image_decoding.decode(data, "picture")) for data in found]


def test_weights_stand_once(exported, trained_run):
    parameters = trained.restore(trained_run).net.count_params()
    size = sum(f.stat().st_size for f in (exported / "variables").iterdir())
    assert 4 * parameters <= size < 1.02 * 4 * parameters + 4096


def test_every_kind_of_picture_is_decoded_as_preparation_decodes_it(exported, pictures):
    loaded = tf.saved_model.load(str(exported))
    by_bytes = loaded.signatures["serving_default"]
    by_pixels = loaded.signatures["predict_images"]
    for data, pixels in pictures:
        one = by_bytes(image_bytes=tf.constant([data]))["probabilities"]
        other = by_pixels(image=tf.constant(pixels[None]))["probabilities"]
        np.testing.assert_allclose(one, other, atol=2e-3)


def test_the_labels_travel_with_the_model(exported):
    labels = (exported / "assets" / saved_model.LABELS).read_text().split()
    assert labels == ["class0", "class1", "class2"]


def test_versions_count_up_and_are_never_overwritten(trained_run, tmp_path):
    (tmp_path / "7").mkdir()
    done = command("export", f"--checkpoint={trained_run}", f"--output={tmp_path}")
    assert done.stdout.strip() == str(tmp_path / "8")
    again = command(
        "export", f"--checkpoint={trained_run}", f"--output={tmp_path}", "--version=8"
    )
    assert again.returncode == 1
    assert "8 exists" in again.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["7", "8"]


def test_a_keras_file_is_weights_for_alexnet(trained_run, tmp_path):
    done = command(
        *("export", f"--checkpoint={trained_run}", f"--output={tmp_path}"),
        "--format=keras",
    )
    assert done.returncode == 0, done.stderr[-3000:]
    file = tmp_path / "1.keras"
    model = alexnet_tf.AlexNet(
        weights=file, classes=3, architecture="cifar10_11pct", name="net"
    )
    restored = trained.restore(trained_run)
    image = np.random.default_rng(0).integers(0, 256, (2, 24, 24, 3))
    mean = restored.dataset.statistics().mean_crop(24)
    ours = model(alexnet_tf.preprocess_input(image, mean))
    logits = restored.net(layers.plain_inputs(tf.constant(image, tf.uint8)))
    np.testing.assert_allclose(ours, tf.nn.softmax(logits), rtol=1e-5, atol=1e-6)
    assert keras.saving.load_model(file).count_params() == model.count_params()


def write_half_and_fail(path):
    with model_versions.whole(path) as partial:
        partial.mkdir()
        (partial / "saved_model.pb").write_text("half")
        raise ZeroDivisionError


def test_a_failed_export_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError):
        write_half_and_fail(tmp_path / "1")
    assert list(tmp_path.iterdir()) == []


def logits(restored, crops):
    return restored.net(layers.plain_inputs(crops), training=False)


@pytest.fixture(scope="module")
def signatures(exported):
    return tf.saved_model.load(str(exported)).signatures


def test_the_answer_is_that_of_preparation_and_evaluation(
    signatures, trained_run, pictures
):
    """By their own functions: Pillow, the resize rule, the crop, and the run's net."""
    restored = trained.restore(trained_run)
    squares = tf.stack([resizing.resize(tf.constant(p), 32) for _, p in pictures])
    wanted = tf.nn.softmax(logits(restored, resizing.center_crop(squares, 24))).numpy()
    encoded = tf.constant([data for data, _ in pictures])
    found = signatures["serving_default"](image_bytes=encoded)
    lossy = [data[:2] == b"\xff\xd8" for data, _ in pictures]  # a bit off in JPEG
    exact = ~np.array(lossy)
    np.testing.assert_allclose(found["probabilities"][exact], wanted[exact], atol=1e-5)
    np.testing.assert_allclose(found["probabilities"], wanted, atol=2e-3)
    best = [[f"class{n}".encode() for n in np.argsort(-row)] for row in wanted]
    assert found["classes"].numpy()[:, 0].tolist() == [row[0] for row in best]
    np.testing.assert_allclose(
        found["scores"], -np.sort(-found["probabilities"].numpy(), axis=1)
    )


def test_signatures_agree_on_the_same_picture(signatures, pictures):
    data, pixels = pictures[0]
    encoded = tf.constant([data])
    wanted = signatures["serving_default"](image_bytes=encoded)
    for name, dtype in (
        ("predict_images", "uint8"),
        ("predict_float_images", "float32"),
    ):
        found = signatures[name](image=tf.constant(pixels[None], dtype))
        for key in ("classes", "scores", "probabilities"):
            np.testing.assert_array_equal(found[key], wanted[key])
    example = record_files.serialize("a.png", record_files.Record(data, 0))
    found = signatures["classify"](inputs=tf.constant([example]))
    assert set(found) == {"classes", "scores"}
    np.testing.assert_array_equal(found["scores"], wanted["scores"])


def test_features_are_what_the_last_layer_reads(signatures, trained_run, pictures):
    encoded = tf.constant([data for data, _ in pictures])
    features = signatures["features"](image_bytes=encoded)["features"]
    kernel, bias = trained.restore(trained_run).net.get_layer("fc10").get_weights()
    again = tf.nn.softmax(features @ kernel + bias)
    found = signatures["serving_default"](image_bytes=encoded)["probabilities"]
    np.testing.assert_allclose(again, found, atol=1e-5)


def test_ten_crops_are_averaged_as_evaluation_averages_them(trained_run):
    restored = trained.restore(trained_run)
    served = signatures_module.Signatures(
        restored.net,
        restored.architecture,
        classes=restored.dataset.classes,
        top=2,
        crops=10,
    ).all()
    rng = np.random.default_rng(3)
    pixels = tf.constant(rng.integers(0, 256, (2, 32, 32, 3)), tf.uint8)
    found = served["predict_images"].function(pixels)
    assert found["scores"].shape == (2, 2)
    for row, image in enumerate(pixels):
        of_views = tf.nn.softmax(logits(restored, resizing.views(image, 24)))
        np.testing.assert_allclose(
            found["probabilities"][row], np.mean(of_views, axis=0), atol=1e-5
        )


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_pixels_that_are_no_numbers_are_refused(signatures, value):
    with pytest.raises(tf.errors.InvalidArgumentError, match="image"):
        signatures["predict_float_images"](image=tf.fill([1, 4, 4, 3], value))


@pytest.mark.parametrize("which", ["strings", "images"])
def test_a_batch_of_no_pictures_is_refused_in_one_line(signatures, which):
    asked = set()
    for name, signature in signatures.items():
        ((key, spec),) = signature.structured_input_signature[1].items()
        if (spec.dtype == tf.string) != (which == "strings"):
            continue
        none = tf.zeros([0, *[4] * (spec.shape.rank - 2), 3][: spec.shape.rank])
        with pytest.raises(tf.errors.InvalidArgumentError, match="no pictures"):
            signature(
                **{
                    key: tf.cast(none, spec.dtype)
                    if which == "images"
                    else tf.constant([], tf.string)
                }
            )
        asked.add(name)
    assert asked


@pytest.mark.parametrize("shape", [(1, 0, 5, 3), (1, 5, 0, 3), (1, 1, 101, 3)])
def test_pixels_that_cannot_be_resized_are_refused(signatures, shape):
    with pytest.raises(tf.errors.InvalidArgumentError, match="rows of"):
        signatures["predict_images"](image=tf.zeros(shape, tf.uint8))


@pytest.mark.parametrize(
    "seconds", [1, pytest.param(600, marks=pytest.mark.long)], ids=["short", "long"]
)
def test_mutated_pictures_are_answered_or_refused_with_a_clear_error(
    exported, tmp_path, seconds
):
    """By number of seconds; a crash or a hang would end another process, not this."""
    fuzz = pathlib.Path(__file__).parent / "fuzz_export.py"
    done = subprocess.run(
        [sys.executable, fuzz, exported, str(seconds), tmp_path / "last"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    counts = ast.literal_eval(done.stdout)
    assert counts["refused"] > counts["answered"] > 0


# TFLite and ONNX, each in its own runtime.


@pytest.fixture(scope="module")
def portable_case(trained_run):
    """Crops of the run's validation pictures, and the probabilities Keras gives."""
    restored = trained.restore(trained_run)
    source = records.open_records(restored.dataset, "validation")
    squares = [
        records.decode_image(source[i].encoded, 32, "raw") for i in range(len(source))
    ]
    crops = resizing.center_crop(tf.stack(squares), 24)
    probabilities = tf.nn.softmax(logits(restored, crops)).numpy()
    return crops.numpy().astype(np.float32), probabilities


def export_as(trained_run, folder, form, dtype="float32"):
    done = command(
        *("export", f"--checkpoint={trained_run}", f"--output={folder}"),
        *(f"--format={form}", f"--dtype={dtype}"),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder / f"1.{form}"


# Largest difference of a probability, and mean one of a logit in parts of the logits'
# deviation, by type.
TFLITE = {"float32": (1e-5, 1e-5), "float16": (1e-3, 1e-3), "int8": (0.005, 0.01)}
BYTES = {"float32": 4, "float16": 2, "int8": 1}


@pytest.mark.parametrize("dtype", TFLITE)
def test_tflite_agrees_with_keras_to_its_precision(
    trained_run, tmp_path, portable_case, dtype
):
    """With TFLite's default kernels, and with those that are its reference."""
    file = export_as(trained_run, tmp_path, "tflite", dtype)
    images, wanted = portable_case
    # A process of its own: the interpreter's parting notice is a warning here.
    np.save(tmp_path / "images.npy", images)
    done = subprocess.run(
        [sys.executable, "-c", INTERPRETER, str(file), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    probability, logit = TFLITE[dtype]
    for found in np.load(tmp_path / "found.npy"):
        np.testing.assert_allclose(found, wanted, atol=probability)
        assert (found.argmax(1) == wanted.argmax(1)).all()
        off = np.abs(centred_logits(found) - centred_logits(wanted))
        assert off.mean() < logit * centred_logits(wanted).std()
    size = 0
    for weight in trained.restore(trained_run).net.weights:
        unshared = dtype == "int8" and weight.path.startswith("local")
        size += math.prod(weight.shape) * (4 if unshared else BYTES[dtype])
    assert size <= file.stat().st_size < size + 70_000
    labels = zipfile.ZipFile(file).read(tflite_onnx.LABELS).decode()
    assert labels.split() == ["class0", "class1", "class2"]


def centred_logits(probabilities):
    """float [N, classes], each row's mean 0."""
    logits = np.log(np.maximum(probabilities, 1e-30))
    return logits - logits.mean(axis=1, keepdims=True)


INTERPRETER = """
import sys, warnings
warnings.simplefilter("ignore")
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


def test_onnx_agrees_with_keras(trained_run, tmp_path, portable_case):
    import onnxruntime

    file = export_as(trained_run, tmp_path, "onnx")
    images, wanted = portable_case
    session = onnxruntime.InferenceSession(file)
    (found,) = session.run(["probabilities"], {"image": images})
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    labels = session.get_modelmeta().custom_metadata_map["labels"]
    assert labels.split() == ["class0", "class1", "class2"]


@pytest.mark.parametrize(
    ("form", "dtype"), [("saved_model", "int8"), ("onnx", "bfloat16")]
)
def test_a_type_that_a_format_has_not_is_refused(trained_run, tmp_path, form, dtype):
    flags = options.Config(
        checkpoint=str(trained_run),
        export_dir=str(tmp_path),
        export_format=form,
        dtype=dtype,
    )
    told = f"--dtype={dtype} does not go with --format={form}: use float32"
    with pytest.raises(ValueError, match=told):
        export.main(flags, [])
    assert list(tmp_path.iterdir()) == []


# Predict, on the same export.


def test_predict_prints_the_best_classes_and_goes_on_after_a_bad_file(
    exported, tmp_path, pictures
):
    good = tmp_path / "good.png"
    good.write_bytes(pictures[0][0])
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"not a picture")
    done = command(
        *("predict", f"--model={exported.parent}", "--format=json", "--top=2"),
        *(str(bad), str(good), str(tmp_path / "absent.png")),
    )
    assert done.returncode == 1
    (found,) = json.loads(done.stdout)
    assert found["file"] == str(good)
    assert len(found["classes"]) == len(found["scores"]) == 2
    assert found["scores"][0] >= found["scores"][1]
    assert f"{bad}: image_bytes: not a JPEG, PNG, GIF or BMP" in done.stderr
    assert "absent.png" in done.stderr
    assert "2 of 3 files were not classified" in done.stderr


def test_the_highest_version_is_taken(exported, tmp_path):
    assert local_model.Model(exported.parent).classify is not None
    with pytest.raises(FileNotFoundError, match=r"alexnet_tf\.export"):
        local_model.Model(tmp_path)


def test_predictions_as_table_json_and_csv():
    predictions = [predict.Prediction("a,b.png", ["cat", "dog"], [0.75, 0.25])]
    table = predict.text(predictions, "table").splitlines()
    assert table == ["a,b.png", "   75.00 %  cat", "   25.00 %  dog"]
    assert json.loads(predict.text(predictions, "json"))[0]["classes"] == ["cat", "dog"]
    assert predict.text(predictions, "csv").splitlines() == [
        "file,rank,class,score",
        '"a,b.png",1,cat,0.750000',
        '"a,b.png",2,dog,0.250000',
    ]
