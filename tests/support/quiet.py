"""What a quiet command writes on standard error: progress bars, and a few lines."""

import re

# What TensorFlow, TFDS and absl print of their own accord.
NOISE = (
    r"\.cc:\d+\]|\.py:\d+\]|absl::InitializeLog|oneDNN|cuda|CUDA|TF_ENABLE|rebuild "
    r"TensorFlow|Fingerprint|WARNING|Warning|^[IWEF]\d{4}"
)


def noise_of(errors):
    """The lines of standard error that libraries wrote."""
    return [line for line in _lines(errors) if re.search(NOISE, line)]


def assert_quiet(errors, most):
    """Standard error has no noise, and at most so many lines beside progress bars."""
    assert not noise_of(errors)
    assert len(_beside_bars(_lines(errors))) <= most, errors


def _lines(errors):
    return re.split(r"[\r\n]+", errors.strip())


def _beside_bars(lines):
    """The lines that are not of a progress bar; TFDS has bars without a total."""
    bar = r"\d+%\||examples \[|^\s*(\x1b\[A)?$"
    return [line for line in lines if not re.search(bar, line)]
