"""Pooling that leaves out no pixel, against a plain loop over its windows."""

import math

import keras
import numpy as np
import pytest

from alexnet_tf.models import layers
from tests.support import arrays


def pooled_by_hand(maps, size, stride):
    """The largest pixels of all windows, of which the last ones may be cut off."""
    rows, columns = (
        [stride * n for n in range(1 + math.ceil((side - size) / stride))]
        for side in maps.shape[1:3]
    )
    return np.stack(
        [
            np.stack(
                [maps[:, r : r + size, c : c + size].max((1, 2)) for c in columns], 1
            )
            for r in rows
        ],
        1,
    )


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("size", "stride"), [(3, 2), (2, 2), (3, 3), (3, 1)])
@pytest.mark.parametrize("shape", [(7, 7), (8, 8), (7, 8), (9, 4), (3, 10)])
def test_the_last_windows_are_cut_off_at_the_edge(shape, size, stride, sign):
    """Whatever the signs of the pixels are: the 2012 program pools before its ReLU."""
    maps = sign * (1 + np.abs(arrays.noise(2, *shape, 3)))
    layer = layers.CeilMaxPooling2D(size, stride)
    found = layer(maps)
    np.testing.assert_array_equal(found, pooled_by_hand(maps, size, stride))
    assert layer.compute_output_shape(maps.shape) == found.shape


def test_it_equals_keras_pooling_where_no_window_is_cut_off():
    maps = arrays.noise(2, 7, 9, 3)
    expected = keras.layers.MaxPooling2D(3, 2)(maps)
    np.testing.assert_array_equal(layers.CeilMaxPooling2D(3, 2)(maps), expected)
