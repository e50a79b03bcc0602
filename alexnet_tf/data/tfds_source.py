"""A dataset of TensorFlow Datasets (TFDS) as a source.

TFDS itself is imported inside the functions: that takes two seconds, and only these
sources need it.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from alexnet_tf.data import (
    archives,
    folder_listing,
    image_decoding,
    records,
    source_types,
)
from alexnet_tf.runtime import errors, loading, lock, names


def open_tfds(
    name: str, data_dir: str, manual_dir: str | None, checksums: bool
) -> source_types.Source:
    """Opens a TFDS dataset, and builds it first if that has not been done.

    Args:
        name: the name that TFDS knows the dataset by, such as "cats_vs_dogs".
        data_dir: TFDS keeps its files in `data_dir`/tfds.
        manual_dir: where archives lie that only the user can download; by default
            `data_dir`/tfds/downloads/manual.
        checksums: compare the digests of these archives, even if the dataset is built.

    Raises:
        ValueError: TFDS does not know the dataset, it does not classify images, or an
            archive that it needs is missing or damaged.
    """
    builder = _find_builder(name, data_dir)
    archive_folder = pathlib.Path(manual_dir or f"{data_dir}/tfds/downloads/manual")
    if name in archives.ARCHIVES and (checksums or not builder.is_prepared()):
        archives.check_archives(name, archive_folder, checksums=checksums)
    words = _synset_words(archive_folder) if name == "imagenet2012" else {}
    if builder.info.features["label"].num_classes is not None:
        _class_names(builder, words)  # bad names are refused before anything is built
    if not builder.is_prepared():
        builder = _build(builder, name, archive_folder)
    class_names = _class_names(builder, words)
    splits, notes = _list_splits(builder, name)
    return source_types.Source(
        name.replace("/", "-"),
        class_names,
        splits,
        specification=_specification(builder),
        fingerprint=_fingerprint(builder),
        notes=notes,
    )


def identify(name: str, data_dir: str) -> tuple[str, str | None]:
    """The specification and the fingerprint of a dataset, without building it.

    The fingerprint of a dataset that is not built is None.

    Raises:
        ValueError: TFDS does not know the dataset, or it does not classify images.
    """
    builder = _find_builder(name, data_dir)
    return _specification(builder), (
        _fingerprint(builder) if builder.is_prepared() else None
    )


def refuse_unbuilt(name: str, data_dir: str) -> None:
    """Raises ValueError if opening the dataset would build it first."""
    if not _find_builder(name, data_dir).is_prepared():
        raise ValueError(
            f"TFDS has not built {name} in {data_dir}/tfds yet, so its images are not "
            "known: prepare it without --dry_run"
        )


def _specification(builder: Any) -> str:
    return f"tfds:{builder.info.full_name}"


def _fingerprint(builder: Any) -> str:
    """A digest of what TFDS knows about a dataset that is built."""
    splits = {
        name: [split.num_examples, split.num_bytes]
        for name, split in builder.info.splits.items()
    }
    described = [builder.info.full_name, _label_names(builder), splits]
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()


def _find_builder(name: str, data_dir: str) -> Any:
    """The TFDS builder of an image classification dataset."""
    import tensorflow_datasets as tfds

    # Importing a builder of this package registers its name with TFDS.
    if name == "garments":
        from alexnet_tf.data.builders.garments import garments_dataset_builder  # noqa: F401
    if name == "ilsvrc2010":
        from alexnet_tf.data.builders.ilsvrc2010 import (  # noqa: F401
            ilsvrc2010_dataset_builder,
        )
    try:
        builder = tfds.builder(
            name, data_dir=f"{data_dir}/tfds", file_format="array_record"
        )
    except tfds.core.DatasetNotFoundError as error:
        raise ValueError(
            f"tfds:{name}: TFDS has no such dataset; "
            "https://www.tensorflow.org/datasets/catalog lists their names"
        ) from error
    features = dict((builder.info.features or {}).items())
    label = features.get("label")
    if "image" not in features or not isinstance(label, tfds.features.ClassLabel):
        raise ValueError(
            f"tfds:{name} is not an image classification dataset: it must have an image "
            f"and a class label, and has {', '.join(features) or 'no features'}"
        )
    return builder


def _build(builder: Any, name: str, archive_folder: pathlib.Path) -> Any:
    """Lets TFDS build the dataset, one process at a time; returns the builder."""
    import tensorflow_datasets as tfds

    with loading.libraries():  # TFDS would import it in the midst of its bar
        import tensorflow  # noqa: F401

    folder = pathlib.Path(builder.data_dir)
    with lock.exclusive(folder.parent, "wait for it, or choose another --data_dir"):
        # TFDS never continues a build that was killed; it starts over under a random
        # name and leaves the old files.
        for stale in folder.parent.glob(f"incomplete.*_{folder.name}"):
            shutil.rmtree(stale)
        try:
            # TFDS prints what it does; its progress bars say the same.
            with contextlib.redirect_stdout(None):
                builder.download_and_prepare(
                    download_config=tfds.download.DownloadConfig(
                        manual_dir=archive_folder
                    )
                )
        except AssertionError as error:  # TFDS raises it for a missing archive
            raise ValueError(f"tfds:{name}: {errors.one_line(error)}") from error
    # Another process may have built it meanwhile, so the folder is read anew.
    return tfds.builder_from_directory(folder)


def _list_splits(
    builder: Any, name: str
) -> tuple[dict[str, "TfdsExamples"], tuple[str, ...]]:
    """The splits that have labels, and why others are not used."""
    splits: dict[str, TfdsExamples] = {}
    notes = []
    for tfds_split, info in builder.info.splits.items():
        examples = TfdsExamples(
            f"{name}/{tfds_split}",
            os.path.abspath(builder.data_dir),
            tfds_split,
            range(info.num_examples),
        )
        split = source_types.split_of(tfds_split)
        if split is None:
            reason = "it is not one of train, validation and test"
        elif not examples:
            reason = "it is empty"
        elif examples[0].label < 0:  # as in the test split of ImageNet 2012
            reason = "its images have no labels"
        elif split in splits:
            reason = f"{splits[split].name} is the {split} split"
        else:
            splits[split] = examples
            continue
        notes.append(
            f"left out: {examples.name} "
            f"({folder_listing.counted(info.num_examples, 'example')}), because {reason}"
        )
    if "train" not in splits:
        raise ValueError(
            f"tfds:{name} has no train split, only {', '.join(splits) or 'none'}: "
            "choose a dataset with training images"
        )
    return splits, tuple(notes)


def _label_names(builder: Any) -> list[str]:
    return builder.info.features["label"].names


def _class_names(builder: Any, words: Mapping[str, str]) -> tuple[str, ...]:
    """The names of the classes, each followed by its `words` if there are any."""
    found = _label_names(builder)
    return names.checked_all(
        (f"{name} {words[name]}" if name in words else name for name in found),
        f"tfds:{builder.name}",
    )


def _synset_words(archive_folder: pathlib.Path) -> dict[str, str]:
    """The words of ImageNet's synsets, if the development kit of 2012 is there."""
    kit = archive_folder / archives.DEVKIT_2012
    return dict(archives.read_devkit(kit).classes) if kit.exists() else {}


@dataclasses.dataclass(frozen=True)
class TfdsExamples(Sequence[source_types.Example]):
    """The examples of one split, or of a part of it."""

    name: str
    folder: str
    split: str
    numbers: range

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return dataclasses.replace(self, numbers=self.numbers[index])
        number = self.numbers[index]
        record = _open_split(self.folder, self.split)[number]
        # The archives of ImageNet have a name for each image, by which they are ordered.
        file_name = record.get("file_name")
        name = (
            f"{self.name}/{os.fsdecode(file_name)}"
            if file_name
            else f"{self.name}#{number}"
        )
        return source_types.Example(
            name, int(record["label"]), _BytesReader(record["image"], name)
        )

    def to_json(self) -> dict[str, Any]:
        """All of it, for a process on another machine."""
        ends = {"start": self.numbers.start, "stop": self.numbers.stop}
        return {"name": self.name, "folder": self.folder, "split": self.split} | ends

    @classmethod
    def from_json(cls, described: Mapping[str, Any]) -> "TfdsExamples":
        """The examples that `to_json` described."""
        numbers = range(described["start"], described["stop"])
        return cls(described["name"], described["folder"], described["split"], numbers)


@functools.lru_cache
def _open_split(folder: str, split: str) -> Sequence[dict]:
    """The records of a split, opened once in each process."""
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(folder)
    # TFDS opens a shard when one of its records is read, and never closes it.
    records.allow_open_files(sum(s.num_shards for s in builder.info.splits.values()))
    return builder.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})


@dataclasses.dataclass(frozen=True)
class _BytesReader:
    """Decodes one image; unlike a closure it can be sent to another process."""

    data: bytes
    name: str

    def __call__(self) -> np.ndarray:
        return image_decoding.decode_with_alpha(self.data, self.name)
