"""Random arrays and padding for tests."""

import numpy as np


def noise(*shape, seed=0, scale=1.0):
    """Normally distributed float32 numbers of this shape."""
    return np.random.default_rng(seed).normal(0, scale, shape).astype(np.float32)


def padded(x, before, after):
    """Images [N, H, W, C] with zeros around them, on both axes alike."""
    edges = [(0, 0), (before, after), (before, after), (0, 0)]
    return np.pad(x, edges)
