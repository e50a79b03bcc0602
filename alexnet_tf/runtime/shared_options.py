"""The options that several commands have, so that they mean the same everywhere."""

import dataclasses
from typing import Any, Literal

from alexnet_tf.runtime import options
from alexnet_tf.runtime.options import option

Precision = Literal["auto", "float32", "tf32", "bfloat16"]


def checkpoint(more: str = "") -> Any:
    """The net that a command reads; `more` says what several of them are."""
    return option(
        "runs/default",
        "a run folder (its newest checkpoint), RUN/best (the one with the least "
        f"validation error), or one checkpoint as RUN/checkpoints/step-200{more}",
        is_path=True,
    )


def precision(default: Precision = "auto", more: str = "") -> Any:
    """The type that a net computes in; `more` says what has another type."""
    return option(
        default,
        f"compute type{more}. tf32: float32 whose products NVIDIA GPUs since Ampere "
        "round to 10 bits. auto: bfloat16 if the CPU or the GPU multiplies in it, "
        "otherwise float32",
    )


def dataset() -> Any:
    """The dataset whose images a trained net is shown."""
    return option(
        None,
        "prepared folder (default: the one that the net was trained on)",
        is_path=True,
    )


def split() -> Any:
    """The split of that dataset."""
    return option(
        None, "split of the dataset (default: validation, or test if there is none)"
    )


def damaged_records(*, changeable: bool = False) -> Any:
    """What is done at a record that is damaged on the disk."""
    return option(
        "stop",
        "at a record of the dataset that is damaged on the disk: stop with its file and "
        "place, or skip it with a warning and count it",
        changeable=changeable,
    )


@dataclasses.dataclass(frozen=True)
class ReadingOptions:
    """What is done with images that cannot be read, and how many are read at once."""

    max_bad_files: int = option(
        0,
        "number of unreadable image files that are left out and reported; one more stops "
        "the command",
        check=options.at_least(0),
    )
    damaged_records: Literal["stop", "skip"] = damaged_records()
    batch_size: int = option(128, "images per batch", check=options.at_least(1))


@dataclasses.dataclass(frozen=True)
class DeviceOptions:
    """The devices that a net runs on."""

    tower_devices: tuple[str, ...] = option(
        ("auto",),
        "one device per tower, or one for all; auto: the first GPUs, or the CPU if there "
        "is none",
        changeable=True,
    )


@dataclasses.dataclass(frozen=True)
class LogicalDeviceOptions(DeviceOptions):
    """The devices that a net runs on, some of which may be parts of one."""

    logical_cpus: int = option(
        1,
        "number of logical devices that the CPU is split into",
        check=options.at_least(1),
        changeable=True,
    )
    logical_gpus: int = option(
        1,
        "number of logical devices that the first GPU is split into",
        check=options.at_least(1),
        changeable=True,
    )
