"""Which devices there are, which precision they compute in, and the devices of towers."""

import pathlib
from collections.abc import Sequence
from typing import Literal

import tensorflow as tf

Precision = Literal["auto", "float32", "tf32", "bfloat16"]


def configure(
    logical_cpus: int = 1, logical_gpus: int = 1, logical_gpu_mib: int = 4096
) -> None:
    """Splits the first processor, and the first GPU, into logical devices.

    Must come before TensorFlow's first operation. Each logical GPU gets
    `logical_gpu_mib` of the card's memory. From here on an operation that names a
    device it cannot run on is an error.
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
                f"--logical_gpus={logical_gpus} needs a GPU and TensorFlow sees none: "
                "use --logical_cpus, or install alexnet_tf[gpu] and NVIDIA's driver"
            )
        part = tf.config.LogicalDeviceConfiguration(memory_limit=logical_gpu_mib)
        tf.config.set_logical_device_configuration(gpus[0], [part] * logical_gpus)
    tf.config.set_soft_device_placement(False)


def canonical(device: str) -> str:
    """'/GPU:0' or 'GPU:0' as TensorFlow prints it in a placement: 'GPU:0'."""
    try:
        spec = tf.DeviceSpec.from_string(device if device[:1] == "/" else f"/{device}")
    except ValueError:
        spec = tf.DeviceSpec()
    if spec.device_type is None:
        raise ValueError(f"a device looks like /GPU:0 or /CPU:0, got {device!r}")
    return f"{spec.device_type}:{spec.device_index or 0}"


def resolve(requested: Sequence[str], towers: int) -> tuple[str, ...]:
    """One existing device for each of `towers` towers, as '/GPU:0'.

    `requested` names one device for all towers or one a tower. ["auto"] takes the first
    GPUs, or the processor where there is none. A device that does not exist raises,
    with the devices there are and what to type.
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
            f"--tower_devices names {len(wanted)} devices and the net has {towers} "
            f"{'towers' if towers > 1 else 'tower'}: name {towers}, or one for all"
        )
    for name in wanted:
        if name not in present:
            raise ValueError(
                f"--tower_devices asks for /{name}, and TensorFlow sees only "
                f"{', '.join(f'/{p}' for p in present)}. On a machine with one GPU: "
                "--tower_devices=/GPU:0, or --logical_gpus=2 to split it. "
                "Without a GPU: --tower_devices=/CPU:0, or "
                "--logical_cpus=2 --tower_devices=/CPU:0,/CPU:1"
            )
    return tuple(f"/{name}" for name in wanted)


def precision(requested: Precision) -> Literal["float32", "tf32", "bfloat16"]:
    """`requested`, or for "auto" bfloat16 where this machine multiplies in it.

    Raises where TF32 is asked for and there is no GPU that has it.
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
    """Whether float32 products may be TF32, on GPUs that have it.

    TensorFlow's own default is yes; here float32 is float32 unless a flag says other.
    """
    tf.config.experimental.enable_tensor_float_32_execution(allowed)
