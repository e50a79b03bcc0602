"""Names that a user may have meant."""

import pytest

from alexnet_tf.runtime import suggestions

LAYERS = ["conv1", "conv1/relu", "conv2", "fc7", "Angora cat"]


@pytest.mark.parametrize(
    ("typed", "first"),
    [("covn1", "conv1"), ("CONV2", "conv2"), ("fc-7", "fc7"), ("angora-cat", None)],
)
def test_the_nearest_name_comes_first(typed, first):
    found = suggestions.did_you_mean(typed, LAYERS)
    assert found.startswith(f". Did you mean {first or 'Angora cat'}")
    assert found.endswith("?")


def test_nothing_is_suggested_for_a_name_like_none():
    assert suggestions.did_you_mean("zebra", LAYERS) == ""
    assert suggestions.did_you_mean("fc7", []) == ""


def test_at_most_three_are_suggested():
    many = [f"conv{n}" for n in range(10)]
    assert suggestions.did_you_mean("conv", many).count(" or ") == 2


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("runs/mine/export", "runs/mine2", "my photos/cat"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "runs/mien.txt").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("runs/mine/exprt", "runs/mine/export"),
        ("run/mien/exports", "runs/mine/export"),
        ("run/mine", "runs/mine"),
        ("./my_photos/cat", "my photos/cat"),
        ("my photos/cta", "my photos/cat"),
    ],
)
def test_a_path_is_suggested_as_it_can_be_typed(folder, typed, meant):
    assert suggestions.did_you_mean_path(typed) == f". Did you mean {meant}?"
    whole = suggestions.did_you_mean_path(folder / typed)
    assert whole == f". Did you mean {folder / meant}?"


def test_several_paths_may_be_meant_and_files_only_where_they_can_be(folder):
    found = suggestions.did_you_mean_path("runs/mien")
    assert set(
        found.removeprefix(". Did you mean ").removesuffix("?").split(" or ")
    ) == {*("runs/mine", "runs/mine2", "runs/mien.txt")}
    folders = suggestions.did_you_mean_path("runs/mien", folders_only=True)
    assert "mien.txt" not in folders


@pytest.mark.parametrize(
    "typed",
    ["zebra", "runs/zebra/export", "runs/mien.txt/a", "runs/mine", "", "dangling"],
)
def test_no_path_is_suggested_for_one_like_none_or_one_that_is_there(folder, typed):
    (folder / "dangling").symlink_to("nowhere")
    assert suggestions.did_you_mean_path(typed) == ""
