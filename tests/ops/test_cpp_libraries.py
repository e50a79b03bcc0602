"""The ops' C++ libraries against their references, without TensorFlow."""

import pytest

from tests.support import cpp


@pytest.mark.parametrize("op", cpp.OPS)
def test_fast_kernels_match_the_reference(op, tmp_path):
    cpp.check(op, tmp_path)
