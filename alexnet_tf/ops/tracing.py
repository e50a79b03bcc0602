"""What the graph that is being traced will run on: a processor, or XLA's compiler."""

import tensorflow as tf
from tensorflow.python.ops import control_flow_util


def runs_on_cpu(device: str) -> bool:
    """Whether an operation placed on `device` runs on the processor; "": anywhere."""
    return "CPU" in device if device else not tf.config.list_logical_devices("GPU")


def being_compiled() -> bool:
    """Whether the graph at hand is traced for `jit_compile=True`."""
    return control_flow_util.GraphOrParentsInXlaContext(
        tf.compat.v1.get_default_graph()
    )


def on_cpu() -> bool:
    """Whether an operation made here is one of the processor."""
    return runs_on_cpu(tf.constant(0.0).device)
