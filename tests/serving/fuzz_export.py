"""Sends hostile images of every kind to an export, in a process that may crash.

    python -m tests.serving.fuzz_export EXPORT SECONDS LAST

EXPORT is the folder of a version; a session runs it, as a server does. Preparation's
decoder reads the same images: what it reads, the export must answer alike. Each image is
first written to the file LAST, so that after a crash the image that caused it is there.
After SECONDS the process ends, but not before it has sent `LEAST` images.

The process ends with status 0 and a line of counts and of the peak of its memory. It
ends with a traceback at the first answer that is neither a result nor a clear error, at
two results that differ, at an image that takes longer than `HANG_S`, and if its memory
grew by more than `MEMORY_MIB`.
"""

import collections
import faulthandler
import pathlib
import random
import re
import resource
import sys
import time

import numpy as np
import tensorflow as tf

from alexnet_tf.data import image_decoding
from alexnet_tf.runtime import errors
from tests.support import hostile_images

HANG_S = 60
LEAST = (
    200  # what `make test` sends, so that a busy machine tests as much as an idle one
)
# An image of 50 megapixels while it is decoded, composed and resized; see the table in
# docs/serving.md.
MEMORY_MIB = 1500
# The graph's own errors name the input, and the decoders' errors name the format, with
# the exception of this one about BMP.
CLEAR = re.compile(r"image_bytes|jpe?g|png|gif|bmp|input size", re.IGNORECASE)


def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Export:
    """The signatures of an export that take one image, as a server runs them."""

    def __init__(self, path):
        self._session = tf.compat.v1.Session(graph=tf.Graph())
        graph = tf.compat.v1.saved_model.loader.load(self._session, ["serve"], path)
        self._signatures = graph.signature_def

    def probabilities(self, signature, value):
        """The answer for one image; None if it is refused with a clear error."""
        called = self._signatures[signature]
        (fed,) = called.inputs.values()
        try:
            (row,) = self._session.run(
                called.outputs["probabilities"].name, {fed.name: value}
            )
        except tf.errors.InvalidArgumentError as error:
            reason = errors.first_line(error)
            if len(reason) > 300 or not CLEAR.search(reason):
                raise ValueError(f"not clear: {reason}") from error
            return None
        assert np.isfinite(row).all()
        return row


def as_batch(data):
    return np.array([data], object)


def examine(export, data, counts):
    """Sends an image as it is, and as `predict` would send it."""
    counts["files"] += 1
    raw = export.probabilities("serving_default", as_batch(data))
    counts["answered" if raw is not None else "refused"] += 1
    try:
        pixels = image_decoding.decode(data, "image")
        sent = image_decoding.for_server(data, "image")
    except image_decoding.BadImageError:
        counts["unreadable"] += 1
        return
    answer = (
        raw if sent == data else export.probabilities("serving_default", as_batch(sent))
    )
    if answer is None:  # Pillow forgives some damage that TensorFlow's decoders do not
        counts["read by preparation alone"] += 1
        return
    expected = export.probabilities("predict_images", pixels[None])
    np.testing.assert_allclose(answer, expected, atol=1e-5)
    counts["alike"] += 1


def main(path, seconds, last):
    export, counts = Export(path), collections.Counter()
    # What `make test` sends is always the same.
    seed = time.time_ns() if seconds else 0
    print(f"seed {seed}", file=sys.stderr)
    random_source = random.Random(seed)
    for data in hostile_images.valid():
        examine(export, data, counts)
    before, end = peak_mib(), time.monotonic() + seconds
    least = counts["files"] + LEAST
    while counts["files"] < least or time.monotonic() < end:
        data = hostile_images.make(random_source)
        pathlib.Path(last).write_bytes(data)
        faulthandler.dump_traceback_later(HANG_S, exit=True)
        examine(export, data, counts)
        faulthandler.cancel_dump_traceback_later()
    counts["MiB"] = round(peak_mib() - before)
    assert counts["MiB"] <= MEMORY_MIB, counts
    print(dict(counts))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), sys.argv[3])
