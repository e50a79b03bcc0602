"""Finds out whether the traced graph will run on the CPU or be compiled by XLA."""

import tensorflow as tf
from tensorflow.python.ops import control_flow_util


def runs_on_cpu(device: str) -> bool:
    """Returns whether an operation on `device` runs on the CPU.

    An empty `device` means that TensorFlow chooses: a GPU if there is one.
    """
    return "CPU" in device if device else not tf.config.list_logical_devices("GPU")


def being_compiled() -> bool:
    """Returns whether the current graph is traced for `jit_compile=True`."""
    return control_flow_util.GraphOrParentsInXlaContext(
        tf.compat.v1.get_default_graph()
    )


def on_cpu() -> bool:
    """Returns whether an operation created here runs on the CPU."""
    return runs_on_cpu(tf.constant(0.0).device)
