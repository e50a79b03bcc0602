"""Asks TensorFlow's registry which operations of a traced step have a GPU kernel.

The Linux wheel of TensorFlow registers its GPU kernels on machines without a GPU too. Run
as a program, this module traces training steps with their towers on logical CPUs that
stand for GPUs, and prints as JSON what has no kernel there. The package is told that no
tower is on a CPU, so it chooses the operations that it would choose on GPUs.
"""

import json

import numpy as np
import tensorflow as tf
from tensorflow.python.framework import kernels

from alexnet_tf import ops
from alexnet_tf.models import builder, devices, layers, zoo
from alexnet_tf.models.layers import preprocessing
from alexnet_tf.ops import availability
from alexnet_tf.training import optimizer, training_step
from tests.support import nets

# TensorFlow compiles these for a GPU at run time, for which it needs ptxas and libdevice
# (tensorflow/core/kernels/mlir_generated/gpu_op_select.cc and gpu_op_floor_mod.cc).
_BYTES_AND_SHORTS = ("int8", "int16", "uint8", "uint16", "uint32", "uint64")
_COMPILED_AT_RUN_TIME = {
    "SelectV2": _BYTES_AND_SHORTS,
    "FloorMod": (*_BYTES_AND_SHORTS, "int64", "half", "float32", "float64"),
}


def has_gpu_kernels() -> bool:
    """Whether this TensorFlow was built with GPU kernels at all."""
    registered = kernels.get_registered_kernels_for_op("Conv2D").kernel
    return any(kernel.device_type == "GPU" for kernel in registered)


def why_not(op: tf.Operation) -> str | None:
    """Why an operation cannot run on a GPU, or None."""
    attributes = op.node_def.attr
    matching = [
        kernel
        for kernel in kernels.get_registered_kernels_for_op(op.type).kernel
        if kernel.device_type in ("GPU", "DEFAULT")
        and all(
            attributes[constraint.name].type in constraint.allowed_values.list.type
            for constraint in kernel.constraint
        )
    ]
    if not matching:
        types = {
            name: tf.as_dtype(a.type).name for name, a in attributes.items() if a.type
        }
        return f"{op.type} {types} has no GPU kernel"
    named = {tf.as_dtype(tensor.dtype).name for tensor in op.outputs}
    if named & set(_COMPILED_AT_RUN_TIME.get(op.type, ())):
        return f"{op.type} {named} is compiled at run time"
    return None


def trace(architecture, precision, tower_devices):
    """A training step of a net with a mean, for a batch of 4."""
    net = builder.build(
        architecture,
        mean=np.full(3, 127.0),
        devices=tower_devices,
        precision=precision,
    )
    count = len(net.trainable_variables)
    rule = optimizer.MomentumSGD(
        net.trainable_variables, [0.1] * count, copies=layers.keep_kernel_copies(net)
    )
    side = architecture.input_size
    inputs = layers.plain_inputs(tf.zeros([4, side, side, 3], tf.uint8))
    batches = tf.data.Dataset.from_tensors((inputs, tf.zeros([4], tf.int32)))
    return training_step.Step(net, rule).trace(batches), net


# The net, its images' side if it is narrowed, the precision, and the normalization.
CASES = (
    ("paper", 99, "bfloat16", "op"),
    ("paper", 99, "float32", "stock"),
    ("caffenet", 99, "bfloat16", "stock"),
    ("cifar10_13pct", None, "float32", "stock"),
)


def main() -> None:
    devices.configure(logical_cpus=3)
    tf.config.experimental.enable_op_determinism()
    ops.on_cpu = lambda: False
    preprocessing._compiles = lambda device: False
    found = []
    for name, side, precision, lrn in CASES:
        net = zoo.find(name).with_classes(5)
        if side is not None:
            net = nets.narrowed(net, side)
        usable = availability.LRN if lrn == "op" else None
        availability.is_usable = lambda op, *_, usable=usable, **__: op == usable
        step, model = trace(net, precision, ["/CPU:1", "/CPU:2"][: net.towers])
        (inputs, *_), _ = step.structured_input_signature
        forward = tf.function(model).get_concrete_function(inputs)
        operations = [*step.graph.get_operations(), *forward.graph.get_operations()]
        placed = {devices.canonical(op.device) for op in operations if op.device}
        found.append(
            {
                "net": name,
                "lrn": lrn,
                "types": sorted({op.type for op in operations}),
                "devices": sorted(placed),
                "faults": sorted({why for op in operations if (why := why_not(op))}),
            }
        )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
