"""The files that evaluation writes: every image's probabilities, and a submission.

    predictions.npz   center_crop, ten_crop                  float32 [nets, images, classes]
                      center_crop_average, ten_crop_average  float32 [images, classes]
                      names, labels                          [images]
                      classes                                [classes]
                      checkpoints, coefficients              [nets]
                      about                                  JSON: dataset, split ...
    predictions.csv   one line per image, method and net, and per image and method for
                      the average; one column per class
    submission.txt    one line per image: the numbers of its five best classes

No file is ever replaced.
"""

import csv
import json
import os
import pathlib
import re
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from alexnet_tf.models import loaded_net
from alexnet_tf.runtime import array_files, files, names

SUFFIXES = (".npz", ".csv")
AVERAGE = "average"

_BEST = 5
# How a source names an image that has no file, such as garments/test#17.
_NO_FILE = re.compile(r"(.*#\d+)?")


class Predictions(NamedTuple):
    """The answers of nets to the images of a split.

    Attributes:
        probabilities: by method, one array per net, float32 [images, classes].
        averages: by method, float32 [images, classes].
        names: of the images' files, or what their source calls them.
        labels: int [images].
        classes: the names of the classes, in the order of their labels.
        checkpoints, coefficients: of each net.
        about: what else the file shall say, as JSON.
    """

    probabilities: Mapping[str, Sequence[np.ndarray]]
    averages: Mapping[str, np.ndarray]
    names: Sequence[str]
    labels: np.ndarray
    classes: Sequence[str]
    checkpoints: Sequence[str]
    coefficients: Sequence[float]
    about: Mapping[str, Any]


def check_outputs(**outputs: str | None) -> None:
    """Checks that the files that options name can be written, and makes their folders.

    Args:
        outputs: the paths by the names of the options, None for those not given.

    Raises:
        ValueError: two options name the same file, or the suffix of `predictions` is
            not one of SUFFIXES.
        FileExistsError: a file exists.
        OSError: its folder cannot be made or written.
    """
    given = {name: path for name, path in outputs.items() if path is not None}
    seen: dict[pathlib.Path, str] = {}
    for option, output in given.items():
        path = pathlib.Path(output)
        if option == "predictions" and path.suffix not in SUFFIXES:
            raise ValueError(f"--{option}={output} must end in .npz or .csv")
        other = seen.setdefault(path.resolve(), option)
        if other != option:
            raise ValueError(
                f"--{other} and --{option} name the same file {output}: choose two"
            )
        _refuse_existing(path, option)
    for option, output in given.items():
        folder = pathlib.Path(output).parent
        files.make_folder(folder)
        if not os.access(folder, os.W_OK):
            raise PermissionError(
                f"--{option}={output} cannot be written: {folder} is not writable"
            )


def _refuse_existing(path: pathlib.Path, option: str) -> None:
    if path.exists() or path.is_symlink():
        raise FileExistsError(f"{path} exists: remove it, or choose another --{option}")


def write_results(output: str | os.PathLike[str], results: Mapping[str, Any]) -> None:
    """Writes the results of an evaluation as JSON to a file that must not exist."""
    path = pathlib.Path(output)
    _refuse_existing(path, "output")
    files.write_json(path, results)


def write_predictions(output: str | os.PathLike[str], predictions: Predictions) -> None:
    """Writes predictions to an .npz or a .csv file, which must not exist."""
    path = pathlib.Path(output)
    _refuse_existing(path, "predictions")
    with files.written_aside(path) as temporary:
        if path.suffix == ".npz":
            _write_npz(temporary, predictions)
        else:
            _write_csv(temporary, predictions)


def _write_npz(path: pathlib.Path, predictions: Predictions) -> None:
    """Writes what `numpy.savez` would, without a copy of all arrays in memory."""
    small = {
        "names": np.array(list(map(names.escaped, predictions.names)), np.str_),
        "labels": predictions.labels,
        "classes": np.array(predictions.classes, np.str_),
        "checkpoints": np.array(predictions.checkpoints, np.str_),
        "coefficients": np.array(predictions.coefficients),
        "about": np.array(json.dumps(predictions.about)),
    }
    with path.open("wb") as file, zipfile.ZipFile(file, "w") as archive:
        for method, arrays in predictions.probabilities.items():
            shape = (len(arrays), *arrays[0].shape)
            _write_array(archive, method, shape, arrays)
            mean = predictions.averages[method]
            _write_array(archive, f"{method}_{AVERAGE}", mean.shape, [mean])
        for name, array in small.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                entry.write(array_files.npy_bytes(array))


def _write_array(
    archive: zipfile.ZipFile,
    name: str,
    shape: tuple[int, ...],
    parts: Sequence[np.ndarray],
) -> None:
    with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
        entry.write(array_files.npy_header("<f4", shape))
        for part in parts:
            entry.write(np.ascontiguousarray(part, "<f4").data.cast("B"))


def _write_csv(path: pathlib.Path, predictions: Predictions) -> None:
    columns = ["image", "label", "class", "method", "net", *predictions.classes]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for image, (name, label) in enumerate(
            zip(predictions.names, predictions.labels.tolist(), strict=True)
        ):
            what = [names.escaped(name), label, predictions.classes[label]]
            for method, arrays in predictions.probabilities.items():
                answers = zip(predictions.checkpoints, arrays, strict=True)
                mean = (AVERAGE, predictions.averages[method])
                for net, array in (*answers, mean):
                    # Nine digits give the same float32 when they are read.
                    values = (f"{value:.9g}" for value in array[image])
                    writer.writerow([*what, method, net, *values])


class Numbering(NamedTuple):
    """The numbers of classes in a submission.

    Attributes:
        numbers: of the classes, in the order of their labels.
        source: where the numbers are from, for a message.
        by_file_name: whether lines are in the order of the images' file names;
            otherwise they are in the order of the records.
    """

    numbers: Sequence[int]
    source: str
    by_file_name: bool


def write_submission(
    output: str | os.PathLike[str],
    probabilities: np.ndarray,
    image_names: Sequence[str],
    numbering: Numbering,
) -> None:
    """Writes the top-5 file of ILSVRC's challenges, which must not exist.

    The readme of ILSVRC-2010's development kit, "Submission format", says: a text file
    with one line per image, in the alphabetical order of the images' file names; each
    line has at most five labels, which are the challenge's ids of the classes (1 to
    1000), by descending confidence. The 2012 program's `txt-preds.py` writes the same,
    with a space between them.

    Args:
        output: the file.
        probabilities: [images, classes].
        image_names: of the images, in the same order.
        numbering: the numbers to write.

    Raises:
        ValueError: the lines shall be in the order of file names, and an image has
            none.
    """
    path = pathlib.Path(output)
    _refuse_existing(path, "submission")
    order: Sequence[int] = range(len(probabilities))
    if numbering.by_file_name:
        check_file_names(image_names)
        order = sorted(
            order, key=lambda n: (_file_name(image_names[n]), image_names[n])
        )
    lines = (
        " ".join(
            str(numbering.numbers[label])
            for label in loaded_net.best_classes(row, _BEST)
        )
        for row in (probabilities[image] for image in order)
    )
    files.write_text(path, "".join(f"{line}\n" for line in lines))


def check_file_names(image_names: Sequence[str]) -> None:
    """Raises ValueError if an image has no file name, by which a challenge orders it."""
    for image, name in enumerate(image_names):
        if _NO_FILE.fullmatch(name):
            raise ValueError(
                "--submission orders ILSVRC's images by their file names, and image "
                f"{image} has none (it is called {name!r}): prepare the dataset again, "
                "from ImageNet's archives or a folder of its files"
            )


def _file_name(name: str) -> str:
    return name.rpartition("/")[2]
