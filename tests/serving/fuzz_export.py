"""Mutated pictures of every kind through an export, in a process that a crash may end.

    python tests/fuzz_export.py EXPORT SECONDS LAST

EXPORT is a version's folder; a session runs it, as a server does. Each picture is first
written to the file LAST, so that the one of a crash is there. Ends with status 0 and a
line of counts, or with the traceback of the first answer that is neither a result nor a
clear error, or of a picture that takes longer than `HANG_S`.
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
import test_decoding
from hypothesis import strategies as st

from alexnet_tf.serving import client

HANG_S = 60
PICTURES = {**test_decoding.GOOD, **test_decoding.OTHER}
# Our own refusals name the input; the decoders name the kind, but for this one of BMP's.
CLEAR = re.compile(r"image_bytes|jpe?g|png|gif|bmp|input size", re.IGNORECASE)


@st.composite
def mutated(draw):
    """One of the pictures with bytes changed, cut out, doubled, cut off or another's."""
    data = bytearray(PICTURES[draw(st.sampled_from(sorted(PICTURES)))])
    for _ in range(draw(st.integers(0, 6))):
        # Half of the changes fall into the header, which decides the most.
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
                data[place:] = PICTURES[draw(st.sampled_from(sorted(PICTURES)))][place:]
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
        derandomize=seconds < 60,  # the short run of every change is always the same
        phases=[hypothesis.Phase.generate],
        print_blob=False,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    def answers_or_says_why(data):
        pathlib.Path(last).write_bytes(data)
        faulthandler.dump_traceback_later(HANG_S, exit=True)
        try:
            (row,) = session.run(fetched, {fed.name: np.array([data], object)})
        except tf.errors.InvalidArgumentError as error:
            reason = client.reason(error.message)
            if len(reason) > 300 or not CLEAR.search(reason):
                raise ValueError(f"not clear: {reason}") from error
            counts["refused"] += 1
        else:
            assert np.isfinite(row).all()
            counts["answered"] += 1
        faulthandler.cancel_dump_traceback_later()

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answers_or_says_why()
    print(dict(counts))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), sys.argv[3])
