#!/bin/sh
# Checks that TensorFlow can load the library $1 and run its LRN op.
set -eu
TF_CPP_MIN_LOG_LEVEL=2 "${PYTHON_BIN_PATH:-python3}" - "$1" <<'PROGRAM'
import os
import sys

import tensorflow as tf

ops = tf.load_op_library(os.path.abspath(sys.argv[1]))
y = ops.alexnet_tf_local_response_normalization(
    tf.ones([1, 1, 1, 5]), size=3, k=1.0, alpha=1.0, beta=1.0
)
tf.debugging.assert_near(y[0, 0, 0], [1 / 3, 1 / 4, 1 / 4, 1 / 4, 1 / 3])
PROGRAM
