"""What the last bits of a run depend on beside its options: software and processor.

Sums are rounded in an order that the number of threads, the instruction set and the
version of a library decide. A resumed run equals an uninterrupted one bit for bit only
where all of them are the same.
"""

import json
import os
import pathlib
import platform
import re

import keras
import numpy as np
import tensorflow as tf
from absl import logging

import alexnet_tf
from alexnet_tf.ops import library
from alexnet_tf.runtime import cores, files

FILE = "environment.json"

_CPUINFO = pathlib.Path("/proc/cpuinfo")

# Variables that choose how TensorFlow and its libraries compute.
_VARIABLES = (
    "TF_ENABLE_ONEDNN_OPTS",
    "ONEDNN_MAX_CPU_ISA",
    "OMP_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)
# The items of a description, in their order.
ITEMS = (
    *("alexnet_tf", "tensorflow", "keras", "numpy", "processor", "instruction set"),
    *("cores", "intra-op threads", "inter-op threads", *_VARIABLES, "GPUs"),
    *("op library", "normalization"),
)

# Instruction sets of x86 and Arm that compute with vectors.
_VECTORS = re.compile(r"sse4|avx|fma|f16c|amx|asimd|sve|sme\d?$|bf16|i8mm|fphp")


def current(normalization: str) -> dict[str, str]:
    """Describes the environment of this process, by the names of its items.

    `normalization` is what computes the normalizations, see `layers.normalization_of`.
    """
    gpus = tf.config.list_physical_devices("GPU")
    names = [
        tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
        for gpu in gpus
    ]
    return {
        "alexnet_tf": alexnet_tf.__version__,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        **_processor(),
        "cores": str(cores.usable_cores()),
        "intra-op threads": str(tf.config.threading.get_intra_op_parallelism_threads()),
        "inter-op threads": str(tf.config.threading.get_inter_op_parallelism_threads()),
        **{name: os.environ.get(name, "") for name in _VARIABLES},
        "GPUs": ", ".join(names),
        "op library": "absent" if library.error else "present",
        "normalization": normalization,
    }


def _processor() -> dict[str, str]:
    """The processor and its vector instruction sets, as Linux describes the first core.

    Another system only names the processor.
    """
    if not _CPUINFO.exists():
        return {"processor": platform.machine(), "instruction set": ""}
    text = _CPUINFO.read_text()
    fields = dict(re.findall(r"^([^\t\n:]+?)\s*: *(.*)$", text.split("\n\n")[0], re.M))
    name = fields.get("model name") or fields.get("CPU part", "")
    vendor = fields.get("vendor_id") or fields.get("CPU implementer", "")
    flags = (fields.get("flags") or fields.get("Features", "")).split()
    vectors = sorted(flag for flag in flags if _VECTORS.match(flag))
    return {
        "processor": f"{vendor} {name}".strip(),
        "instruction set": " ".join(vectors),
    }


def record(run_dir: pathlib.Path, normalization: str) -> None:
    """Writes the environment into a run folder; warns if it differs from the one there."""
    path = run_dir / FILE
    now = current(normalization)
    if path.exists():
        changes = _changes(path, now)
        if changes:
            logging.warning(
                "%s was computed in another environment so far, so that its last bits "
                "may differ from those of an uninterrupted run: %s",
                *(run_dir, "; ".join(changes)),
            )
    files.write_json(path, now)


def _changes(path: pathlib.Path, now: dict[str, str]) -> list[str]:
    """Names every item that differs from the recorded one, with both values."""
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        return [
            f"{name} was {before[name] or 'unset'} and is {value or 'unset'}"
            for name, value in now.items()
            if before.get(name, value) != value
        ]
    except (ValueError, AttributeError):
        return [f"{path} is damaged, so that nothing is known of it"]
