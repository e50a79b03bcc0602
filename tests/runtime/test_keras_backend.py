"""Keras computes with TensorFlow, or what chose another backend is named."""

import json
import os
import subprocess
import sys
import types

import pytest

from alexnet_tf.runtime import keras_backend
from tests.support import programs


def imported_with(backend):
    return types.SimpleNamespace(backend=lambda: backend)


def test_keras_that_was_imported_with_another_backend_is_refused(monkeypatch):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setitem(sys.modules, keras_backend._CHOICE, imported_with("jax"))
    with pytest.raises(ImportError, match=r"imported with 'jax'.*KERAS_BACKEND=tensor"):
        keras_backend.require_tensorflow()
    monkeypatch.setitem(sys.modules, keras_backend._CHOICE, imported_with("tensorflow"))
    keras_backend.require_tensorflow()
    assert "KERAS_BACKEND" not in os.environ


def test_another_backend_in_the_environment_is_refused_before_the_import(monkeypatch):
    monkeypatch.delitem(sys.modules, keras_backend._CHOICE, raising=False)
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    with pytest.raises(ImportError, match="KERAS_BACKEND is 'torch'"):
        keras_backend.require_tensorflow()


def test_tensorflow_may_be_imported_first():
    """As in a process that has loaded it, with the backend that it takes itself."""
    code = "import tensorflow, alexnet_tf; print(alexnet_tf.AlexNet.__name__)"
    done = programs.run("-c", code)
    assert (done.returncode, done.stdout) == (0, "AlexNet\n"), done.stderr[-1000:]


@pytest.mark.parametrize(
    ("where", "first"),
    [
        ("KERAS_BACKEND", ""),
        ("keras.json", ""),
        ("keras.json", "import tensorflow; "),
    ],
)
def test_the_public_names_need_tensorflow_as_backend(tmp_path, where, first):
    """A backend in keras.json gives way, unless something has imported Keras with it."""
    environment = dict(os.environ, HOME=str(tmp_path))
    for name in ("KERAS_BACKEND", "KERAS_HOME"):
        environment.pop(name, None)
    if where == "KERAS_BACKEND":
        environment["KERAS_BACKEND"] = "numpy"
    if where == "keras.json":
        (tmp_path / ".keras").mkdir()
        (tmp_path / ".keras/keras.json").write_text(json.dumps({"backend": "numpy"}))
    code = f"{first}import alexnet_tf; print(alexnet_tf.AlexNet.__name__)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if where == "keras.json" and not first:
        assert (done.returncode, done.stdout) == (0, "AlexNet\n"), done.stderr[-1000:]
    else:
        assert done.returncode != 0
        line = done.stderr.splitlines()[-1]
        assert line.startswith("ImportError: alexnet_tf computes with TensorFlow, and ")
        assert "'numpy'" in line
