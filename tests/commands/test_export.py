"""The command `export`: what it writes, numbers and refuses."""

import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

import alexnet_tf
from alexnet_tf import export
from alexnet_tf.models import layers, trained
from alexnet_tf.runtime import options
from alexnet_tf.serving import (
    export_verification,
    exporting,
    model_versions,
    preflight,
    saved_model,
)
from tests.support import commands


def run_export(*arguments):
    return commands.run("export", *arguments)


def test_an_export_gets_the_next_version_and_never_overwrites_one(
    trained_run, tmp_path
):
    (tmp_path / "7").mkdir()
    done = run_export(f"--checkpoint={trained_run}", f"--output={tmp_path}")
    assert done.stdout.strip() == str(tmp_path / "8")
    assert "trained with this package's normalization" in done.stderr
    with pytest.raises(FileExistsError, match="8 already exists"):
        exporting.export(trained_run, folder=tmp_path, version=8)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["7", "8"]


def test_a_keras_file_can_be_loaded_as_weights_of_alexnet(trained_run, tmp_path):
    done = run_export(
        f"--checkpoint={trained_run}", f"--output={tmp_path}", "--format=keras"
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "this package's normalization" not in done.stderr  # it has the op too
    file = tmp_path / "1.keras"
    model = alexnet_tf.AlexNet(
        weights=file, classes=3, architecture="cifar10_11pct", name="net"
    )
    restored = trained.restore(trained_run)
    image = np.random.default_rng(0).integers(0, 256, (2, 24, 24, 3))
    mean = restored.trained.mean
    ours = model(alexnet_tf.preprocess_input(image, mean))
    logits = restored.model(layers.plain_inputs(tf.constant(image, tf.uint8)))
    np.testing.assert_allclose(ours, tf.nn.softmax(logits), rtol=1e-5, atol=1e-6)
    # The file holds the mean image too.
    parameters = model.count_params() + mean.size
    assert keras.saving.load_model(file).count_params() == parameters


@pytest.mark.parametrize(
    ("form", "dtype"), [("saved_model", "int8"), ("onnx", "bfloat16")]
)
def test_a_dtype_that_the_format_does_not_have_is_rejected(
    trained_run, tmp_path, form, dtype
):
    chosen = options.replace(
        export.OPTIONS(),
        checkpoint=str(trained_run),
        output=str(tmp_path),
        format=form,
        dtype=dtype,
    )
    message = f"--format={form} does not support --dtype={dtype}: use float32"
    with pytest.raises(ValueError, match=message):
        export.main(chosen, [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"format": "keras", "crops": 10}, "--crops and --top are of a SavedModel"),
        ({"format": "onnx", "top": 3}, "--crops and --top are of a SavedModel"),
        (
            {"format": "tflite", "calibration_dataset": "data/x"},
            "--calibration_dataset is for --dtype=int8, not float32",
        ),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(
    trained_run, tmp_path, arguments, message
):
    with pytest.raises(ValueError, match=message):
        exporting.export(trained_run, folder=tmp_path, **arguments)


def test_calibration_images_of_another_size_are_refused(
    trained_run, small_dataset, tmp_path
):
    other = tmp_path / "other"
    shutil.copytree(small_dataset.path, other)
    described = json.loads((other / "dataset.json").read_text())
    (other / "dataset.json").write_text(json.dumps(described | {"size": 48}))
    with pytest.raises(
        ValueError, match="images of 48 pixels, and the net was trained on 32"
    ):
        exporting.export(
            *(trained_run,),
            **{"format": "tflite", "dtype": "int8", "folder": tmp_path},
            calibration_dataset=other,
        )


@pytest.mark.long
def test_check_passes_an_export_of_ten_crops_in_bfloat16(trained_run, tmp_path):
    done = run_export(
        *("--dtype=bfloat16", "--crops=10", "--top=2"),
        *(f"--checkpoint={trained_run}", f"--output={tmp_path}"),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    path, signatures = export_verification.verify_export(tmp_path)
    assert path == tmp_path / "1"
    assert len(signatures) == 5
    answer = preflight.check_export(path)[0].outputs
    assert answer["scores"].shape == (4, 2)


def test_the_options_of_a_saved_model_reach_it(trained_run, tmp_path, monkeypatch):
    asked = {}

    def save_model(net, path, **named):
        asked.update(named, dtype=net.get_layer("fc10").compute_dtype)
        model_versions.origin_file(path).parent.mkdir(parents=True)

    monkeypatch.setattr(saved_model, "save_model", save_model)
    path = exporting.export(
        trained_run, folder=tmp_path, dtype="bfloat16", crops=10, top=2, version=3
    )
    assert path == tmp_path / "3"
    assert asked.pop("architecture").name == "cifar10_11pct"
    mean = trained.read_trained_net(trained_run).mean
    np.testing.assert_array_equal(asked.pop("mean"), mean)
    assert asked == {
        **{"crops": 10, "top": 2, "dtype": "bfloat16"},
        "classes": ("class0", "class1", "class2"),
        "background": (255, 255, 255),
        "resize": "crop",
    }
    origin = json.loads(model_versions.origin_file(path).read_text())
    assert (origin["crops"], origin["top"], origin["dtype"]) == (10, 2, "bfloat16")
    assert origin["checkpoint"].startswith(str(trained_run))
