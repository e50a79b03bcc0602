"""The package's own list of modules says who may import whom."""

import ast
import pathlib
import re
import subprocess
import sys

import alexnet_tf

PACKAGE = pathlib.Path(alexnet_tf.__file__).parent
ORDER = re.findall(r"^    (\w+) {2,}\S", alexnet_tf.__doc__, flags=re.MULTILINE)


def imported_modules(file):
    """Names of the package's own modules that a file imports."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "alexnet_tf":
                yield from (alias.name for alias in node.names)
            elif node.module.startswith("alexnet_tf."):
                yield node.module.split(".")[1]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("alexnet_tf."):
                    yield alias.name.split(".")[1]


def test_the_list_names_every_module():
    files = {p.stem for p in PACKAGE.glob("*.py")} - {"__init__"}
    folders = {p.parent.name for p in PACKAGE.glob("*/__init__.py")}
    assert sorted(ORDER) == sorted(files | folders)


def test_a_module_imports_only_modules_above_it():
    for position, name in enumerate(ORDER):
        path = PACKAGE / f"{name}.py"
        files = [path] if path.exists() else sorted((PACKAGE / name).rglob("*.py"))
        for file in files:
            for imported in imported_modules(file):
                assert imported == name or ORDER.index(imported) < position, (
                    f"{file.name} imports {imported}, which stands below it"
                )


def test_importing_the_package_does_not_import_tensorflow():
    code = "import sys, alexnet_tf; assert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_public_names_are_there():
    assert {"AlexNet", "preprocess_input", "decode_predictions"} <= set(dir(alexnet_tf))
    assert callable(alexnet_tf.AlexNet)
