"""Sources of made-up images, and what is prepared from them."""

import dataclasses
import hashlib
import os
import pathlib

import numpy as np
from array_record.python import array_record_module

from alexnet_tf.data import image_decoding, record_files, records, source_types
from alexnet_tf.models import image_resizing
from tests.support import images


@dataclasses.dataclass(frozen=True)
class Reader:
    """Reads image number `number`, in any process."""

    number: int

    def __call__(self):
        return images.random_image(self.number)


@dataclasses.dataclass(frozen=True)
class BrokenReader:
    """Fails as the reader of a broken image does."""

    number: int

    def __call__(self):
        raise image_decoding.BadImageError(f"image {self.number}: not a readable image")


def example(number, read=None):
    """An example that `read` reads, or by default `Reader`."""
    return source_types.Example(f"image {number}", number % 3, read or Reader(number))


def broken_example(number):
    return source_types.Example(f"image {number}", 0, BrokenReader(number))


def make_source(train, test=()):
    """A source of three classes with these examples."""
    splits = {"train": list(train)}
    if test:
        splits["test"] = list(test)
    return source_types.Source(
        "made", ("a", "b", "c"), splits, specification="made:here", fingerprint="0123"
    )


def resized(number, size):
    """Image number `number` as it should be prepared."""
    return image_resizing.square(images.random_image(number), size)


def read_contents(dataset, split):
    """[(image, label, name)] of every record of a prepared dataset, in order."""
    found = []
    for path in dataset.shards(split):
        shard = record_files.open_shard(path)
        for position, name in enumerate(read_names(path)):
            encoded, label = shard.read(position)
            image = records.decode_image(encoded, dataset.size, dataset.encoding)
            found.append((image, label, os.fsdecode(name)))
    return found


def read_names(path):
    """The file names in a shard, read without this package."""
    if path.suffix == ".npy":
        with path.open("rb") as file:
            np.load(file)
            return np.load(file).tolist()
    import tensorflow as tf  # which the worker processes that read images do without

    reader = array_record_module.ArrayRecordReader(str(path))
    return [
        tf.train.Example.FromString(example)
        .features.feature["image/filename"]
        .bytes_list.value[0]
        for example in reader.read_all()
    ]


def file_digests(folder):
    """{name: SHA-256} of the files in a folder."""
    paths = sorted(pathlib.Path(folder).iterdir())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
