# Copyright 2026 The alexnet_tf authors. Apache-2.0.
"""The ops' libraries and their own tests, without TensorFlow."""

import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]

# As a user's compiler sees the library, under the sanitizers, and without any
# instruction set of x86 (what Arm compiles).
BUILDS = {
    "release": ["-O3"],
    "sanitized": ["-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    "portable": ["-O2", "-DALEXNET_TF_PORTABLE"],
}


def check(folder, sources, **levels):
    """Builds and runs a C++ test of `sources` and isa.cc in every way.

    `levels`: the optimisation of some builds where it is another.
    """
    if shutil.which("g++") is None:
        pytest.skip("needs g++")
    sources = [f"custom_ops/{name}" for name in (*sources, "isa.cc")]
    flags = ["-std=c++17", "-fno-math-errno", "-Wall", "-Wextra", "-Werror", "-I."]
    builds = {}
    for name, (level, *extra) in BUILDS.items():
        level = levels.get(name, level)
        builds[name] = subprocess.Popen(
            ["g++", *flags, level, *extra, *sources, "-o", folder / name],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
    for build in builds.values():
        _, errors = build.communicate()
        assert build.returncode == 0, errors
    for name in builds:
        test = subprocess.run(
            [folder / name],
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert test.returncode == 0, f"{name}: {test.stdout}"
        assert "baseline: run" in test.stdout
