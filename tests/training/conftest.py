"""The net that most tests of runs train: what they say is not about its layers."""

import pytest
import tensorflow as tf

from alexnet_tf.models import zoo
from tests.support import nets


@pytest.fixture(autouse=True, scope="module")
def tiny_net():
    """Puts the tiny net in the place of the one whose name it has."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(zoo.ARCHITECTURES, nets.TINY.name, nets.TINY)
        yield


@pytest.fixture(autouse=True)
def random_without_seeds(monkeypatch):
    """Keeps `train.main` from forbidding random operations to the tests that follow."""
    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: None)
