"""Decodes the files of a folder, and prints what that took of memory.

    python -m tests.serving.peak_memory FOLDER

One line per file: its name, by how many MiB the peak of the process's memory has grown
since the first file, and whether the exported graph and preparation "read" or "refused"
the file.
"""

import pathlib
import resource
import sys

import tensorflow as tf

from alexnet_tf.data import image_decoding
from alexnet_tf.models import resizing
from alexnet_tf.serving import graph_decoding
from tests.support import encoded_images


def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@tf.function(input_signature=[tf.TensorSpec([], tf.string)])
def by_graph(encoded):
    return resizing.resize(graph_decoding.decode(encoded), 256)


def by_preparation(data):
    return image_decoding.decode(data, "image")


def outcome(decode, data):
    try:
        decode(data)
    except (image_decoding.BadImageError, tf.errors.InvalidArgumentError):
        return "refused"
    return "read"


def main(folder):
    for kind in ("png_2_8", "jpeg", "gif", "bmp"):
        by_graph(encoded_images.VALID[kind])
    files = sorted(pathlib.Path(folder).iterdir())
    largest = max(file.stat().st_size for file in files)
    # Reading a file and handing it over takes its size twice.
    tf.constant(bytes(largest))
    before = peak_mib()
    for file in files:
        data = file.read_bytes()
        found = [outcome(decode, data) for decode in (by_graph, by_preparation)]
        print(file.name, round(peak_mib() - before), *found, sep="\t")


if __name__ == "__main__":
    main(*sys.argv[1:])
