"""The command `features`: the outputs of any layer for many images, in a file."""

import json
import os
import shutil
import signal

import keras
import numpy as np
import pytest
from PIL import Image

import alexnet_tf
from alexnet_tf import features as command
from alexnet_tf.data import image_decoding, image_files
from alexnet_tf.evaluation import feature_files
from alexnet_tf.evaluation import features as extraction
from alexnet_tf.models import image_resizing, layer_outputs, trained, zoo
from alexnet_tf.runtime import options
from tests.support import encoded_images, nets, programs, runs
from tests.support.images import random_image


def run(**chosen):
    command.main(options.replace(command.OPTIONS(), **chosen), [])


def write_images(folder, count=5):
    """Images of several sizes in two folders of classes."""
    for number in range(count):
        path = folder / f"class{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = random_image(number, 30 + 7 * number, 90 - 2 * number)
        Image.fromarray(image).save(path)
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))


@pytest.fixture
def images(tmp_path):
    write_images(tmp_path / "images")
    return tmp_path / "images"


@pytest.fixture(scope="module")
def two_towers(tmp_path_factory):
    """A run folder of a small net with two towers, for images of 99 pixels."""
    return runs.write_untrained(tmp_path_factory.mktemp("runs") / "towers", nets.SMALL)


def views_of(folder, files, size, side, background=(255, 255, 255)):
    """What `predict` shows the net of these files, uint8 [N, side, side, 3]."""
    decoded = [
        image_decoding.decode(image_files.read(folder / file), file, background)
        for file in files
    ]
    return np.stack(
        [image_resizing.center_view(image, size, side) for image in decoded]
    )


def submodel_of(run_dir, layer):
    model = trained.restore(run_dir, inputs="pixels").model
    return keras.Model(model.input, layer_outputs.layer_output(model, layer))


def test_features_equal_those_of_a_keras_submodel_bit_for_bit(
    two_towers, images, tmp_path, capsys
):
    files = write_images(images)
    layers = ("fc7", "conv1/linear", "conv5")
    run(
        checkpoint=str(two_towers),
        layer=layers,
        images=str(images),
        output=str(tmp_path / "f.npz"),
    )
    views = views_of(images, files, 110, 99)
    with np.load(tmp_path / "f.npz") as found:
        assert found["names"].tolist() == files
        assert found["labels"].tolist() == [0, 0, 0, 1, 1]
        assert found["classes"].tolist() == ["class0", "class1"]
        for layer in layers:
            expected = submodel_of(two_towers, layer)(views, training=False)
            np.testing.assert_array_equal(found[layer], expected)
            loaded = alexnet_tf.load(two_towers)
            pixels = [np.asarray(Image.open(images / file)) for file in files]
            np.testing.assert_array_equal(found[layer], loaded.features(pixels, layer))
        about = json.loads(str(found["about"]))
    assert about["shapes"] == {
        "fc7": [5, 24],
        "conv1/linear": [5, 23, 23, 6],
        "conv5": [5, 2, 2, 16],
    }
    checkpoint = str(two_towers / "checkpoints/step-1")
    assert (about["checkpoint"], about["step"]) == (checkpoint, 1)
    assert capsys.readouterr().out == (
        f"{tmp_path / 'f.npz'}: 5 images, float32 fc7 5x24, conv1/linear 5x23x23x6, "
        f"conv5 5x2x2x16, of {checkpoint}\n"
    )


def test_batches_are_those_of_the_submodel_too(two_towers, images, tmp_path):
    files = write_images(images)
    run(
        **{"checkpoint": str(two_towers), "layer": ("fc6",), "images": str(images)},
        **{"output": str(tmp_path / "f.npz"), "batch_size": 2},
    )
    views, model = views_of(images, files, 110, 99), submodel_of(two_towers, "fc6")
    expected = [model(views[start : start + 2]) for start in (0, 2, 4)]
    with np.load(tmp_path / "f.npz") as found:
        np.testing.assert_array_equal(found["fc6"], np.concatenate(expected))


def test_towers_are_joined_or_streams_of_their_own(two_towers, images, tmp_path):
    for towers in ("joined", "separate"):
        run(
            **{"checkpoint": str(two_towers), "layer": ("conv3", "fc8")},
            **{"images": str(images), "towers": towers},
            output=str(tmp_path / f"{towers}.npz"),
        )
    with (
        np.load(tmp_path / "joined.npz") as joined,
        np.load(tmp_path / "separate.npz") as separate,
    ):
        assert joined["conv3"].shape == (5, 5, 5, 24)
        assert separate["conv3"].shape == (5, 2, 5, 5, 12)
        parts = np.split(joined["conv3"], 2, axis=-1)
        np.testing.assert_array_equal(separate["conv3"], np.stack(parts, axis=1))
        assert not np.array_equal(*parts)
        np.testing.assert_array_equal(separate["fc8"], joined["fc8"][:, None])


@pytest.mark.parametrize("architecture", ["torchvision", "caffe_alexnet"])
def test_features_of_nets_of_other_frameworks(architecture, images, tmp_path):
    net = nets.narrowed(zoo.find(architecture), 99)
    run_dir = runs.write_untrained(tmp_path / "run", net)
    output = str(tmp_path / "f.npz")
    run(
        **{"checkpoint": str(run_dir), "layer": ("fc7", "fc8"), "output": output},
        images=str(images),
    )
    with np.load(output) as found:
        kernel, bias = trained.restore(run_dir).model.get_layer("fc8").get_weights()
        np.testing.assert_allclose(
            found["fc7"] @ kernel + bias, found["fc8"], atol=1e-5
        )
        assert np.abs(found["fc7"]).max() > 0


def test_features_of_a_split_have_the_names_and_labels_of_its_records(
    trained_run, small_dataset, tmp_path
):
    output = tmp_path / "f.npy"
    chosen = {"checkpoint": str(trained_run), "dataset": str(small_dataset.path)}
    run(**chosen, layer=("local4",), output=str(output))
    described = json.loads((tmp_path / "f.json").read_text())
    found = np.load(output, mmap_mode="r")
    assert found.shape == (12, 6, 6, 32)
    assert described["shapes"] == {"local4": [12, 6, 6, 32]}
    assert described["labels"] == [0] * 4 + [1] * 4 + [2] * 4
    assert described["classes"] == ["class0", "class1", "class2"]
    assert described["names"][5].endswith("/validation/class1/1.png")
    # An image file gives nearly the same as its record, which was resized before.
    (row,) = alexnet_tf.load(trained_run).features(
        [np.asarray(Image.open(described["names"][5]))], "local4"
    )
    np.testing.assert_allclose(found[5], row, atol=1e-5)
    run(**chosen, layer=("fc10",), split="train", output=str(tmp_path / "train.npz"))
    with np.load(tmp_path / "train.npz") as train:
        assert train["fc10"].shape == (24, 3)


def test_a_damaged_record_stops_the_command_or_is_left_out(
    trained_run, small_dataset, tmp_path, capsys
):
    shutil.copytree(small_dataset.path, tmp_path / "data")
    (shard,) = (tmp_path / "data").glob("validation-*.npy")
    data = bytearray(shard.read_bytes())
    header = 10 + int.from_bytes(data[8:10], "little")
    data[header + 5 * (32 * 32 * 3 + 12)] ^= 1  # the first byte of record 5
    shard.write_bytes(data)
    chosen = {"checkpoint": str(trained_run), "dataset": str(tmp_path / "data")}
    chosen |= {"layer": ("fc10",), "output": str(tmp_path / "f.npz")}
    with pytest.raises(ValueError, match=r"record 5 is damaged .*--damaged_records=sk"):
        run(**chosen)
    run(**chosen, damaged_records="skip")
    assert "11 images, 1 left out, float32 fc10 11x3" in capsys.readouterr().out
    with np.load(tmp_path / "f.npz") as found:
        assert found["labels"].tolist() == [0] * 4 + [1] * 3 + [2] * 4
        assert not [name for name in found["names"] if name.endswith("class1/1.png")]


def test_every_kind_of_image_is_decoded_as_predict_does(tmp_path):
    run_dir = runs.write_untrained(
        tmp_path / "run", nets.SMALL, background=(10, 200, 30)
    )
    folder = tmp_path / "images"
    folder.mkdir()
    kinds = {**encoded_images.VALID, **encoded_images.OTHERWISE}
    chosen = [k for k in kinds if "turned" in k or "alpha" in k or "gzip" in k]
    assert len(chosen) > 20
    for kind in chosen:
        (folder / f"{kind}.jpg").write_bytes(kinds[kind])  # whatever it is
    run(
        **{"checkpoint": str(run_dir), "layer": ("fc7",), "images": str(folder)},
        output=str(tmp_path / "f.npz"),
    )
    files = sorted(f"{kind}.jpg" for kind in chosen)
    views = views_of(folder, files, 110, 99, background=(10, 200, 30))
    with np.load(tmp_path / "f.npz") as found:
        assert found["names"].tolist() == files
        assert found["labels"].tolist() == [-1] * len(files)
        np.testing.assert_array_equal(found["fc7"], submodel_of(run_dir, "fc7")(views))


def test_an_export_classifies_by_the_same_logits(
    trained_run, exported, images, tmp_path
):
    from alexnet_tf.serving import local_model

    run(
        **{"checkpoint": str(trained_run), "layer": ("fc10",), "images": str(images)},
        output=str(tmp_path / "f.npz"),
    )
    served = local_model.Model(exported)
    with np.load(tmp_path / "f.npz") as found:
        for name, logits in zip(found["names"], found["fc10"], strict=True):
            answer = served.classify((images / name).read_bytes())
            exponents = np.exp(logits - logits.max())
            best = np.sort(exponents / exponents.sum())[::-1]
            np.testing.assert_allclose(answer.scores, best, atol=1e-4)


def test_bad_files_are_named_and_counted(trained_run, images, tmp_path, capsys, caplog):
    files = write_images(images)
    (images / "class0/broken.jpg").write_bytes(b"not an image")
    (images / "class1/dangling.png").symlink_to("nowhere.png")
    chosen = {"checkpoint": str(trained_run), "layer": ("fc10",)}
    chosen |= {"images": str(images), "output": str(tmp_path / "f.npz")}
    with pytest.raises(
        image_decoding.BadImageError, match=r"broken\.jpg: .*--max_bad_files=N"
    ):
        run(**chosen)
    with pytest.raises(image_decoding.BadImageError, match=r"dangling\.png: a link to"):
        run(**chosen, max_bad_files=1)
    run(**chosen, max_bad_files=2)
    assert "5 images, 2 left out, float32 fc10 5x3" in capsys.readouterr().out
    assert "left out: " in caplog.text
    assert "class1/dangling.png" in caplog.text
    with np.load(tmp_path / "f.npz") as found:
        assert found["names"].tolist() == files
        assert found["labels"].tolist() == [0, 0, 0, 1, 1]
        left_out = json.loads(str(found["about"]))["left_out"]
        expected = submodel_of(trained_run, "fc10")(views_of(images, files, 32, 24))
        np.testing.assert_array_equal(found["fc10"], expected)
    assert ["broken.jpg" in reason for reason in left_out] == [True, False]


def test_a_folder_of_which_no_image_can_be_read_is_refused(trained_run, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    chosen = {"checkpoint": str(trained_run), "layer": ("fc10",)}
    chosen |= {"images": str(folder), "output": str(tmp_path / "f.npz")}
    with pytest.raises(ValueError, match=r"has no images \(\.bmp, "):
        run(**chosen)
    (folder / "a.png").write_bytes(b"not an image")
    with pytest.raises(ValueError, match="no image of .* can be read"):
        run(**chosen, max_bad_files=5)
    near = str(folder)[:-1]
    with pytest.raises(ValueError, match=f"is not a folder. Did you mean {folder}"):
        run(**chosen | {"images": near})
    with pytest.raises(ValueError, match="is a file: name its folder"):
        run(**chosen | {"images": str(folder / "a.png")})
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


@pytest.mark.parametrize(
    ("folders", "classes", "labels"),
    [
        (["train/cat", "validation/dog", "train"], ["cat", "dog"], [-1, 0, 1]),
        (["train/cat", "cat/a"], ["cat", "train"], [0, 1]),
        (["cat/left/far", "cat", "dog"], ["cat", "dog"], [0, 0, 1]),
    ],
)
def test_the_first_folder_that_is_no_split_is_the_class(
    tmp_path, folders, classes, labels
):
    from alexnet_tf.evaluation import image_sets

    for folder in folders:
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / "0.png").write_bytes(b"")
    found = image_sets.folder_images(
        str(tmp_path), size=4, side=4, background=(0, 0, 0)
    )
    assert list(found.classes) == classes
    label_of = image_sets._classes_of([found.name(n) for n in range(found.count)])[1]
    assert label_of.tolist() == labels


# Runs the command, which kills itself after the second batch.
KILLED = """
import os, signal
from alexnet_tf import features
from alexnet_tf.evaluation import feature_files
from alexnet_tf.runtime import command

feature_files.SAVE_INTERVAL_S = 0
append, batches = feature_files.UnfinishedFeatures.append, []

def append_and_die(work, *batch):
    append(work, *batch)
    batches.append(batch)
    if len(batches) == 2:
        os.kill(os.getpid(), signal.SIGKILL)

feature_files.UnfinishedFeatures.append = append_and_die
command.run_command("features", features.OPTIONS, features.main, "")
"""


@pytest.fixture
def nine_images(two_towers, images):
    """Options of a command that computes eight images, two at a time; one is broken."""
    write_images(images, 9)
    (images / "class0/2.png").write_bytes(b"not an image")
    chosen = {"checkpoint": str(two_towers), "layer": ("fc7",), "max_bad_files": 1}
    return chosen | {"images": str(images), "batch_size": 2}


def assert_goes_on(chosen, folder, monkeypatch):
    """Continues work of which two batches are done; it ends as if done at once."""
    assert not (folder / "f.npz").exists()
    rows = []
    append = feature_files.UnfinishedFeatures.append
    monkeypatch.setattr(
        feature_files.UnfinishedFeatures,
        "append",
        lambda work, *batch: [rows.append(len(batch[1])), append(work, *batch)],
    )
    run(**chosen, output=str(folder / "f.npz"))
    assert rows == [2, 2]
    run(**chosen, output=str(folder / "whole.npz"))
    whole = (folder / "whole.npz").read_bytes()
    assert (folder / "f.npz").read_bytes() == whole
    assert not (folder / "f.npz.partial").exists()


def test_a_killed_command_goes_on_where_it_was(nine_images, tmp_path, monkeypatch):
    arguments = [
        f"--{name}={value[0] if name == 'layer' else value}"
        for name, value in {**nine_images, "output": tmp_path / "f.npz"}.items()
    ]
    done = programs.run("-c", KILLED, *arguments)
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    assert_goes_on(nine_images, tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("number", "error"),
    [(signal.SIGTERM, extraction.StoppedError), (signal.SIGINT, KeyboardInterrupt)],
)
def test_a_stopped_command_keeps_what_it_computed(
    nine_images, tmp_path, monkeypatch, capsys, number, error
):
    append, batches = feature_files.UnfinishedFeatures.append, []

    def append_and_stop(work, *batch):
        append(work, *batch)
        batches.append(batch)
        if len(batches) == 2:
            os.kill(os.getpid(), number)

    with monkeypatch.context() as patched:
        patched.setattr(feature_files.UnfinishedFeatures, "append", append_and_stop)
        with pytest.raises(error) as raised:
            run(**nine_images, output=str(tmp_path / "f.npz"))
    said = f"{raised.value} {capsys.readouterr().err}"
    assert f"{number.name}: stopped after 5 of 9 images, which are kept" in said
    assert "run the same command again to continue" in said
    assert_goes_on(nine_images, tmp_path, monkeypatch)


@pytest.fixture
def interrupted(two_towers, images, tmp_path, monkeypatch):
    """Options of a command that was stopped after one batch."""
    monkeypatch.setattr(feature_files, "SAVE_INTERVAL_S", 0.0)
    shutil.copytree(two_towers, tmp_path / "run")
    chosen = {"checkpoint": str(tmp_path / "run"), "layer": ("fc7",)}
    chosen |= {"images": str(images), "output": str(tmp_path / "f.npz")}
    chosen |= {"batch_size": 2}
    append = feature_files.UnfinishedFeatures.append

    def append_and_stop(work, *batch):
        append(work, *batch)
        raise ConnectionError("stopped")

    with monkeypatch.context() as patched:
        patched.setattr(feature_files.UnfinishedFeatures, "append", append_and_stop)
        with pytest.raises(ConnectionError, match="stopped"):
            run(**chosen)
    return chosen


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"layer": ("fc6",)}, "layers"),
        ({"towers": "separate"}, "towers"),
        ({"batch_size": 3}, "batch size"),
        ({"precision": "bfloat16"}, "precision"),
        ("an image more", "images"),
        ("an image that changed", "images"),
        ("another checkpoint", "weights"),
    ],
)
def test_what_changed_meanwhile_is_refused(interrupted, tmp_path, change, what):
    images = tmp_path / "images"
    if change == "an image more":
        Image.fromarray(random_image(0)).save(images / "class1/more.png")
    elif change == "an image that changed":
        Image.fromarray(random_image(8, 9, 9)).save(images / "class0/0.png")
    elif change == "another checkpoint":
        other = runs.write_untrained(tmp_path / "other", nets.SMALL, seed=2)
        shutil.rmtree(tmp_path / "run")
        other.rename(tmp_path / "run")
    else:
        interrupted |= change
    with pytest.raises(ValueError, match=rf"different {what} \(.* then, .* now\)"):
        run(**interrupted)
    assert (tmp_path / "f.npz.partial").exists()


def test_what_did_not_change_goes_on(interrupted, tmp_path):
    run(**interrupted)
    run(**interrupted | {"output": str(tmp_path / "whole.npz")})
    whole = (tmp_path / "whole.npz").read_bytes()
    assert (tmp_path / "f.npz").read_bytes() == whole


def test_images_are_read_a_batch_ahead_and_no_more(two_towers, images, tmp_path):
    from alexnet_tf.evaluation import image_sets

    write_images(images, 30)
    found = image_sets.folder_images(
        str(images), size=110, side=99, background=(0, 0, 0)
    )
    started = []
    read = found.read
    object.__setattr__(found, "read", lambda n: [started.append(n), read(n)][1])
    views = image_sets.in_order(found, range(30), 4)
    for index in range(5):
        assert next(views)[0] == index
        assert max(started) <= index + 4
    views.close()


def test_layers_are_listed_with_their_shapes(trained_run, capsys):
    run(checkpoint=str(trained_run), list_layers=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "conv1          12x12x64",
        "conv1/linear   24x24x64",
        "conv1/relu     24x24x64",
    ]
    run(checkpoint=str(trained_run), list_layers=True, format="json")
    found = json.loads(capsys.readouterr().out)
    assert found["local4"] == [6, 6, 32]
    assert len(found) == len(lines)


@pytest.mark.parametrize("format", ["json", "csv"])
def test_the_result_is_printed_in_other_formats(
    trained_run, images, tmp_path, capsys, format
):
    output = tmp_path / "f.npz"
    run(
        **{"checkpoint": str(trained_run), "layer": ("fc10", "local4")},
        **{"images": str(images), "output": str(output), "format": format},
    )
    printed = capsys.readouterr().out
    if format == "json":
        found = json.loads(printed)
        assert found["layers"] == {"fc10": [5, 3], "local4": [5, 6, 6, 32]}
        assert (found["file"], found["images"]) == (str(output), 5)
    else:
        head, first, second = printed.splitlines()
        assert head == "layer,shape,file,checkpoint,images,left_out"
        assert first.startswith(f"fc10,5x3,{output},")
        assert second.startswith("local4,5x6x6x32,")


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({}, "name a layer: --layer=fc7; --list_layers prints the names"),
        ({"layer": ("fc7",)}, "name the file to write: --output="),
        (
            {"layer": ("fc7",), "output": "f.npz"},
            "either --images=FOLDER or --dataset=",
        ),
        (
            {"layer": ("fc7",), "output": "f.npz", "images": "a", "dataset": "b"},
            "either --images=FOLDER or --dataset=",
        ),
        (
            {"layer": ("fc7",), "output": "f.npz", "images": "a", "split": "test"},
            "--split=test is of a dataset",
        ),
        ({"layer": ("fc7",), "output": "f.txt", "images": "a"}, r"must end in \.npz"),
        ({"list_layers": True, "layer": ("fc7",)}, "leave --layer out"),
        ({"list_layers": True, "images": "a"}, "leave --images out"),
        ({"list_layers": True, "output": "f.npz"}, "leave --output out"),
    ],
)
def test_what_is_missing_or_too_much_is_named_before_anything_loads(
    monkeypatch, chosen, message
):
    monkeypatch.setattr(command, "_restored", None)
    with pytest.raises(ValueError, match=message):
        run(**chosen)


def test_an_unknown_layer_is_refused_with_the_names(trained_run, images, tmp_path):
    with pytest.raises(
        ValueError, match="no layer 'fc7': choose one of conv1, conv1/li"
    ):
        run(
            **{"checkpoint": str(trained_run), "layer": ("local4", "fc7")},
            **{"images": str(images), "output": str(tmp_path / "f.npz")},
        )
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


def test_a_dataset_of_another_size_is_refused(two_towers, small_dataset, tmp_path):
    with pytest.raises(ValueError, match="images of 32 pixels, .* with --size=110"):
        run(
            **{"checkpoint": str(two_towers), "layer": ("fc7",)},
            **{"dataset": str(small_dataset.path), "output": str(tmp_path / "f.npz")},
        )
