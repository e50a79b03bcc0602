# Copyright 2026 The alexnet_tf authors. Apache-2.0.
"""Builds the op library. pyproject.toml describes the rest of the package.

The environment variable CXX names the C++ compiler, by default g++. ALEXNET_TF_CUDA=1
requires the GPU kernels, and 0 leaves them out. Otherwise they are built if nvcc is
found.
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


def compiler() -> list[str]:
    command = shlex.split(os.environ.get("CXX", "g++"))
    if shutil.which(command[0]) is None:
        raise SystemExit(
            f"C++ compiler {command[0]!r} not found: install one "
            "(apt-get install g++), or name it in the environment variable CXX"
        )
    return command


def output(command: list[str]) -> str:
    return subprocess.run(
        command,
        check=True,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ).stdout


class Cuda:
    """A CUDA 13 toolkit, installed on the machine or by PyPI's nvidia-cuda-nvcc."""

    # Machine code for Turing to Blackwell, and PTX that later GPUs compile themselves.
    REAL = (75, 80, 86, 89, 90, 100, 120)
    VIRTUAL = 120

    def __init__(self, nvcc: str):
        self.nvcc = nvcc
        self.version = re.search(r"release (\d+\.\d+)", output([nvcc, "--version"]))[1]
        top = re.search(r"TOP=(.*)", output([nvcc, "--dryrun", "-E", "-x", "cu", "-"]))
        self.root = pathlib.Path(top[1].strip())

    def runtime(self) -> str:
        for folder in ("lib64", "lib", "targets/x86_64-linux/lib"):
            library = self.root / folder / "libcudart_static.a"
            if library.exists():
                return str(library.resolve())
        raise SystemExit(
            f"libcudart_static.a not found in {self.root}: install "
            "nvidia-cuda-runtime beside nvcc, or leave CUDA out with ALEXNET_TF_CUDA=0"
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


def find_cuda() -> Cuda | None:
    wanted = os.environ.get("ALEXNET_TF_CUDA", "")
    if wanted not in ("", "0", "1"):
        raise SystemExit(f"ALEXNET_TF_CUDA must be 0, 1 or empty, got {wanted!r}")
    if wanted == "0":
        return None
    folders = [os.path.join(os.environ.get("CUDA_HOME", "/usr/local/cuda"), "bin")]
    nvidia = importlib.util.find_spec("nvidia")
    if nvidia is not None:
        folders += [f"{path}/cu13/bin" for path in nvidia.submodule_search_locations]
    nvcc = shutil.which("nvcc") or shutil.which("nvcc", path=os.pathsep.join(folders))
    cuda = Cuda(nvcc) if nvcc else None
    if cuda is not None and cuda.version.startswith("13."):
        return cuda
    found = f"found CUDA {cuda.version} ({nvcc})" if cuda else "found no nvcc"
    if wanted == "1":
        raise SystemExit(
            f"ALEXNET_TF_CUDA=1 needs nvcc 13, and setup {found}: install CUDA 13, or "
            "pip install nvidia-cuda-nvcc==13.0.*"
        )
    print(f"GPU kernels left out: they need nvcc 13, and setup {found}", flush=True)
    return None


def run(command: list[str]) -> None:
    print(shlex.join(command), flush=True)
    if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
        raise SystemExit(f"failed: {shlex.join(command)}")


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

    def build_extension(self, ext):
        tensorflow = tensorflow_directory()
        cuda = find_cuda()
        objects = self.compile(tensorflow, cuda)
        target = pathlib.Path(self.get_ext_fullpath(ext.name)).resolve()
        target.parent.mkdir(parents=True, exist_ok=True)
        # TensorFlow's library exports stubs of CUDA's functions. CUDA's own runtime
        # must come before it, and its symbols must stay hidden.
        runtime = [cuda.runtime(), "-ldl", "-lrt", "-lpthread"] if cuda else []
        run(
            [
                *compiler(),
                *("-shared", "-o", str(target), *objects, *runtime),
                "-Wl,--exclude-libs,ALL",
                f"-L{tensorflow}",
                "-l:libtensorflow_framework.so.2",
            ]
        )

    def compile(self, tensorflow: pathlib.Path, cuda: Cuda | None) -> list[str]:
        """Compiles all sources in parallel and returns the object files."""
        folder = pathlib.Path(self.build_temp).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        cxx = [*compiler(), *CXX_FLAGS]
        sources = source_flags(tensorflow, cuda)
        objects, commands = [], []
        for source in [*sources, *(CUDA_SOURCES if cuda else [])]:
            objects.append(str(folder / (pathlib.Path(source).name + ".o")))
            commands.append(
                [*cxx, *sources[source], "-c", source, "-o", objects[-1]]
                if source in sources
                else cuda.compile(source, objects[-1])
            )
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(run, commands))
        return objects


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
