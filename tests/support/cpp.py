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

# How the CPU kernels are built. The sanitizers find invalid memory accesses and undefined
# behavior. The portable build has no instruction sets of x86, like a build for Arm. The
# release build is what Bazel tests, and what the other tests load.
BUILDS = {
    "sanitized": ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    "portable": ["-O1", "-DALEXNET_TF_PORTABLE"],
}
# Optimizing a sanitized file takes longer than what it saves, but for this op.
OPTIMIZED = ("convolution",)


class CudaTest:
    """The test that runs the CUDA kernels of `op` on the CPU, built in `folder`."""

    def __init__(self, op, folder):
        if shutil.which("g++") is None:
            pytest.skip("needs g++")
        self._op, self._folder = op, folder
        self.kernels = (ROOT / f"custom_ops/{op}/{op}_cuda.cu").read_text()
        # Of the CPU kernels and the reference only the results count.
        others = [f"{op}/{op}_cpu.cc", f"{op}/{op}_reference.cc"]
        compile_all(
            folder / "others",
            [*others, *LISTED["CPU_SOURCES"]],
            ["-O1", "-DALEXNET_TF_PORTABLE"],
        )
        self._compile(folder, "-c", ROOT / "custom_ops/cuda_on_cpu/launch.cc")
        self._objects = sorted(folder.rglob("*.o"))

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


def check(op, folder):
    """Builds the C++ test of `op` in `folder` with the kernels in every way, and runs it."""
    if shutil.which("g++") is None:
        pytest.skip("needs g++")
    tests = [f"{op}/{op}_{part}.cc" for part in ("test", "reference")]
    kernels = [f"{op}/{op}_cpu.cc", *LISTED["CPU_SOURCES"]]
    compile_all(folder / "tests", tests, ["-O1"])
    level = "-O1" if op in OPTIMIZED else "-O0"
    for name, flags in BUILDS.items():
        compile_all(folder / name, kernels, [level, *flags])
        objects = [*(folder / "tests").glob("*.o"), *(folder / name).glob("*.o")]
        program = folder / name / "test"
        run_compiler(*flags, *objects, "-o", program)
        test = subprocess.run(
            [program],
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert test.returncode == 0, f"{name}: {test.stdout}"
        assert re.search(r"^[1-9]\d* checks, 0 failures$", test.stdout, re.MULTILINE)


def compile_all(folder, sources, flags):
    """Compiles these files of custom_ops/ into `folder`."""
    folder.mkdir()
    paths = [ROOT / "custom_ops" / name for name in sources]
    common = [*LISTED["CXX_FLAGS"], "-fno-math-errno", f"-I{ROOT}"]
    run_compiler(*common, *flags, "-c", *paths, cwd=folder)


def run_compiler(*arguments, cwd=ROOT):
    done = subprocess.run(
        ["g++", *arguments], cwd=cwd, stderr=subprocess.PIPE, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
