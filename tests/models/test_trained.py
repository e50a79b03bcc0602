"""A run folder is enough to use a trained net, and all its exports agree."""

import dataclasses
import json
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import alexnet_tf
from alexnet_tf.evaluation import evaluator
from alexnet_tf.models import architecture as architectures
from alexnet_tf.models import (
    builder,
    checkpoint_files,
    checkpoint_weights,
    image_resizing,
    layers,
    loaded_net,
    trained,
)
from alexnet_tf.serving import (
    export_verification,
    exporting,
    preflight,
    tflite_onnx,
)
from alexnet_tf.training import checkpoint


@pytest.fixture(scope="module")
def moved(trained_run, tmp_path_factory):
    """A copy of the run folder whose dataset no longer exists."""
    run_dir = tmp_path_factory.mktemp("elsewhere") / "run"
    shutil.copytree(trained_run, run_dir)
    described = json.loads((run_dir / "model.json").read_text())
    described["dataset"]["path"] = "/nowhere/data"
    (run_dir / "model.json").write_text(json.dumps(described))
    return run_dir


@pytest.fixture(scope="module")
def images():
    """uint8 images of several sizes."""
    random = np.random.default_rng(3)
    sizes = ((32, 32), (40, 36), (90, 50), (24, 61))
    return [random.integers(0, 256, (*size, 3)).astype(np.uint8) for size in sizes]


@pytest.fixture(scope="module")
def expected(moved, images):
    """The probabilities that evaluation computes from its own center crops."""
    restored = trained.restore(moved)
    views = np.stack([image_resizing.center_view(image, 32, 24) for image in images])
    logits = restored.model(layers.plain_inputs(tf.constant(views)), training=False)
    return tf.nn.softmax(logits).numpy()


@pytest.fixture(scope="module")
def served(moved, tmp_path_factory):
    """The SavedModel of that run."""
    return exporting.export(moved, folder=tmp_path_factory.mktemp("served"))


def in_order(predictions, class_names):
    """Converts lists of (name, probability) to arrays in the order of the classes."""
    return np.array([[dict(row)[name] for name in class_names] for row in predictions])


def test_a_net_without_its_dataset_loads_and_agrees_with_evaluation(
    moved, images, expected
):
    net = alexnet_tf.load(moved)
    assert net.class_names == ("class0", "class1", "class2")
    assert net.architecture.name == "cifar10_11pct"
    found = in_order(net.predict(images, top=3), net.class_names)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    pixels = np.stack([image_resizing.center_view(image, 32, 24) for image in images])
    np.testing.assert_allclose(net.model(pixels).numpy(), expected, atol=1e-5)
    assert net.predict([], top=3) == []


def test_a_keras_file_agrees_and_loads_after_importing_the_package(
    moved, images, expected, tmp_path
):
    path = exporting.export(moved, format="keras", folder=tmp_path)
    assert path == tmp_path / "1.keras"
    net = alexnet_tf.load(path)
    assert net.class_names == ("class0", "class1", "class2")
    assert net.architecture == alexnet_tf.load(moved).architecture
    found = in_order(net.predict(images, top=3), net.class_names)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    pixels = np.stack([image_resizing.center_view(image, 32, 24) for image in images])
    np.save(tmp_path / "pixels.npy", pixels)
    # Keras is imported first in `layers/test_saved_layers.py`.
    script = (
        "import sys, numpy as np\n"
        "import alexnet_tf, keras\n"
        "model = keras.saving.load_model(sys.argv[1])\n"
        "np.save(sys.argv[3], model(np.load(sys.argv[2])).numpy())\n"
    )
    found = tmp_path / "found.npy"
    subprocess.run(
        [sys.executable, "-c", script, path, tmp_path / "pixels.npy", found],
        check=True,
    )
    np.testing.assert_allclose(np.load(found), expected, atol=1e-5)


@pytest.mark.filterwarnings("ignore::UserWarning")  # TFLite is deprecated
def test_every_other_export_agrees_without_the_dataset(
    moved, served, images, expected, tmp_path
):
    signatures = tf.saved_model.load(str(served)).signatures
    names = [
        name.decode() for name in (served / "assets/labels.txt").read_bytes().split()
    ]
    assert names == ["class0", "class1", "class2"]
    for image, probabilities in zip(images, expected, strict=True):
        answer = signatures["predict_images"](image=tf.constant(image[None]))
        np.testing.assert_allclose(
            answer["probabilities"].numpy()[0], probabilities, atol=1e-5
        )
    views = np.stack([image_resizing.center_view(image, 32, 24) for image in images])
    views = views.astype(np.float32)
    tflite = exporting.export(moved, format="tflite", folder=tmp_path)
    interpreter = tf.lite.Interpreter(str(tflite))
    (entry,) = interpreter.get_input_details()
    interpreter.resize_tensor_input(entry["index"], views.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(entry["index"], views)
    interpreter.invoke()
    (result,) = interpreter.get_output_details()
    found = interpreter.get_tensor(result["index"])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    import onnxruntime

    onnx = exporting.export(moved, format="onnx", folder=tmp_path)
    session = onnxruntime.InferenceSession(str(onnx))
    (found,) = session.run(["probabilities"], {"image": views})
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.filterwarnings("ignore::UserWarning")  # of the TFLite converter
def test_int8_without_a_calibration_dataset_is_rejected(moved, small_dataset, tmp_path):
    with pytest.raises(ValueError, match="--calibration_dataset"):
        exporting.export(moved, format="tflite", dtype="int8", folder=tmp_path)
    path = exporting.export(
        moved,
        format="tflite",
        dtype="int8",
        folder=tmp_path,
        calibration_dataset=small_dataset.path,
    )
    assert path.stat().st_size > 0
    assert tflite_onnx.LABELS.encode() in path.read_bytes()


def pixels_answer(path):
    """What an export answers to one request for pixels, in this process."""
    image = np.full((1, 40, 50, 3), 100, np.uint8)
    served = tf.saved_model.load(str(path)).signatures["predict_images"]
    answer = served(image=tf.constant(image))
    outputs = {name: value.numpy() for name, value in answer.items()}
    return [preflight.Replay("predict_images", {"image": image}, outputs)]


def test_an_export_that_moved_with_its_run_folder_finds_its_checkpoint(
    trained_run, tmp_path, monkeypatch
):
    """`test_quiet.py` checks an export with all of its signatures."""
    monkeypatch.setattr(preflight, "check_export", pixels_answer)
    first = tmp_path / "first"
    shutil.copytree(trained_run, first)
    exporting.export(first)
    first.rename(tmp_path / "second")
    path, signatures = export_verification.verify_export(tmp_path / "second/export")
    assert path == tmp_path / "second/export/1"
    assert signatures == ["predict_images"]


def test_features_are_the_inputs_of_the_last_layer(moved, images):
    net = alexnet_tf.load(moved)
    found = net.features(images, layer="local4")
    flat = found.reshape(len(images), -1)
    weights, bias = net.model.get_layer("fc10").get_weights()
    logits = tf.constant(flat @ weights + bias)
    probabilities = in_order(net.predict(images, top=3), net.class_names)
    np.testing.assert_allclose(tf.nn.softmax(logits), probabilities, atol=1e-5)
    with pytest.raises(ValueError, match="has no layer 'fc7': choose one of conv1, "):
        net.features(images)


def test_features_of_two_towers_are_concatenated():
    net = alexnet_tf.AlexNet(classes=4, seed=1)
    described = net.get_layer("provenance")
    named = layers.Provenance(
        described.architecture, described.dropout, ("a", "b", "c", "d"), name="named"
    )
    loaded = loaded_net.LoadedNet(keras.Model(net.input, named(net.layers[-2].output)))
    image = np.full((256, 256, 3), 100, np.uint8)
    fc7 = loaded.features([image])
    assert fc7.shape == (1, 4096)
    weights, bias = net.get_layer("fc8").get_weights()
    (prediction,) = loaded.predict([image], top=4)
    found = tf.nn.softmax(tf.constant(fc7 @ weights + bias)).numpy()[0]
    np.testing.assert_allclose(
        [dict(prediction)[name] for name in "abcd"], found, atol=1e-5
    )
    assert loaded.features([image], layer="conv5").shape == (1, 6, 6, 256)


def test_evaluation_asks_for_a_dataset_that_moved(moved, small_dataset):
    net = trained.read_trained_net(moved)
    with pytest.raises(
        FileNotFoundError, match="where the images are now by --dataset"
    ):
        evaluator.dataset_of(net)
    assert evaluator.dataset_of(net, str(small_dataset.path)) == small_dataset


def test_a_dataset_that_was_prepared_again_in_the_same_folder_is_rejected(
    trained_run, small_dataset, tmp_path
):
    data = tmp_path / "data"
    shutil.copytree(small_dataset.path, data)
    shutil.copytree(trained_run, tmp_path / "run")
    described = json.loads((tmp_path / "run/model.json").read_text())
    described["dataset"]["path"] = str(data)
    (tmp_path / "run/model.json").write_text(json.dumps(described))
    net = trained.read_trained_net(tmp_path / "run")
    assert evaluator.dataset_of(net) == small_dataset
    with (data / "SHA256SUMS").open("a") as sums:
        sums.write("another preparation\n")
    with pytest.raises(ValueError, match="holds other images than those"):
        evaluator.dataset_of(net)
    assert evaluator.dataset_of(net, str(data)) == small_dataset


def test_model_json_records_the_net_and_its_dataset(trained_run, small_dataset):
    described = json.loads((trained_run / "model.json").read_text())
    assert described["architecture"]["name"] == "cifar10_11pct"
    assert described["class_names"] == ["class0", "class1", "class2"]
    assert described["input_size"] == 24
    assert (described["dropout"], described["precision"]) == ("original", "float32")
    assert described["alexnet_tf"] == alexnet_tf.__version__
    assert described["dataset"] == {
        "path": str(small_dataset.path),
        "digest": small_dataset.digest(),
    }
    mean = np.load(trained_run / "mean.npy")
    np.testing.assert_array_equal(mean, small_dataset.statistics().mean_crop(24))


def test_a_folder_without_model_json_is_rejected(moved, tmp_path):
    shutil.copytree(moved, tmp_path / "run")
    (tmp_path / "run/model.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.json does not exist"):
        alexnet_tf.load(tmp_path / "run")


def test_a_mean_of_another_net_is_rejected(moved, tmp_path):
    shutil.copytree(moved, tmp_path / "run")
    np.save(tmp_path / "run/mean.npy", np.zeros((24, 24, 3), np.float32))
    with pytest.raises(ValueError, match=r"mean\.npy is damaged, or of another net"):
        trained.read_trained_net(tmp_path / "run")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "has format 2, and this alexnet_tf"),
        ({"class_names": None}, "is damaged"),
        ({"mean": {}}, "is damaged: it has no file. Restore"),
        ({"class_names": ["a", "b"]}, "2 class names for 3 classes"),
        ({"architecture": {"name": "new"}}, r"alexnet_tf .* knows: .* is missing"),
    ],
)
def test_a_model_json_that_cannot_be_used_is_rejected(moved, tmp_path, change, message):
    shutil.copytree(moved, tmp_path / "run")
    described = json.loads((tmp_path / "run/model.json").read_text())
    (tmp_path / "run/model.json").write_text(json.dumps(described | change))
    with pytest.raises(ValueError, match=message):
        trained.read_trained_net(tmp_path / "run")


def test_a_file_that_is_not_a_trained_net_is_rejected(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file .*none\.keras"):
        alexnet_tf.load(tmp_path / "none.keras")
    model = keras.Sequential([keras.Input([2]), keras.layers.Dense(2)])
    model.save(tmp_path / "other.keras")
    with pytest.raises(FileNotFoundError, match=r"Did you mean .*/other\.keras\?"):
        alexnet_tf.load(tmp_path / "othr.keras")
    (tmp_path / "damaged.keras").write_bytes(b"not a zip file")
    with pytest.raises(
        ValueError, match=r"damaged\.keras is damaged, or not a \.keras"
    ):
        alexnet_tf.load(tmp_path / "damaged.keras")
    with pytest.raises(
        checkpoint_files.CheckpointError, match="there is no checkpoint"
    ):
        alexnet_tf.load(tmp_path / "none")
    with pytest.raises(ValueError, match="does not hold its class names"):
        alexnet_tf.load(tmp_path / "other.keras")
    with pytest.raises(ValueError, match=r"an image must be \[height, width, 3\]"):
        image_resizing.center_view(np.zeros((4, 4)), 8, 8)


WITH_DROPOUT = architectures.Architecture(
    "small",
    "",
    4,
    4,
    1,
    (
        architectures.Dense("fc1", units=5),
        architectures.Relu(),
        architectures.Dropout(0.5),
        architectures.Dense("fc2", units=2),
    ),
)


def write_run(folder, *, dropout, architecture=WITH_DROPOUT, mean=100):
    """Writes the run folder of a net with dropout; returns its model without a mean."""
    net = trained.TrainedNet(
        architecture,
        ("a", "b"),
        np.full((4, 4, 3), mean, np.float32),
        dropout,
        "float32",
        "/nowhere",
        "0",
    )
    model = builder.build(
        architecture, dropout=dropout, seed=5, classifier_activation="softmax"
    )
    for weight in model.trainable_variables:
        weight.assign(weight * 10)
    folder.mkdir(exist_ok=True)
    trained.write_trained_net(folder, net)
    velocities = [tf.zeros_like(w.value) for w in model.trainable_variables]
    with tf.device("/CPU:0"):
        velocities = [tf.Variable(velocity) for velocity in velocities]
    saved = checkpoint.Checkpoints(folder, model, velocities, net)
    saved.save(1, {})
    saved.save(2, {}, "best")
    return model


@pytest.mark.parametrize("dropout", ["original", "inverted"])
@pytest.mark.parametrize("inputs", ["pixels", "finished"])
def test_a_net_is_restored_with_its_convention_of_dropout(tmp_path, dropout, inputs):
    model = write_run(tmp_path, dropout=dropout)
    image = np.random.default_rng(0).uniform(0, 256, (3, 4, 4, 3)).astype(np.float32)
    restored = trained.restore(tmp_path, inputs=inputs)
    given = image if inputs == "pixels" else image - 100
    np.testing.assert_allclose(restored.model(given), model(image - 100), atol=1e-6)
    if inputs == "pixels":
        assert loaded_net.provenance_of(restored.model).dropout == dropout


@pytest.mark.parametrize(
    ("within", "name", "step"),
    [
        (".", ".", 1),
        (".", "checkpoints", 1),
        (".", "checkpoints/step-1", 1),
        (".", "best", 2),
        ("best", "step-2", 2),
        ("checkpoints", "step-1.index", 1),
    ],
)
def test_a_checkpoint_is_found_by_any_name_from_any_folder(
    tmp_path, monkeypatch, within, name, step
):
    write_run(tmp_path, dropout="original")
    monkeypatch.chdir(tmp_path / within)
    restored = trained.restore(name)
    assert restored.run_dir.resolve() == tmp_path
    assert restored.checkpoint.endswith(f"step-{step}")
    assert restored.trained.class_names == ("a", "b")


def test_more_images_than_a_batch_are_classified_in_their_order(tmp_path):
    model = write_run(tmp_path, dropout="original")
    images = np.random.default_rng(0).integers(0, 256, (300, 4, 4, 3)).astype(np.uint8)
    net = alexnet_tf.load(tmp_path)
    found = in_order(net.predict(images, top=2), net.class_names)
    expected = model(images.astype(np.float32) - 100)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    best = [[name for name, _ in row] for row in net.predict(images, top=1)]
    assert best == [["ab"[row.argmax()]] for row in expected.numpy()]
    assert net.features(images, layer="fc1").shape == (300, 5)
    assert net.features([], layer="fc1").shape == (0, 5)


def test_a_saved_mean_is_exact_in_bfloat16():
    """The difference is rounded, and not the pixels and the mean."""
    layer = layers.MeanSubtraction(
        np.full((1, 1, 3), 200.7, np.float32), dtype="mixed_bfloat16"
    )
    centered = layer(np.full((1, 1, 1, 3), 201, np.uint8))
    np.testing.assert_allclose(tf.cast(centered, tf.float32), 0.3, rtol=5e-3)


def test_a_server_answers_with_the_same_features(moved, served, images):
    signatures = tf.saved_model.load(str(served)).signatures
    encoded = [tf.io.encode_png(image).numpy() for image in images]
    answer = signatures["features"](image_bytes=tf.constant(encoded))
    found = alexnet_tf.load(moved).features(images, layer="local4")
    np.testing.assert_allclose(
        answer["features"], found.reshape(len(images), -1), rtol=1e-4, atol=1e-5
    )


def test_a_net_is_restored_on_its_devices_and_in_its_precision(tmp_path):
    write_run(tmp_path, dropout="original")
    with pytest.raises(ValueError, match="--tower_devices asks for /GPU:7"):
        trained.restore(tmp_path, tower_devices=["/GPU:7"])
    wide = trained.restore(tmp_path).model.get_layer("fc1")
    narrow = trained.restore(tmp_path, precision="bfloat16").model.get_layer("fc1")
    assert (wide.compute_dtype, narrow.compute_dtype) == ("float32", "bfloat16")
    assert narrow.kernel.dtype == "float32"


OTHER_LAYER = dataclasses.replace(
    WITH_DROPOUT,
    name="other",
    layers=(
        *WITH_DROPOUT.layers[:2],
        architectures.Dropout(0.25),
        *WITH_DROPOUT.layers[3:],
    ),
)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"dropout": "inverted"}, "its dropout is inverted, expected original"),
        ({"mean": 90}, "it was trained with another mean image"),
        (
            {"architecture": OTHER_LAYER},
            r"its architecture is other, expected small: it has Dropout\(.*0\.25\)",
        ),
        (
            {
                "architecture": dataclasses.replace(
                    WITH_DROPOUT,
                    layers=WITH_DROPOUT.layers[:2] + WITH_DROPOUT.layers[3:],
                )
            },
            "it has 3 layers, not 4",
        ),
        (
            {"architecture": dataclasses.replace(WITH_DROPOUT, record_size=8)},
            "its record_size is 8, not 4",
        ),
    ],
)
def test_a_checkpoint_of_another_run_is_refused_though_its_shapes_are_equal(
    tmp_path, other, words
):
    write_run(tmp_path / "run", dropout="original")
    write_run(tmp_path / "other", **{"dropout": "original", **other})
    shutil.copytree(
        tmp_path / "other/checkpoints", tmp_path / "run/checkpoints", dirs_exist_ok=True
    )
    with pytest.raises(checkpoint_files.CheckpointError, match=words):
        trained.restore(tmp_path / "run")
    with pytest.raises(checkpoint_files.CheckpointError, match="in its own run folder"):
        alexnet_tf.load(tmp_path / "run")
    with pytest.raises(checkpoint_files.CheckpointError, match=words):
        exporting.export(tmp_path / "run", format="keras", folder=tmp_path / "export")
    assert trained.restore(tmp_path / "run/best").checkpoint.endswith("step-2")


@pytest.mark.parametrize("state", [{}, {"net": None}, {"net": {"dropout": "original"}}])
def test_a_checkpoint_that_does_not_record_its_net_is_refused(tmp_path, state):
    model = write_run(tmp_path, dropout="original")
    prefix = str(tmp_path / "checkpoints/step-7")
    checkpoint_weights.write_weights(prefix, model, 7, state)
    with pytest.raises(
        checkpoint_files.CheckpointError,
        match="step-7 does not record which net it is of, .*: use another checkpoint",
    ):
        trained.restore(tmp_path)


@pytest.mark.parametrize("field", ["background", "resize", "dropout", "mean"])
def test_a_description_that_lacks_a_field_is_damaged(tmp_path, field):
    write_run(tmp_path, dropout="original")
    path = tmp_path / trained.MODEL_FILE
    described = json.loads(path.read_text())
    del described[field]
    path.write_text(json.dumps(described))
    with pytest.raises(
        ValueError, match=f"model.json is damaged: it has no {field}. Restore that file"
    ):
        trained.read_trained_net(tmp_path)


def test_a_net_whose_description_alone_differs_is_the_same_net(tmp_path):
    write_run(tmp_path / "run", dropout="original")
    described = dataclasses.replace(WITH_DROPOUT, description="in other words")
    write_run(tmp_path / "other", dropout="original", architecture=described)
    other = trained.read_trained_net(tmp_path / "other")
    trained.check_identity(str(tmp_path / "run/checkpoints/step-1"), other)


def test_the_background_is_read_as_it_was_written(tmp_path):
    write_run(tmp_path, dropout="inverted")
    net = trained.read_trained_net(tmp_path)
    trained.write_trained_net(tmp_path, dataclasses.replace(net, background=(1, 2, 3)))
    assert trained.read_trained_net(tmp_path).background == (1, 2, 3)
