"""setup.py builds what it can, and says what it leaves out.

Scripts stand in for the compilers, so these tests take no time and need no CUDA.
"""

import os
import shutil
import subprocess
import sys

import pytest

from alexnet_tf.ops import availability
from tests.support import ROOT

# Writes the file that -o names, and what it was called with into a log.
COMPILER = """#!/bin/sh
echo "$@" >> {log}
while [ $# -gt 0 ]; do [ "$1" = -o ] && echo built > "$2"; shift; done
"""
NVCC = """#!/bin/sh
case "$*" in
  --version) echo "Cuda compilation tools, release {version}, V{version}.93" ;;
  *--dryrun*) echo "#$ TOP={top}" ;;
  *) {compile} ;;
esac
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A source tree in which nothing has been built."""
    folder = tmp_path_factory.mktemp("source")
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    for name in ("alexnet_tf", "custom_ops", "tools"):
        ignored = shutil.ignore_patterns("*.so", "__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    return folder


@pytest.fixture
def build(source, tmp_path):
    """A function that builds the library, and one that makes a script on the path."""
    log = tmp_path / "log"
    log.touch()
    scripts = tmp_path / "scripts"
    scripts.mkdir()

    def script(name, text, **values):
        values = {"log": log, "top": tmp_path, **values}
        path = scripts / name
        path.write_text(text.format(**values))
        path.chmod(0o755)

    def run(**variables):
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in ("CXX", "ALEXNET_TF_OPS", "ALEXNET_TF_CUDA")
        }
        folder = str(tmp_path / "build")
        done = subprocess.run(
            [
                *(sys.executable, "setup.py", "build_ext"),
                *("--build-lib", folder, "--build-temp", folder),
            ],
            cwd=source,
            env={
                **environment,
                "PATH": f"{scripts}:/usr/bin:/bin",
                "CUDA_HOME": str(tmp_path / "no_cuda"),
                **variables,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        built = (tmp_path / "build" / "alexnet_tf" / "_alexnet_ops.so").exists()
        return done, built, log.read_text().splitlines()

    return run, script


def with_cuda(script, tmp_path, version, compile="exec g++ cuda $@"):
    (tmp_path / "lib64").mkdir()
    (tmp_path / "lib64" / "libcudart_static.a").touch()
    script("g++", COMPILER)
    script("nvcc", NVCC, version=version, compile=compile)


def test_without_a_compiler_the_build_succeeds_and_says_what_is_missing(build):
    run, _ = build
    done, built, _ = run(CXX="missing-compiler")
    assert done.returncode == 0, done.stderr[-2000:]
    assert not built
    assert "the op library left out: C++ compiler 'missing-compiler'" in done.stdout
    assert "apt-get install g++" in done.stdout


@pytest.mark.parametrize("variable", ["ALEXNET_TF_OPS", "ALEXNET_TF_CUDA"])
def test_a_library_that_is_required_and_cannot_be_built_is_an_error(build, variable):
    run, _ = build
    done, built, _ = run(CXX="missing-compiler", **{variable: "1"})
    assert done.returncode != 0
    assert not built
    assert f"{variable}=1 requires the op library: C++ compiler" in done.stderr


def test_sources_that_a_compiler_refuses_leave_the_library_out(build):
    run, script = build
    script("g++", "#!/bin/sh\necho 'error: too old' >&2; exit 1\n")
    done, built, _ = run()
    assert done.returncode == 0
    assert not built
    assert "error: too old" in done.stderr
    assert "the op library left out: failed: g++" in done.stdout
    assert run(ALEXNET_TF_OPS="1")[0].returncode != 0


def test_the_library_can_be_left_out(build):
    run, script = build
    script("g++", COMPILER)
    done, built, log = run(ALEXNET_TF_OPS="0")
    assert (done.returncode, built, log) == (0, False, [])


@pytest.mark.parametrize("variable", ["ALEXNET_TF_OPS", "ALEXNET_TF_CUDA"])
def test_other_values_than_0_and_1_are_refused(build, variable):
    run, script = build
    script("g++", COMPILER)
    done, _, _ = run(**{variable: "yes"})
    assert f"{variable} must be 0, 1 or empty, got 'yes'" in done.stderr
    assert done.returncode != 0


@pytest.mark.parametrize("version", ["12.8", "12.9", "13.0", "14.1"])
def test_nvcc_from_12_8_compiles_the_gpu_kernels(build, tmp_path, version):
    run, script = build
    with_cuda(script, tmp_path, version)
    done, built, log = run(ALEXNET_TF_CUDA="1")
    assert done.returncode == 0, done.stderr[-2000:]
    assert built
    (cuda,) = (line for line in log if line.startswith("cuda "))
    for number in (75, 80, 86, 89, 90, 100, 120):
        assert f"code=sm_{number} " in cuda
    least = "".join(map(str, availability._LEAST_CAPABILITY))
    assert f"code=sm_{least} " in cuda
    assert int(least) == min(int(part.split()[0]) for part in cuda.split("sm_")[1:])
    assert any(f"-DALEXNET_TF_CUDA={version} " in line for line in log)
    link = log[-1]
    assert link.index("libcudart_static.a") < link.index("libtensorflow_framework")


@pytest.mark.parametrize("version", ["11.8", "12.0", "12.7"])
def test_an_older_nvcc_leaves_the_gpu_kernels_out_and_says_what_to_use(
    build, tmp_path, version
):
    run, script = build
    with_cuda(script, tmp_path, version)
    done, built, log = run()
    assert done.returncode == 0, done.stderr[-2000:]
    assert built
    assert not any("cuda " in line or "ALEXNET_TF_CUDA" in line for line in log)
    (line,) = (line for line in done.stdout.splitlines() if "left out" in line)
    assert f"found nvcc {version} (" in line
    assert "need nvcc 12.8 or newer" in line
    assert "--lrn=stock" in line
    required = run(ALEXNET_TF_CUDA="1")[0]
    assert required.returncode != 0
    assert f"requires the GPU kernels: found nvcc {version}" in required.stderr


@pytest.mark.parametrize(
    ("compile", "why"), [("exit 1", "failed: "), ("", "printed no")]
)
def test_kernels_that_nvcc_refuses_leave_the_cpu_library(build, tmp_path, compile, why):
    run, script = build
    with_cuda(script, tmp_path, "12.8", compile or ":")
    if not compile:
        script("nvcc", "#!/bin/sh\nexit 1\n")
    done, built, _ = run()
    assert done.returncode == 0, done.stderr[-2000:]
    assert built
    (line,) = (line for line in done.stdout.splitlines() if "left out" in line)
    assert "the GPU kernels left out" in line
    assert why in line


def test_pip_installs_without_a_compiler_and_the_package_can_be_imported(
    source, tmp_path
):
    target = tmp_path / "installed"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--no-deps", "--verbose"),
            *("--no-build-isolation", "--target", str(target), str(source)),
        ],
        env={**os.environ, "CXX": "missing-compiler", "ALEXNET_TF_OPS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "alexnet_tf: the op library left out" in done.stdout + done.stderr
    assert (target / "alexnet_tf" / "ops" / "library.py").exists()
    assert not list(target.rglob("*.so"))
