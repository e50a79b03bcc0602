"""The nets whose weights were published: what their images look like, and known files."""

import dataclasses

from alexnet_tf.importing.source import Channels
from alexnet_tf.models import resize_rule


@dataclasses.dataclass(frozen=True)
class PublishedNet:
    """How a published net's images are made, and what it is known to reach.

    Attributes:
        name: of the net, for people.
        channels: the order of the colors that its first convolution reads.
        mean: of its channels in pixel values 0-255, red, green, blue.
        deviation: what the image less the mean is divided by, in pixel values; None if
            it is not divided.
        accuracy: top-1 and top-5 in percent on ILSVRC-2012's validation images, with
            the center crop, as published.
        images: how those images were made.
        resize: the rule by which they became squares of 256 pixels.
    """

    name: str
    channels: Channels
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float] | None
    accuracy: tuple[float, float]
    images: str
    resize: resize_rule.Rule


_CAFFE_MEAN = (123.0, 117.0, 104.0)
_CAFFE_IMAGES = "images squashed to 256x256 whatever their shape, less the mean image"

# By the name of the architecture in `zoo.ARCHITECTURES`.
NETS = {
    "caffe_alexnet": PublishedNet(
        "BVLC AlexNet, Caffe model zoo",
        "BGR",
        _CAFFE_MEAN,
        None,
        (57.1, 80.2),
        _CAFFE_IMAGES,
        "squash",
    ),
    "caffenet": PublishedNet(
        "BVLC CaffeNet, Caffe model zoo",
        "BGR",
        _CAFFE_MEAN,
        None,
        (57.4, 80.4),
        _CAFFE_IMAGES,
        "squash",
    ),
    # The mean and the deviation of torchvision are those of pixels 0-1.
    "torchvision": PublishedNet(
        "torchvision AlexNet",
        "RGB",
        (255 * 0.485, 255 * 0.456, 255 * 0.406),
        (255 * 0.229, 255 * 0.224, 255 * 0.225),
        (56.522, 79.066),
        "images whose shorter side was resized to 256",
        "crop",
    ),
}

# The digests of published files, or how they begin, with the architecture.
_SHA1 = {
    "9116a64c0fbe4459d18f4bb6b56d647b63920377": "caffe_alexnet",
    "4c8d77deb20ea792f84eb5e6d0a11ca0a8660a46": "caffenet",
}
_SHA256_BEGINS = {"7be5be79": "torchvision", "4df8aa71": "torchvision"}


def architecture_of(sha1: str, sha256: str) -> str | None:
    """Returns the architecture of a published file by its digests, or None.

    Example:
        >>> architecture_of("", "7be5be79" + "0" * 56)
        'torchvision'
    """
    return _SHA1.get(sha1) or _SHA256_BEGINS.get(sha256[:8])
