"""10,000 training and 2,000 test images of Fashion-MNIST, included in this package."""

import pathlib
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

_HERE = pathlib.Path(__file__).parent
_SIDE = 28
CLASSES = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)


def read_split(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Reads the images of one split from their mosaic.

    Args:
        split: "train" or "test".

    Returns:
        (images, labels): uint8 [N, 28, 28], 0-255, and int [N].

    Example:
        >>> images, labels = read_split("test")
        >>> images.shape, CLASSES[labels[0]]
        ((2000, 28, 28), 'ankle boot')
    """
    mosaic = np.asarray(Image.open(_HERE / f"{split}.png"))
    rows, columns = mosaic.shape[0] // _SIDE, mosaic.shape[1] // _SIDE
    tiles = mosaic.reshape(rows, _SIDE, columns, _SIDE).swapaxes(1, 2)
    digits = "".join((_HERE / f"{split}_labels.txt").read_text().split())
    return tiles.reshape(-1, _SIDE, _SIDE), np.array([int(digit) for digit in digits])


class Builder(tfds.core.GeneratorBasedBuilder):
    """The TFDS dataset `garments`: splits `train` and `test`, nothing to download."""

    name = "garments"
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "First release."}

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(_SIDE, _SIDE, 1)),
                    "label": tfds.features.ClassLabel(names=CLASSES),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://github.com/zalandoresearch/fashion-mnist",
        )

    def _split_generators(self, dl_manager):
        del dl_manager
        return {split: self._generate_examples(split) for split in ("train", "test")}

    def _generate_examples(self, split: str):
        for key, (image, label) in enumerate(zip(*read_split(split), strict=True)):
            yield key, {"image": image[..., None], "label": int(label)}
