"""What `model.json` says of the net of a run folder, read without TensorFlow.

Commands look here first, so that a run, a layer or a class that does not exist is
reported in a fraction of a second.
"""

import dataclasses
import json
import os
import pathlib
from typing import Any

import alexnet_tf
from alexnet_tf.models import architecture as architectures
from alexnet_tf.models import architecture_json, checkpoint_files
from alexnet_tf.runtime import names

MODEL_FILE = "model.json"
FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Description:
    """The net of a run folder.

    Attributes:
        run_dir: the folder.
        architecture: the net.
        class_names: of its outputs, in order.
        dataset_path: of the dataset that it was trained on; None if it was imported.
    """

    run_dir: pathlib.Path
    architecture: architectures.Architecture
    class_names: tuple[str, ...]
    dataset_path: str | None


def describe(named: str | os.PathLike[str]) -> Description:
    """Describes the net of a run folder, or of one checkpoint.

    A run folder needs no checkpoint here.

    Raises:
        CheckpointError: there is neither a run folder nor a checkpoint.
        FileNotFoundError: the folder has no `model.json`.
        ValueError: `model.json` is damaged, or of a later version.
    """
    folder = pathlib.Path(named)
    if not (folder / MODEL_FILE).exists():
        folder = checkpoint_files.locate_checkpoint(named)[0]
    path, found = folder / MODEL_FILE, read(folder)
    try:
        return Description(
            folder,
            architecture_json.from_json(found["architecture"]),
            names.checked_all(found["class_names"], path.name),
            (found["dataset"] or {"path": None})["path"],
        )
    except (KeyError, TypeError) as error:
        raise damaged(path, error) from error
    except ValueError as error:
        raise unknown(path, error) from error


def read(run_dir: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads `model.json`.

    Raises:
        FileNotFoundError: the folder has none.
        ValueError: it is damaged, or of a later version.
    """
    path = pathlib.Path(run_dir) / MODEL_FILE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["format"] != FORMAT:
            raise ValueError(
                f"{path} has format {found['format']}, and this alexnet_tf "
                f"{alexnet_tf.__version__} reads format {FORMAT}: it was written by "
                f"alexnet_tf {found['alexnet_tf']}, use that version"
            )
        return found
    except FileNotFoundError as error:
        raise missing(path.parent, error) from None
    except (
        json.JSONDecodeError,
        UnicodeDecodeError,
        RecursionError,
        KeyError,
        TypeError,
    ) as error:
        raise damaged(path, error) from error


def missing(folder: pathlib.Path, error: FileNotFoundError) -> FileNotFoundError:
    """The error for a folder that lacks a file of a trained net."""
    return FileNotFoundError(
        f"{folder} is not a run folder of a trained net: {error.filename} does not "
        "exist. alexnet_tf.train writes it beside the checkpoints; if the folder was "
        "copied, copy that file too"
    )


def damaged(path: pathlib.Path, error: Exception) -> ValueError:
    """The error for a `model.json` that lacks something."""
    what = f"it has no {error.args[0]}" if isinstance(error, KeyError) else repr(error)
    return ValueError(
        f"{path} is damaged: {what}. Restore that file, or train or import the net again"
    )


def unknown(path: pathlib.Path, error: Exception) -> ValueError:
    """The error for a `model.json` with values that have no meaning."""
    return ValueError(
        f"{path} does not describe a net that alexnet_tf {alexnet_tf.__version__} "
        f"knows: {error}"
    )
