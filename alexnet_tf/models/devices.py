"""The devices of this machine, the precision they compute in, and a tower's device."""

import pathlib
from collections.abc import Sequence
from typing import Literal

import tensorflow as tf

from alexnet_tf.runtime import shared_options

Precision = shared_options.Precision

# How much of the GPU's memory each logical GPU gets.
_LOGICAL_GPU_MIB = 4096


def configure(logical_cpus: int = 1, logical_gpus: int = 1) -> None:
    """Splits the first CPU, and the first GPU, into logical devices.

    It must be called before TensorFlow's first operation. From then on, an operation
    raises an error if it names a device on which it cannot run.

    Args:
        logical_cpus, logical_gpus: the numbers of logical devices.

    Raises:
        ValueError: GPUs are to be split, but TensorFlow finds none.
    """
    if logical_cpus > 1:
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * logical_cpus,
        )
    if logical_gpus > 1:
        gpus = tf.config.list_physical_devices("GPU")
        if not gpus:
            raise ValueError(
                f"--logical_gpus={logical_gpus} needs a GPU, but TensorFlow finds "
                "none: use --logical_cpus, or install alexnet_tf[gpu] and NVIDIA's "
                "driver"
            )
        part = tf.config.LogicalDeviceConfiguration(memory_limit=_LOGICAL_GPU_MIB)
        tf.config.set_logical_device_configuration(gpus[0], [part] * logical_gpus)
    tf.config.set_soft_device_placement(False)


def canonical(device: str) -> str:
    """Returns the name of a device as TensorFlow prints it in a placement.

    Raises:
        ValueError: `device` does not look like a device.

    Example:
        >>> canonical("/gpu:1")
        'GPU:1'
    """
    try:
        spec = tf.DeviceSpec.from_string(device if device[:1] == "/" else f"/{device}")
    except ValueError:
        spec = tf.DeviceSpec()
    if spec.device_type is None:
        raise ValueError(f"a device must look like /GPU:0 or /CPU:0, got {device!r}")
    return f"{spec.device_type}:{spec.device_index or 0}"


def resolve(requested: Sequence[str], towers: int) -> tuple[str, ...]:
    """Returns one existing device for each of `towers` towers, such as "/GPU:0".

    Args:
        requested: one device for all towers, or one device per tower. ["auto"] chooses
            the first GPUs, or the CPU if there is no GPU.
        towers: the number of towers.

    Raises:
        ValueError: a device does not exist, or the number of devices is wrong. The
            message names the devices there are, and what to type.
    """
    present = [canonical(d.name) for d in tf.config.list_logical_devices()]
    if list(requested) == ["auto"]:
        gpus = [name for name in present if name.startswith("GPU")]
        requested = gpus[:towers] if len(gpus) >= towers else gpus[:1] or ["CPU:0"]
    wanted = [canonical(name) for name in requested]
    if len(wanted) == 1:
        wanted *= towers
    if len(wanted) != towers:
        raise ValueError(
            f"--tower_devices names {len(wanted)} devices, but the network has "
            f"{towers} {'towers' if towers > 1 else 'tower'}: name {towers}, or one "
            "for all"
        )
    for name in wanted:
        if name not in present:
            raise ValueError(
                f"--tower_devices asks for /{name}, but TensorFlow finds only "
                f"{', '.join(f'/{p}' for p in present)}. {_advice(present)}"
            )
    return tuple(f"/{name}" for name in wanted)


def _advice(present: Sequence[str]) -> str:
    """What can be typed on a machine with these devices."""
    if any(name.startswith("GPU") for name in present):
        return (
            "On a machine with one GPU: --tower_devices=/GPU:0, or --logical_gpus=2 to "
            "split it"
        )
    return (
        "If the machine has a GPU, see that nvidia-smi lists it, and install "
        "TensorFlow's CUDA libraries: pip install 'alexnet_tf[gpu]'. Without a GPU: "
        "--tower_devices=/CPU:0, or --logical_cpus=2 --tower_devices=/CPU:0,/CPU:1"
    )


def precision(requested: Precision) -> Literal["float32", "tf32", "bfloat16"]:
    """Returns the precision to compute in.

    It is `requested`, but "auto" becomes bfloat16 if this machine has instructions that
    multiply in it, and otherwise float32.

    Raises:
        ValueError: TF32 is requested, and no GPU here has it.
    """
    gpus = tf.config.list_physical_devices("GPU")
    ampere = False
    if gpus and requested in ("auto", "tf32"):
        details = tf.config.experimental.get_device_details(gpus[0])
        ampere = details.get("compute_capability", (0, 0)) >= (8, 0)
    if requested == "tf32" and not ampere:
        raise ValueError(
            "--precision=tf32 needs an NVIDIA GPU of compute capability 8.0 or more "
            "(Ampere): use float32, bfloat16 or auto"
        )
    if requested != "auto":
        return requested
    if gpus:
        native = ampere
    else:
        cpuinfo = pathlib.Path("/proc/cpuinfo")
        flags = cpuinfo.read_text().split() if cpuinfo.exists() else []
        native = "avx512_bf16" in flags or "amx_bf16" in flags
    return "bfloat16" if native else "float32"


def allow_tf32(allowed: bool) -> None:
    """Sets whether GPUs that have TF32 may use it for products of float32.

    TensorFlow allows it by default. Here float32 means float32, unless a flag says
    otherwise.
    """
    tf.config.experimental.enable_tensor_float_32_execution(allowed)
