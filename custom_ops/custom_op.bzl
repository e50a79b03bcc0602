# Copyright 2026 The alexnet_tf authors. Apache-2.0.
"""The Bazel targets of one op, the same for all of them."""

load("@rules_cc//cc:defs.bzl", "cc_library", "cc_test")
load("//custom_ops:sources.bzl", "CPU_FLAGS", "CXX_FLAGS", "OPS_WITH_INC")

def custom_op(name):
    """Declares the targets of the op whose folder calls this.

    Args:
      name: the op, one of OPS. Three targets result. `name` is the CPU library, which
        does not use TensorFlow. `name`_kernels registers the ops and their kernels; a
        build of TensorFlow Serving lists this target among its ops. `name`_test
        compares the CPU library with the reference.
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

    cc_test(
        name = name + "_test",
        size = "medium",
        srcs = [
            name + "_reference.cc",
            name + "_test.cc",
        ],
        copts = CXX_FLAGS,
        deps = [
            ":" + name,
            "//custom_ops:testing",
        ],
    )
