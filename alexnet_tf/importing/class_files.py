"""The names of an imported net's classes: ILSVRC's synsets, or a file's lines."""

import importlib.resources

from alexnet_tf.importing.source import WeightsError
from alexnet_tf.runtime import names


def read_class_names(path: str | None, classes: int) -> tuple[str, ...]:
    """Returns the names of the classes in order.

    Args:
        path: a text file with one name per line, as Caffe's synset_words.txt. None
            stands for the 1,000 synsets of ILSVRC-2012 in the order of TFDS, which all
            published nets have.
        classes: how many the net has.

    Raises:
        WeightsError: there is no file and the net has not 1,000 classes, or the file has
            another number of lines.
        ValueError: a name is not allowed, or two are the same; see `names.checked_all`.
    """
    if path is None:
        if classes != 1000:
            raise WeightsError(
                f"the net has {classes} classes, and the file does not say what they are: "
                "name a text file with one class per line, in the order of the outputs, "
                "by --class_names=FILE"
            )
        labels = importlib.resources.files("tensorflow_datasets").joinpath(
            "datasets/imagenet2012/labels.txt"
        )
        return names.checked_all(labels.read_text().split(), "TFDS's imagenet2012")
    try:
        with open(path, encoding="utf-8") as file:
            lines = [line.strip() for line in file.read().splitlines()]
    except UnicodeDecodeError as error:
        raise WeightsError(
            f"--class_names={path} is not a text file in UTF-8"
        ) from error
    while lines and not lines[-1]:
        lines.pop()
    if len(lines) != classes:
        raise WeightsError(
            f"--class_names={path} has {len(lines)} lines, and the net {classes} classes"
        )
    return names.checked_all(lines, path)
