"""The command `figures` on images: from a dataset, a folder or a file."""

import shutil

import numpy as np
import pytest
from PIL import Image

from alexnet_tf import figures as command
from alexnet_tf.data import image_decoding
from alexnet_tf.drawing import gallery
from alexnet_tf.evaluation import features, image_sets
from alexnet_tf.models import trained
from alexnet_tf.runtime import files, options
from tests.conftest import write_noisy_images
from tests.support import nets, runs
from tests.support.images import random_image


@pytest.fixture
def draw(trained_run, tmp_path):
    """Runs the command, and returns the arrays of one figure."""

    def run(name, stem=None, **chosen):
        chosen = {"checkpoint": str(trained_run), "precision": "float32"} | chosen
        output = tmp_path / "figures"
        command.main(
            options.replace(
                command.OPTIONS(), figure=(name,), output=str(output), **chosen
            ),
            [],
        )
        assert (output / f"{stem or name}.png").exists()
        with np.load(output / f"{stem or name}.npz") as found:
            return dict(found)

    return run


@pytest.fixture
def folder(tmp_path):
    """Six images in folders of the classes, brighter ones in a higher class."""
    write_noisy_images(tmp_path / "images", each=2)
    return tmp_path / "images"


def test_predictions_are_of_the_runs_own_validation_images(draw, trained_run, capsys):
    found = draw("predictions")
    restored = trained.restore(trained_run, inputs="pixels")
    np.testing.assert_allclose(
        found["probabilities"], restored.model(found["pixels"]), rtol=1e-4, atol=1e-6
    )
    assert found["pixels"].shape == (8, 24, 24, 3)
    own = image_sets.images_for(restored.trained)
    for index, pixels, label in zip(
        image_sets.shuffled(own, 0), found["pixels"], found["labels"], strict=False
    ):
        view = own.read(index)
        assert label == view.label
        np.testing.assert_array_equal(pixels, view.pixels)
    assert "8 images of the validation split of" in capsys.readouterr().out


def test_predictions_of_a_folder_mark_the_class_of_the_same_name(draw, folder):
    (folder / "class1").rename(folder / "another")
    found = draw("predictions", images=str(folder), count=99)
    labels = dict(zip(found["names"].tolist(), found["labels"].tolist(), strict=True))
    assert labels == {
        **{"class0/0.png": 0, "class0/1.png": 0, "class2/0.png": 2, "class2/1.png": 2},
        **{"another/0.png": -1, "another/1.png": -1},
    }


def test_only_errors_are_those_whose_best_class_is_not_the_true_one(draw, folder):
    # What the net knows as class 0 is called class 2, and the other way round.
    (folder / "class0").rename(folder / "x")
    (folder / "class2").rename(folder / "class0")
    (folder / "x").rename(folder / "class2")
    found = draw("predictions", images=str(folder), only_errors=True)
    best = found["probabilities"].argmax(axis=1)
    assert len(best) > 0
    assert (best != found["labels"]).all()
    everything = draw("predictions", images=str(folder))
    wrong = everything["probabilities"].argmax(axis=1) != everything["labels"]
    assert sorted(found["names"]) == sorted(everything["names"][wrong])


def test_one_file_is_shown_without_a_true_class(draw, tmp_path):
    Image.fromarray(random_image(1, 50, 70)).save(tmp_path / "photo of me.png")
    found = draw("predictions", images=str(tmp_path / "photo of me.png"))
    assert found["names"].tolist() == ["photo of me.png"]
    assert found["labels"].tolist() == [-1]
    for name in ("maps", "saliency"):
        draw(name, images=str(tmp_path / "photo of me.png"))
    message = "classes of .*photo of me.png are not known"
    with pytest.raises(gallery.NotDrawableError, match=message):
        draw("predictions", images=str(tmp_path / "photo of me.png"), only_errors=True)
    with pytest.raises(gallery.NotDrawableError, match="has a class of the net"):
        draw("confusion", images=str(tmp_path / "photo of me.png"))


def test_bad_files_stop_every_figure_unless_they_are_allowed(draw, folder):
    for number in range(20):
        (folder / f"bad{number}.png").write_bytes(b"no image")
    for name in ("predictions", "nearest", "maps", "saliency", "confusion"):
        with pytest.raises(image_decoding.BadImageError, match="--max_bad_files"):
            draw(name, images=str(folder), count=20)
        draw(name, images=str(folder), count=20, max_bad_files=20)
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "bad.png").write_bytes(b"no image")
    for name in ("predictions", "nearest", "maps", "saliency", "confusion"):
        with pytest.raises(ValueError, match=r"can be read|has a class of the net"):
            draw(name, images=str(folder), max_bad_files=1)


def test_nearest_images_are_those_of_brute_force(draw, trained_run, small_dataset):
    found = draw("nearest", count=3)
    restored = trained.restore(trained_run, inputs="pixels")
    assert restored.trained.dataset_path == str(small_dataset.path)
    model = features.feature_model(restored.model, ["local4"])
    views = {}
    for split in ("train", "validation"):
        images = image_sets.images_for(restored.trained, split=split)
        views[split] = [images.read(index) for index in range(images.count)]
    vectors = {
        split: model(np.stack([view.pixels for view in each]))["local4"]
        .numpy()
        .reshape(len(each), -1)
        .astype(np.float64)
        for split, each in views.items()
    }
    assert sorted(found["query_indices"]) == list(range(12))
    for query, neighbors in zip(
        found["query_indices"], found["neighbor_indices"], strict=True
    ):
        distances = np.linalg.norm(
            vectors["train"] - vectors["validation"][query], axis=1
        )
        np.testing.assert_array_equal(neighbors, distances.argsort()[:6])
    for row in range(3):
        for column in range(6):
            np.testing.assert_array_equal(
                found["neighbors"][row, column],
                views["train"][found["neighbor_indices"][row, column]].pixels,
            )
    labels = np.array([view.label for view in views["train"]])
    same = labels[found["neighbor_indices"]] == found["labels"][:, None]
    for label in range(3):
        expected = same[found["labels"] == label].mean()
        assert found["precision"][label] == pytest.approx(expected)


def test_fewer_training_images_and_another_layer_can_be_searched(draw, folder):
    found = draw(
        "nearest",
        "nearest-conv1-relu",
        images=str(folder),
        layer="conv1/relu",
        search_count=4,
        query_count=2,
        count=1,
    )
    assert found["neighbors"].shape == (1, 4, 24, 24, 3)
    assert found["neighbor_indices"].shape == (2, 4)
    assert len(set(found["neighbor_indices"].ravel())) == 4


def test_maps_are_those_of_the_layer(draw, trained_run):
    found = draw("maps", "maps-conv2-relu", layer="conv2/relu")
    restored = trained.restore(trained_run, inputs="pixels")
    model = features.feature_model(restored.model, ["conv2/relu"])
    expected = model(found["pixels"][None])["conv2/relu"].numpy()
    np.testing.assert_allclose(found["maps"], expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(gallery.NotDrawableError, match="fc10 has units and no maps"):
        draw("maps", layer="fc10")
    with pytest.raises(
        ValueError, match="--layer=conv7: .* has no such layer, only conv1"
    ):
        draw("maps", layer="conv7")


def test_saliency_is_of_the_answer_or_of_the_class_that_is_named(draw, trained_run):
    own = draw("saliency", count=12)
    assert own["gradients"].shape == (12, 24, 24, 3)
    net = trained.restore(trained_run, inputs="pixels").model
    answers = net(own["pixels"]).numpy().argmax(axis=1)
    assert own["labels"].tolist() == answers.tolist()
    assert len(set(answers)) > 1
    for name, label in (("class0", 0), ("0", 0), ("class1", 1), ("1", 1)):
        assert draw("saliency", class_name=name)["labels"].tolist() == [label] * 4
    with pytest.raises(ValueError, match="no class 'clas1'.*Did you mean class1"):
        draw("saliency", class_name="clas1")


def test_a_confusion_counts_every_image_of_the_split(draw, capsys):
    found = draw("confusion")
    assert found["matrix"].sum(axis=1).tolist() == [4, 4, 4]
    wrong = 12 - found["matrix"].trace()
    printed = capsys.readouterr().out
    assert f"error, 12 images, center crop: {100 * wrong / 12:.2f} %" in printed
    assert len(found["mistakes"]) == wrong


def test_an_imported_net_is_shown_images_of_a_folder(tmp_path, folder, capsys):
    run = runs.write_untrained(tmp_path / "run", nets.SMALL)
    chosen = {"checkpoint": str(run), "output": str(tmp_path / "f")}
    command.main(options.replace(command.OPTIONS(), images=str(folder), **chosen), [])
    names = {path.name for path in (tmp_path / "f").glob("*.png")}
    assert {"predictions.png", "maps.png", "saliency.png", "confusion.png"} <= names
    said = capsys.readouterr().err
    assert "nearest is left out: the net was imported and has no dataset" in said
    with np.load(tmp_path / "f" / "maps.npz") as found:
        assert found["maps"].shape == (2, 11, 11, 3)  # of both towers


def test_a_dataset_to_train_on_alone_needs_a_split(draw, small_dataset, tmp_path):
    copy = tmp_path / "alone"
    shutil.copytree(small_dataset.path, copy)
    for path in copy.glob("validation-*"):
        path.unlink()
    description, sums = copy / "dataset.json", copy / "SHA256SUMS"
    before = files.sha256(description)
    text = description.read_text().replace('"validation"', '"other"')
    description.write_text(text)
    sums.write_text(sums.read_text().replace(before, files.sha256(description)))
    with pytest.raises(gallery.NotDrawableError, match="name another by --split"):
        draw("predictions", dataset=str(copy))
    draw("nearest", dataset=str(copy), split="train")
