"""An export holds stock operations, its weights once, and the model's numbers."""

import io
import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import alexnet_tf
from alexnet_tf import evaluate, export, predict, sources


def command(main, *arguments):
    return subprocess.run(
        [sys.executable, "-m", f"alexnet_tf.{main}", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def exported(trained_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    done = command("export", f"--checkpoint={trained_run}", f"--output={folder}")
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip() == str(folder / "1")
    return folder / "1"


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
    return [(data, sources.decode(data, "picture")) for data in found]


def expected(trained_run, images):
    """Probabilities of the run's own model, our op inside, for RGB pictures."""
    restored = evaluate.restore(trained_run)
    squares = [tf.image.resize_with_crop_or_pad(i, 32, 32) for i in images]
    crops = tf.stack(squares)[:, 4:28, 4:28]
    logits = restored.net(evaluate.plain_inputs(crops), training=False)
    return tf.nn.softmax(logits).numpy()


SESSION = """
import json, sys
import numpy as np
import tensorflow as tf
path, inputs, outputs = sys.argv[1:]
images = np.load(inputs, allow_pickle=True)
graph = tf.Graph()
with tf.compat.v1.Session(graph=graph) as session:
    meta = tf.compat.v1.saved_model.loader.load(session, ["serve"], path)
    found = {}
    for name, key in (("serving_default", "image_bytes"), ("predict_images", "image")):
        signature = meta.signature_def[name]
        fetch = {k: v.name for k, v in signature.outputs.items()}
        feed = {signature.inputs[key].name: images[key]}
        found[name] = session.run(fetch, feed)
    kinds = {op.type for op in graph.get_operations()}
    for function in graph.as_graph_def().library.function:
        kinds |= {node.op for node in function.node_def}
assert not any(name.startswith("alexnet") for name in sys.modules)
np.savez(
    outputs,
    kinds=sorted(kinds),
    classes=found["serving_default"]["classes"].astype("S"),
    **{n + "_" + k: found[n][k] for n in found for k in ("scores", "probabilities")},
)
"""


def test_a_session_that_never_saw_our_library_gets_the_models_numbers(
    exported, trained_run, tmp_path
):
    rng = np.random.default_rng(2)
    pixels = rng.integers(0, 256, (4, 32, 32, 3)).astype(np.uint8)
    encoded = [tf.io.encode_png(image).numpy() for image in pixels]
    np.savez(
        tmp_path / "in.npz", image_bytes=np.array(encoded, dtype=object), image=pixels
    )
    done = subprocess.run(
        [
            *(sys.executable, "-c", SESSION, str(exported)),
            *(str(tmp_path / "in.npz"), str(tmp_path / "out.npz")),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = np.load(tmp_path / "out.npz")
    wanted = expected(trained_run, pixels)
    for name in ("serving_default", "predict_images"):
        np.testing.assert_allclose(
            found[f"{name}_probabilities"], wanted, rtol=1e-4, atol=1e-5
        )
        np.testing.assert_allclose(
            found[f"{name}_scores"], -np.sort(-wanted, axis=1), rtol=1e-4, atol=1e-5
        )
    assert found["classes"][0, 0].decode() == f"class{wanted[0].argmax()}"
    stock = set(found["kinds"])
    assert "LRN" in stock
    assert not [kind for kind in stock if ">" in kind or "Xla" in kind or "Py" in kind]


def test_weights_stand_once(exported, trained_run):
    parameters = evaluate.restore(trained_run).net.count_params()
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


def test_decoding_gives_pillows_pixels(pictures):
    for data, pixels in pictures:
        ours = export.decode_image(tf.constant(data)).numpy().astype(int)
        assert np.abs(ours - pixels).max() <= 1, data[:8]


@pytest.mark.parametrize(
    "data", [b"", b"no picture", b"RIFF0000WEBPVP8X", b"II*\0tiff", b"\xff\xd8"]
)
def test_what_is_no_picture_is_refused_by_its_first_bytes(data):
    with pytest.raises(tf.errors.InvalidArgumentError, match="not a JPEG, PNG, GIF"):
        export.decode_image(tf.constant(data))


def test_the_labels_travel_with_the_model(exported):
    labels = (exported / "assets" / export.LABELS).read_text().split()
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
    restored = evaluate.restore(trained_run)
    image = np.random.default_rng(0).integers(0, 256, (2, 24, 24, 3))
    mean = restored.dataset.statistics().mean_crop(24)
    ours = model(alexnet_tf.preprocess_input(image, mean))
    logits = restored.net(evaluate.plain_inputs(tf.constant(image, tf.uint8)))
    np.testing.assert_allclose(ours, tf.nn.softmax(logits), rtol=1e-5, atol=1e-6)
    assert keras.saving.load_model(file).count_params() == model.count_params()


def write_half_and_fail(path):
    with export._whole(path) as partial:
        partial.mkdir()
        (partial / "saved_model.pb").write_text("half")
        raise ZeroDivisionError


def test_a_failed_export_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError):
        write_half_and_fail(tmp_path / "1")
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
    assert predict.Model(exported.parent).classify is not None
    with pytest.raises(FileNotFoundError, match=r"alexnet_tf\.export"):
        predict.Model(tmp_path)


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
