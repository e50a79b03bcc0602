"""Only one process at a time holds the lock of a folder."""

import pytest

from alexnet_tf.runtime import lock


def test_a_second_process_is_rejected_until_the_first_releases_the_lock(tmp_path):
    folder = tmp_path / "run"
    with (
        lock.exclusive(folder, "unused"),
        pytest.raises(ValueError, match="writing into .*run: choose another"),
        lock.exclusive(folder, "choose another"),
    ):
        pass
    with lock.exclusive(folder, "unused"):
        assert folder.is_dir()
