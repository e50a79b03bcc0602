"""Starts the server that the tests of serving ask.

If `TF_MODEL_SERVER` names a tensorflow_model_server, or the path has one, the tests ask
that server and call it `model_server`. Otherwise they ask the stand-in,
`session_server.py`, and call it `session_loader`. The name is in the id of every test
that asks a server.

Every server ends when the tests end, even if they are killed.
"""

import contextlib
import os
import pathlib
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time

import requests

from alexnet_tf.runtime import files
from alexnet_tf.serving import client as clients
from tests.support import ROOT, programs

_HERE = pathlib.Path(__file__).parent
STAND_IN = [sys.executable, str(_HERE / "session_server.py")]

LIMIT_S = 900  # for what takes seconds on an idle machine


def ending_with_the_tests(command, by="SIGKILL"):
    """`command`, in a form that is sent the signal `by` when this process ends."""
    wrapper = [sys.executable, str(_HERE / "ends_with.py")]
    return [*wrapper, str(os.getpid()), by, *command]


def find_server(environment):
    """Returns the name and the command of the server.

    `environment` is a mapping like `os.environ`.
    """
    real = environment.get("TF_MODEL_SERVER") or shutil.which(
        "tensorflow_model_server", path=environment.get("PATH", "")
    )
    return ("model_server", [real]) if real else ("session_loader", STAND_IN)


NAME, _PROGRAM = find_server(os.environ)
COMMAND = ending_with_the_tests(_PROGRAM)


def write_script(path, command):
    """Writes an executable that runs `command`, followed by its own arguments."""
    path.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
    path.chmod(0o755)


def free_port():
    """Returns a port of this machine that nothing listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def copy_with_capital_classes(exported, path):
    """Copies an export and makes its class names begin with "C", to tell them apart."""
    shutil.copytree(exported, path)
    graph = path / "saved_model.pb"
    graph.write_bytes(re.sub(rb"class(\d)", rb"Class\1", graph.read_bytes()))


def write_config(folder, *, stable, canary, versions=(1, 2)):
    """Writes a server's config that loads `versions` and labels two of them."""
    listed = " ".join(f"versions: {version}" for version in versions)
    files.write_text(
        folder / "models.config",
        'model_config_list { config { name: "alexnet" model_platform: "tensorflow" '
        f'base_path: "{folder / "alexnet"}" '
        f"model_version_policy {{ specific {{ {listed} }} }} "
        f'version_labels {{ key: "stable" value: {stable} }} '
        f'version_labels {{ key: "canary" value: {canary} }} }} }}',
    )


def client(address, **options):
    """A client that a slow machine does not bring to its time-out."""
    return clients.Client(address, **({"timeout_s": LIMIT_S} | options))


class Server:
    """A running server on ports of its own, with its log in `folder`.

    The attributes `grpc` and `rest` are its addresses, as `Client` takes them.
    """

    def __init__(self, folder, *flags):
        self.port, self.rest_port = free_port(), free_port()
        self.grpc = f"127.0.0.1:{self.port}"
        self.rest = f"http://127.0.0.1:{self.rest_port}"
        self.log = folder / "server.log"
        ports = [f"--port={self.port}", f"--rest_api_port={self.rest_port}"]
        self.flags = [*ports, *flags]
        self.start()

    def start(self):
        """Starts the server and waits until the model answers."""
        if NAME == "session_loader":
            self.process = programs.Program(
                _HERE / "session_server.py", *self.flags, log=self.log
            )
        else:
            with self.log.open("a") as log:
                self.process = subprocess.Popen(
                    [*COMMAND, *self.flags], stdout=log, stderr=log
                )
        try:
            self.wait_for()
        except BaseException:
            self.stop()
            raise

    def wait_for(self, version=""):
        """Waits until the model, or "/versions/NUMBER" of it, answers."""
        url = f"{self.rest}/v1/models/alexnet{version}"

        def available():
            with contextlib.suppress(requests.RequestException):
                return '"AVAILABLE"' in requests.get(url, timeout=5).text

        self.wait_until(available)

    def wait_for_log(self, text):
        """Waits until the server has printed `text`."""
        self.wait_until(lambda: text in self.log.read_text())

    def wait_until(self, condition):
        """Waits for `condition()` while the server runs."""
        limit = time.monotonic() + LIMIT_S
        while time.monotonic() < limit:
            if condition():
                return
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            time.sleep(0.1)
        raise TimeoutError(self.log.read_text()[-3000:])

    def stop(self):
        self.process.kill()
        self.process.wait()


def serve(folder, environment):
    """Starts tools/serving/serve.sh with variables added to the environment."""
    command = [str(ROOT / "tools" / "serving" / "serve.sh"), str(folder)]
    return subprocess.Popen(
        ending_with_the_tests(command, by="SIGTERM"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
