"""The command `import_weights`: what it writes, prints and refuses."""

import dataclasses
import importlib.util
import json
import re

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf

import alexnet_tf
from alexnet_tf import import_weights
from alexnet_tf.data import preparation, sources
from alexnet_tf.evaluation import evaluator
from alexnet_tf.importing import mapping, published, source_check
from alexnet_tf.importing.source import WeightsError
from alexnet_tf.models import checkpoint_weights, trained
from alexnet_tf.runtime import options
from alexnet_tf.serving import export_verification, exporting
from tests.conftest import write_noisy_images
from tests.support import commands
from tests.support import published_files as files

CLASSES = 3


@pytest.fixture
def small_nets(monkeypatch):
    files.small_zoo(monkeypatch, shrink=8)


@pytest.fixture
def class_names(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_text("class0\nclass1\nclass2\n")
    return str(path)


def run_import(**changes):
    """Runs the command in this process; `changes` are its options."""
    changes = {
        key: str(value) if key != "check" else value for key, value in changes.items()
    }
    import_weights.main(options.replace(import_weights.ImportOptions(), **changes), [])


def zoo_file(folder, classes=CLASSES, shrink=8):
    weights = files.random_weights(files.shapes_of("caffe", classes, shrink))
    onnx.save(files.zoo_graph(weights), folder / "net.onnx")
    return folder / "net.onnx"


def torch_file(folder):
    weights = files.random_weights(files.shapes_of("torchvision", CLASSES, 8))
    return files.write_torch(folder / "net.pth", files.state_dict(weights))


def test_a_net_of_the_zoo_is_imported_checked_and_described(
    tmp_path, small_nets, capsys
):
    run = tmp_path / "run"
    run_import(from_=zoo_file(tmp_path, classes=1000), output=run, check=True)
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert len(lines) == 17
    assert re.split(r"  +", lines[1]) == [
        *("conv1_w_0", "12x3x11x11"),
        "transposed OIHW to HWIO, BGR reversed, outputs split between towers",
        "conv1_tower{0..1}/kernel",
    ]
    assert "inputs permuted CHW to towers, HWC" in lines[11]
    assert "caffe_alexnet, 1000 classes, 227 pixels" in printed.err
    assert "57.1 / 80.2 %" in printed.err
    assert "reads images of 224 pixels; it is imported at 227" in printed.err
    assert re.search(r"logits differ by at most [\d.]+e-0[5-9]", printed.err)
    net = trained.read_trained_net(run)
    assert net.class_names[0] == "n01440764"
    assert net.mean[5, 7].tolist() == [123, 117, 104]
    assert net.dropout == "inverted"
    assert net.resize == "squash"
    assert "squashed to 256 x 256 pixels first (--resize=squash)" in printed.err
    assert net.imported == trained.Imported("net.onnx", "ONNX", net.imported.sha256)


@pytest.mark.parametrize(
    ("file", "given", "expected"),
    [
        (torch_file, {}, "crop"),
        (torch_file, {"resize": "squash"}, "squash"),
        (zoo_file, {}, "squash"),
        (zoo_file, {"resize": "crop"}, "crop"),
    ],
)
def test_images_are_resized_as_for_the_published_accuracy_or_as_given(
    tmp_path, class_names, small_nets, file, given, expected
):
    run = tmp_path / "run"
    run_import(from_=file(tmp_path), output=run, class_names=class_names, **given)
    assert trained.read_trained_net(run).resize == expected
    # A file of this package says it, whatever was published.
    exported = exporting.export(run, format="keras")
    run_import(from_=exported, output=tmp_path / "again")
    assert trained.read_trained_net(tmp_path / "again").resize == expected


@pytest.mark.long  # the whole net takes a minute and 3 GB
@pytest.mark.parametrize("kind", ["onnx", "caffemodel", "npy"])
def test_a_whole_net_is_imported_and_checked_by_the_command(kind, tmp_path):
    weights = files.random_weights(files.shapes_of("caffe"))
    path, more = tmp_path / f"net.{kind}", ["--check"]
    if kind == "onnx":
        onnx.save(files.zoo_graph(weights), path)
    elif kind == "npy":
        files.write_numpy(path, weights)
        more += ["--architecture=caffe_alexnet"]
    else:
        files.write_caffemodel(path, weights, form="v1")
    del weights
    done = commands.run(
        "import_weights", f"--from={path}", f"--output={tmp_path / 'run'}", *more
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert re.search(r"logits differ by at most [\d.]+e-0[5-9]", done.stderr)


def test_a_known_digest_is_named_with_its_net(
    tmp_path, class_names, small_nets, monkeypatch, capsys
):
    path = torch_file(tmp_path)
    monkeypatch.setattr(
        published, "architecture_of", lambda sha1, sha256: "torchvision"
    )
    run_import(from_=path, output=tmp_path / "run", class_names=class_names)
    assert (
        "recognized torchvision AlexNet: torchvision, 3 classes"
        in capsys.readouterr().err
    )
    origin = trained.read_trained_net(tmp_path / "run").imported
    assert origin.known_as == "torchvision AlexNet"


def test_the_digests_of_published_files_are_known():
    sha1 = "9116a64c0fbe4459d18f4bb6b56d647b63920377"
    assert published.architecture_of(sha1, "0" * 64) == "caffe_alexnet"
    sha1 = "4c8d77deb20ea792f84eb5e6d0a11ca0a8660a46"
    assert published.architecture_of(sha1, "0" * 64) == "caffenet"
    assert published.architecture_of("", "7be5be79" + "0" * 56) == "torchvision"
    assert published.architecture_of("", "0" * 64) is None


@pytest.fixture
def caffe_run(tmp_path, small_nets, class_names):
    run = tmp_path / "run"
    run_import(from_=zoo_file(tmp_path), output=run, class_names=class_names)
    return run


def logits_of_source(tmp_path, images):
    graph = files.at_size(onnx.load(tmp_path / "net.onnx"), 227)
    return files.run_graph(graph, files.caffe_inputs(images))


def random_images(side, count=2):
    rng = np.random.default_rng(3)
    return rng.integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def test_an_imported_net_is_loaded_in_python(caffe_run, tmp_path):
    images = random_images(256)
    net = alexnet_tf.load(caffe_run)
    assert net.class_names == ("class0", "class1", "class2")
    theirs = logits_of_source(tmp_path, images[:, 14:241, 14:241])
    expected = tf.nn.softmax(theirs).numpy()
    for image, row in zip(images, expected, strict=True):
        ((name, score), *_) = net.predict([image])[0]
        assert name == f"class{row.argmax()}"
        assert score == pytest.approx(row.max(), abs=1e-4)


def test_an_exported_onnx_file_agrees_with_the_imported_one(caffe_run, tmp_path):
    """Our graph reads RGB [N, H, W, 3]; both run in onnxruntime."""
    onnxruntime = pytest.importorskip("onnxruntime")
    path = exporting.export(caffe_run, format="onnx")
    session = onnxruntime.InferenceSession(str(path))
    images = random_images(227)
    (given,) = session.get_inputs()
    ours = session.run(None, {given.name: images.astype(np.float32)})[0]
    theirs = tf.nn.softmax(logits_of_source(tmp_path, images)).numpy()
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert theirs.std() > 0.1


@pytest.mark.parametrize("format", ["keras", "tflite"])
def test_an_imported_net_is_exported(format, caffe_run):
    """As a SavedModel: test_newcomers_path.py."""
    path = exporting.export(caffe_run, format=format)
    if format == "keras":
        assert keras.saving.load_model(path).output_shape == (None, CLASSES)
    else:
        assert path.stat().st_size > 10_000


@pytest.mark.long  # a server's checks, in a process of their own
def test_an_exported_saved_model_would_run_on_a_server(caffe_run):
    path = exporting.export(caffe_run)
    assert export_verification.verify_export(path)[0] == path


def test_an_imported_net_is_evaluated_on_a_dataset_that_is_named(caffe_run, tmp_path):
    write_noisy_images(tmp_path / "images", each=4, size=(260, 260))
    source = sources.open_source(f"folder:{tmp_path / 'images'}")
    dataset = preparation.prepare_dataset(
        source, tmp_path / "data", size=256, encoding="jpeg"
    )
    restored = trained.restore(caffe_run)
    with pytest.raises(ValueError, match="imported and has no dataset of its own"):
        evaluator.dataset_of(restored.trained)
    found = evaluator.dataset_of(restored.trained, str(dataset.path))
    errors = evaluator.Evaluation(restored.model, ten_crop=False)(
        found, dataset.evaluation_split, crop=227
    )
    assert 0 <= errors["center_crop"]["top1_error"] <= 100


def test_synsets_are_compared_without_their_words():
    plain = ("n01440764", "n01443537")
    words = ("n01440764 tench, Tinca tinca", "n01443537 goldfish")
    assert evaluator.same_classes(plain, words)
    assert not evaluator.same_classes(plain, words[::-1])
    assert not evaluator.same_classes(plain, words[:1])
    assert not evaluator.same_classes(("cat a",), ("cat b",))


def test_a_net_of_our_own_is_imported_from_its_keras_file(caffe_run, tmp_path, capsys):
    path = exporting.export(caffe_run, format="keras")
    run_import(from_=path, output=tmp_path / "again")
    again, before = (trained.restore(run) for run in (tmp_path / "again", caffe_run))
    assert again.trained.architecture == before.trained.architecture
    assert again.trained.class_names == before.trained.class_names
    np.testing.assert_array_equal(again.trained.mean, before.trained.mean)
    for name, variable in checkpoint_weights.weights_by_path(before.model).items():
        found = checkpoint_weights.weights_by_path(again.model)[name]
        np.testing.assert_array_equal(found.numpy(), variable.numpy())


def test_weights_alone_need_a_mean_and_class_names(tmp_path, small_nets, class_names):
    path = tmp_path / "net.weights.h5"
    net = alexnet_tf.AlexNet(classes=CLASSES, architecture="torchvision", seed=4)
    net.save_weights(path)
    with pytest.raises(WeightsError, match=r"--mean=127\.2,118\.6,103\.4"):
        run_import(from_=path, output=tmp_path / "run")
    with pytest.raises(WeightsError, match="--class_names"):
        run_import(from_=path, output=tmp_path / "run", mean="1,2,3")
    run_import(
        from_=path, output=tmp_path / "run", mean="1,2,3", class_names=class_names
    )
    found = trained.restore(tmp_path / "run")
    assert found.trained.mean[0, 0].tolist() == [1, 2, 3]
    kernel = found.model.get_layer("conv1").kernel
    np.testing.assert_array_equal(kernel, net.get_layer("conv1").kernel)


def test_a_keras_file_cannot_run_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image = keras.Input((4,))
    harmful = keras.layers.Lambda(
        lambda x: [x, __import__("os").makedirs("made", exist_ok=True)][0]
    )
    keras.Model(image, harmful(image)).save("net.keras")
    (tmp_path / "made").rmdir()
    with pytest.raises(ValueError, match="[Ll]ambda"):
        run_import(from_="net.keras", output="run")
    assert not (tmp_path / "made").exists()


def test_a_run_folder_that_exists_is_left_as_it_is(caffe_run, tmp_path, class_names):
    before = sorted(path.name for path in caffe_run.rglob("*"))
    with pytest.raises(FileExistsError, match="never overwritten"):
        run_import(
            from_=tmp_path / "net.onnx", output=caffe_run, class_names=class_names
        )
    assert sorted(path.name for path in caffe_run.rglob("*")) == before


def with_nan(weights):
    weights["fc7"][0][3, 5] = np.nan


def with_infinity(weights):
    weights["conv2"][1][0] = -np.inf


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (with_nan, r"fc7_w_0 has 1 of \d+ numbers that are NaN or infinite"),
        (with_infinity, r"conv2_b_0 has 1 of \d+ numbers"),
    ],
)
def test_numbers_that_are_not_finite_are_named(
    spoil, message, tmp_path, small_nets, class_names
):
    weights = files.random_weights(files.shapes_of("caffe", CLASSES, 8))
    spoil(weights)
    onnx.save(files.zoo_graph(weights), tmp_path / "net.onnx")
    with pytest.raises(WeightsError, match=message):
        run_import(
            from_=tmp_path / "net.onnx",
            output=tmp_path / "run",
            class_names=class_names,
        )
    assert not (tmp_path / "run").exists()


def test_a_refused_file_is_one_line_and_nothing_is_written(tmp_path):
    path = tmp_path / "net.pth"
    path.write_bytes(b"no weights")
    done = commands.run(
        "import_weights", f"--from={path}", f"--output={tmp_path / 'run'}"
    )
    assert done.returncode == 1
    refusal = done.stderr.splitlines()[-1]
    assert refusal.startswith(f"alexnet_tf.import_weights: {path} cannot be read")
    assert "Traceback" not in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["net.pth"]


def test_file_and_run_folder_must_be_named():
    with pytest.raises(ValueError, match="--from=FILE --output=RUN"):
        run_import(output="run")


@pytest.mark.parametrize("kind", ["onnx", "caffemodel", "npy"])
def test_check_computes_with_the_files_own_framework(
    kind, tmp_path, small_nets, class_names, capsys
):
    weights = files.random_weights(files.shapes_of("caffe", CLASSES, 8))
    more = {}
    if kind == "onnx":
        path = zoo_file(tmp_path)
    elif kind == "npy":
        path = files.write_numpy(tmp_path / "net.npy", weights)
        more = {"architecture": "caffenet"}
    else:
        pytest.importorskip("cv2")
        path = files.write_caffemodel(
            tmp_path / "net.caffemodel", weights, net="caffenet", form="v1"
        )
    run_import(
        from_=path,
        output=tmp_path / "run",
        class_names=class_names,
        check=True,
        **more,
    )
    assert re.search(r"differ by at most \d\.\de-0[5-9]", capsys.readouterr().err)


def test_check_fails_and_nothing_is_written_if_the_logits_differ(
    tmp_path, small_nets, class_names, monkeypatch
):
    monkeypatch.setattr(mapping._Steps, "fold_colors", lambda *arguments: None)
    with pytest.raises(WeightsError, match="--check failed: the logits differ by"):
        run_import(
            from_=zoo_file(tmp_path),
            output=tmp_path / "run",
            class_names=class_names,
            check=True,
        )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["classes.txt", "net.onnx"]


def test_check_says_what_to_install(tmp_path, small_nets, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    path = torch_file(tmp_path)
    with pytest.raises(WeightsError, match="pip install 'torchvision'"):
        run_import(from_=path, output=tmp_path / "run", check=True)
    with pytest.raises(WeightsError, match="of this package: leave it out"):
        source_check.require_runtime("net.keras")


def test_the_list_of_tensors_is_printed_as_json_too(
    tmp_path, small_nets, class_names, capsys
):
    run_import(
        from_=torch_file(tmp_path),
        output=tmp_path / "run",
        class_names=class_names,
        format="json",
    )
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == 16
    assert rows[0] == {
        "tensor": "features.0.weight",
        "shape": "8x3x11x11",
        "what was done": "transposed OIHW to HWIO, divided by 255 std",
        "weights": "conv1/kernel",
    }


def test_a_net_that_was_trained_here_has_no_origin(trained_run):
    net = trained.read_trained_net(trained_run)
    assert net.imported is None
    assert net.dataset_path is not None
    assert "imported" not in json.loads((trained_run / "model.json").read_text())


def test_an_origin_is_written_and_read_back(trained_run, tmp_path):
    net = trained.read_trained_net(trained_run)
    origin = trained.Imported("a.pth", "torch", "0" * 64)
    moved = dataclasses.replace(
        net, dataset_path=None, dataset_digest=None, imported=origin
    )
    trained.write_trained_net(tmp_path, moved)
    found = trained.read_trained_net(tmp_path)
    assert found.imported == origin
    assert found.dataset_path is None
