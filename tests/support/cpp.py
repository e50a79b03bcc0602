"""Builds and runs the C++ tests of the ops' libraries, which do not use TensorFlow."""

import pathlib
import re
import runpy
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
# The lists of files and flags that setup.py and Bazel use too.
LISTED = runpy.run_path(str(ROOT / "custom_ops" / "sources.bzl"))
OPS = LISTED["OPS"]

# The release build is what a user's compiler makes. The sanitized build finds invalid
# memory accesses and undefined behavior. The portable build has no instruction sets of
# x86, like a build for Arm.
BUILDS = {
    "release": ["-O3"],
    "sanitized": ["-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    "portable": ["-O2", "-DALEXNET_TF_PORTABLE"],
}


def check(op, folder, **levels):
    """Builds the C++ test of `op` in `folder` in every way, and runs it.

    `levels` overrides the optimization levels of builds.
    """
    if shutil.which("g++") is None:
        pytest.skip("needs g++")
    names = [f"{op}/{op}_{part}.cc" for part in ("test", "cpu", "reference")]
    sources = [f"custom_ops/{name}" for name in [*names, *LISTED["CPU_SOURCES"]]]
    flags = [*LISTED["CXX_FLAGS"], "-fno-math-errno", "-I."]
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
        assert re.search(r"^[1-9]\d* checks, 0 failures$", test.stdout, re.MULTILINE)
