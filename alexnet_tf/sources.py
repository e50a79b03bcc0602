"""Where pictures come from: a folder a class, or a TFDS dataset.

A source is a list of examples a split, each read on demand, so that any number of
workers may share the reading. Decoding is Pillow's, which knows EXIF orientation, CMYK,
palettes and WebP; what it refuses is a `BadImageError` with the file's name.
"""

import dataclasses
import hashlib
import io
import pathlib
import warnings
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from PIL import Image, ImageOps

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")
MAX_PIXELS = 100_000_000

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
    """The splits of a dataset and the names of its classes."""

    name: str
    classes: tuple[str, ...]
    splits: Mapping[str, Sequence[Example]]


def open_source(
    specification: str, *, holdout: float = 0.1, data_dir: str = "data"
) -> Source:
    """The source that `garments`, `tfds:NAME` or `folder:/path` names.

    `holdout` is the part of a flat folder that becomes its validation split; TFDS
    keeps its own files under `data_dir`/tfds.
    """
    kind, _, rest = specification.partition(":")
    if specification == "garments":
        # Importing the builder registers its name with TFDS.
        from alexnet_tf.datasets.garments import garments_dataset_builder  # noqa: F401

        return _tfds("garments", data_dir)
    if kind == "tfds" and rest:
        return _tfds(rest, data_dir)
    if kind == "folder" and rest:
        return _folder(pathlib.Path(rest).expanduser(), holdout)
    raise ValueError(
        f"a source is garments, tfds:NAME or folder:/path, got {specification!r}"
    )


def decode(data: bytes, name: str) -> np.ndarray:
    """An encoded picture to uint8 RGB [H, W, 3], upright; `name` is for the error.

    The first frame of an animation; grey, palette, CMYK and 16-bit become 8-bit RGB;
    an alpha channel is dropped.
    """
    try:
        image: Image.Image = Image.open(io.BytesIO(data))
        if image.width * image.height > MAX_PIXELS:
            raise BadImageError(
                f"{name}: {image.width} x {image.height} is more than "
                f"{MAX_PIXELS} pixels"
            )
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I"):  # 16-bit grey, which convert() would clip
            image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        return np.asarray(image.convert("RGB"))
    except BadImageError:
        raise
    except Exception as error:  # Pillow raises a dozen kinds for a broken file
        raise BadImageError(f"{name}: not a readable image ({error})") from error


def _folder(root: pathlib.Path, holdout: float) -> Source:
    if not root.is_dir():
        raise FileNotFoundError(f"--source=folder:{root}: no such folder")
    children = _subfolders(root)
    splits = {c.name: c for c in children if c.name in _SPLIT_FOLDERS}
    if {"val", "validation"} <= splits.keys():
        raise ValueError(f"{root} has both val/ and validation/: leave one of them")
    if "train" in splits:
        classes = tuple(c.name for c in _subfolders(splits["train"]))
        found: dict[str, list[Example]] = {
            _SPLIT_FOLDERS[name]: _class_examples(folder, classes)
            for name, folder in sorted(splits.items())
        }
    else:
        classes = tuple(c.name for c in children)
        found = {"train": [], "validation": []}
        for example in _class_examples(root, classes):
            # By the name's hash: a file keeps its split when others come, and when
            # the folder moves.
            name = pathlib.Path(example.name).relative_to(root).as_posix()
            digest = hashlib.sha256(name.encode()).digest()
            held = int.from_bytes(digest[:8], "big") < holdout * 2**64
            found["validation" if held else "train"].append(example)
        for split in [split for split, examples in found.items() if not examples]:
            del found[split]
    if len(classes) < 2:
        raise ValueError(
            f"{root} must hold a folder a class, two or more, or train/ and "
            f"validation/ with such folders; found {len(classes)} classes"
        )
    if "train" not in found:
        raise ValueError(
            f"{root} leaves nothing to train on: lower --holdout={holdout}"
        )
    return Source(root.resolve().name, classes, found)


def _subfolders(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(c for c in folder.iterdir() if c.is_dir() and c.name[0] != ".")


def _class_examples(folder: pathlib.Path, classes: Sequence[str]) -> list[Example]:
    unknown = {c.name for c in _subfolders(folder)} - set(classes)
    if unknown:
        raise ValueError(f"{folder} has classes that train/ lacks: {sorted(unknown)}")
    examples = []
    for label, name in enumerate(classes):
        files = sorted(
            f for f in (folder / name).rglob("*") if f.suffix.lower() in SUFFIXES
        )
        if not files:
            raise ValueError(
                f"class folder {folder / name} has no picture "
                f"({', '.join(SUFFIXES)}): fill it or remove it"
            )
        examples += [Example(str(file), label, _FileReader(file)) for file in files]
    return examples


@dataclasses.dataclass(frozen=True)
class _FileReader:
    path: pathlib.Path

    def __call__(self) -> np.ndarray:
        return decode(self.path.read_bytes(), str(self.path))


def _tfds(name: str, data_dir: str) -> Source:
    import tensorflow_datasets as tfds  # two seconds, and only this source needs it

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
    builder.download_and_prepare()
    splits = {}
    for split in builder.info.splits:
        if split in _SPLIT_FOLDERS:
            records = builder.as_data_source(
                split, decoders={"image": tfds.decode.SkipDecoding()}
            )
            splits[split] = _TfdsExamples(f"{name}/{split}", records)
    if "train" not in splits:
        raise ValueError(f"tfds:{name} has no train split, only {list(splits)}")
    return Source(name.replace("/", "-"), tuple(label.names), splits)


@dataclasses.dataclass(frozen=True)
class _TfdsExamples(Sequence[Example]):
    name: str
    records: Sequence[dict]

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index):
        if not 0 <= index < len(self):
            raise IndexError(index)
        record = self.records[index]
        name = f"{self.name}#{index}"
        return Example(
            name, int(record["label"]), lambda: decode(record["image"], name)
        )
