"""The folders of the package are a partial order, and importing the package is free."""

import ast
import pathlib
import subprocess
import sys

import pytest

import alexnet_tf

PACKAGE = pathlib.Path(alexnet_tf.__file__).parent
# Each folder may import from itself and from the folders before it. What stands beside
# the folders are the commands, which import from all folders; nothing imports a
# command.
ORDER = (
    *("runtime", "ops", "models", "data", "importing", "evaluation", "training"),
    *("drawing", "studies", "serving"),
)
FILES = sorted(PACKAGE.rglob("*.py"))


def imported_modules(source):
    """The modules of the package that some source code imports, as 'data.records'."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            if name.startswith("alexnet_tf."):
                yield name.removeprefix("alexnet_tf.")


def misplaced_imports(folder, source):
    """The imports in some source code that a file of `folder` must not have."""
    allowed = ORDER[: ORDER.index(folder) + 1] if folder in ORDER else ORDER
    allowed = (*allowed, "__version__")
    return [
        name for name in imported_modules(source) if name.split(".")[0] not in allowed
    ]


def test_the_order_names_every_folder():
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders == set(ORDER)


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_a_folder_imports_only_from_the_folders_before_it(file):
    folder = file.relative_to(PACKAGE).parts[0]
    assert misplaced_imports(folder, file.read_text()) == []


def test_a_misplaced_import_is_found():
    assert misplaced_imports("models", "from alexnet_tf.data import records") == [
        "data.records"
    ]
    assert misplaced_imports("serving", "def f():\n    import alexnet_tf.train") == [
        "train"
    ]
    assert misplaced_imports("train.py", "from alexnet_tf import evaluate") == [
        "evaluate"
    ]
    assert misplaced_imports("training", "from alexnet_tf.models import zoo") == []


def test_importing_the_package_does_not_import_tensorflow():
    code = "import sys, alexnet_tf; assert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_public_names_are_there():
    assert {"AlexNet", "preprocess_input", "decode_predictions"} <= set(dir(alexnet_tf))
    assert callable(alexnet_tf.AlexNet)
