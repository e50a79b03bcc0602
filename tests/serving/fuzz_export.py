"""Sends mutated images of every kind through an export, in a process that may crash.

    python tests/serving/fuzz_export.py EXPORT SECONDS LAST

EXPORT is the folder of a version; a session runs it, as a server does. Each image is
first written to the file LAST, so that after a crash the image that caused it is there.
The process ends with status 0 and a line of counts. It ends with a traceback at the
first answer that is neither a result nor a clear error, and at an image that takes
longer than `HANG_S`.
"""

import collections
import faulthandler
import pathlib
import re
import sys
import time

import hypothesis
import numpy as np
import tensorflow as tf
import test_graph_decoding
from hypothesis import strategies as st

from alexnet_tf.runtime import errors

HANG_S = 60
IMAGES = {**test_graph_decoding.GOOD, **test_graph_decoding.OTHER}
# The graph's own errors name the input, and the decoders' errors name the format, with
# the exception of this one about BMP.
CLEAR = re.compile(r"image_bytes|jpe?g|png|gif|bmp|input size", re.IGNORECASE)


@st.composite
def mutated(draw):
    """An image with bytes changed, removed, doubled, cut off or another image's."""
    data = bytearray(IMAGES[draw(st.sampled_from(sorted(IMAGES)))])
    for _ in range(draw(st.integers(0, 6))):
        # Half of the changes fall into the header, which matters most.
        end = draw(st.sampled_from([64, len(data)]))
        place = draw(st.integers(0, max(0, min(end, len(data)) - 1)))
        match draw(st.sampled_from(["set", "flip", "cut", "double", "end", "splice"])):
            case "set":
                new = draw(st.binary(min_size=1, max_size=4))
                data[place : place + len(new)] = new
            case "flip" if data:
                data[place] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del data[place : place + draw(st.integers(1, 64))]
            case "double":
                data[place:place] = data[place : place + draw(st.integers(1, 256))]
            case "end":
                del data[place:]
            case "splice":
                data[place:] = IMAGES[draw(st.sampled_from(sorted(IMAGES)))][place:]
    return bytes(data)


def main(export, seconds, last):
    session = tf.compat.v1.Session(graph=tf.Graph())
    graph = tf.compat.v1.saved_model.loader.load(session, ["serve"], export)
    signature = graph.signature_def["serving_default"]
    (fed,) = signature.inputs.values()
    fetched = signature.outputs["probabilities"].name
    counts = collections.Counter()

    @hypothesis.given(mutated())
    @hypothesis.settings(
        deadline=None,
        max_examples=100,
        database=None,
        derandomize=seconds < 60,  # the short run in every test is always the same
        phases=[hypothesis.Phase.generate],
        print_blob=False,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    def is_answered_or_refused(data):
        pathlib.Path(last).write_bytes(data)
        faulthandler.dump_traceback_later(HANG_S, exit=True)
        try:
            (row,) = session.run(fetched, {fed.name: np.array([data], object)})
        except tf.errors.InvalidArgumentError as error:
            reason = errors.first_line(error)
            if len(reason) > 300 or not CLEAR.search(reason):
                raise ValueError(f"not clear: {reason}") from error
            counts["refused"] += 1
        else:
            assert np.isfinite(row).all()
            counts["answered"] += 1
        faulthandler.cancel_dump_traceback_later()

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        is_answered_or_refused()
    print(dict(counts))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), sys.argv[3])
