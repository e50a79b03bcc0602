#!/usr/bin/env bash
# Format, lint, types, tests: what `make test` and CI run. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."

ruff format --check .
ruff check .
mypy
find custom_ops tools \( -name '*.h' -o -name '*.cc' -o -name '*.inc' -o -name '*.cu' \) -print0 |
  xargs -0 clang-format --dry-run --Werror
python -m pytest "$@"
