"""Where pictures come from: a folder a class, or a TFDS dataset.

A source is a list of examples a split, each read on demand, and a part of a list can be
sent to another process, so that any number of workers may share the reading. Decoding is
Pillow's, which knows EXIF orientation, CMYK, palettes and WebP; what it refuses is a
`BadImageError` with the file's name.
"""

import array
import dataclasses
import functools
import hashlib
import io
import os
import pathlib
import shutil
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from PIL import Image, ImageChops, ImageOps

from alexnet_tf import archives, lock, progress, records

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")
MAX_PIXELS = 100_000_000
# Times as long as wide: the shorter side is scaled up to the records', and the longer
# one with it, before the square is cut out.
MAX_ASPECT = 100
_MAX_UNPACKED = 1 << 28  # bytes

# EXIF junk, and Pillow's own limit on size. Not around each call: that is no safe thing
# to do in threads.
warnings.filterwarnings("ignore", module=r"PIL\.")

_SPLIT_FOLDERS = {
    "train": "train",
    "validation": "validation",
    "val": "validation",
    "test": "test",
}


class BadImageError(ValueError):
    """A picture that cannot be read; the message names it."""


@dataclasses.dataclass(frozen=True)
class Example:
    """One picture still to be read: `read()` gives uint8 RGB [H, W, 3]."""

    name: str
    label: int
    read: Callable[[], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Source:
    """The splits of a dataset and the names of its classes.

    `fingerprint` is another where the files' names are others, or in another order.
    """

    name: str
    classes: tuple[str, ...]
    splits: Mapping[str, Sequence[Example]]
    fingerprint: str = ""


def name_of(specification: str) -> str:
    """The name of the source that `specification` is of, without opening it."""
    kind, _, rest = specification.partition(":")
    if specification in ("garments", *archives.ARCHIVES):
        return specification
    if kind == "tfds" and rest:
        return rest.replace("/", "-")
    if kind == "folder" and rest:
        return pathlib.Path(rest).expanduser().resolve().name
    raise ValueError(
        "a source is garments, imagenet2012, ilsvrc2010, tfds:NAME or folder:/path, "
        f"got {specification!r}"
    )


def open_source(
    specification: str,
    *,
    holdout: float = 0.1,
    data_dir: str = "data",
    manual_dir: str = "",
    checksums: bool = False,
) -> Source:
    """The source that `specification` (see `name_of`) names.

    Args:
        holdout: the part of a flat folder that becomes its validation split.
        data_dir: TFDS keeps its own files under `data_dir`/tfds.
        manual_dir: where archives lie that only the user can download; default
            `data_dir`/tfds/downloads/manual.
        checksums: read such archives through before anything is made of them.
    """
    name_of(specification)
    kind, _, rest = specification.partition(":")
    if kind == "folder":
        return _folder(pathlib.Path(rest).expanduser(), holdout)
    return _tfds(rest or kind, data_dir, manual_dir, checksums)


def decode(data: bytes, name: str) -> np.ndarray:
    """An encoded picture to uint8 RGB [H, W, 3], upright; `name` is for the error.

    The first frame of an animation; grey, palette, CMYK and 16-bit become 8-bit RGB;
    an alpha channel is dropped.
    """
    try:
        image: Image.Image = Image.open(io.BytesIO(_unpacked(data)))
        longer, shorter = max(image.size), min(image.size)
        if longer * shorter > MAX_PIXELS:
            raise BadImageError(
                f"{name}: {image.width} x {image.height} is more than "
                f"{MAX_PIXELS} pixels"
            )
        if longer > MAX_ASPECT * shorter:
            raise BadImageError(
                f"{name}: {image.width} x {image.height} is more than {MAX_ASPECT} "
                "times as long as wide"
            )
        inverted = image.mode == "CMYK" and "adobe" not in image.info
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I"):  # 16-bit grey, which convert() would clip
            image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        if inverted:  # Pillow takes every CMYK JPEG for one of Adobe's, in negative
            image = ImageChops.invert(image)
        return np.asarray(image.convert("RGB"))
    except BadImageError:
        raise
    except Exception as error:  # Pillow raises a dozen kinds for a broken file
        raise BadImageError(f"{name}: not a readable image ({error})") from error


def _unpacked(data: bytes) -> bytes:
    """`data`, or what it holds where it is gzipped, as one of ImageNet's pictures is."""
    if data[:2] != b"\x1f\x8b":
        return data
    return zlib.decompressobj(wbits=31).decompress(data, _MAX_UNPACKED)


def _folder(root: pathlib.Path, holdout: float) -> Source:
    if not root.is_dir():
        raise FileNotFoundError(f"--source=folder:{root}: no such folder")
    children = _subfolders(root)
    splits = {c.name: c for c in children if c.name in _SPLIT_FOLDERS}
    if {"val", "validation"} <= splits.keys():
        raise ValueError(f"{root} has both val/ and validation/: leave one of them")
    if splits and "train" not in splits and len(splits) == len(children):
        raise ValueError(f"{root} has {', '.join(splits)} and no train: add train/")
    if "train" in splits:
        classes = tuple(c.name for c in _subfolders(splits["train"]))
        found = {
            _SPLIT_FOLDERS[name]: _class_examples(folder, classes)
            for name, folder in sorted(splits.items())
        }
    else:
        classes = tuple(c.name for c in children)
        found = _hold_out(_class_examples(root, classes), holdout)
    if len(classes) < 2:
        raise ValueError(
            f"{root} must hold a folder a class, two or more, or train/ and "
            f"validation/ with such folders; found {len(classes)} classes"
        )
    if "train" not in found:
        raise ValueError(
            f"{root} leaves nothing to train on: lower --holdout={holdout}"
        )
    digest = hashlib.sha256()
    for split, examples in found.items():
        digest.update(os.fsencode("\0".join([split, *classes, *examples.files])))
        digest.update(examples.labels)
    return Source(root.resolve().name, classes, found, digest.hexdigest())


def _subfolders(folder: pathlib.Path) -> list[pathlib.Path]:
    with os.scandir(folder) as entries:
        names = sorted(e.name for e in entries if e.name[0] != "." and e.is_dir())
    return [folder / name for name in names]


@dataclasses.dataclass(frozen=True)
class _FolderExamples(Sequence[Example]):
    """Files of a folder a class; millions of them, so that no object is kept of each."""

    root: str
    classes: tuple[str, ...]
    files: list[str]  # below the class's folder
    labels: array.array

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return dataclasses.replace(
                self, files=self.files[index], labels=self.labels[index]
            )
        label = self.labels[index]
        path = os.path.join(self.root, self.classes[label], self.files[index])
        return Example(path, label, _FileReader(path))


@dataclasses.dataclass(frozen=True)
class _FileReader:
    path: str

    def __call__(self) -> np.ndarray:
        return decode(pathlib.Path(self.path).read_bytes(), self.path)


def _class_examples(folder: pathlib.Path, classes: tuple[str, ...]) -> _FolderExamples:
    unknown = {c.name for c in _subfolders(folder)} - set(classes)
    if unknown:
        raise ValueError(f"{folder} has classes that train/ lacks: {sorted(unknown)}")
    files, labels, ignored = [], array.array("i"), 0
    for label, name in enumerate(classes):
        found = sorted(_files(folder / name, ""))
        of_class = [file for file in found if file.lower().endswith(SUFFIXES)]
        ignored += len(found) - len(of_class)
        if not of_class:
            raise ValueError(
                f"class folder {folder / name} has no picture "
                f"({', '.join(SUFFIXES)}): fill it or remove it"
            )
        files += of_class
        labels.extend([label] * len(of_class))
    if ignored:
        progress.say(
            f"{folder}: {ignored} files are left, whose names end in none of "
            f"{', '.join(SUFFIXES)}"
        )
    return _FolderExamples(str(folder), classes, files, labels)


def _files(folder: pathlib.Path, below: str) -> Iterator[str]:
    """The files in a folder at any depth, with `below` before each name.

    What a system hides is left, as the ._NAME.jpg of a Mac, which are no pictures. The
    kind of an entry comes with the listing: not one file is asked for it.
    """
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name[0] == ".":
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _files(folder / entry.name, f"{below}{entry.name}/")
            else:
                yield below + entry.name


def _hold_out(examples: _FolderExamples, part: float) -> dict[str, _FolderExamples]:
    """Splits off about `part` for validation; a split without pictures is none.

    By each name's hash: a file keeps its split when others come, and when the folder
    moves.
    """
    limit = part * 2**64
    chosen: dict[str, list[int]] = {"train": [], "validation": []}
    for index, file in enumerate(examples.files):
        name = f"{examples.classes[examples.labels[index]]}/{file}"
        number = int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:8], "big")
        chosen["validation" if number < limit else "train"].append(index)
    return {
        split: dataclasses.replace(
            examples,
            files=[examples.files[i] for i in indices],
            labels=array.array("i", [examples.labels[i] for i in indices]),
        )
        for split, indices in chosen.items()
        if indices
    }


def _tfds(name: str, data_dir: str, manual_dir: str, checksums: bool) -> Source:
    import tensorflow_datasets as tfds  # two seconds, and only this source needs it

    # Importing a builder registers its name with TFDS.
    if name == "garments":
        from alexnet_tf.datasets.garments import garments_dataset_builder  # noqa: F401
    if name == "ilsvrc2010":
        from alexnet_tf.datasets.ilsvrc2010 import (  # noqa: F401
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
        if split in _SPLIT_FOLDERS:
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
    return Source(
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
class _TfdsExamples(Sequence[Example]):
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
        return Example(name, int(record["label"]), _BytesReader(record["image"], name))


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
        return decode(self.data, self.name)
