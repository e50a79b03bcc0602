"""One process at a time in a folder."""

import pytest

from alexnet_tf.runtime import lock


def test_a_second_holder_is_refused_until_the_first_is_done(tmp_path):
    folder = tmp_path / "run"
    with (
        lock.exclusive(folder, "unused"),
        pytest.raises(ValueError, match="writing into .*run: choose another"),
        lock.exclusive(folder, "choose another"),
    ):
        pass
    with lock.exclusive(folder, "unused"):
        assert folder.is_dir()
