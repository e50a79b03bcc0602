"""Is the network learning? The size of its weights and updates, and a stuck loss.

The 2012 program printed the mean |w| and |update| of each layer at every test. The loss
of the paper's network is known to stay at ln(classes), the loss of random guessing, for
a long time or forever.
"""

import math
from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf


def _mean_magnitude(tensor: tf.Tensor) -> float:
    return float(tf.reduce_mean(tf.abs(tensor)))


def weight_statistics(
    variables: Sequence[keras.Variable], velocities: Mapping[str, tf.Variable]
) -> dict[str, float]:
    """Returns the mean magnitudes of all weights and of their last updates.

    Args:
        variables: of the model.
        velocities: those of `optimizer.MomentumSGD` by their variables' paths. A
            velocity is the last update of its variable; a frozen one has none.

    Returns:
        For every variable `PATH/weight`, `PATH/update`, and `PATH/ratio`, which is
        update divided by weight, or 0 if all weights are zero. Networks like this one
        learn at ratios of about 0.001. A frozen variable has an update and a ratio of 0.
    """
    statistics = {}
    for variable in variables:
        weight = _mean_magnitude(variable.value)
        velocity = velocities.get(variable.path)
        update = 0.0 if velocity is None else _mean_magnitude(velocity)
        statistics[f"{variable.path}/weight"] = weight
        statistics[f"{variable.path}/update"] = update
        statistics[f"{variable.path}/ratio"] = update / weight if weight else 0.0
    return statistics


class FlatLoss:
    """Returns a warning when the loss stays near ln(classes).

    Near means within one percent: 6.84 to 6.98 for a thousand classes. If the loss
    leaves that range, the count of steps starts again.

    Args:
        classes: the number of classes.
        steps: warn after so many steps; 0 never warns.

    Example:
        >>> FlatLoss(classes=1000, steps=20).observe(20, 6.91) is None
        False
    """

    def __init__(self, classes: int, steps: int):
        self._chance = math.log(classes)
        self._steps = steps
        self._flat = 0
        self._warned = False

    def observe(self, steps: int, loss: float) -> str | None:
        """Takes the mean loss of the next `steps` steps, and returns a warning or None.

        It warns once, until the loss leaves the range near ln(classes).
        """
        if abs(loss - self._chance) > 0.01 * self._chance:
            self._flat, self._warned = 0, False
            return None
        self._flat += steps
        if not self._steps or self._warned or self._flat < self._steps:
            return None
        self._warned = True
        return (
            f"the loss has stayed near ln(classes) = {self._chance:.3f}, the loss of "
            f"random guessing, for {self._flat} steps. AlexNet is known for this. What "
            "is known to help: --init=cuda_convnet, whose conv3 to conv5 start with "
            "weights three times as large; --dropout=original instead of inverted; "
            "pixels of 0-255 that are not rescaled; a batch of 128 instead of 32; a "
            "different --seed; and patience"
        )
