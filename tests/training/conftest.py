"""The net that most tests of runs train: what they say is not about its layers."""

import pytest

from alexnet_tf.models import zoo
from tests.support import nets


@pytest.fixture(autouse=True, scope="module")
def tiny_net():
    """Puts the tiny net in the place of the one whose name it has."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(zoo.ARCHITECTURES, nets.TINY.name, nets.TINY)
        yield
