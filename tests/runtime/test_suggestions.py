"""Names that a user may have meant."""

import pytest

from alexnet_tf.runtime import suggestions

LAYERS = ["conv1", "conv1/relu", "conv2", "fc7", "Angora cat"]


@pytest.mark.parametrize(
    ("typed", "first"),
    [("covn1", "conv1"), ("CONV2", "conv2"), ("fc-7", "fc7"), ("angora-cat", None)],
)
def test_the_nearest_name_comes_first(typed, first):
    found = suggestions.did_you_mean(typed, LAYERS)
    assert found.startswith(f". Did you mean {first or 'Angora cat'}")
    assert found.endswith("?")


def test_nothing_is_suggested_for_a_name_like_none():
    assert suggestions.did_you_mean("zebra", LAYERS) == ""
    assert suggestions.did_you_mean("fc7", []) == ""


def test_at_most_three_are_suggested():
    many = [f"conv{n}" for n in range(10)]
    assert suggestions.did_you_mean("conv", many).count(" or ") == 2
