#!/usr/bin/env bash
# Format, lint, types, tests: what `make test` and CI run. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/../.."

ruff format --check .
ruff check .
mypy
find custom_ops tools \( -name '*.h' -o -name '*.cc' -o -name '*.inc' -o -name '*.cu' \) -print0 |
  xargs -0 clang-format --dry-run --Werror
# A file a process, two at a time: most of the time is Python starting TensorFlow.
python -m pytest -n 2 --dist loadfile "$@"
