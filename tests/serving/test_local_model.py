"""An export that is loaded in this process."""

import pytest

from alexnet_tf.serving import local_model


def test_a_folder_of_versions_stands_for_its_highest(exported, tmp_path):
    assert local_model.Model(exported.parent).classify is not None
    with pytest.raises(FileNotFoundError, match=r"alexnet_tf\.export"):
        local_model.Model(tmp_path)
