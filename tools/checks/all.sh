#!/usr/bin/env bash
# Checks format, lint and types, and runs the tests. `make test` and CI run this script.
# Its arguments are passed to pytest.
set -euo pipefail
cd "$(dirname "$0")/../.."

ruff format --check .
ruff check .
mypy
find custom_ops tools \( -name '*.h' -o -name '*.cc' -o -name '*.inc' -o -name '*.cu' \) -print0 |
  xargs -0 clang-format --dry-run --Werror
# Most of the time is spent in Python, of which each process uses one core. Three, because
# on two cores a test that waits for a server or a disk would leave one of them idle. The
# one that ends first takes tests over from the others.
#
# Images of containers often forbid bytecode, without which each of the many processes
# would compile the package anew.
unset PYTHONDONTWRITEBYTECODE
python -m pytest -n 3 --dist worksteal "$@"
