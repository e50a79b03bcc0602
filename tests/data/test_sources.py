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
