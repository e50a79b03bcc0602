# Copyright 2026 The alexnet_tf authors. Apache-2.0.
"""What the op library is made of, and how its files are compiled.

The BUILD files load this file, and setup.py runs it as Python. So it holds assignments
of plain values only.
"""

# Every op has a folder of its own, which holds these files (here of `lrn`):
#   lrn.h             the interface: plain pointers, without TensorFlow
#   lrn_reference.cc  the slow and obvious implementation, for tests
#   lrn_cpu.cc        the fast CPU kernels
#   lrn_ops.cc        registers the ops and their shape functions with TensorFlow
#   lrn_kernels.cc    registers the ops' kernels with TensorFlow
#   lrn_test.cc       compares the fast kernels with the reference, without TensorFlow
OPS = [
    "convolution",
    "lrn",
    "momentum",
    "spatial",
    "winograd",
]

# These ops also have an <op>_cpu_kernels.inc, which <op>_cpu.cc includes once for every
# instruction set.
OPS_WITH_INC = [
    "lrn",
    "winograd",
]

# These ops also have an <op>_cuda.cu, which is compiled only if CUDA is found. Their
# <op>_cuda_test.cc runs its kernels on the CPU, with cuda_on_cpu/ in the place of CUDA.
# What both tests of the op share is in <op>_testing.h.
OPS_WITH_CUDA = ["lrn"]

# The files beside the folders: what CPU kernels share, what TensorFlow kernels share,
# what the tests share, and what the library reports about itself.
CPU_HEADERS = [
    "float16.h",
    "isa.h",
    "limits.h",
]
CPU_SOURCES = [
    "isa.cc",
    "limits.cc",
]
TENSORFLOW_HEADERS = [
    "sharding.h",
    "tensors.h",
]
TEST_HEADERS = ["testing.h"]
LIBRARY_SOURCES = ["library.cc"]

# For every file.
CXX_FLAGS = [
    "-std=c++17",
    "-Wall",
    "-Wextra",
    "-Werror",
]

# For <op>_cpu.cc as well, because the ops spend their time there.
CPU_FLAGS = [
    "-O3",
    "-fno-math-errno",
]

# For <op>_cuda_test.cc. The sanitizers find what a kernel reads or writes outside its
# tensors. nvcc, but not g++, knows the pragmas that unroll loops.
CUDA_TEST_FLAGS = [
    "-O1",
    "-fno-math-errno",
    "-fno-sanitize-recover=all",
    "-Wno-unknown-pragmas",
]
SANITIZER_FLAGS = ["-fsanitize=address,undefined"]
