"""The summary of a source: its classes, its splits, and what is not used."""

from collections.abc import Mapping, Sequence

from alexnet_tf.data import folder_listing, source_types
from alexnet_tf.runtime import names

_CLASSES_SHOWN = 10


def of_source(source: source_types.Source) -> str:
    """The summary of a source that has not been prepared.

    The classes that a split lacks are only known if the source knows them without
    reading its images.
    """
    counts = {split: len(examples) for split, examples in source.splits.items()}
    return text(
        source.specification, source.classes, counts, source.class_counts, source.notes
    )


def text(
    specification: str,
    classes: Sequence[str],
    counts: Mapping[str, int],
    class_counts: Mapping[str, Sequence[int]] | None,
    notes: Sequence[str],
) -> str:
    """The summary as lines of text.

    Args:
        specification: what the images were read from.
        classes: the names of the classes.
        counts: the number of images of each split.
        class_counts: for each split, the number of images of each class, if known.
        notes: what is not used.

    Example:
        >>> counts = {"train": [3, 4], "test": [1, 0]}
        >>> print(text("folder:/pets", ["cat", "dog"], {"train": 7, "test": 1}, counts, []))
        folder:/pets has 2 classes: cat, dog
        train: 7 images, 3 to 4 per class
        test: 1 image, 0 to 1 per class; no images of: dog
    """
    lines = [
        f"{names.escaped(specification)} has {len(classes)} classes: "
        f"{folder_listing.first_names(classes, _CLASSES_SHOWN)}"
    ]
    for split, count in counts.items():
        line = f"{split}: {folder_listing.counted(count, 'image')}"
        if class_counts is not None:
            each = class_counts[split]
            least = f"{min(each)} to " if min(each) < max(each) else ""
            line += f", {least}{max(each)} per class"
            lacking = [c for c, n in zip(classes, each, strict=True) if not n]
            if lacking:
                shown = folder_listing.first_names(lacking, _CLASSES_SHOWN)
                line += f"; no images of: {shown}"
        lines.append(line)
    return "\n".join([*lines, *notes])
