"""When the learning rate changes.

Paper, section 5: the learning rate is divided by ten when the validation error stops
improving, three times in all. The 2012 program divides it at fixed epochs, which differ
for biases and for conv1 (`layer-params-145-2010.cfg`).
"""

import bisect
import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Protocol

import tensorflow as tf


class LearningRates(NamedTuple):
    """The learning rates of one step, as floats or as scalar tensors.

    Attributes:
        weights: that of all weights.
        biases: that of all biases.
        conv1_factor: multiplies both for the first layer.
    """

    weights: Any
    biases: Any
    conv1_factor: Any

    def of(self, path: str) -> Any:
        """Returns that of the variable with this path, such as `conv1_tower0/kernel`.

        Example:
            >>> LearningRates(0.01, biases=0.02, conv1_factor=1.0).of("fc8/bias")
            0.02
        """
        found = self.biases if path.endswith("/bias") else self.weights
        return found * self.conv1_factor if path.startswith("conv1") else found

    def tensors(self) -> "LearningRates":
        """Returns the same as scalar tensors, for a traced step."""
        return LearningRates(*(tf.constant(value, tf.float32) for value in self))


def scaled_learning_rate(
    learning_rate: float, rule: Literal["none", "linear", "sqrt"], factor: float
) -> float:
    """Adapts a learning rate to a batch that is `factor` times as large.

    Args:
        learning_rate: the one for the original batch size.
        rule: "linear" multiplies by `factor` (Goyal et al. 2017, arXiv:1706.02677, and
            the paper's author for batches divided over several GPUs). "sqrt" multiplies
            by its square root, which keeps the variance of a step (Krizhevsky 2014,
            arXiv:1404.5997). "none" changes nothing.
        factor: new batch size / original batch size.

    Example:
        >>> scaled_learning_rate(0.01, "sqrt", 4)
        0.02
    """
    scale = {"none": 1.0, "linear": factor, "sqrt": math.sqrt(factor)}[rule]
    return learning_rate * scale


class Schedule(Protocol):
    """What the training loop needs of a schedule."""

    def learning_rates(self, epoch: float) -> LearningRates:
        """Returns the learning rates at `epoch`, which may be a fraction."""
        ...

    def observe(self, error: float) -> bool:
        """Takes a validation's top-1 error in percent; True if learning rates drop."""
        ...

    def take_over(self, before: "Schedule") -> None:
        """Takes the place of the schedule that the run had before, at its next step."""
        ...

    def state(self) -> dict[str, float]:
        """Returns what a checkpoint must hold to continue the schedule."""
        ...

    def restore(self, state: dict[str, float]) -> None:
        """Continues from what `state` returned."""
        ...


@dataclasses.dataclass
class Epochs:
    """Divides the learning rate by ten at fixed epochs, as the 2012 program does.

    Attributes:
        learning_rate: the initial one.
        drops: the epochs at which it is divided by ten, in any order.
        bias_factor: biases have this many times the learning rate of weights.
        bias_drops: the same epochs for biases; None if they are those of the weights.
        conv1_drop: from this epoch, conv1 has a tenth of the learning rate; inf: never.
        conv1_freeze: from this epoch, conv1 has the learning rate 0; inf: never.

    Example:
        >>> Epochs(1.0, drops=(2,)).learning_rates(2.5).weights
        0.1
    """

    learning_rate: float
    drops: Sequence[float] = ()
    bias_factor: float = 1.0
    bias_drops: Sequence[float] | None = None
    conv1_drop: float = math.inf
    conv1_freeze: float = math.inf

    def learning_rates(self, epoch: float) -> LearningRates:
        def dropped(drops: Sequence[float]) -> float:
            return self.learning_rate * 0.1 ** bisect.bisect_right(sorted(drops), epoch)

        bias_drops = self.drops if self.bias_drops is None else self.bias_drops
        conv1 = 1.0
        if epoch >= self.conv1_drop:
            conv1 = 0.1
        if epoch >= self.conv1_freeze:
            conv1 = 0.0
        return LearningRates(
            dropped(self.drops), self.bias_factor * dropped(bias_drops), conv1
        )

    def observe(self, error: float) -> bool:
        del error
        return False

    def take_over(self, before: Schedule) -> None:
        del before

    def state(self) -> dict[str, float]:
        return {}

    def restore(self, state: dict[str, float]) -> None:
        del state


@dataclasses.dataclass
class Plateau:
    """Divides the learning rate by ten when the validation error stops improving.

    Attributes:
        learning_rate: the initial one.
        patience: the number of validations in a row without improvement before a drop.
        gain: by how many percent an error must be below the best one to be an
            improvement.
        most_drops: the learning rate never drops more often than this.
        bias_factor: biases have this many times the learning rate of weights.

    Example:
        >>> plateau = Plateau(0.01, patience=2)
        >>> [plateau.observe(error) for error in (60, 50, 50, 50)]
        [False, False, False, True]
    """

    learning_rate: float
    patience: int = 3
    gain: float = 0.1
    most_drops: int = 3
    bias_factor: float = 1.0
    _best: float = float("inf")
    _waited: int = 0
    _drops: int = 0

    def learning_rates(self, epoch: float) -> LearningRates:
        del epoch
        weights = self.learning_rate * 0.1**self._drops
        return LearningRates(weights, self.bias_factor * weights, 1.0)

    def observe(self, error: float) -> bool:
        if error <= self._best - self.gain:
            self._best, self._waited = error, 0
            return False
        self._waited += 1
        # A changed schedule may allow fewer drops than there were.
        if self._waited < self.patience or self._drops >= self.most_drops:
            return False
        self._drops += 1
        self._waited = 0
        return True

    def take_over(self, before: Schedule) -> None:
        """Keeps the best error and the drops of another plateau; waits anew."""
        if isinstance(before, Plateau):
            self._best, self._drops = before._best, before._drops

    def state(self) -> dict[str, float]:
        return {"best": self._best, "waited": self._waited, "drops": self._drops}

    def restore(self, state: dict[str, float]) -> None:
        self._best = state["best"]
        self._waited = int(state["waited"])
        self._drops = int(state["drops"])
