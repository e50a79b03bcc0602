"""The bytes of NumPy's files, for writers that must notice every error."""

import io

import numpy as np
import numpy.typing as npt


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


def npy_header(kind: npt.DTypeLike, shape: tuple[int, ...]) -> bytes:
    """Returns the bytes that `numpy.save` writes before the values of an array.

    NumPy pads them, so their number is the same for any first number of `shape`. A
    file that grows by rows can therefore get its header at the end.

    Example:
        >>> len(npy_header("<f4", (0, 5))) == len(npy_header("<f4", (10**9, 5)))
        True
    """
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header,
        {
            "descr": np.lib.format.dtype_to_descr(np.dtype(kind)),
            "fortran_order": False,
            "shape": shape,
        },
    )
    return header.getvalue()
