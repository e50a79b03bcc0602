"""The options of every command that runs a net on devices."""

import dataclasses

from alexnet_tf.runtime import options
from alexnet_tf.runtime.options import option


@dataclasses.dataclass(frozen=True)
class DeviceOptions:
    """The devices that a net runs on."""

    tower_devices: tuple[str, ...] = option(
        ("auto",),
        "one device per tower, or one for all; auto: the first GPUs, or the CPU if there "
        "is none",
        changeable=True,
    )
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
