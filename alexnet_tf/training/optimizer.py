"""The update rules, `paper` and `code`.

Paper section 5, and `Weights::update` of the released program: the decay enters the
velocity, times the rate; momentum multiplies the velocity. Both leave biases undecayed:
the text's rule names weights, and the program has no decay for biases. `code` gives
biases twice the rate, which `schedule.Rates` carries.
"""

import re
from collections.abc import Sequence

import keras
import tensorflow as tf

from alexnet_tf import ops
from alexnet_tf.models import architecture as architectures
from alexnet_tf.training import schedule


def momentum_step(w, v, gradient, *, rate, momentum, decay):
    """v <- momentum * v - decay * rate * w - rate * gradient; w <- w + v.

    Returns the new (w, v). Paper section 5.
    """
    v = momentum * v - decay * rate * w - rate * gradient
    return w + v, v


class MomentumSGD(tf.Module):
    """`momentum_step` for every variable of a model, in place.

    `keras.optimizers.SGD(weight_decay=...)` decays outside the momentum, which is
    another rule. Each velocity lives on the device of its variable.

    Args:
        variables: the model's trainable variables.
        decays: a weight decay for each.
        momentum: of the velocity.
        copied: those of the variables that the step is to read in bfloat16. On a
            processor, the pass that updates such a variable keeps a copy of it,
            `copies[path]`, so that no step casts it. Whoever else sets the variable
            calls `refresh`.
    """

    def __init__(
        self,
        variables: Sequence[keras.Variable],
        decays: Sequence[float],
        momentum: float = 0.9,
        copied: Sequence[keras.Variable] = (),
    ):
        super().__init__()
        if len(variables) != len(decays):
            raise ValueError(
                f"{len(variables)} variables need as many decays, got {len(decays)}"
            )
        self._variables = list(variables)
        self._decays = list(decays)
        self._momentum = momentum
        self.velocities = []
        for variable in variables:
            with tf.device(variable.value.device):
                zeros = tf.zeros(variable.shape)
                self.velocities.append(tf.Variable(zeros, trainable=False))
        self.copies = {}
        self._copied = [v for v in copied if "CPU" in v.value.device]
        for variable in self._copied:
            with tf.device(variable.value.device):
                narrow = tf.cast(variable.value, tf.bfloat16)
                self.copies[variable.path] = tf.Variable(narrow, trainable=False)

    def refresh(self) -> None:
        """Makes the copies anew, after others than `apply` have set the variables."""
        for variable in self._copied:
            narrow = tf.cast(variable.value, tf.bfloat16)
            self.copies[variable.path].assign(narrow)

    def apply(self, gradients: Sequence[tf.Tensor], rates: schedule.Rates) -> None:
        """One step; `gradients` in the order of the variables."""
        for variable, velocity, gradient, decay in zip(
            self._variables, self.velocities, gradients, self._decays, strict=True
        ):
            with tf.device(velocity.device):
                constants = {
                    "rate": rates.of(variable.path),
                    "momentum": self._momentum,
                    "decay": decay,
                }
                if "CPU" in velocity.device:
                    # One pass over memory.
                    ops.apply_decayed_momentum(
                        variable.value,
                        velocity,
                        _unwidened(gradient),
                        copy=self.copies.get(variable.path),
                        **constants,
                    )
                else:
                    _step_in_stock_ops(variable.value, velocity, gradient, **constants)


def _unwidened(gradient: tf.Tensor) -> tf.Tensor:
    """The bfloat16 tensor that `gradient` is a cast of, where it is one in a graph."""
    if not tf.executing_eagerly() and gradient.op.type == "Cast":
        (narrow,) = gradient.op.inputs
        if narrow.dtype == tf.bfloat16:
            return narrow
    return gradient


def _step_in_stock_ops(variable, velocity, gradient, *, rate, momentum, decay) -> None:
    """`momentum_step` wherever TensorFlow runs."""
    if decay:
        gradient = gradient + decay * variable
    tf.raw_ops.ResourceApplyKerasMomentum(
        var=variable.handle,
        accum=velocity.handle,
        lr=rate,
        grad=gradient,
        momentum=momentum,
    )


def decays_of(
    architecture: architectures.Architecture,
    variables: Sequence[keras.Variable],
    weight_decay: float | None = None,
) -> list[float]:
    """Each variable's weight decay: the layer's own, or `weight_decay` for all weights.

    Biases have none.
    """
    own = {
        layer.name: layer.weight_decay
        for layer in architecture.layers
        if isinstance(layer, architectures.Weighted)
    }
    decays = []
    for variable in variables:
        layer, kind = variable.path.split("/")
        decay = own[re.sub(r"_tower\d+$", "", layer)]
        if weight_decay is not None:
            decay = weight_decay
        decays.append(decay if kind == "kernel" else 0.0)
    return decays
