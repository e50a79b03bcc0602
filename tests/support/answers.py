"""What an export answers, as the preflight gives it to the comparison with the net."""

import numpy as np
import tensorflow as tf

from alexnet_tf.serving import preflight


def replay(served, signature, encoded):
    """The answer to an encoded image, as a `preflight.Replay`.

    Args:
        served: the signatures of an export that is loaded in this process.
        signature: the name of one that takes `image_bytes`.
        encoded: the bytes of an image file.
    """
    given = np.array([encoded], object)
    found = served[signature](image_bytes=tf.constant(given))
    outputs = {name: value.numpy() for name, value in found.items()}
    return preflight.Replay(signature, {"image_bytes": given}, outputs)
