"""Is the net learning: each layer's weights beside their updates, and a loss that stays.

The released program printed the mean |w| and |update| of each layer at every test. The
paper's net is known to stand at ln(classes), the loss of a guess, for long or for ever.
"""

import math
from collections.abc import Sequence

import keras
import tensorflow as tf


def _mean_magnitude(tensor: tf.Tensor) -> float:
    return float(tf.reduce_mean(tf.abs(tensor)))


def weight_statistics(
    variables: Sequence[keras.Variable], velocities: Sequence[tf.Variable]
) -> dict[str, float]:
    """`PATH/weight`, `PATH/update` and `PATH/ratio` of every variable.

    Mean magnitudes, and update over weight. A velocity is the update that its weight
    had last. About 0.001 is a ratio at which such nets learn; the ratio of a weight
    that is all zero is 0.
    """
    statistics = {}
    for variable, velocity in zip(variables, velocities, strict=True):
        weight = _mean_magnitude(variable.value)
        update = _mean_magnitude(velocity)
        statistics[f"{variable.path}/weight"] = weight
        statistics[f"{variable.path}/update"] = update
        statistics[f"{variable.path}/ratio"] = update / weight if weight else 0.0
    return statistics


class FlatLoss:
    """Tells once when the loss has stayed near ln(classes) for `steps` steps.

    Near is within one percent: 6.84 to 6.98 at a thousand classes. A loss that leaves
    starts the count again. `steps` = 0 never tells.
    """

    def __init__(self, classes: int, steps: int):
        self._chance = math.log(classes)
        self._steps = steps
        self._flat = 0
        self._told = False

    def observe(self, steps: int, loss: float) -> str | None:
        """Takes the mean loss of the next `steps` steps; what to tell, if anything."""
        if abs(loss - self._chance) > 0.01 * self._chance:
            self._flat, self._told = 0, False
            return None
        self._flat += steps
        if not self._steps or self._told or self._flat < self._steps:
            return None
        self._told = True
        return (
            f"the loss has stood at ln(classes) = {self._chance:.3f}, a guess, for "
            f"{self._flat} steps. AlexNet is known for it. What is known to help: "
            "--init=cuda_convnet, whose conv3 to conv5 start three times as wide; "
            "--dropout=original, not inverted; pixels of 0-255, not rescaled; "
            "a batch of 128 rather than 32; another --seed; and patience"
        )
