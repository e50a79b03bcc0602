# Copyright 2026 The alexnet_tf authors. Apache-2.0.
"""How the ops are compiled, as setup.py does."""

WARNINGS = [
    "-std=c++17",
    "-Wall",
    "-Wextra",
    "-Werror",
]

# Where the time goes.
MATH = WARNINGS + [
    "-O3",
    "-fno-math-errno",
]
