"""The options of every command that reads images of a folder or of a dataset."""

import dataclasses
from typing import Literal

from alexnet_tf.runtime import options
from alexnet_tf.runtime.options import option


@dataclasses.dataclass(frozen=True)
class ReadingOptions:
    """What is done with images that cannot be read, and how many are read at once."""

    max_bad_files: int = option(
        0,
        "number of unreadable image files that are left out and reported; one more stops "
        "the command",
        check=options.at_least(0),
    )
    damaged_records: Literal["stop", "skip"] = option(
        "stop",
        "at a record of the dataset that is damaged on the disk: stop with its file and "
        "place, or leave it out with a warning",
    )
    batch_size: int = option(128, "images per batch", check=options.at_least(1))
