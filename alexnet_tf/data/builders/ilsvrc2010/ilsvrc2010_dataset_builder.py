"""ILSVRC-2010, the only year with public test labels; the paper reports errors on it.

The layout of the archives was never published in full. The following is assumed, from
the readme of the development kit and from programs that read the archives:

- The training archive holds one archive per synset, possibly in a folder, and each of
  them holds its images as WNID_NUMBER.JPEG.
- The validation and test archives hold ILSVRC2010_val_00000001.JPEG and
  ILSVRC2010_test_00000001.JPEG and so on, possibly in a folder.
- Line k of a ground truth is the ILSVRC2010_ID, 1 to 1000, of image number k. The
  ground truth of the validation images is in the development kit, that of the test
  images is a separate file.
- A class is a synset without children in data/meta.mat of the development kit, and its
  label is its id minus one.

Images are stored as they are, except for one that is gzipped, which is unpacked. The
replacements that were once published (patch_images.tar) are for CMYK images and are not
needed here.
"""

import gzip
import io
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO, ClassVar

import tensorflow_datasets as tfds

from alexnet_tf.data import archives

# The (name, file) pairs of an archive, in order.
Archive = Iterable[tuple[str, BinaryIO]]
# Labels by a key, and the function that finds the key in the stem of an image's name.
Labels = dict[str, int]
Key = Callable[[str], str]

_VALIDATION_TRUTH = "ILSVRC2010_validation_ground_truth.txt"
_TEST_TRUTH = "ILSVRC2010_test_ground_truth.txt"


class Builder(tfds.core.GeneratorBasedBuilder):
    """The TFDS dataset `ilsvrc2010`, with labels for train, validation and test."""

    name = "ilsvrc2010"
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "First release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = """\
    Register at https://image-net.org, then download these files from
    https://image-net.org/challenges/LSVRC/2010 into manual_dir:

    - ILSVRC2010_images_train.tar, the training images
    - ILSVRC2010_images_val.tar, the validation images
    - ILSVRC2010_images_test.tar, the test images
    - ILSVRC2010_devkit-1.0.tar.gz, the development kit with classes, validation labels
    - ILSVRC2010_test_ground_truth.txt, the test labels, published after the challenge
    """

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(encoding_format="jpeg"),
                    "label": tfds.features.ClassLabel(),  # the kit has their names
                    "file_name": tfds.features.Text(),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://image-net.org/challenges/LSVRC/2010",
        )

    def _split_generators(self, dl_manager):
        folder = dl_manager.manual_dir
        kit_path = folder / archives.DEVKIT_2010
        kit = archives.read_devkit(kit_path)
        self.info.features["label"].names = [" ".join(entry) for entry in kit.classes]
        if _VALIDATION_TRUTH not in kit.ground_truths:
            raise ValueError(
                f"{kit_path} has no data/{_VALIDATION_TRUTH}: download it again"
            )
        test_path = folder / _TEST_TRUTH
        test_truth = archives.read_ground_truth(test_path.read_bytes(), str(test_path))
        count = len(kit.classes)
        labels = {
            "train": {synset: label for label, (synset, _) in enumerate(kit.classes)},
            "val": _labels_by_number(
                kit.ground_truths[_VALIDATION_TRUTH], count, kit_path
            ),
            "test": _labels_by_number(test_truth, count, test_path),
        }

        def examples(split: str, key: Key) -> Iterator[tuple]:
            path = folder / f"ILSVRC2010_images_{split}.tar"
            archive = dl_manager.iter_archive(path)
            return self._generate_examples(path, archive, labels[split], key)

        return {
            "train": examples("train", lambda stem: stem.partition("_")[0]),
            "validation": examples("val", _image_number),
            "test": examples("test", _image_number),
        }

    def _generate_examples(
        self, source: os.PathLike[str], archive: Archive, labels: Labels, key: Key
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """The images of an archive, each with the label of the key in its name.

        Raises ValueError, naming `source`, if the archive is damaged, if an image has
        no label, or if a label has no image.
        """
        missing = set(labels)
        try:
            for path, data in _iterate_images(archive):
                found = key(path.stem)
                if found not in labels:
                    raise ValueError(f"{source} holds {path.name}, which has no label")
                missing.discard(found)
                example = {
                    "image": io.BytesIO(data),
                    "label": labels[found],
                    "file_name": path.name,
                }
                yield path.name, example
        except archives.DAMAGE as error:
            raise ValueError(
                f"{source} is damaged ({error}): download it again"
            ) from error
        if missing:
            raise ValueError(
                f"{source} has no image for {len(missing)} of {len(labels)} labels, "
                f"such as the one for {min(missing)}: download it again"
            )


def _labels_by_number(
    truth: list[int], classes: int, source: os.PathLike[str]
) -> Labels:
    """The label of each image by its number, which counts from 1 and is a string."""
    if not all(1 <= number <= classes for number in truth):
        raise ValueError(
            f"{source}: the ids of a ground truth must lie between 1 and {classes}, got "
            f"ids from {min(truth)} to {max(truth)}"
        )
    return {str(line): number - 1 for line, number in enumerate(truth, 1)}


def _image_number(stem: str) -> str:
    """The number at the end of an image's name, without leading zeros."""
    return stem.rpartition("_")[2].lstrip("0")


def _iterate_images(archive: Archive) -> Iterator[tuple[pathlib.PurePosixPath, bytes]]:
    """The images of an archive and of the archives inside it."""
    for name, file in archive:
        path, data = pathlib.PurePosixPath(name), file.read()
        if path.suffix == ".tar":
            # The archive of one synset. It is read into memory, because the outer
            # archive can only be read forward.
            yield from _iterate_images(
                tfds.download.iter_archive(
                    io.BytesIO(data), tfds.download.ExtractMethod.TAR_STREAM
                )
            )
        elif path.suffix == ".JPEG":
            if data[:2] == b"\x1f\x8b":  # gzipped: n02487347_1956.JPEG
                data = gzip.decompress(data)
            yield path, data
