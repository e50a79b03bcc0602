"""What figures ask for, compared with what a run folder has, before TensorFlow loads."""

import os
import pathlib
from collections.abc import Sequence

from alexnet_tf.data import prepared_dataset
from alexnet_tf.models import checkpoint_files, run_description, stages
from alexnet_tf.runtime import files, suggestions


def check_output(output: str, *, is_folder: bool = True) -> None:
    """Raises OSError if a file, or files in a folder, cannot be written."""
    path = pathlib.Path(output)
    if not is_folder and path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: name a file by --output")
    files.check_writable(path if is_folder else path.parent)


def check_run(named: str, figures: Sequence[str] = ()) -> run_description.Description:
    """Describes the net of a run, which must have what figures need.

    Args:
        named: a run folder, or one checkpoint.
        figures: the names of figures.

    Raises:
        CheckpointError: there is no such run, or it has no checkpoint and a figure needs
            one.
        FileNotFoundError, ValueError: its `model.json` is missing or damaged.
    """
    found = run_description.describe(named)
    if set(figures) - {"architecture", "curves"}:
        checkpoint_files.locate_checkpoint(named)
    return found


def check_layer(description: run_description.Description, layer: str) -> None:
    """Raises ValueError if a net has no layer of this name."""
    found = stages.output_names(description.architecture)
    if layer not in found:
        raise ValueError(
            f"--layer={layer}: {description.architecture.name} has no such layer, only "
            f"{', '.join(found)}{suggestions.did_you_mean(layer, found)}"
        )


def check_images(
    description: run_description.Description,
    *,
    images: str | None = None,
    dataset: str | None = None,
    split: str | None = None,
) -> None:
    """Raises an error if there are no such images, dataset or split.

    The run's own dataset may be gone; then a split cannot be checked.
    """
    if images is not None and not os.path.exists(images):
        meant = suggestions.did_you_mean_path(images)
        raise FileNotFoundError(f"--images={images} does not exist{meant}")
    own = description.dataset_path
    where = dataset or (own if own and os.path.isdir(own) else None)
    if images is not None or where is None or (dataset is None and split is None):
        return
    found = prepared_dataset.read_description(where)
    if split is not None:
        found.check_split(split)
