"""ILSVRC-2010, the year whose test labels are public: the paper's headline numbers.

What is assumed of the archives, from the development kit's readme and from programs that
read them (none of them is here):

- the training archive holds an archive for each synset, in a folder or in none, and each
  of these its pictures WNID_NUMBER.JPEG;
- the other two hold ILSVRC2010_val_00000001.JPEG and ILSVRC2010_test_00000001.JPEG and
  on, in a folder or in none;
- line k of a ground truth is the ILSVRC2010_ID, 1 to 1000, of picture number k; the one
  of the validation pictures is in the kit, the one of the test pictures a file apart;
- a class is a synset without children in the kit's data/meta.mat, and its label is its
  id less one.

Pictures are kept as they are, but for one that is gzipped. The replacements that were
once handed out (patch_images.tar) are of CMYK pictures and are not needed here.
"""

import gzip
import io
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO, ClassVar

import tensorflow_datasets as tfds

from alexnet_tf.data import archives

Archive = Iterable[tuple[str, BinaryIO]]
# A label by what its pictures have in their names, and how that is found in a name.
Labels = dict[str, int]
Key = Callable[[str], str]

_VALIDATION_TRUTH = "ILSVRC2010_validation_ground_truth.txt"


class Builder(tfds.core.GeneratorBasedBuilder):
    """TFDS builder `ilsvrc2010`: splits `train`, `validation` and `test`, all labelled."""

    name = "ilsvrc2010"
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "First release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = """\
    Register at https://image-net.org, and put into manual_dir, from
    https://image-net.org/challenges/LSVRC/2010:

    - ILSVRC2010_images_train.tar, the training pictures
    - ILSVRC2010_images_val.tar, the validation pictures
    - ILSVRC2010_images_test.tar, the test pictures
    - ILSVRC2010_devkit-1.0.tar.gz, the development kit: classes, validation labels
    - ILSVRC2010_test_ground_truth.txt, the test labels, published after the challenge
    """

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(encoding_format="jpeg"),
                    "label": tfds.features.ClassLabel(),  # named by the kit
                    "file_name": tfds.features.Text(),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://image-net.org/challenges/LSVRC/2010",
        )

    def _split_generators(self, dl_manager):
        folder = dl_manager.manual_dir
        kit = folder / archives.DEVKIT_2010
        classes, truths = archives.read_devkit(kit)
        self.info.features["label"].names = [" ".join(entry) for entry in classes]
        if _VALIDATION_TRUTH not in truths:
            raise ValueError(
                f"{kit} has no data/{_VALIDATION_TRUTH}: download it again"
            )
        test_truth = folder / "ILSVRC2010_test_ground_truth.txt"
        test_ids = archives.read_truth(test_truth.read_bytes(), str(test_truth))

        def examples(split: str, labels: Labels, key: Key) -> Iterator[tuple]:
            path = folder / f"ILSVRC2010_images_{split}.tar"
            return self._generate_examples(
                path, dl_manager.iter_archive(path), labels, key
            )

        synsets = {synset: label for label, (synset, _) in enumerate(classes)}
        validation = _labels(truths[_VALIDATION_TRUTH], len(classes), kit)
        test = _labels(test_ids, len(classes), test_truth)
        return {
            "train": examples("train", synsets, lambda stem: stem.partition("_")[0]),
            "validation": examples("val", validation, _number),
            "test": examples("test", test, _number),
        }

    def _generate_examples(
        self, source: os.PathLike[str], archive: Archive, labels: Labels, key: Key
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """The pictures of an archive, each with the label of its name's `key`.

        ValueError, naming `source`, where one has no label, or a label no picture.
        """
        missing = set(labels)
        try:
            for path, data in _pictures(archive):
                of = key(path.stem)
                if of not in labels:
                    raise ValueError(f"{source} holds {path.name}, which has no label")
                missing.discard(of)
                yield (
                    path.name,
                    {
                        "image": io.BytesIO(data),
                        "label": labels[of],
                        "file_name": path.name,
                    },
                )
        except archives.DAMAGE as error:
            raise ValueError(
                f"{source} is damaged ({error}): download it again"
            ) from error
        if missing:
            raise ValueError(
                f"{source} has no picture for {len(missing)} of {len(labels)} labels, "
                f"such as that of {min(missing)}: download it again"
            )


def _labels(truth: list[int], classes: int, source: os.PathLike[str]) -> Labels:
    """By a picture's number, from 1, the label in that line of a ground truth."""
    if not all(1 <= number <= classes for number in truth):
        raise ValueError(
            f"{source}: a ground truth has ids from 1 to {classes}, and this one "
            f"from {min(truth)} to {max(truth)}"
        )
    return {str(line): number - 1 for line, number in enumerate(truth, 1)}


def _number(stem: str) -> str:
    """The number that a picture's name ends in."""
    return stem.rpartition("_")[2].lstrip("0")


def _pictures(archive: Archive) -> Iterator[tuple[pathlib.PurePosixPath, bytes]]:
    """The pictures of an archive, and of the archives in it."""
    for name, file in archive:
        path, data = pathlib.PurePosixPath(name), file.read()
        if path.suffix == ".tar":
            # In memory, as what an archive yields can only be read on: a synset.
            yield from _pictures(
                tfds.download.iter_archive(
                    io.BytesIO(data), tfds.download.ExtractMethod.TAR_STREAM
                )
            )
        elif path.suffix == ".JPEG":
            if data[:2] == b"\x1f\x8b":  # n02487347_1956.JPEG
                data = gzip.decompress(data)
            yield path, data
