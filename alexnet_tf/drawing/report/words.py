"""Numbers as a page writes them."""

import math
import shlex
from collections.abc import Mapping

from alexnet_tf.drawing.report import facts
from alexnet_tf.evaluation import measures
from alexnet_tf.models import architecture as architectures

parameters = architectures.parameters


def number(value: float) -> str:
    """Returns a whole number with commas.

    Example:
        >>> number(60965224)
        '60,965,224'
    """
    return f"{value:,}"


def count(value: int, one: str, many: str | None = None) -> str:
    """Returns a number with what it counts.

    Example:
        >>> count(1, "image"), count(2000, "image"), count(2, "class", "classes")
        ('1 image', '2,000 images', '2 classes')
    """
    return f"{value:,} {one if value == 1 else many or one + 's'}"


def percent(value: float) -> str:
    """Returns an error in percent.

    Example:
        >>> percent(20.449999)
        '20.45 %'
    """
    return f"{value:.2f} %"


def measure_name(measure: str) -> str:
    """Returns what is measured, without its unit.

    Example:
        >>> measure_name("top1_error"), measure_name("loss")
        ('top-1 error', 'loss')
    """
    return measures.MEASURES[measure].removesuffix(", %")


def measured(record: Mapping[str, float], measure: str) -> str:
    """Returns an error in percent, or a loss.

    Example:
        >>> measured({"top1_error": 20.5, "loss": 0.75}, "loss")
        '0.7500'
    """
    value = record[measure]
    return f"{value:.4f}" if measure == "loss" else percent(value)


def validation(run: facts.Run, measure: str) -> str | None:
    """An error that training measured, with its crop and split; None if it did not."""
    found = run.validation
    if found is None:
        return None
    at = "" if found["step"] == run.step else f" at step {found['step']:,}"
    return (
        f"{percent(found[measure])} with the center crop ({run.validation_split} split, "
        f"measured in training{at})"
    )


def unknown(run: facts.Run) -> str:
    """What is not known of a run that was validated and not evaluated."""
    at = "" if run.step is None else f" at step {run.step:,}"
    return (
        f"Ten crops were not measured{at}: python -m alexnet_tf.evaluate "
        f"--checkpoint={shlex.quote(run.named)} does it"
    )


def duration(seconds: float) -> str:
    """Returns a time in the units that suit it.

    Example:
        >>> duration(42), duration(430), duration(7500), duration(500000)
        ('42 s', '7 min 10 s', '2 h 5 min', '5 d 18 h')
    """
    if not math.isfinite(seconds):
        return str(seconds)
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    left, parts = round(seconds), []
    for name, size in units:
        if left >= size:
            parts.append(f"{left // size} {name}")
            left %= size
    return " ".join(parts[:2]) or "0 s"
