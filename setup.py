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
import re
import shlex
import shutil
import subprocess

import setuptools
from setuptools.command import build_ext, build_py

ROOT = pathlib.Path(__file__).resolve().parent
OPS = "custom_ops"

# What the library was built for.
LIBRARY_SOURCE = f"{OPS}/library.cc"
# Free of TensorFlow, where the time goes.
MATH_SOURCES = [
    f"{OPS}/isa.cc",
    f"{OPS}/convolution/convolution_cpu.cc",
    f"{OPS}/lrn/lrn_cpu.cc",
    f"{OPS}/momentum/momentum_cpu.cc",
    f"{OPS}/spatial/spatial_cpu.cc",
    f"{OPS}/winograd/winograd_cpu.cc",
]
TENSORFLOW_SOURCES = [
    f"{OPS}/convolution/convolution_op.cc",
    f"{OPS}/lrn/lrn_ops.cc",
    f"{OPS}/lrn/lrn_kernels.cc",
    f"{OPS}/momentum/momentum_op.cc",
    f"{OPS}/spatial/spatial_op.cc",
    f"{OPS}/winograd/winograd_op.cc",
]
CUDA_SOURCE = f"{OPS}/lrn/lrn_cuda.cu"
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


def output(command: list[str]) -> str:
    return subprocess.run(
        command,
        check=True,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ).stdout


class Cuda:
    """A CUDA 13 toolkit: the machine's, or that of PyPI's nvidia-cuda-nvcc."""

    # From Turing to Blackwell, and what any later GPU can compile for itself.
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
        cuda = find_cuda()
        cuda_flags = [f"-DALEXNET_TF_CUDA={cuda.version}"] if cuda else []
        version = f"-DALEXNET_TF_TENSORFLOW={tensorflow_version()}"
        # As system headers, so that warnings are about our code only.
        tensorflow_flags = ["-O2", "-isystem", str(tensorflow / "include")]
        flags = {LIBRARY_SOURCE: [version, *cuda_flags]}
        flags |= dict.fromkeys(MATH_SOURCES, MATH_FLAGS)
        for source in TENSORFLOW_SOURCES:
            flags[source] = [*tensorflow_flags, *cuda_flags]

        outputs, commands = [], []
        for source in [*flags, *([CUDA_SOURCE] if cuda else [])]:
            outputs.append(str(objects / (pathlib.Path(source).name + ".o")))
            commands.append(
                [*cxx, *flags[source], "-c", source, "-o", outputs[-1]]
                if source in flags
                else cuda.compile(source, outputs[-1])
            )
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(run, commands))

        # TensorFlow's library exports stubs of CUDA's functions: the real ones must
        # come before it, and stay ours.
        runtime = [cuda.runtime(), "-ldl", "-lrt", "-lpthread"] if cuda else []
        run(
            [
                *compiler(),
                "-shared",
                "-o",
                str(target),
                *outputs,
                *runtime,
                "-Wl,--exclude-libs,ALL",
                f"-L{tensorflow}",
                "-l:libtensorflow_framework.so.2",
            ]
        )


class BuildPython(build_py.build_py):
    """The package, and in a wheel the recipes of tools/."""

    def run(self):
        super().run()
        if self.editable_mode:
            return
        folder = pathlib.Path(self.build_lib) / "alexnet_tf" / "tools"
        folder.mkdir(parents=True, exist_ok=True)
        for recipe in (ROOT / "tools").glob("*.flags"):
            shutil.copy(recipe, folder)


class Wheel(setuptools.Distribution().get_command_class("bdist_wheel")):
    """The library binds to TensorFlow and not to Python: one wheel serves all."""

    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


setuptools.setup(
    ext_modules=[
        setuptools.Extension(
            "alexnet_tf._alexnet_ops",
            sources=[LIBRARY_SOURCE, *MATH_SOURCES, *TENSORFLOW_SOURCES],
            depends=[
                f"{OPS}/float16.h",
                f"{OPS}/isa.h",
                f"{OPS}/tensors.h",
                f"{OPS}/convolution/convolution.h",
                f"{OPS}/lrn/lrn.h",
                f"{OPS}/lrn/lrn_cpu_kernels.inc",
                f"{OPS}/momentum/momentum.h",
                f"{OPS}/spatial/spatial.h",
                f"{OPS}/winograd/winograd.h",
                f"{OPS}/winograd/winograd_cpu_kernels.inc",
                CUDA_SOURCE,
            ],
        )
    ],
    cmdclass={
        "build_ext": BuildOps,
        "build_py": BuildPython,
        "bdist_wheel": Wheel,
    },
)
