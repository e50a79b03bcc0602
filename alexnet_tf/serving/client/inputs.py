"""Looks at the inputs of a request before it is sent.

A server that batches fails every request of a batch for one bad image, and its answer
does not tell whose image it was. Therefore the client decides by itself what is its own
fault, by the rules of the exported graph. Over REST, moreover, a server wraps integers
that are out of range without an error.
"""

import io
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from alexnet_tf.models import image_limits
from alexnet_tf.serving.client import errors

# The inputs that are looked at: encoded images in any signature, and pixels by the
# signature and the type that it takes.
ENCODED = "image_bytes"
_IMAGE = "image"
_PIXELS = {"predict_images": np.uint8, "predict_float_images": np.float32}


class Request(NamedTuple):
    """The inputs of a request as they are sent.

    Attributes:
        inputs: arrays, or lists of encoded images, by name.
        rows: the number of images.
        sizes: of each image, if the client has looked at all of them: its bytes, which
            are 0 for pixels, and its number of pixels. A server has no reason to reject
            such a request.
    """

    inputs: dict[str, Any]
    rows: int
    sizes: list[tuple[int, int]] | None

    @property
    def sound(self) -> bool:
        return self.sizes is not None

    def parts(self, most: int) -> Iterator["Request"]:
        """Yields the request in parts of at most `most` images each.

        Fewer images are together if they are large: at most `image_limits.MAX_BYTES`,
        which one image may have too, and `image_limits.MAX_REQUEST_PIXELS`.
        """
        start = 0
        while start < self.rows:
            stop = self._end(start, most)
            rows = {name: value[start:stop] for name, value in self.inputs.items()}
            sizes = None if self.sizes is None else self.sizes[start:stop]
            yield Request(rows, stop - start, sizes)
            start = stop

    def _end(self, start: int, most: int) -> int:
        """Where the part ends that begins with the image `start`."""
        stop = min(start + most, self.rows)
        if self.sizes is None:
            return stop
        total_bytes = total_pixels = 0
        for number in range(start, stop):
            total_bytes += self.sizes[number][0]
            total_pixels += self.sizes[number][1]
            if number > start and (
                total_bytes > image_limits.MAX_BYTES
                or total_pixels > image_limits.MAX_REQUEST_PIXELS
            ):
                return number
        return stop


def checked(signature: str, inputs: Mapping[str, Any]) -> Request:
    """Returns a request whose images are what the exported graph reads.

    Encoded images are turned upright, and kinds that the graph does not read become
    PNG; see `image_decoding.for_server`.

    Raises:
        RejectedError: an image cannot be read or is too large, a pixel is not a whole
            number from 0 to 255, or there are no images at all.
    """
    if set(inputs) == {ENCODED}:
        return of_encoded(encoded(inputs[ENCODED]))
    if set(inputs) == {_IMAGE} and signature in _PIXELS:
        arrays = pixels(inputs[_IMAGE], signature)
        sizes = [(0, arrays.shape[1] * arrays.shape[2])] * len(arrays)
        return Request({_IMAGE: arrays}, _count({_IMAGE: arrays}), sizes)
    return Request(dict(inputs), _count(inputs), None)


def of_encoded(images: list[bytes]) -> Request:
    """Returns the request of images that `encoded` returned.

    Raises:
        RejectedError: there are no images.
    """
    sizes = [(len(image), _pixel_count(image)) for image in images]
    return Request({ENCODED: images}, _count({ENCODED: images}), sizes)


def encoded(images: Any) -> list[bytes]:
    """Returns encoded images in the form that a server reads.

    Raises:
        RejectedError: an image is not bytes, cannot be read or is too large.
    """
    # Pillow is not needed by a client that sends pixels.
    from alexnet_tf.data import image_decoding

    if isinstance(images, bytes | bytearray | memoryview | str):
        raise errors.RejectedError(f"{ENCODED} must be a list of images, got one")
    found = []
    for number, image in enumerate(images):
        name = ENCODED if len(images) == 1 else f"{ENCODED}[{number}]"
        if not isinstance(image, bytes | bytearray | memoryview):
            raise errors.RejectedError(
                f"{name} must be the bytes of an image file, got {type(image).__name__}"
            )
        try:
            found.append(image_decoding.for_server(bytes(image), name))
        except image_decoding.BadImageError as error:
            raise errors.RejectedError(str(error)) from error
    return found


def _pixel_count(encoded_image: bytes) -> int:
    from PIL import Image

    with Image.open(io.BytesIO(encoded_image)) as opened:
        return opened.width * opened.height


def pixels(images: Any, signature: str) -> np.ndarray:
    """Returns pixels in the type that a signature takes, [N, H, W, 3].

    Raises:
        RejectedError: they have another shape, too many pixels, values outside of 0 to
            255, or fractions that the type cannot hold.
    """
    kind = np.dtype(_PIXELS[signature])
    try:
        values = np.asarray(images)
    except ValueError:  # the images differ in size
        raise errors.RejectedError(
            "image must have the shape [N, H, W, 3]; send images of different sizes one "
            "by one"
        ) from None
    if values.dtype.kind not in "iuf":
        raise errors.RejectedError(f"image must be numbers, got {values.dtype}")
    if values.ndim != 4 or values.shape[3] != 3:
        raise errors.RejectedError(
            f"image must have the shape [N, H, W, 3], got {list(values.shape)}"
        )
    _check_size(values.shape[1], values.shape[2])
    wrong = ~((values >= 0) & (values <= 255))  # true for NaN, too
    if wrong.any():
        raise errors.RejectedError(
            f"image must have values from 0 to 255, got {values[wrong][0]}"
        )
    if kind.kind == "u" and values.dtype.kind == "f":
        fractions = values != np.floor(values)
        if fractions.any():
            raise errors.RejectedError(
                f"image must have whole numbers for {signature}, got "
                f"{values[fractions][0]}: use predict_float_images"
            )
    return values.astype(kind)


def _check_size(height: int, width: int) -> None:
    longer, shorter = max(height, width), min(height, width)
    if (
        not 1 <= height * width <= image_limits.MAX_PIXELS
        or longer > image_limits.MAX_ASPECT * shorter
    ):
        raise errors.RejectedError(
            f"image: {height} rows of {width} pixels; an image must have 1 to "
            f"{image_limits.MAX_PIXELS} pixels, and no side may be more than "
            f"{image_limits.MAX_ASPECT} times the other"
        )


def _count(inputs: Mapping[str, Any]) -> int:
    """The number of images of a request, which is that of every input."""
    lengths = {name: _length(name, value) for name, value in inputs.items()}
    if not any(lengths.values()):
        raise errors.RejectedError(
            "the request has no images; it is not sent, because a server that batches "
            "does not answer it until another request comes"
        )
    if len(set(lengths.values())) != 1:
        raise errors.RejectedError(f"inputs must have equally many rows, got {lengths}")
    return next(iter(lengths.values()))


def _length(name: str, value: Any) -> int:
    if isinstance(value, list | tuple) or (
        isinstance(value, np.ndarray) and value.ndim
    ):
        return len(value)
    raise errors.RejectedError(
        f"{name} must be a list or an array with one row per image, got "
        f"{type(value).__name__}"
    )
