"""Repositories made from installed packages, so that the build needs no network."""

def _installed_tensorflow_impl(repository_ctx):
    python = repository_ctx.os.environ.get("PYTHON_BIN_PATH", "python3")
    found = repository_ctx.execute([
        python,
        "-c",
        "import importlib.util as u, importlib.metadata as m;" +
        "print(u.find_spec('tensorflow').submodule_search_locations[0]);" +
        "print(m.version(m.packages_distributions()['tensorflow'][0]))",
    ])
    if found.return_code != 0:
        fail("PYTHON_BIN_PATH=%s has no TensorFlow: %s" % (python, found.stderr))
    folder, version = found.stdout.split("\n")[:2]
    repository_ctx.symlink(folder + "/include", "include")
    repository_ctx.symlink(
        folder + "/libtensorflow_framework.so.2",
        "libtensorflow_framework.so.2",
    )
    repository_ctx.file("version.bzl", "VERSION = \"%s\"\n" % version)
    repository_ctx.file("BUILD", """
load("@rules_cc//cc:defs.bzl", "cc_library")

cc_library(
    name = "framework",
    srcs = ["libtensorflow_framework.so.2"],
    hdrs = glob(["include/**"]),
    # These are system headers, so that only our own code causes warnings.
    includes = ["include"],
    visibility = ["//visibility:public"],
)
""")

installed_tensorflow = repository_rule(
    implementation = _installed_tensorflow_impl,
    doc = "The TensorFlow that the Python named by PYTHON_BIN_PATH has installed.",
    environ = ["PYTHON_BIN_PATH"],
    local = True,
)

def _stub_impl(repository_ctx):
    repository_ctx.file("WORKSPACE", "")
    for path, content in repository_ctx.attr.files.items():
        repository_ctx.file(path, content)

stub = repository_rule(
    implementation = _stub_impl,
    doc = "A repository that has only `files`, because the build needs no others.",
    attrs = {"files": attr.string_dict()},
)
