"""An export's signatures give the answers of preparation and evaluation."""

import ast

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.data import record_files
from alexnet_tf.models import builder, image_limits, layers, resizing, trained, zoo
from alexnet_tf.serving import signatures as signatures_module
from tests.support import programs


def logits(restored, crops):
    return restored.model(layers.plain_inputs(crops), training=False)


@pytest.fixture(scope="module")
def signatures(exported):
    """The signatures of an export that was loaded again."""
    return tf.saved_model.load(str(exported)).signatures


def test_probabilities_are_those_of_preparation_and_evaluation(
    signatures, trained_run, encoded_images
):
    """These are computed by their own functions: Pillow, resizing, crop, and net."""
    restored = trained.restore(trained_run)
    squares = tf.stack([resizing.resize(tf.constant(p), 32) for _, p in encoded_images])
    wanted = tf.nn.softmax(logits(restored, resizing.center_crop(squares, 24))).numpy()
    encoded = tf.constant([data for data, _ in encoded_images])
    found = signatures["serving_default"](image_bytes=encoded)
    lossy = [
        data[:2] == b"\xff\xd8" for data, _ in encoded_images
    ]  # JPEG decoders differ a little
    exact = ~np.array(lossy)
    np.testing.assert_allclose(found["probabilities"][exact], wanted[exact], atol=1e-5)
    np.testing.assert_allclose(found["probabilities"], wanted, atol=2e-3)
    best = [[f"class{n}".encode() for n in np.argsort(-row)] for row in wanted]
    assert found["classes"].numpy()[:, 0].tolist() == [row[0] for row in best]
    np.testing.assert_allclose(
        found["scores"], -np.sort(-found["probabilities"].numpy(), axis=1)
    )


def test_signatures_agree_on_the_same_image(signatures, encoded_images):
    data, pixels = encoded_images[0]
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


def test_features_are_what_the_last_layer_reads(
    signatures, trained_run, encoded_images
):
    encoded = tf.constant([data for data, _ in encoded_images])
    features = signatures["features"](image_bytes=encoded)["features"]
    kernel, bias = trained.restore(trained_run).model.get_layer("fc10").get_weights()
    again = tf.nn.softmax(features @ kernel + bias)
    found = signatures["serving_default"](image_bytes=encoded)["probabilities"]
    np.testing.assert_allclose(again, found, atol=1e-5)


def test_ten_crops_are_averaged_as_evaluation_averages_them(trained_run):
    restored = trained.restore(trained_run)
    served = signatures_module.Signatures(
        trained.restore(trained_run, inputs="finished").model,
        restored.architecture,
        mean=restored.trained.mean,
        classes=restored.trained.class_names,
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
def test_pixels_that_are_nan_or_infinite_are_rejected(signatures, value):
    with pytest.raises(tf.errors.InvalidArgumentError, match="image"):
        signatures["predict_float_images"](image=tf.fill([1, 4, 4, 3], value))


@pytest.mark.parametrize("which", ["strings", "images"])
def test_an_empty_batch_is_rejected_in_one_line(signatures, which):
    asked = set()
    for name, signature in signatures.items():
        ((key, spec),) = signature.structured_input_signature[1].items()
        if (spec.dtype == tf.string) != (which == "strings"):
            continue
        none = tf.zeros([0, *[4] * (spec.shape.rank - 2), 3][: spec.shape.rank])
        with pytest.raises(tf.errors.InvalidArgumentError, match="contains no images"):
            signature(
                **{
                    key: tf.cast(none, spec.dtype)
                    if which == "images"
                    else tf.constant([], tf.string)
                }
            )
        asked.add(name)
    assert asked


def test_a_request_has_as_many_images_as_the_limit_and_no_more(signatures):
    classify = signatures["predict_images"]
    most = image_limits.MAX_REQUEST_IMAGES
    found = classify(image=tf.zeros((most, 4, 4, 3), tf.uint8))
    assert len(found["classes"]) == most
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"more than {most} im"):
        classify(image=tf.zeros((most + 1, 4, 4, 3), tf.uint8))


@pytest.fixture
def served(trained_run):
    """A function that traces signatures with the limits as they are now."""
    restored = trained.restore(trained_run, inputs="finished")

    def trace():
        return signatures_module.Signatures(
            restored.model,
            restored.architecture,
            mean=restored.trained.mean,
            classes=restored.trained.class_names,
            top=1,
            crops=1,
        ).all()

    return trace


def as_request(name, spec, data, pixels, count):
    """An input of a signature that has an image `count` times."""
    if spec.dtype == tf.string and name == "classify":
        feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[data]))
        features = tf.train.Features(feature={"image/encoded": feature})
        data = tf.train.Example(features=features).SerializeToString()
    if spec.dtype == tf.string:
        return tf.constant([data] * count)
    return tf.cast(np.stack([pixels] * count), spec.dtype)


def test_a_request_has_as_many_pixels_as_the_limit_and_no_more(
    served, encoded_images, monkeypatch
):
    data, pixels = encoded_images[0]
    most = 3 * pixels.shape[0] * pixels.shape[1]
    monkeypatch.setattr(image_limits, "MAX_REQUEST_PIXELS", most)
    for name, (function, spec) in served().items():
        function(as_request(name, spec, data, pixels, 3))
        with pytest.raises(
            tf.errors.InvalidArgumentError, match=f"more than {most} pixels in one req"
        ):
            function(as_request(name, spec, data, pixels, 4))


def test_a_request_has_as_many_bytes_as_the_limit_and_no_more(
    served, encoded_images, monkeypatch
):
    data, pixels = encoded_images[0]
    most = 3 * len(data)
    monkeypatch.setattr(image_limits, "MAX_REQUEST_BYTES", most)
    for name, (function, spec) in served().items():
        if spec.dtype == tf.string:
            function(as_request(name, spec, data, pixels, 3))
            with pytest.raises(
                tf.errors.InvalidArgumentError, match=f"more than {most} bytes in one"
            ):
                function(as_request(name, spec, data, pixels, 4))


def test_large_images_are_decoded_one_at_a_time_with_the_same_answers(
    served, encoded_images, monkeypatch
):
    data, pixels = encoded_images[0]
    other = encoded_images[1][0]
    batch = tf.constant([data, other, data])
    function, _ = served()["serving_default"]
    at_once = function(batch)
    size = pixels.shape[0] * pixels.shape[1]
    monkeypatch.setattr(image_limits, "MAX_PIXELS_AT_ONCE", 3 * size - 1)
    function, _ = served()["serving_default"]
    for name, values in function(batch).items():
        np.testing.assert_array_equal(values, at_once[name])


@pytest.mark.parametrize("shape", [(1, 0, 5, 3), (1, 5, 0, 3), (1, 1, 101, 3)])
def test_pixels_that_cannot_be_resized_are_rejected(signatures, shape):
    with pytest.raises(tf.errors.InvalidArgumentError, match="rows of"):
        signatures["predict_images"](image=tf.zeros(shape, tf.uint8))


@pytest.mark.parametrize(
    "seconds", [0, pytest.param(600, marks=pytest.mark.long)], ids=["short", "long"]
)
def test_mutated_images_are_answered_or_rejected_with_a_clear_error(
    exported, tmp_path, seconds
):
    """A crash or a hang ends the process of `fuzz_export.py`, and not this one."""
    done = programs.run(
        "tests.serving.fuzz_export", exported, seconds, tmp_path / "last"
    )
    assert done.returncode == 0, done.stderr[-3000:]
    counts = ast.literal_eval(done.stdout)
    assert min(counts["refused"], counts["alike"]) > 50


CLASSES = tuple(f"class{n}" for n in range(12))


@pytest.fixture(scope="module")
def small_net():
    """An untrained net of twelve classes, and its architecture."""
    architecture = zoo.find("cifar10_11pct").with_classes(len(CLASSES))
    net = builder.build(architecture, lrn="stock", classifier_activation="softmax")
    return net, architecture


def test_the_best_classes_are_sorted_if_there_are_more_than_are_returned(small_net):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 40, 40, 3)).astype(np.uint8)
    net, architecture = small_net
    served = signatures_module.Signatures(
        net, architecture, mean=np.zeros(3), classes=CLASSES, top=5, crops=1
    )
    found = served.classify_pixels(tf.constant(pixels))
    for row, scores, classes in zip(
        *(found[name].numpy() for name in ("probabilities", "scores", "classes")),
        strict=True,
    ):
        assert len(scores) == 5
        assert scores.tolist() == sorted(row.tolist(), reverse=True)[:5]
        assert [CLASSES.index(name.decode()) for name in classes] == np.argsort(
            -row, kind="stable"
        ).tolist()[:5]
