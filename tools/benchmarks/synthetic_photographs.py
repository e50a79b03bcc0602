"""Noise that has the spectrum and the colors of photographs: records and files."""

import os
import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

from alexnet_tf.data import image_statistics, prepared_dataset, record_files, records

SIZE = 256
_SHARDS = 4
_DIFFERENT = 50  # photographs, of which the files of class folders are links
_LARGE_EXPONENTS = (1.05, 1.45)  # of the spectrum, for JPEGs as large as ILSVRC's

# The 2012 program's statistics of ILSVRC: color axes and standard deviations along
# them.
_AXES = np.array(
    [
        [-0.5635, -0.5762, -0.5920],
        [-0.7126, -0.0235, 0.7012],
        [0.4180, -0.8170, 0.3973],
    ]
)
_STDEVS = np.array([121.780, 37.094, 19.721])


def photograph(
    rng: np.random.Generator,
    height: int = SIZE,
    width: int = SIZE,
    exponents: tuple[float, float] = (1.3, 1.75),
) -> np.ndarray:
    """Noise like a photograph, uint8 [height, width, 3]: amplitude falls with frequency.

    It falls with the frequency to a power between two exponents. With the default ones
    the JPEGs of 256 x 256 pixels take about 26 kB on average; those of eight photographs
    (from scikit-image and scikit-learn) take 27 kB.
    """
    frequency = np.hypot(
        np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    )
    frequency[0, 0] = 1 / max(height, width)
    amplitude = frequency ** -rng.uniform(*exponents)
    noise = rng.normal(size=(2, 3, *frequency.shape))
    planes = np.fft.irfft2((noise[0] + 1j * noise[1]) * amplitude, s=(height, width))
    planes -= planes.mean((1, 2), keepdims=True)
    planes *= _STDEVS[:, None, None] / planes.std((1, 2), keepdims=True)
    pixels = np.einsum("ahw,ac->hwc", planes, _AXES) * rng.uniform(0.3, 0.7)
    return (pixels + rng.uniform(80, 160)).clip(0, 255).round().astype(np.uint8)


def write_dataset(
    folder: pathlib.Path, encoding: str, images: Sequence[np.ndarray]
) -> prepared_dataset.Dataset:
    """The images as a prepared dataset of four shards, encoded as "jpeg" or "raw"."""
    folder.mkdir()
    accumulator = image_statistics.StatisticsAccumulator(SIZE)
    for image in images[:64]:
        accumulator.add(image)
    for shard in range(_SHARDS):
        named = (
            (
                f"{n}.JPEG",
                record_files.Record(
                    records.encode_image(images[n], encoding), n % 1000
                ),
            )
            for n in range(shard, len(images), _SHARDS)
        )
        name = prepared_dataset.shard_name("train", shard, _SHARDS, encoding)
        record_files.write_shard(folder / name, named, encoding=encoding, size=SIZE)
    classes = tuple(f"class {n}" for n in range(1000))
    dataset = prepared_dataset.Dataset(
        "photographs", SIZE, encoding, classes, {"train": len(images)}, folder
    )
    prepared_dataset.write_description(dataset, accumulator.result())
    return dataset


def write_files(dataset: prepared_dataset.Dataset, folder: pathlib.Path) -> list[int]:
    """The records of a dataset as one JPEG file each; the bytes of each file."""
    folder.mkdir()
    source, sizes = records.open_records(dataset, "train"), []
    for index in range(len(source)):
        encoded = source[index].encoded
        (folder / f"{index:06}.jpg").write_bytes(encoded)
        sizes.append(len(encoded))
    return sizes


def write_class_folders(folder: pathlib.Path, count: int) -> float:
    """Writes JPEGs of 500 x 375 pixels as training images of ten classes.

    The files are hard links to fifty photographs, which are about as large as those of
    ILSVRC. Returns their mean size in bytes.
    """
    rng = np.random.default_rng(0)
    different = min(count, _DIFFERENT)
    for number in range(count):
        path = _numbered(folder, number)
        path.parent.mkdir(parents=True, exist_ok=True)
        if number < different:
            pixels = photograph(rng, 375, 500, _LARGE_EXPONENTS)
            Image.fromarray(pixels).save(path, "JPEG", quality=95)
        else:
            os.link(_numbered(folder, number % different), path)
    sizes = [_numbered(folder, number).stat().st_size for number in range(different)]
    return float(np.mean(sizes))


def _numbered(folder: pathlib.Path, number: int) -> pathlib.Path:
    return folder / f"train/class{number % 10}/{number:08}.jpg"
