"""Random arrays, padding and comparisons for tests."""

import numpy as np


def noise(*shape, seed=0, scale=1.0):
    """Normally distributed float32 numbers of this shape."""
    return np.random.default_rng(seed).normal(0, scale, shape).astype(np.float32)


def padded(x, before, after):
    """Images [N, H, W, C] with zeros around them, on both axes alike."""
    edges = [(0, 0), (before, after), (before, after), (0, 0)]
    return np.pad(x, edges)


def assert_equal_to_rounding(found, expected, tolerance=1e-5):
    """Asserts that arrays differ by at most `tolerance` times the largest value."""
    found, expected = np.asarray(found), np.asarray(expected)
    largest = np.abs(expected).max()
    assert largest > 0
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * largest)
