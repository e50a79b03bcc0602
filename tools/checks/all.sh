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
# Two processes, because most of the time is spent in Python, of which each uses one core.
# The one that ends first takes tests over from the other.
python -m pytest -n 2 --dist worksteal "$@"
