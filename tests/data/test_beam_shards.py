"""Apache Beam writes the same shards as worker processes do."""

import sys

import pytest

from alexnet_tf.data import image_decoding, preparation
from tests.support import image_sources


def test_apache_beam_writes_the_same_bytes(tmp_path, small_shards):
    train = [
        *map(image_sources.example, range(12)),
        image_sources.broken_example(12),
        *map(image_sources.example, range(13, 25)),
    ]
    source = image_sources.make_source(train, map(image_sources.example, range(5)))
    options = {"size": 8, "encoding": "jpeg", "max_bad_files": 1}
    here = preparation.prepare_dataset(source, tmp_path / "here", **options)
    beam = preparation.prepare_dataset(
        source,
        tmp_path / "beam",
        **options,
        beam_pipeline_options="runner=DirectRunner",
    )
    assert image_sources.file_digests(beam.path) == image_sources.file_digests(
        here.path
    )


def test_apache_beam_counts_bad_files_too(tmp_path, small_shards):
    source = image_sources.make_source(
        [
            *map(image_sources.example, range(12)),
            image_sources.broken_example(12),
            image_sources.broken_example(13),
        ]
    )
    with pytest.raises(image_decoding.BadImageError, match="image 13.*--max_bad_files"):
        preparation.prepare_dataset(
            source,
            tmp_path / "beam",
            size=8,
            encoding="jpeg",
            max_bad_files=1,
            beam_pipeline_options="runner=DirectRunner",
        )


def test_without_apache_beam_the_error_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(RuntimeError, match=r"pip install 'alexnet_tf\[beam\]'"):
        preparation.prepare_dataset(
            image_sources.make_source([image_sources.example(0)]),
            tmp_path / "beam",
            size=8,
            encoding="raw",
            beam_pipeline_options="runner=DirectRunner",
        )
