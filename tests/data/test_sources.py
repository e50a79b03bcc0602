"""The names of sources."""

import pytest

from alexnet_tf.data import sources


@pytest.mark.parametrize(
    "specification",
    ["", "imagenet", "folder:", "folder", "tfds:", "zip:/a", "Garments", "garments:a"],
)
def test_an_unknown_source_is_rejected(specification):
    with pytest.raises(ValueError, match=f"folder:/path, got '{specification}'"):
        sources.open_source(specification)


@pytest.mark.parametrize("name", ["images", "my images", "garments of mine"])
def test_a_folder_that_is_given_like_a_source_is_suggested_as_one(
    tmp_path, monkeypatch, name
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match=f"in that folder: folder:{name}$"):
        sources.open_source(name)
    with pytest.raises(ValueError, match="got 'imagenet2021'. Did you mean imagenet"):
        sources.open_source("imagenet2021")


def test_a_mistyped_folder_suggests_the_one_beside_it(tmp_path):
    (tmp_path / "images").mkdir()
    with pytest.raises(
        FileNotFoundError, match="no such folder. Did you mean .*/images?"
    ):
        sources.open_source(f"folder:{tmp_path / 'imges'}")
    with pytest.raises(FileNotFoundError, match="no such folder$"):
        sources.open_source(f"folder:{tmp_path / 'xyz'}")
