"""The paper's update rule in one pass over memory."""

from alexnet_tf.ops import library


def apply_decayed_momentum(
    variable, velocity, gradient, *, learning_rate, momentum, weight_decay, copy=None
):
    """Applies the update rule of section 5 of the paper in place and in one pass.

    `v <- momentum * v - learning_rate * (gradient + weight_decay * w); w <- w + v`. The
    op runs on the CPU only.

    Args:
        variable: w, a float32 `tf.Variable`.
        velocity: v, another float32 `tf.Variable` of the same shape.
        gradient: a tensor of the same shape, float32 or bfloat16.
        learning_rate: a float32 scalar tensor.
        momentum: a float.
        weight_decay: a float.
        copy: None, or a bfloat16 `tf.Variable` of the same shape. It is set to the new
            w, rounded, in the same pass.

    Raises:
        tf.errors.InvalidArgumentError: if shapes differ, or if two of the variables are
            the same.
        tf.errors.FailedPreconditionError: if a variable has the wrong type.

    Example:
        >>> import tensorflow as tf
        >>> w, v = tf.Variable([1.0]), tf.Variable([0.0])
        >>> apply_decayed_momentum(
        ...     w, v, tf.constant([2.0]), learning_rate=0.5, momentum=0.9,
        ...     weight_decay=0.0)
        >>> w.numpy().tolist(), v.numpy().tolist()
        ([0.0], [-1.0])
    """
    library.ops.alexnet_tf_resource_apply_decayed_momentum(
        variable.handle,
        velocity.handle,
        gradient,
        learning_rate,
        [] if copy is None else [copy.handle],
        momentum=momentum,
        weight_decay=weight_decay,
    )
