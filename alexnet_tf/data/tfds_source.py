"""A dataset of TensorFlow Datasets as a source."""

import dataclasses
import functools
import pathlib
import shutil
from collections.abc import Sequence

import numpy as np

from alexnet_tf.data import archives, image_decoding, records, source_types
from alexnet_tf.runtime import lock


def open_tfds(
    name: str, data_dir: str, manual_dir: str, checksums: bool
) -> source_types.Source:
    import tensorflow_datasets as tfds  # two seconds, and only this source needs it

    # Importing a builder registers its name with TFDS.
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
        raise ValueError(f"tfds:{name}: TFDS has no such dataset") from error
    features = dict((builder.info.features or {}).items())
    label = features.get("label")
    if "image" not in features or not isinstance(label, tfds.features.ClassLabel):
        raise ValueError(
            f"tfds:{name} is no image classification: it has no image and class label"
        )
    manual = pathlib.Path(manual_dir or f"{data_dir}/tfds/downloads/manual")
    if name in archives.ARCHIVES and (checksums or not builder.is_prepared()):
        archives.check(name, manual, checksums=checksums)
    words = _words(manual) if name == "imagenet2012" else {}
    if not builder.is_prepared():
        folder = pathlib.Path(builder.data_dir)
        with lock.exclusive(folder.parent, "wait for it, or choose another --data_dir"):
            # Of builds that were killed: TFDS starts over, under a name of chance.
            for stale in folder.parent.glob(f"incomplete.*_{folder.name}"):
                shutil.rmtree(stale)
            try:
                builder.download_and_prepare(
                    download_config=tfds.download.DownloadConfig(manual_dir=manual)
                )
            except AssertionError as error:  # TFDS's for an archive that is missing
                raise ValueError(f"tfds:{name}: {error}") from error
        builder = tfds.builder_from_directory(folder)  # whoever has built it
    splits = {}
    for split in builder.info.splits:
        if split in source_types.SPLIT_FOLDERS:
            examples = _TfdsExamples(
                f"{name}/{split}",
                str(builder.data_dir),
                split,
                range(builder.info.splits[split].num_examples),
            )
            if (
                examples and examples[0].label >= 0
            ):  # -1: nobody knows, as in 2012's test
                splits[split] = examples
    if "train" not in splits:
        raise ValueError(f"tfds:{name} has no train split, only {list(splits)}")
    classes = builder.info.features["label"].names
    return source_types.Source(
        name.replace("/", "-"),
        tuple(f"{c} {words[c]}" if c in words else c for c in classes),
        splits,
        str(builder.info.full_name),
    )


def _words(manual: pathlib.Path) -> dict[str, str]:
    """What ImageNet's synsets are called, where the development kit of 2012 is."""
    kit = manual / archives.DEVKIT_2012
    return dict(archives.read_devkit(kit)[0]) if kit.exists() else {}


@dataclasses.dataclass(frozen=True)
class _TfdsExamples(Sequence[source_types.Example]):
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
        record = _tfds_records(self.folder, self.split)[number]
        name = f"{self.name}#{number}"
        return source_types.Example(
            name, int(record["label"]), _BytesReader(record["image"], name)
        )


@functools.lru_cache
def _tfds_records(folder: str, split: str) -> Sequence[dict]:
    """A split's records, opened once in each process."""
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(folder)
    # A data source opens a shard when it is asked for it, and never closes one.
    records.allow_open_files(sum(s.num_shards for s in builder.info.splits.values()))
    return builder.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})


@dataclasses.dataclass(frozen=True)
class _BytesReader:
    data: bytes
    name: str

    def __call__(self) -> np.ndarray:
        return image_decoding.decode(self.data, self.name)
