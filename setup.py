# Copyright 2026 The alexnet_tf authors. Apache-2.0.
"""Builds the op library. pyproject.toml describes the rest of the package.

The environment variable CXX names the C++ compiler, by default g++. ALEXNET_TF_OPS=1
requires the library, and 0 leaves it out. Otherwise it is built if that is possible; the
package works without it, more slowly, with TensorFlow's own operations.
ALEXNET_TF_CUDA=1 requires the GPU kernels, and 0 leaves them out. Otherwise they are
built if nvcc 12.8 or newer is found.
"""

import concurrent.futures
import importlib.metadata
import importlib.util
import os
import pathlib
import re
import runpy
import shlex
import shutil
import subprocess
import sys

import setuptools
from setuptools.command import build_ext, build_py

ROOT = pathlib.Path(__file__).resolve().parent
OPS = "custom_ops"

# The lists of files and flags that Bazel loads too.
LISTS = f"{OPS}/sources.bzl"
LISTED = runpy.run_path(str(ROOT / LISTS))


def files(key: str) -> list[str]:
    """The files of this list."""
    return [f"{OPS}/{name}" for name in LISTED[key]]


def op_files(ending: str, ops: str = "OPS") -> list[str]:
    """The file <op>/<op>`ending` of every op in this list."""
    return [f"{OPS}/{op}/{op}{ending}" for op in LISTED[ops]]


LIBRARY_SOURCES = files("LIBRARY_SOURCES")
# These do not use TensorFlow, and the ops spend their time there.
CPU_SOURCES = [*files("CPU_SOURCES"), *op_files("_cpu.cc")]
TENSORFLOW_SOURCES = [*op_files("_ops.cc"), *op_files("_kernels.cc")]
CUDA_SOURCES = op_files("_cuda.cu", "OPS_WITH_CUDA")
HEADERS = [
    *files("CPU_HEADERS"),
    *files("TENSORFLOW_HEADERS"),
    *op_files(".h"),
    *op_files("_cpu_kernels.inc", "OPS_WITH_INC"),
]
CXX_FLAGS = [*LISTED["CXX_FLAGS"], "-fPIC", "-DNDEBUG", "-I."]


def tensorflow_directory() -> pathlib.Path:
    # Importing TensorFlow would take seconds and print messages.
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(
            "TensorFlow is needed to build alexnet_tf: pip install 'tensorflow~=2.21.0'"
        )
    return pathlib.Path(spec.submodule_search_locations[0])


def tensorflow_version() -> str:
    # Either tensorflow or tensorflow-cpu provides the package.
    distribution = importlib.metadata.packages_distributions()["tensorflow"][0]
    return importlib.metadata.version(distribution)


class CannotBuildError(Exception):
    """Why the op library, or its GPU kernels, cannot be built here."""


def wanted(variable: str) -> bool | None:
    """Whether an environment variable requires something; None leaves it open."""
    value = os.environ.get(variable, "")
    if value not in ("", "0", "1"):
        raise SystemExit(f"{variable} must be 0, 1 or empty, got {value!r}")
    return value == "1" if value else None


def compiler() -> list[str]:
    command = shlex.split(os.environ.get("CXX", "g++"))
    if shutil.which(command[0]) is None:
        raise CannotBuildError(
            f"C++ compiler {command[0]!r} not found: install one "
            "(apt-get install g++), or name it in the environment variable CXX"
        )
    return command


def found_in(pattern: str, command: list[str]) -> str:
    """Returns what a pattern finds in the output of a command."""
    done = subprocess.run(
        command,
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    found = re.search(pattern, done.stdout)
    if found is None:
        raise CannotBuildError(
            f"{shlex.join(command)} printed no {pattern}: {done.stdout}"
        )
    return found[1]


class Cuda:
    """A CUDA toolkit, installed on the machine or by PyPI's nvidia-cuda-nvcc."""

    # The first that compiles for Blackwell. Kernels that nvcc 12 compiled run with every
    # driver that TensorFlow itself runs with (525 and newer), those of nvcc 13 with 580
    # and newer.
    LEAST_VERSION = (12, 8)
    # Machine code for Turing to Blackwell, and PTX that later GPUs compile themselves.
    REAL = (75, 80, 86, 89, 90, 100, 120)
    VIRTUAL = 120

    def __init__(self, nvcc: str):
        self.nvcc = nvcc
        self.version = found_in(r"release (\d+\.\d+)", [nvcc, "--version"])
        top = found_in(r"TOP=(.*)", [nvcc, "--dryrun", "-E", "-x", "cu", "-"])
        self.root = pathlib.Path(top.strip())

    def runtime(self) -> str:
        for folder in ("lib64", "lib", "targets/x86_64-linux/lib"):
            library = self.root / folder / "libcudart_static.a"
            if library.exists():
                return str(library.resolve())
        raise CannotBuildError(
            f"libcudart_static.a not found in {self.root}: install nvidia-cuda-runtime "
            "beside nvcc"
        )

    def compile(self, source: str, target: str) -> list[str]:
        code = [f"-gencode=arch=compute_{n},code=sm_{n}" for n in self.REAL]
        code += [f"-gencode=arch=compute_{self.VIRTUAL},code=compute_{self.VIRTUAL}"]
        return [
            self.nvcc,
            *("-std=c++17", "-O3", "-I.", *code, "--threads=0"),
            *("-Xcompiler=-fPIC,-Wall,-Wextra,-Werror", "-Werror=all-warnings"),
            *("-c", source, "-o", target),
        ]


def find_cuda() -> Cuda:
    """Returns the toolkit, or raises CannotBuildError."""
    folders = [os.path.join(os.environ.get("CUDA_HOME", "/usr/local/cuda"), "bin")]
    nvidia = importlib.util.find_spec("nvidia")
    if nvidia is not None:
        folders += [f"{path}/cu13/bin" for path in nvidia.submodule_search_locations]
    nvcc = shutil.which("nvcc") or shutil.which("nvcc", path=os.pathsep.join(folders))
    least = ".".join(map(str, Cuda.LEAST_VERSION))
    advice = (
        f"they need nvcc {least} or newer: install CUDA, or pip install "
        "'nvidia-cuda-nvcc==13.0.*' (docs/gpu.md). Without them TensorFlow's own "
        "operations normalize on GPUs (--lrn=stock)"
    )
    if nvcc is None:
        raise CannotBuildError(f"found no nvcc, and {advice}")
    cuda = Cuda(nvcc)
    if tuple(map(int, cuda.version.split("."))) < Cuda.LEAST_VERSION:
        raise CannotBuildError(f"found nvcc {cuda.version} ({nvcc}), and {advice}")
    return cuda


def run(command: list[str]) -> None:
    print(shlex.join(command), flush=True)
    if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
        raise CannotBuildError(f"failed: {shlex.join(command)}")


def left_out(what: str, variables: list[str], why: CannotBuildError) -> None:
    """Says what is left out, or ends the build if one of the variables requires it."""
    for variable in filter(wanted, variables):
        raise SystemExit(f"{variable}=1 requires {what}: {why}")
    line = "=" * 79
    print(f"{line}\nalexnet_tf: {what} left out: {why}\n{line}", flush=True)


def source_flags(tensorflow: pathlib.Path, cuda: Cuda | None) -> dict[str, list[str]]:
    """Each C++ source, with its flags in addition to CXX_FLAGS."""
    cuda_flags = [f"-DALEXNET_TF_CUDA={cuda.version}"] if cuda else []
    version = f"-DALEXNET_TF_TENSORFLOW={tensorflow_version()}"
    # As system headers, so that the compiler warns about our code only.
    includes = ["-O2", "-isystem", str(tensorflow / "include")]
    groups = (
        (LIBRARY_SOURCES, [version, *cuda_flags]),
        (CPU_SOURCES, LISTED["CPU_FLAGS"]),
        (TENSORFLOW_SOURCES, [*includes, *cuda_flags]),
    )
    return {source: flags for sources, flags in groups for source in sources}


class BuildOps(build_ext.build_ext):
    """Builds one shared library of all ops, with the same name for every Python."""

    def get_ext_filename(self, fullname):
        return fullname.replace(".", "/") + ".so"

    def run(self):
        if wanted("ALEXNET_TF_OPS") is False:
            self.extensions = []
        super().run()

    def build_extensions(self):
        try:
            super().build_extensions()
        except CannotBuildError as why:
            left_out("the op library", ["ALEXNET_TF_OPS", "ALEXNET_TF_CUDA"], why)
            self.extensions = []

    def build_extension(self, ext):
        if sys.platform != "linux":
            raise CannotBuildError(f"it is built on Linux only, this is {sys.platform}")
        compiler()  # without it nothing can be built
        tensorflow = tensorflow_directory()
        folder = pathlib.Path(self.build_temp).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        cuda, cuda_objects = build_cuda(folder)
        objects = compile_all(source_flags(tensorflow, cuda), folder)
        target = pathlib.Path(self.get_ext_fullpath(ext.name)).resolve()
        target.parent.mkdir(parents=True, exist_ok=True)
        # TensorFlow's library exports stubs of CUDA's functions. CUDA's own runtime
        # must come before it, and its symbols must stay hidden.
        runtime = [cuda.runtime(), "-ldl", "-lrt", "-lpthread"] if cuda else []
        run(
            [
                *compiler(),
                *("-shared", "-o", str(target), *objects, *cuda_objects, *runtime),
                "-Wl,--exclude-libs,ALL",
                f"-L{tensorflow}",
                "-l:libtensorflow_framework.so.2",
            ]
        )


def object_of(source: str, folder: pathlib.Path) -> str:
    return str(folder / (pathlib.Path(source).name + ".o"))


def run_all(commands: list[list[str]]) -> None:
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(run, commands))


def build_cuda(folder: pathlib.Path) -> tuple[Cuda | None, list[str]]:
    """Compiles the GPU kernels if that is possible; returns CUDA and their objects."""
    if wanted("ALEXNET_TF_CUDA") is False:
        return None, []
    try:
        cuda = find_cuda()
        cuda.runtime()
        objects = [object_of(source, folder) for source in CUDA_SOURCES]
        run_all([*map(cuda.compile, CUDA_SOURCES, objects)])
    except CannotBuildError as why:
        left_out("the GPU kernels", ["ALEXNET_TF_CUDA"], why)
        return None, []
    return cuda, objects


def compile_all(sources: dict[str, list[str]], folder: pathlib.Path) -> list[str]:
    """Compiles the C++ sources in parallel, each with its flags; returns the objects."""
    cxx = [*compiler(), *CXX_FLAGS]
    objects = {source: object_of(source, folder) for source in sources}
    run_all(
        [
            [*cxx, *flags, "-c", source, "-o", objects[source]]
            for source, flags in sources.items()
        ]
    )
    return [*objects.values()]


class BuildPython(build_py.build_py):
    """Builds the package. A wheel also contains the recipes of tools/."""

    def run(self):
        super().run()
        if self.editable_mode:
            return
        folder = pathlib.Path(self.build_lib) / "alexnet_tf" / "tools"
        folder.mkdir(parents=True, exist_ok=True)
        for recipe in (ROOT / "tools").glob("*.flags"):
            shutil.copy(recipe, folder)


class Wheel(setuptools.Distribution().get_command_class("bdist_wheel")):
    """The library depends on TensorFlow but not on Python, so one wheel serves all."""

    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


setuptools.setup(
    ext_modules=[
        setuptools.Extension(
            "alexnet_tf._alexnet_ops",
            sources=[*LIBRARY_SOURCES, *CPU_SOURCES, *TENSORFLOW_SOURCES],
            depends=[LISTS, *HEADERS, *CUDA_SOURCES],
        )
    ],
    cmdclass={
        "build_ext": BuildOps,
        "build_py": BuildPython,
        "bdist_wheel": Wheel,
    },
)
