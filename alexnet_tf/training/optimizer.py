"""The update rule of the paper and of the 2012 program.

Paper, section 5, and `Weights::update` of the 2012 program. Weight decay enters the
velocity, multiplied by the learning rate, and momentum multiplies the velocity. Biases
do not decay: the paper's rule names weights, and the 2012 program has no decay for
biases. It gives biases twice the learning rate, which `schedule.LearningRates`
expresses.
"""

from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from alexnet_tf import ops
from alexnet_tf.models import architecture as architectures
from alexnet_tf.runtime import suggestions
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
        learning_rate_factors: what multiplies the learning rate of each variable; None
            multiplies none.
        copies: bfloat16 copies of some of the variables, by the variable's path; see
            `layers.keep_kernel_copies`. The pass that updates such a variable also
            updates its copy. The variable must be on a CPU, and the op library there.

    Attributes:
        velocities: one per variable, on the variable's device, zero at first.
        copies: the copies that were given, by the variable's path.

    Raises:
        ValueError: there are not as many weight decays or factors as variables, or a
            copy is of none of the variables.
    """

    def __init__(
        self,
        variables: Sequence[keras.Variable],
        weight_decays: Sequence[float],
        momentum: float = 0.9,
        learning_rate_factors: Sequence[float] | None = None,
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
        self._factors = list(learning_rate_factors or [1.0] * len(variables))
        if len(variables) != len(self._factors):
            raise ValueError(
                f"{len(variables)} variables need as many learning rate factors, "
                f"got {len(self._factors)}"
            )
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

    @property
    def velocities_by_path(self) -> dict[str, tf.Variable]:
        """The velocities by the paths of their variables."""
        paths = [variable.path for variable in self._variables]
        return dict(zip(paths, self.velocities, strict=True))

    def apply(
        self, gradients: Sequence[tf.Tensor], learning_rates: schedule.LearningRates
    ) -> None:
        """Takes one step.

        Args:
            gradients: one per variable and in their order, float32 or bfloat16.
            learning_rates: of this step.
        """
        for variable, velocity, gradient, weight_decay, factor in zip(
            self._variables,
            self.velocities,
            gradients,
            self._weight_decays,
            self._factors,
            strict=True,
        ):
            with tf.device(velocity.device):
                learning_rate = learning_rates.of(variable.path)
                constants = {
                    # A product of one would be one operation more for each variable.
                    "learning_rate": learning_rate
                    if factor == 1
                    else learning_rate * factor,
                    "momentum": self._momentum,
                    "weight_decay": weight_decay,
                }
                if "CPU" in velocity.device and ops.availability.is_usable(
                    ops.availability.MOMENTUM, gradient.dtype
                ):
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
        if not variable.path.endswith("/kernel"):
            return 0.0
        return of_layer[architectures.layer_of(variable.path)]

    return [decay(variable) for variable in variables]


def learning_rate_factors_of(
    architecture: architectures.Architecture,
    variables: Sequence[keras.Variable],
    factors: Mapping[str, float],
) -> list[float]:
    """Returns what multiplies the learning rate of each variable.

    Args:
        architecture: of the variables' model.
        variables: of the model.
        factors: by layer, or by group of layers as `layers_named` has them. That of a
            layer goes before that of its group.

    Raises ValueError for a name of no layer.
    """
    of_layer: dict[str, float] = {}
    for name in sorted(factors, key=lambda name: name in _names(architecture)):
        for layer in layers_named(architecture, name):
            of_layer[layer] = factors[name]
    return [of_layer.get(architectures.layer_of(v.path), 1.0) for v in variables]


def layers_named(architecture: architectures.Architecture, name: str) -> list[str]:
    """Returns the layers with weights that `name` is the name of, or the group of.

    Raises ValueError if there is none.

    Example:
        >>> from alexnet_tf.models import zoo
        >>> layers_named(zoo.PAPER, "fc")
        ['fc6', 'fc7', 'fc8']
    """
    names = _names(architecture)
    found = [each for each in names if name in (each, architectures.kind_of(each))]
    if not found:
        groups = dict.fromkeys(map(architectures.kind_of, names))
        raise ValueError(
            f"{architecture.name} has no layer {name!r}: choose of {', '.join(names)}, "
            f"or of all of a kind: {', '.join(groups)}"
            f"{suggestions.did_you_mean(name, [*names, *groups])}"
        )
    return found


def _names(architecture: architectures.Architecture) -> list[str]:
    layers = architecture.layers
    return [each.name for each in layers if isinstance(each, architectures.Weighted)]
