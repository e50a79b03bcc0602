"""The fully connected layer, which can read a copy of its kernel in training."""

from typing import Any

import keras
import tensorflow as tf

from alexnet_tf import ops


@keras.saving.register_keras_serializable(package="alexnet_tf")
class Dense(keras.layers.Dense):
    """`keras.layers.Dense` that can keep a bfloat16 copy of its kernel for training.

    In a mixed-precision network every training step would cast the float32 kernel to
    bfloat16. A layer that keeps a copy reads the copy instead, and the optimizer
    updates kernel and copy in one pass. Only calls with `training=True` read the copy.
    All other calls, and everything that is saved, use the kernel itself. The arguments
    are those of `keras.layers.Dense`.

    Example:
        >>> layer = Dense(3, dtype="mixed_bfloat16")
        >>> layer.build((None, 4))
        >>> layer.keep_kernel_copy()
        >>> layer.kernel_copy.dtype
        tf.bfloat16
    """

    def __init__(self, units: int, **kwargs: Any):
        super().__init__(units, **kwargs)
        self._set_copy(None)

    def _set_copy(self, copy: tf.Variable | None) -> None:
        # Assigned past Keras' and TensorFlow's tracking: the copy must not appear among
        # the layer's weights, in a checkpoint or in an export.
        object.__setattr__(self, "_kernel_copy", copy)

    @property
    def kernel_copy(self) -> tf.Variable | None:
        """The copy that calls with `training=True` read, or None."""
        return self._kernel_copy

    def keep_kernel_copy(self) -> None:
        """Makes a copy of the kernel on the kernel's device; the layer must be built.

        Whoever changes the kernel afterwards must change the copy too:
        `optimizer.MomentumSGD` does so in its update, and `refresh_kernel_copy` after
        any other assignment.
        """
        kernel = self.kernel.value
        with tf.device(kernel.device):
            narrow = tf.cast(kernel, tf.bfloat16)
            self._set_copy(tf.Variable(narrow, trainable=False, name="kernel_copy"))

    def refresh_kernel_copy(self) -> None:
        """Sets the copy, if there is one, to the kernel's present value."""
        if self._kernel_copy is not None:
            self._kernel_copy.assign(tf.cast(self.kernel.value, tf.bfloat16))

    def drop_kernel_copy(self) -> None:
        """Makes every call read the kernel again."""
        self._set_copy(None)

    def call(self, inputs, training=None):
        if not training or self._kernel_copy is None:
            return super().call(inputs, training)
        outputs = tf.matmul(inputs, self._kernel_copy)
        if self.use_bias:
            outputs = tf.nn.bias_add(outputs, self.bias)
        return self.activation(outputs)


def keep_kernel_copies(net: keras.Model) -> dict[str, tf.Variable]:
    """Makes the dense layers of `net` keep copies of their kernels, if that saves time.

    It does for layers that compute in bfloat16 on a CPU, where an op of this package
    updates kernel and copy. The dense layers hold 96 % of the parameters; with copies
    that the update writes, no step casts them (docs/measurements.md has what that saves).

    Returns:
        The copy of each kernel that is trained, by the kernel's path (for example
        `fc6_tower0/kernel`).
    """
    copies = {}
    for layer in net.layers:
        if not isinstance(layer, Dense) or layer.compute_dtype != "bfloat16":
            continue
        with tf.device(layer.kernel.value.device):
            updated_by_op = ops.on_cpu() and ops.availability.is_usable(
                ops.availability.MOMENTUM, tf.bfloat16
            )
        if updated_by_op:
            layer.keep_kernel_copy()
            if layer.trainable:
                copies[layer.kernel.path] = layer.kernel_copy
    return copies


def refresh_kernel_copies(net: keras.Model) -> None:
    """Sets all kernel copies in `net` to the present values of their kernels."""
    for layer in net.layers:
        if isinstance(layer, Dense):
            layer.refresh_kernel_copy()


def variables_read_in_training(net: keras.Model) -> list[keras.Variable | tf.Variable]:
    """What `net(inputs, training=True)` reads for each of its trainable variables.

    That is the copy for a kernel that has one, and otherwise the variable itself. A
    training step must take its gradients with respect to these. They are in the order
    of `net.trainable_variables`.
    """
    copies = {
        layer.kernel.path: layer.kernel_copy
        for layer in net.layers
        if isinstance(layer, Dense) and layer.kernel_copy is not None
    }
    return [copies.get(v.path, v) for v in net.trainable_variables]
