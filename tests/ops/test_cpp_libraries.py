"""The ops' C++ libraries against their references, without TensorFlow."""

import pytest

from tests.support import cpp

# At -O0 the sanitized loops of this op take a minute.
SANITIZED_LEVELS = {"convolution": "-O1"}


@pytest.mark.parametrize("op", cpp.OPS)
def test_fast_kernels_match_the_reference(op, tmp_path):
    cpp.check(op, tmp_path, sanitized=SANITIZED_LEVELS.get(op, "-O0"))
