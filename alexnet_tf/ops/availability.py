"""Where the ops of this package can compute, and what is said where they cannot.

The op library may be absent (on macOS, without a C++ compiler), or it may have no kernel
for a device. TensorFlow's own operations then take the place of its ops.
"""

import ctypes
import functools

import tensorflow as tf
from absl import logging
from tensorflow.python.framework import kernels

from alexnet_tf.ops import library, tracing

LRN = "AlexnetTf>LocalResponseNormalization"
SPATIAL = "AlexnetTf>SpatialNormalization"
WINOGRAD = "AlexnetTf>WinogradToTiles"
MOMENTUM = "AlexnetTf>ResourceApplyDecayedMomentum"

# The oldest GPU that setup.py compiles the kernels for.
_LEAST_CAPABILITY = (7, 5)

_said: set[str] = set()


def is_usable(op: str, dtype: tf.DType, *, demanded: bool = False) -> bool:
    """Returns whether an op of this package can compute where it would be created here.

    Where it cannot, a warning says why, once in a process.

    Args:
        op: one of the names above.
        dtype: the type that it computes in.
        demanded: whether nothing may take the place of the op.

    Raises:
        ValueError: the op is demanded, and it cannot compute here.
    """
    device = tracing.current_device()
    why = obstacle(op, dtype, device)
    if why is None:
        return True
    if demanded:
        raise ValueError(
            f"this package's op cannot compute on /{device}: {why}. Otherwise use "
            "--lrn=stock (implementation='stock'), TensorFlow's own operations"
        )
    if why not in _said:
        _said.add(why)
        logging.warning(
            "/%s computes with TensorFlow's own operations in place of this package's "
            "ops, because %s",
            *(device, why),
        )
    return False


def obstacle(op: str, dtype: tf.DType, device: str) -> str | None:
    """Returns why an op cannot compute on a device ("GPU:0"), or None if it can."""
    if library.error is not None:
        return str(library.error)
    kind, index = device.split(":")
    if not _has_kernel(op, kind, dtype):
        if kind == "GPU" and op == LRN and library.cuda_version() is None:
            return (
                "the op library was built without GPU kernels: install nvcc 12.8 or "
                "newer and build the package again with ALEXNET_TF_CUDA=1 (docs/gpu.md)"
            )
        return f"{op.split('>')[1]} has no kernel for {dtype.name} on a {kind}"
    return _obstacle_of_gpu(int(index)) if kind == "GPU" else None


@functools.cache
def _has_kernel(op: str, kind: str, dtype: tf.DType) -> bool:
    """Whether TensorFlow knows a kernel of an op for a type of device and of values."""
    return any(
        kernel.device_type == kind
        and all(
            dtype.as_datatype_enum in constraint.allowed_values.list.type
            for constraint in kernel.constraint
        )
        for kernel in kernels.get_registered_kernels_for_op(op).kernel
    )


def _obstacle_of_gpu(index: int) -> str | None:
    """Returns why the GPU kernels cannot run on a GPU, or None if they can."""
    built, driver = library.cuda_version(), _driver_cuda_version()
    if built is not None and driver is not None:
        least = int(built.split(".")[0])
        if driver[0] < least:
            return (
                f"the GPU kernels were built with CUDA {built}, and the driver supports "
                f"CUDA {driver[0]}.{driver[1]}: install a driver for CUDA {least}, or "
                "build the package again with nvcc 12.8 or 12.9"
            )
    capability = _capability(index)
    if capability is not None and capability < _LEAST_CAPABILITY:
        return (
            f"it has compute capability {'.'.join(map(str, capability))}, and the GPU "
            f"kernels need {'.'.join(map(str, _LEAST_CAPABILITY))} or more"
        )
    return None


def _driver_cuda_version() -> tuple[int, int] | None:
    """The newest CUDA (major, minor) that the GPU driver supports; None without one."""
    version = ctypes.c_int()
    try:
        ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(version))
    except OSError:
        return None
    return version.value // 1000, version.value % 1000 // 10


def _capability(index: int) -> tuple[int, int] | None:
    """The compute capability of a logical GPU, if TensorFlow knows it.

    Only the first GPU is ever split into logical ones (`models/devices.py`).
    """
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return None
    parts_of_first = len(tf.config.list_logical_devices("GPU")) - len(gpus) + 1
    gpu = gpus[max(0, index - parts_of_first + 1)]
    return tf.config.experimental.get_device_details(gpu).get("compute_capability")
