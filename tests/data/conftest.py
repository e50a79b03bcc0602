"""Prepared datasets that several tests of the data folder share."""

import pytest

from alexnet_tf.data import preparation
from tests.support import image_sources


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """Ten training images and four test images, raw, 16 pixels. Do not change it."""
    source = image_sources.make_source(
        map(image_sources.example, range(10)), map(image_sources.example, range(10, 14))
    )
    output = tmp_path_factory.mktemp("prepared") / "deep" / "made"
    return preparation.prepare_dataset(source, output, size=16, encoding="raw")


@pytest.fixture
def small_shards(monkeypatch):
    """Shards of ten JPEGs, or one and a third raw images, of 8 pixels."""
    monkeypatch.setattr(preparation, "_SHARD_BYTES", 10 * (4 * 8 * 8 // 10))
