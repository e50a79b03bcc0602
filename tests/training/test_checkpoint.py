"""Saved checkpoints are restored, and checkpoints that cannot be read are reported."""

import pathlib
import resource
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.models import checkpoint_files, checkpoint_weights
from alexnet_tf.runtime import files
from alexnet_tf.training import checkpoint
from tests.support import ROOT, by_hand, programs


def net(units=3, seed=0):
    inputs = keras.Input((4,))
    normal = keras.initializers.RandomNormal(seed=seed)
    outputs = keras.layers.Dense(units, name="fc8", kernel_initializer=normal)(inputs)
    return keras.Model(inputs, outputs)


def saver(run_dir, model, keep=2):
    velocities = [tf.Variable(tf.ones(v.shape)) for v in model.trainable_variables]
    return checkpoint.Checkpoints(
        run_dir, model, velocities, by_hand.TRAINED, keep
    ), velocities


def test_weights_velocities_step_and_state_are_restored(tmp_path):
    saved, other = net(seed=1), net(seed=2)
    first, velocities = saver(tmp_path, saved)
    velocities[0].assign(tf.fill([4, 3], 7.0))
    first.save(12, {"best_error": 3.5})
    second, restored = saver(tmp_path, other)
    assert second.restore() == (12, {"best_error": 3.5})
    np.testing.assert_array_equal(saved.get_weights()[0], other.get_weights()[0])
    assert restored[0].numpy().tolist() == [[7.0] * 3] * 4


def test_a_folder_without_checkpoints_restores_nothing(tmp_path):
    assert saver(tmp_path, net())[0].restore() is None


def test_the_newest_checkpoints_and_the_best_are_kept(tmp_path):
    saved, _ = saver(tmp_path, net(), keep=2)
    for step in (5, 10, 200):
        saved.save(step, {})
    saved.save(10, {}, checkpoint_files.BEST)
    saved.save(200, {}, checkpoint_files.BEST)
    names = [
        pathlib.Path(p).name
        for p in checkpoint_files.list_checkpoints(tmp_path / "checkpoints")
    ]
    assert names == ["step-10", "step-200"]
    assert checkpoint_files.list_checkpoints(tmp_path / "best") == [
        str(tmp_path / "best/step-200")
    ]


@pytest.mark.parametrize("damage", ["cut", "flip", "index"])
def test_a_broken_newest_checkpoint_falls_back_to_the_one_before(
    tmp_path, caplog, damage
):
    model = net(seed=3)
    saved, _ = saver(tmp_path, model)
    saved.save(1, {})
    good = model.get_weights()[0]
    model.layers[-1].kernel.assign(good + 1)
    prefix = saved.save(2, {})
    if damage == "index":
        pathlib.Path(f"{prefix}.index").write_bytes(b"")
    else:
        data = pathlib.Path(f"{prefix}.data-00000-of-00001")
        content = bytearray(data.read_bytes())
        if damage == "cut":
            del content[len(content) // 2 :]
        else:
            # Bits of a weight flip, so the tensor's checksum no longer matches.
            spot = content.find((good + 1).tobytes())
            content[spot] ^= 0xFF
        data.write_bytes(content)
    assert saver(tmp_path, model)[0].restore() == (1, {})
    np.testing.assert_array_equal(model.get_weights()[0], good)
    assert f"{prefix} is broken" in caplog.text
    assert f"going on from {tmp_path / 'checkpoints/step-1'}" in caplog.text


def test_the_files_of_a_broken_checkpoint_are_kept_under_other_names(tmp_path):
    saved, _ = saver(tmp_path, net())
    saved.save(1, {})
    saved.save(2, {})
    data = tmp_path / "checkpoints/step-2.data-00000-of-00001"
    data.write_bytes(b"cut off")
    assert saved.restore() == (1, {})
    saved.save(3, {})
    kept = {path.name for path in data.parent.glob("*.broken")}
    assert kept == {"step-2.index.broken", f"{data.name}.broken"}


def test_a_removed_checkpoint_is_on_the_disk_without_its_index_first(
    tmp_path, monkeypatch
):
    saved, _ = saver(tmp_path, net())
    prefix = saved.save(1, {})
    synced = []
    monkeypatch.setattr(files, "sync", lambda folder: synced.append(list_of(folder)))
    checkpoint_files.remove_checkpoint(prefix)
    assert synced == [["step-1.data-00000-of-00001"]]
    assert list_of(tmp_path / "checkpoints") == []


def list_of(folder):
    return sorted(path.name for path in folder.iterdir())


def test_checkpoints_saved_after_a_broken_one_replace_it(tmp_path):
    saved, _ = saver(tmp_path, net(), keep=1)
    saved.save(100, {})
    prefix = str(tmp_path / "checkpoints/step-200")
    for end in ("index", "data-00000-of-00001"):
        pathlib.Path(f"{prefix}.{end}").write_bytes(b"cut off")
    assert saved.restore() == (100, {})
    good = saved.save(120, {})
    assert checkpoint_files.list_checkpoints(tmp_path / "checkpoints") == [good]
    assert checkpoint_files.locate_checkpoint(tmp_path) == (tmp_path, good)


def test_a_run_whose_checkpoints_are_all_broken_is_an_error(tmp_path):
    saved, _ = saver(tmp_path, net())
    prefix = saved.save(1, {})
    pathlib.Path(f"{prefix}.data-00000-of-00001").write_bytes(b"")
    with pytest.raises(checkpoint_files.CheckpointError, match="can be read"):
        saver(tmp_path, net())[0].restore()


def test_a_checkpoint_of_another_net_is_rejected(tmp_path):
    prefix = saver(tmp_path, net(units=3))[0].save(1, {})
    with pytest.raises(
        checkpoint_files.CheckpointError, match="another number of classes"
    ):
        checkpoint_weights.load_weights(prefix, net(units=5))
    with pytest.raises(
        checkpoint_files.CheckpointError, match=r"fc8/kernel is \[4, 3\]"
    ):
        saver(tmp_path, net(units=5))[0].restore()
    inputs = keras.Input((4,))
    other = keras.Model(inputs, keras.layers.Dense(3, name="conv9")(inputs))
    with pytest.raises(checkpoint_files.CheckpointError, match="of another net"):
        checkpoint_weights.load_weights(prefix, other)


def test_a_checkpoint_is_located_by_run_folder_best_folder_or_prefix(tmp_path):
    saved, _ = saver(tmp_path, net())
    prefix = saved.save(1, {})
    best = saved.save(1, {}, checkpoint_files.BEST)
    assert checkpoint_files.locate_checkpoint(tmp_path) == (tmp_path, prefix)
    assert checkpoint_files.locate_checkpoint(prefix) == (tmp_path, prefix)
    assert checkpoint_files.locate_checkpoint(f"{prefix}.index") == (tmp_path, prefix)
    assert checkpoint_files.locate_checkpoint(tmp_path / "best") == (tmp_path, best)


def test_a_path_without_a_checkpoint_is_rejected_with_what_is_expected(tmp_path):
    for path in (tmp_path, tmp_path / "nothing", tmp_path / "checkpoints/step-9"):
        with pytest.raises(
            checkpoint_files.CheckpointError, match="expected a run folder"
        ):
            checkpoint_files.locate_checkpoint(path)


@pytest.mark.parametrize("keep", [1, 2, 3, 4])
@pytest.mark.parametrize("saves", [1, 2, 3, 6])
def test_as_many_checkpoints_are_kept_as_asked_for(tmp_path, keep, saves):
    saved, _ = saver(tmp_path, net(), keep)
    for step in range(1, saves + 1):
        saved.save(10 * step, {})
    found = checkpoint_files.list_checkpoints(tmp_path / "checkpoints")
    expected = range(1, saves + 1)[-keep:]
    assert [checkpoint_files.step_of(p) for p in found] == [10 * s for s in expected]


def test_of_three_checkpoints_the_newest_whole_one_is_restored(tmp_path):
    saved, _ = saver(tmp_path, net(), keep=3)
    *_, newest = [saved.save(step, {"at": step}) for step in (1, 2, 3)]
    pathlib.Path(f"{newest}.data-00000-of-00001").write_bytes(b"")
    assert saved.restore() == (2, {"at": 2})


def test_a_step_that_is_saved_again_keeps_the_first_until_the_second_is_whole(
    tmp_path, monkeypatch
):
    saved, _ = saver(tmp_path, net())
    first = saved.save(5, {"at": 1})
    folder = tmp_path / "checkpoints"
    seen = []
    move = files.move

    def observed(source, target):
        seen.append(checkpoint_files.newest_checkpoint(folder))
        move(source, target)
        seen.append(checkpoint_files.newest_checkpoint(folder))

    monkeypatch.setattr(files, "move", observed)
    second = saved.save(5, {"at": 2})
    assert seen == [first] * 3 + [second]
    assert checkpoint_files.list_checkpoints(folder) == [second]
    assert saver(tmp_path, net())[0].restore() == (5, {"at": 2})
    # The name that a user knows still finds it.
    assert checkpoint_files.locate_checkpoint(first) == (tmp_path, second)
    third = saved.save(5, {})
    assert third not in (first, second)
    assert checkpoint_files.list_checkpoints(folder) == [third]


def test_the_best_checkpoint_replaces_one_of_a_later_step(tmp_path):
    """A run that went on from an older checkpoint has a best one of its own."""
    saved, _ = saver(tmp_path, net())
    saved.save(30, {}, checkpoint_files.BEST)
    best = saved.save(20, {}, checkpoint_files.BEST)
    assert checkpoint_files.list_checkpoints(tmp_path / "best") == [best]


def test_an_older_checkpoint_that_cannot_be_removed_does_not_end_the_run(
    tmp_path, monkeypatch, caplog
):
    saved, _ = saver(tmp_path, net(), keep=1)
    first = saved.save(1, {})
    with monkeypatch.context() as patch:

        def fail(prefix):
            raise OSError("input/output error")

        patch.setattr(checkpoint_files, "remove_checkpoint", fail)
        saved.save(2, {})
    assert f"cannot remove the older checkpoint {first}" in caplog.text
    newest = saved.save(3, {})
    found = checkpoint_files.list_checkpoints(tmp_path / "checkpoints")
    assert found == [newest]


SAVE_WITHOUT_SPACE = """
import resource, sys
import numpy as np, tensorflow as tf
sys.path.insert(0, {root!r})
from tests.training import test_checkpoint
from alexnet_tf.models import checkpoint_files
saved, _ = test_checkpoint.saver({run!r}, test_checkpoint.net())
saved.save(1, {{}})
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (64, resource.RLIM_INFINITY))
try:
    saved.save(2, {{}})
except checkpoint_files.CheckpointError as error:
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    )
    print(error)
    print(saved.restore()[0])
"""


def test_a_full_disk_keeps_the_last_good_checkpoint(tmp_path):
    """A limit on file size stands in for the full disk: writes fail with EFBIG."""
    assert resource.RLIMIT_FSIZE is not None
    program = tmp_path / "program.py"
    program.write_text(SAVE_WITHOUT_SPACE.format(root=str(ROOT), run=str(tmp_path)))
    done = programs.run(program)
    assert done.returncode == 0, done.stderr[-3000:]
    message, step = done.stdout.strip().splitlines()
    assert "cannot write checkpoint" in message
    assert "step-1" in message
    assert step == "1"
    left = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert left == ["step-1.data-00000-of-00001", "step-1.index"]


def test_a_checkpoint_can_be_copied_elsewhere(tmp_path):
    model = net(seed=4)
    prefix = saver(tmp_path / "a", model)[0].save(1, {})
    shutil.copytree(pathlib.Path(prefix).parent, tmp_path / "b")
    other = net(seed=5)
    checkpoint_weights.load_weights(str(tmp_path / "b/step-1"), other)
    np.testing.assert_array_equal(model.get_weights()[0], other.get_weights()[0])
