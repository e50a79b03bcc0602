"""When the learning rate changes.

Paper section 5: divided by ten when the validation error stops improving, three times
in all. The released program: at fixed epochs, with the biases' rate and conv1's on their
own (`layer-params-145-2010.cfg`).
"""

import bisect
import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Protocol

import tensorflow as tf


class Rates(NamedTuple):
    """Learning rates of one step; floats, or scalar tensors of them."""

    weights: Any
    biases: Any
    conv1_factor: Any  # on both, for the first layer

    def of(self, path: str) -> Any:
        """The rate of the variable called `path`, as 'conv1_tower0/kernel'."""
        rate = self.biases if path.endswith("/bias") else self.weights
        return rate * self.conv1_factor if path.startswith("conv1") else rate

    def tensors(self) -> "Rates":
        """The same as scalar tensors, for a compiled step."""
        return Rates(*(tf.constant(rate, tf.float32) for rate in self))


def scaled_rate(
    rate: float, rule: Literal["none", "linear", "sqrt"], factor: float
) -> float:
    """`rate` for a batch `factor` times as large as the one it was found for.

    linear: Goyal et al. 2017 (arXiv:1706.02677), and the paper's author with batches of
    several GPUs; sqrt keeps the variance of a step (Krizhevsky 2014, arXiv:1404.5997).
    """
    return rate * {"none": 1.0, "linear": factor, "sqrt": math.sqrt(factor)}[rule]


class Schedule(Protocol):
    """What the loop asks and tells; `state` is saved, and restored into the same."""

    def rates(self, epoch: float) -> Rates: ...

    def observe(self, error: float) -> bool:
        """Takes a validation's top-1 error in percent; True where the rate drops."""
        ...

    def state(self) -> dict[str, float]: ...

    def restore(self, state: dict[str, float]) -> None: ...


@dataclasses.dataclass
class Epochs:
    """Divides by ten at each of `drops`, in epochs.

    Biases have `bias_factor` times the rate and drops of their own; conv1 drops once
    more at `conv1_drop` and stops at `conv1_freeze` (0: never).
    """

    rate: float
    drops: Sequence[float] = ()
    bias_factor: float = 1.0
    bias_drops: Sequence[float] | None = None  # None: as the weights'
    conv1_drop: float = 0.0
    conv1_freeze: float = 0.0

    def rates(self, epoch: float) -> Rates:
        def dropped(drops: Sequence[float]) -> float:
            return self.rate * 0.1 ** bisect.bisect_right(sorted(drops), epoch)

        bias_drops = self.drops if self.bias_drops is None else self.bias_drops
        conv1 = 1.0
        if self.conv1_drop and epoch >= self.conv1_drop:
            conv1 = 0.1
        if self.conv1_freeze and epoch >= self.conv1_freeze:
            conv1 = 0.0
        return Rates(dropped(self.drops), self.bias_factor * dropped(bias_drops), conv1)

    def observe(self, error: float) -> bool:
        del error
        return False

    def state(self) -> dict[str, float]:
        return {}

    def restore(self, state: dict[str, float]) -> None:
        del state


@dataclasses.dataclass
class Plateau:
    """Divides by ten after `patience` validations that gain less than `gain` percent."""

    rate: float
    patience: int = 3
    gain: float = 0.1
    most_drops: int = 3
    bias_factor: float = 1.0
    _best: float = float("inf")
    _waited: int = 0
    _drops: int = 0

    def rates(self, epoch: float) -> Rates:
        del epoch
        rate = self.rate * 0.1**self._drops
        return Rates(rate, self.bias_factor * rate, 1.0)

    def observe(self, error: float) -> bool:
        if error <= self._best - self.gain:
            self._best, self._waited = error, 0
            return False
        self._waited += 1
        if self._waited < self.patience or self._drops == self.most_drops:
            return False
        self._drops += 1
        self._waited = 0
        return True

    def state(self) -> dict[str, float]:
        return {"best": self._best, "waited": self._waited, "drops": self._drops}

    def restore(self, state: dict[str, float]) -> None:
        self._best = state["best"]
        self._waited = int(state["waited"])
        self._drops = int(state["drops"])
