#!/bin/sh
# Builds and tests the op library with Bazel, offline. On Debian, `apt-get install
# bazel-bootstrap` installs Bazel. PYTHON_BIN_PATH names a Python that has TensorFlow.
set -eu
cd "$(dirname "$0")/../.."
PYTHON_BIN_PATH="${PYTHON_BIN_PATH:-$PWD/.venv/bin/python}"
export PYTHON_BIN_PATH
if ! command -v bazel >/dev/null; then
  echo "bazel was not found: install it with apt-get install bazel-bootstrap" >&2
  exit 1
fi
bazel build -c opt --symlink_prefix=/ //:lrn_op
bazel test -c opt --symlink_prefix=/ --test_output=errors --test_env=PYTHON_BIN_PATH //...
