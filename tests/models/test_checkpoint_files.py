"""A checkpoint is found by its run folder, its folder, its prefix, or one of its files."""

import pathlib

import pytest

from alexnet_tf.models import checkpoint_files


@pytest.fixture(params=["mine", "best", "checkpoints"])
def run(tmp_path, request):
    """A run folder with empty files for checkpoints; a run may have any name."""
    run = tmp_path / "runs" / request.param
    for folder, steps in (("checkpoints", (100, 20)), ("best", (20,))):
        (run / folder).mkdir(parents=True)
        for step in steps:
            for suffix in (".index", ".data-00000-of-00001"):
                (run / folder / f"step-{step}{suffix}").touch()
    return run


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        *((".", "checkpoints/step-100"), ("checkpoints", "checkpoints/step-100")),
        *(("best", "best/step-20"), ("checkpoints/step-20", "checkpoints/step-20")),
        ("checkpoints/step-20.index", "checkpoints/step-20"),
        ("best/step-20.data-00000-of-00001", "best/step-20"),
        ("checkpoints/../best/", "best/step-20"),
    ],
)
def test_every_way_to_name_a_checkpoint_finds_it(run, asked, found, monkeypatch):
    folder, prefix = checkpoint_files.locate_checkpoint(run / asked)
    assert pathlib.Path(prefix).resolve() == run / found
    assert folder.resolve() == run
    monkeypatch.chdir(run)
    folder, prefix = checkpoint_files.locate_checkpoint(asked)
    assert pathlib.Path(prefix).resolve() == run / found
    assert folder.resolve() == run


@pytest.mark.parametrize("inside", ["best", "checkpoints"])
def test_the_current_folder_may_be_that_of_the_checkpoints(run, inside, monkeypatch):
    monkeypatch.chdir(run / inside)
    folder, prefix = checkpoint_files.locate_checkpoint(".")
    assert folder.resolve() == run
    assert pathlib.Path(prefix).resolve().parent == run / inside
    (best,) = checkpoint_files.list_checkpoints("../best")
    assert checkpoint_files.locate_checkpoint("../best")[1] == best


@pytest.mark.parametrize("asked", ["nothing", "checkpoints/step-3", "best/step-100"])
def test_what_is_no_checkpoint_is_named_with_what_was_expected(run, asked):
    with pytest.raises(checkpoint_files.CheckpointError, match="expected a run folder"):
        checkpoint_files.locate_checkpoint(run / asked)
