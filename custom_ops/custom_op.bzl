# Copyright 2026 The alexnet_tf authors. Apache-2.0.
"""The Bazel targets of one op, the same for all of them."""

load("@rules_cc//cc:defs.bzl", "cc_library", "cc_test")
load(
    "//custom_ops:sources.bzl",
    "CPU_FLAGS",
    "CUDA_TEST_FLAGS",
    "CXX_FLAGS",
    "OPS_WITH_CUDA",
    "OPS_WITH_INC",
    "SANITIZER_FLAGS",
)

def custom_op(name):
    """Declares the targets of the op whose folder calls this.

    Args:
      name: the op, one of OPS. These targets result. `name` is the CPU library, which
        does not use TensorFlow. `name`_kernels registers the ops and their kernels; a
        build of TensorFlow Serving lists this target among its ops. `name`_test
        compares the CPU library with the reference. If the op has CUDA kernels,
        `name`_cuda_test runs them on the CPU and compares them too.
    """
    cc_library(
        name = name,
        srcs = [name + "_cpu.cc"],
        hdrs = [name + ".h"],
        copts = CXX_FLAGS + CPU_FLAGS,
        textual_hdrs = [name + "_cpu_kernels.inc"] if name in OPS_WITH_INC else [],
        deps = ["//custom_ops:cpu"],
    )

    cc_library(
        name = name + "_kernels",
        srcs = [
            name + "_kernels.cc",
            name + "_ops.cc",
        ],
        copts = CXX_FLAGS,
        deps = [
            ":" + name,
            "//:tensorflow",
            "//custom_ops:tensors",
        ],
        alwayslink = True,
    )

    with_cuda = name in OPS_WITH_CUDA
    shared = [name + "_testing.h"] if with_cuda else []

    cc_test(
        name = name + "_test",
        size = "medium",
        srcs = shared + [
            name + "_reference.cc",
            name + "_test.cc",
        ],
        copts = CXX_FLAGS,
        deps = [
            ":" + name,
            "//custom_ops:testing",
        ],
    )

    if with_cuda:
        cc_library(
            name = name + "_cuda",
            testonly = True,
            textual_hdrs = [name + "_cuda.cu"],
            deps = ["//custom_ops/cuda_on_cpu"],
        )

        cc_test(
            name = name + "_cuda_test",
            size = "medium",
            srcs = shared + [
                name + "_cuda_test.cc",
                name + "_reference.cc",
            ],
            copts = CXX_FLAGS + CUDA_TEST_FLAGS + SANITIZER_FLAGS,
            linkopts = SANITIZER_FLAGS,
            deps = [
                ":" + name,
                ":" + name + "_cuda",
                "//custom_ops:testing",
            ],
        )
