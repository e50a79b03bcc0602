"""The CUDA kernels of LRN, run on the CPU: they are right, and a fault is found."""

import re

import pytest

from tests.support import cpp


@pytest.fixture(scope="module")
def cuda_test(tmp_path_factory):
    return cpp.CudaTest("lrn", tmp_path_factory.mktemp("objects"))


def test_cuda_kernels_match_the_reference_and_the_cpu_kernels(cuda_test, tmp_path):
    printed, status = cuda_test.run(tmp_path)
    assert status == 0, printed[-3000:]
    assert "54 kernels ran" in printed
    assert re.search(r"^[1-9]\d{6,} checks, 0 failures$", printed, re.MULTILINE)


# Each fault: its name, what stands in the kernels, what replaces it, and what the test
# then prints.
FAULTS = [
    (
        "a read past the end",
        "inside = vector < vectors;",
        "inside = vector <= vectors;",
        "heap-buffer-overflow",
    ),
    (
        "windows that reach into the row before",
        "if (first) wide[0] = wide[1] = 0;",
        "(void)first;",
        "FAILED: y",
    ),
    (
        "windows that reach into the row behind",
        "last = column == vectors_per_row - 1;",
        "last = vector == vectors - 1;",
        "FAILED: y",
    ),
    (
        "lanes that leave before a shuffle",
        "  WindowSums(work, place.first, place.last, sums);\n  if (!place.writes) return;",
        "  if (!place.writes) return;\n  WindowSums(work, place.first, place.last, sums);",
        "is missing at a shuffle",
    ),
    (
        "vectors that no warp writes",
        "vector = warp * kInner + lane - 1;",
        "vector = warp * kWarp + lane - 1;",
        "FAILED: y",
    ),
    (
        "halves that are rounded down",
        "__float2half_rn(v)",
        "__float2half_rn(v * 0.9995f)",
        "FAILED: y, half",
    ),
    (
        "halves of a word that are exchanged",
        "low.bits | static_cast<unsigned>(high.bits) << 16",
        "high.bits | static_cast<unsigned>(low.bits) << 16",
        "FAILED: y, half",
    ),
    (
        "a vector access that is not aligned",
        "!Aligned(x) || !Aligned(dx)",
        "!Aligned(x)",
        "misaligned address",
    ),
    (
        "32 bits for the place of every vector",
        "offset = static_cast<std::int64_t>(place.vector) * kCount",
        "offset = static_cast<std::uint32_t>(place.vector) * kCount",
        "of a huge tensor",
    ),
    (
        "32 bits for the place of every value",
        "static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x",
        "blockIdx.x * kThreads + threadIdx.x",
        "of a huge tensor",
    ),
    (
        "NaN beside an infinite value",
        "const float r = rsqrtf(s);",
        "const float r = s * rsqrtf(s) / s;",
        "FAILED: special values",
    ),
    (
        "the wrong factor of the second term",
        "2.0 * params.alpha * params.beta",
        "2.0 * params.alpha",
        "FAILED: dx",
    ),
    (
        "a thread that needs the one before it to have run",
        "const float s = Scale(c, x + (at - i), i, half, channels);",
        "static std::int64_t latest;\n"
        "  const bool follows = i == 0 || at == latest + 1;\n"
        "  latest = at;\n"
        "  const float s = follows ? Scale(c, x + (at - i), i, half, channels) : 1;",
        "in another order",
    ),
    (
        "a launch for an empty tensor",
        "if (count == 0) return cudaSuccess;",
        "",
        "division by zero",
    ),
    (
        "a launch's error that is lost",
        "return cudaLaunchKernelEx(",
        "return 0 * cudaLaunchKernelEx(",
        "the launch's error returns",
    ),
]


@pytest.mark.long
@pytest.mark.parametrize(
    ("found", "planted", "sign"),
    [pytest.param(*fault, id=name) for name, *fault in FAULTS],
)
def test_a_fault_planted_in_the_kernels_is_found(
    found, planted, sign, cuda_test, tmp_path
):
    assert found in cuda_test.kernels
    printed, status = cuda_test.run(tmp_path, cuda_test.kernels.replace(found, planted))
    assert status != 0
    assert sign in printed, printed[-3000:]
