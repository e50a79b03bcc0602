"""The graph that is being traced: where it will run, and the gradients of its ops."""

import contextlib
from collections.abc import Mapping

import tensorflow as tf
from tensorflow.python.ops import control_flow_util


def runs_on_cpu(device: str) -> bool:
    """Returns whether an operation on `device` runs on the CPU.

    An empty `device` means that TensorFlow chooses: a GPU if there is one.
    """
    return "CPU" in device if device else not tf.config.list_logical_devices("GPU")


def current_device() -> str:
    """Returns the device of an operation created here, such as "GPU:0"."""
    name = tf.constant(0.0).device
    spec = tf.DeviceSpec.from_string(name)
    kind = spec.device_type or ("CPU" if runs_on_cpu(name) else "GPU")
    return f"{kind}:{spec.device_index or 0}"


def being_compiled() -> bool:
    """Returns whether the current graph is traced for `jit_compile=True`."""
    return control_flow_util.GraphOrParentsInXlaContext(
        tf.compat.v1.get_default_graph()
    )


def on_cpu() -> bool:
    """Returns whether an operation created here runs on the CPU."""
    return current_device().startswith("CPU")


def overridden_gradients(
    gradients: Mapping[str, str],
) -> contextlib.AbstractContextManager:
    """Gives the ops that are traced inside other gradients than TensorFlow's.

    This has no effect on eager calls, which keep TensorFlow's gradients.

    Args:
        gradients: the registered name of the gradient for each type of op, for example
            `{"Relu": "AlexnetTf>Relu"}`.
    """
    if tf.executing_eagerly():
        return contextlib.nullcontext()
    return tf.compat.v1.get_default_graph().gradient_override_map(dict(gradients))
