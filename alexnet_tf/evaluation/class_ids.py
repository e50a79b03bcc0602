"""The numbers that ILSVRC's challenges give to classes, for a submission."""

import os
from collections.abc import Sequence

from alexnet_tf.data import archives, prepared_dataset
from alexnet_tf.evaluation import evaluator, prediction_files

# The builder of this package numbers classes by the challenge's own ids, from 0.
_IN_ORDER_OF_IDS = "tfds:ilsvrc2010/"


def numbering(
    dataset: prepared_dataset.Dataset, devkit: str | os.PathLike[str] | None = None
) -> prediction_files.Numbering:
    """Returns the numbers of a dataset's classes in a submission, and their source.

    The ids of ILSVRC-2012 are not in the order of the labels that TensorFlow Datasets
    and folders of synsets have: id 1 is n02119789, label 0 is n01440764. So they are
    read from the development kit. Classes that are not synsets belong to no challenge;
    their number is the label, counted from 1.

    Args:
        dataset: the dataset that is evaluated.
        devkit: the development kit of the challenge, a .tar.gz file.

    Raises:
        ValueError: the classes are synsets and there is no kit, the kit lacks one of
            them, or there is a kit and the classes are not synsets.
    """
    synsets = list(map(evaluator.synset_of, dataset.classes))
    strange = [
        name
        for name, synset in zip(dataset.classes, synsets, strict=True)
        if synset is None
    ]
    if devkit is not None:
        if strange:
            raise ValueError(
                f"--devkit numbers ImageNet's synsets, and the class {strange[0]!r} of "
                f"{dataset.path} is not one: leave --devkit out, and the submission has "
                "labels counted from 1"
            )
        return _from_kit(dataset, [str(synset) for synset in synsets], devkit)
    numbers = range(1, len(synsets) + 1)
    if strange:
        source = (
            "labels counted from 1, because the classes are not ImageNet's synsets; "
            "lines are in the order of the records"
        )
        return prediction_files.Numbering(numbers, source, by_file_name=False)
    if dataset.source.startswith(_IN_ORDER_OF_IDS):
        return prediction_files.Numbering(numbers, "ILSVRC2010_ID", by_file_name=True)
    raise ValueError(
        f"the classes of {dataset.path} are synsets, and a challenge's ids are not in "
        "the order of their labels: name the development kit that has the ids, by "
        f"--devkit={archives.DEVKIT_2012} (or {archives.DEVKIT_2010})"
    )


def _from_kit(
    dataset: prepared_dataset.Dataset,
    synsets: Sequence[str],
    devkit: str | os.PathLike[str],
) -> prediction_files.Numbering:
    kit = archives.read_devkit(devkit)
    ids = {synset: number for number, (synset, _) in enumerate(kit.classes, 1)}
    for synset in synsets:
        if synset not in ids:
            raise ValueError(
                f"{os.fspath(devkit)} has no class {synset}, which {dataset.path} has: "
                "name the kit of the challenge that the dataset is of by --devkit"
            )
    return prediction_files.Numbering(
        [ids[synset] for synset in synsets], os.fspath(devkit), by_file_name=True
    )
