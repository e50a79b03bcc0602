"""Checks of the layers' arguments."""

from collections.abc import Sequence


def one_of(name: str, value: str, known: Sequence[str]) -> str:
    """Returns `value`, or raises ValueError unless it is one of `known`."""
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")
    return value


def count(name: str, value: int) -> int:
    """Returns `value`, or raises ValueError unless it is a whole number from 1 up."""
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
    return value


def window_size(name: str, value: int) -> int:
    """Returns `value`, or raises ValueError unless it is odd and at least 1."""
    if value < 1 or value % 2 == 0:
        raise ValueError(f"{name} must be odd and at least 1, got {value}")
    return value


def before_and_after(name: str, value: Sequence[int]) -> tuple[int, int]:
    """Returns `value` as a tuple, or raises ValueError unless it can be a padding."""
    if (
        not isinstance(value, Sequence)
        or len(value) != 2
        or not all(isinstance(number, int) and number >= 0 for number in value)
    ):
        raise ValueError(
            f"{name} must be (before, after), two whole numbers of at least 0, "
            f"got {value!r}"
        )
    before, after = value
    return before, after
