"""The update of the weights in one pass over memory."""

from alexnet_tf.ops import library


def apply_decayed_momentum(
    variable, velocity, gradient, *, rate, momentum, decay, copy=None
):
    """v <- momentum * v - rate * (gradient + decay * w); w <- w + v, in one pass.

    Paper section 5. In place, on the CPU alone.

    Args:
        variable: w, a float32 `tf.Variable`.
        velocity: v, as `variable`.
        gradient: of the same shape, float32 or bfloat16.
        rate: a float32 scalar tensor.
        momentum, decay: floats.
        copy: None, or a bfloat16 `tf.Variable` of the same shape, which becomes w,
            rounded, in the same pass.

    Raises:
        tf.errors.InvalidArgumentError: shapes differ, or two variables are one.
        tf.errors.FailedPreconditionError: a variable is of another type.
    """
    library.ops.alexnet_tf_resource_apply_decayed_momentum(
        variable.handle,
        velocity.handle,
        gradient,
        rate,
        [] if copy is None else [copy.handle],
        momentum=momentum,
        decay=decay,
    )
