"""The mean image that is subtracted, from Caffe's files and from our own."""

import numpy as np

from alexnet_tf.importing import caffe_model
from alexnet_tf.importing.source import Channels, WeightsError
from alexnet_tf.runtime import paths

_EXPECTED = (
    "Caffe's ilsvrc_2012_mean.npy or a .binaryproto, [3, height, width] in BGR; a "
    "mean.npy of this package, [height, width, 3] in RGB; or three numbers in RGB, as "
    "123,117,104"
)


def parse(text: str, side: int) -> np.ndarray:
    """Returns the mean image that `--mean` names: float32 [side, side, 3], RGB.

    A mean image that is larger than the net's input is cropped in its center, where the
    center crop of an image lies.

    Args:
        text: a file, or three numbers.
        side: of the net's input.

    Raises:
        WeightsError: it is neither, or too small.

    Example:
        >>> parse("123,117,104", 2)[0, 0].tolist()
        [123.0, 117.0, 104.0]
    """
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        return of_array(
            _read(paths.local(text)), side, where=f"--mean={text}", channels="BGR"
        )
    return of_array(np.array(numbers), side, where=f"--mean={text}")


def of_array(
    mean: np.ndarray, side: int, *, where: str, channels: Channels = "RGB"
) -> np.ndarray:
    """Returns a mean as the net subtracts it: float32 [side, side, 3], RGB.

    Args:
        mean: [3], [3, H, W] in the order `channels`, or [H, W, 3] in RGB.
        side: of the net's input.
        where: what an error names.
        channels: of a mean whose first axis are the channels.

    Raises:
        WeightsError: the mean has another shape, is too small, or is not finite.
    """
    if mean.shape == (3,):
        ordered = mean if channels == "RGB" else mean[::-1]
        image = np.broadcast_to(ordered, (side, side, 3))
    elif mean.ndim == 3 and mean.shape[0] == 3:
        image = mean.transpose(1, 2, 0)
        image = image if channels == "RGB" else image[..., ::-1]
    elif mean.ndim == 3 and mean.shape[2] == 3:
        image = mean
    else:
        raise WeightsError(
            f"{where} has the shape {list(mean.shape)}: it must be {_EXPECTED}"
        )
    height, width, _ = image.shape
    if min(height, width) < side:
        raise WeightsError(
            f"{where} is a mean image of {width}x{height} pixels, smaller than the net's "
            f"input of {side}"
        )
    if not np.isfinite(image).all():
        raise WeightsError(f"{where} has numbers that are NaN or infinite")
    top, left = (height - side) // 2, (width - side) // 2
    return np.array(image[top : top + side, left : left + side], np.float32)


def _read(path: str) -> np.ndarray:
    if path.endswith(".binaryproto"):
        return caffe_model.read_mean(path)
    if not path.endswith(".npy"):
        raise WeightsError(f"--mean={path} must be {_EXPECTED}")
    try:
        mean = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise WeightsError(f"--mean={path} is damaged ({error})") from error
    if mean.dtype.kind not in "fiu":
        raise WeightsError(f"--mean={path} holds {mean.dtype}, expected numbers")
    return mean
