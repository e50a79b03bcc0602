"""The bytes of NumPy's files, for writers that must notice every error."""

import io

import numpy as np


def npy_bytes(array: np.ndarray) -> bytes:
    """Returns what `numpy.save` writes for an array.

    `numpy.save` itself does not notice if the last bytes cannot be written, for example
    because the disk is full: it ignores that error when it closes its stream.

    Example:
        >>> np.load(io.BytesIO(npy_bytes(np.arange(3)))).tolist()
        [0, 1, 2]
    """
    written = io.BytesIO()
    np.save(written, array)
    return written.getvalue()
