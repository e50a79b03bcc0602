# Copyright 2026 The alexnet_tf authors. Apache-2.0.
"""Builds the op library; the rest of the package's description is pyproject.toml.

Environment: CXX names the C++ compiler (default g++). ALEXNET_TF_CUDA=1 demands
the GPU kernels, 0 leaves them out; otherwise they are built where nvcc is found.
"""

import concurrent.futures
import importlib.metadata
import importlib.util
import os
import pathlib
import shlex
import shutil
import subprocess

import setuptools
from setuptools.command import build_ext

ROOT = pathlib.Path(__file__).resolve().parent
OPS = "custom_ops"

# Free of TensorFlow, where the time goes.
MATH_SOURCES = [f"{OPS}/lrn/lrn_reference.cc", f"{OPS}/lrn/lrn_cpu.cc"]
TENSORFLOW_SOURCES = [f"{OPS}/lrn/lrn_ops.cc", f"{OPS}/lrn/lrn_kernels.cc"]
CXX_FLAGS = ["-std=c++17", "-fPIC", "-Wall", "-Wextra", "-Werror", "-DNDEBUG", "-I."]
MATH_FLAGS = ["-O3", "-fno-math-errno"]


def tensorflow_directory() -> pathlib.Path:
    # Found without importing it, which takes seconds and prints.
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(
            "TensorFlow is needed to build alexnet_tf: pip install 'tensorflow~=2.21.0'"
        )
    return pathlib.Path(spec.submodule_search_locations[0])


def tensorflow_version() -> str:
    # tensorflow and tensorflow-cpu both hold the package.
    distribution = importlib.metadata.packages_distributions()["tensorflow"][0]
    return importlib.metadata.version(distribution)


def compiler() -> list[str]:
    command = shlex.split(os.environ.get("CXX", "g++"))
    if shutil.which(command[0]) is None:
        raise SystemExit(
            f"C++ compiler {command[0]!r} not found: install one "
            "(apt-get install g++), or name it in the environment variable CXX"
        )
    return command


def run(command: list[str]) -> None:
    print(shlex.join(command), flush=True)
    if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
        raise SystemExit(f"failed: {shlex.join(command)}")


class BuildOps(build_ext.build_ext):
    """One shared library of all ops, named alike on every Python."""

    def get_ext_filename(self, fullname):
        return fullname.replace(".", "/") + ".so"

    def build_extension(self, ext):
        tensorflow = tensorflow_directory()
        objects = pathlib.Path(self.build_temp).resolve()
        objects.mkdir(parents=True, exist_ok=True)
        target = pathlib.Path(self.get_ext_fullpath(ext.name)).resolve()
        target.parent.mkdir(parents=True, exist_ok=True)

        cxx = [*compiler(), *CXX_FLAGS]
        include = tensorflow / "include"
        commands = {}
        for source in MATH_SOURCES:
            commands[source] = [*cxx, *MATH_FLAGS]
        version = f"-DALEXNET_TF_TENSORFLOW={tensorflow_version()}"
        commands[f"{OPS}/library.cc"] = [*cxx, version]
        for source in TENSORFLOW_SOURCES:
            # As system headers, so that warnings are about our code only.
            commands[source] = [*cxx, "-O2", "-isystem", str(include)]

        def compile_source(source: str) -> str:
            output = str(objects / (pathlib.Path(source).name + ".o"))
            run([*commands[source], "-c", source, "-o", output])
            return output

        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            outputs = list(pool.map(compile_source, commands))
        run(
            [
                *compiler(),
                "-shared",
                "-o",
                str(target),
                *outputs,
                f"-L{tensorflow}",
                "-l:libtensorflow_framework.so.2",
            ]
        )


class Wheel(setuptools.Distribution().get_command_class("bdist_wheel")):
    """The library binds to TensorFlow and not to Python: one wheel serves all."""

    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


setuptools.setup(
    ext_modules=[
        setuptools.Extension(
            "alexnet_tf._alexnet_ops",
            sources=[f"{OPS}/library.cc", *MATH_SOURCES, *TENSORFLOW_SOURCES],
            depends=[
                f"{OPS}/lrn/lrn.h",
                f"{OPS}/lrn/lrn_cpu_kernels.inc",
            ],
        )
    ],
    cmdclass={"build_ext": BuildOps, "bdist_wheel": Wheel},
)
