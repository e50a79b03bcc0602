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


class CudaTest:
    """The test that runs the CUDA kernels of `op` on the CPU, built in `folder`."""

    def __init__(self, op, folder):
        if shutil.which("g++") is None:
            pytest.skip("needs g++")
        self._op, self._folder = op, folder
        self.kernels = (ROOT / f"custom_ops/{op}/{op}_cuda.cu").read_text()
        # The CPU kernels take longest to compile, and only their results count.
        others = [f"{op}/{op}_cpu.cc", f"{op}/{op}_reference.cc"]
        others += ["cuda_on_cpu/launch.cc", *LISTED["CPU_SOURCES"]]
        sources = [ROOT / "custom_ops" / name for name in others]
        self._compile(folder, "-DALEXNET_TF_PORTABLE", "-O0", "-c", *sources)
        self._objects = sorted(folder.glob("*.o"))

    def run(self, folder, kernels=None):
        """Builds and runs it with this text for the kernels, by default the op's own.

        Returns what it printed, and its exit status.
        """
        path = folder / "custom_ops" / self._op / f"{self._op}_cuda.cu"
        path.parent.mkdir(parents=True)
        path.write_text(self.kernels if kernels is None else kernels)
        source = ROOT / f"custom_ops/{self._op}/{self._op}_cuda_test.cc"
        self._compile(folder, f"-I{folder}", source, *self._objects, "-o", "cuda_test")
        done = subprocess.run(
            [folder / "cuda_test"],
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return done.stdout, done.returncode

    def _compile(self, folder, *arguments):
        flags = ("CXX_FLAGS", "CUDA_TEST_FLAGS", "SANITIZER_FLAGS")
        command = ["g++", *(flag for name in flags for flag in LISTED[name])]
        includes = [f"-I{ROOT}", f"-I{ROOT}/custom_ops/cuda_on_cpu"]
        # What comes first among `arguments` is searched first.
        build = subprocess.run(
            [*command, *arguments, *includes],
            cwd=folder,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        assert build.returncode == 0, build.stderr[-3000:]


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
