"""The update rule of the paper and of the 2012 program.

Paper, section 5, and `Weights::update` of the 2012 program. Weight decay enters the
velocity, multiplied by the learning rate, and momentum multiplies the velocity. Biases
do not decay: the paper's rule names weights, and the 2012 program has no decay for
biases. It gives biases twice the learning rate, which `schedule.LearningRates`
expresses.
"""

import re
from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from alexnet_tf import ops
from alexnet_tf.models import architecture as architectures
from alexnet_tf.training import schedule


def momentum_step(w, v, gradient, *, learning_rate, momentum, weight_decay):
    """Returns the new (w, v) of the update rule in section 5 of the paper.

    `v <- momentum * v - weight_decay * learning_rate * w - learning_rate * gradient;
    w <- w + v`.
    """
    v = momentum * v - weight_decay * learning_rate * w - learning_rate * gradient
    return w + v, v


class MomentumSGD(tf.Module):
    """Applies `momentum_step` in place to every variable of a model.

    `keras.optimizers.SGD(weight_decay=...)` is a different rule, because its decay does
    not enter the velocity.

    Args:
        variables: the model's trainable variables.
        weight_decays: the weight decay of each variable.
        momentum: the factor of the velocity.
        copies: bfloat16 copies of some of the variables, by the variable's path; see
            `layers.keep_kernel_copies`. The pass that updates such a variable also
            updates its copy. The variable must be on a CPU.

    Attributes:
        velocities: one per variable, on the variable's device, zero at first.
        copies: the copies that were given, by the variable's path.

    Raises:
        ValueError: the numbers of variables and weight decays differ, or a copy is of
            none of the variables.
    """

    def __init__(
        self,
        variables: Sequence[keras.Variable],
        weight_decays: Sequence[float],
        momentum: float = 0.9,
        copies: Mapping[str, tf.Variable] | None = None,
    ):
        super().__init__()
        if len(variables) != len(weight_decays):
            raise ValueError(
                f"{len(variables)} variables need as many weight decays, "
                f"got {len(weight_decays)}"
            )
        self._variables = list(variables)
        self._weight_decays = list(weight_decays)
        self._momentum = momentum
        self.copies = dict(copies or {})
        unknown = self.copies.keys() - {variable.path for variable in variables}
        if unknown:
            raise ValueError(
                f"copies of unknown variables: {', '.join(sorted(unknown))}"
            )
        self.velocities = []
        for variable in variables:
            with tf.device(variable.value.device):
                zeros = tf.zeros(variable.shape)
                self.velocities.append(tf.Variable(zeros, trainable=False))

    def apply(
        self, gradients: Sequence[tf.Tensor], learning_rates: schedule.LearningRates
    ) -> None:
        """Takes one step.

        Args:
            gradients: one per variable and in their order, float32 or bfloat16.
            learning_rates: of this step.
        """
        for variable, velocity, gradient, weight_decay in zip(
            self._variables,
            self.velocities,
            gradients,
            self._weight_decays,
            strict=True,
        ):
            with tf.device(velocity.device):
                constants = {
                    "learning_rate": learning_rates.of(variable.path),
                    "momentum": self._momentum,
                    "weight_decay": weight_decay,
                }
                if "CPU" in velocity.device:
                    ops.apply_decayed_momentum(
                        variable.value,
                        velocity,
                        _without_cast(gradient),
                        copy=self.copies.get(variable.path),
                        **constants,
                    )
                else:
                    _step_in_stock_ops(variable.value, velocity, gradient, **constants)


def _without_cast(gradient: tf.Tensor) -> tf.Tensor:
    """The bfloat16 tensor that `gradient` was cast from, or else `gradient` itself."""
    if not tf.executing_eagerly() and gradient.op.type == "Cast":
        (narrow,) = gradient.op.inputs
        if narrow.dtype == tf.bfloat16:
            return narrow
    return gradient


def _step_in_stock_ops(
    variable, velocity, gradient, *, learning_rate, momentum, weight_decay
) -> None:
    """`momentum_step` wherever TensorFlow runs."""
    if weight_decay:
        gradient = gradient + weight_decay * variable
    tf.raw_ops.ResourceApplyKerasMomentum(
        var=variable.handle,
        accum=velocity.handle,
        lr=learning_rate,
        grad=gradient,
        momentum=momentum,
    )


def weight_decays_of(
    architecture: architectures.Architecture,
    variables: Sequence[keras.Variable],
    weight_decay: float | None = None,
) -> list[float]:
    """Returns the weight decay of each variable of a model of `architecture`.

    It is that of the variable's layer, or `weight_decay`, if given, for all weights.
    Biases have none.
    """
    of_layer = {
        layer.name: layer.weight_decay if weight_decay is None else weight_decay
        for layer in architecture.layers
        if isinstance(layer, architectures.Weighted)
    }

    def decay(variable: keras.Variable) -> float:
        layer, kind = variable.path.split("/")
        if kind != "kernel":
            return 0.0
        return of_layer[re.sub(r"_tower\d+$", "", layer)]

    return [decay(variable) for variable in variables]
