"""A shard may be written by several processes at once."""

import os

from alexnet_tf.data import shards
from tests.support import image_sources, images


def test_writers_with_the_same_process_id_do_not_disturb_each_other(
    tmp_path, monkeypatch
):
    # Two machines, or two containers on one machine, may use the same id.
    monkeypatch.setattr(os, "getpid", lambda: 1)
    path = tmp_path / "complete" / "train-00000-of-00001.npy"
    for folder in ("complete", "notes"):
        (tmp_path / folder).mkdir()

    def job(*examples):
        return shards.Job(path, examples, 8, "raw", (0, 0, 0), "crop", True, 0)

    def meanwhile():
        shards.write_shard_of_job(
            job(image_sources.example(0), image_sources.example(1)), lambda: None
        )
        return images.random_image(1)

    written = shards.write_shard_of_job(
        job(image_sources.example(0), image_sources.example(1, meanwhile)), lambda: None
    )
    assert shards.read_finished(path).sha256 == written.sha256
    assert [p.name for p in path.parent.iterdir()] == [path.name]
