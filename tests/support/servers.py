"""The server that the tests of serving ask, and which one it is.

`model_server` is tensorflow_model_server, where `TF_MODEL_SERVER` names one or the path
has one; else `session_loader`, the stand-in of `session_server.py`. The name is in the id
of every test that asks a server.
"""

import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time

import requests

STAND_IN = [sys.executable, str(pathlib.Path(__file__).parent / "session_server.py")]


def find(environment):
    """(name, command) of the server that `environment`, as `os.environ`, has."""
    real = environment.get("TF_MODEL_SERVER") or shutil.which(
        "tensorflow_model_server", path=environment.get("PATH", "")
    )
    return ("model_server", [real]) if real else ("session_loader", STAND_IN)


NAME, COMMAND = find(os.environ)


def write_script(path, command):
    """An executable at `path` that runs `command` with its own arguments behind it."""
    path.write_text(f'#!/bin/sh\nexec {" ".join(command)} "$@"\n')
    path.chmod(0o755)


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Server:
    """A running server on ports of its own, with its log in `folder`."""

    def __init__(self, folder, *flags, command=COMMAND):
        self.port, self.rest_port = free_port(), free_port()
        self.grpc = f"127.0.0.1:{self.port}"
        self.rest = f"http://127.0.0.1:{self.rest_port}"
        self.log = folder / "server.log"
        self.command = [
            *command,
            f"--port={self.port}",
            f"--rest_api_port={self.rest_port}",
            *flags,
        ]
        self.start()

    def start(self):
        with self.log.open("a") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log)
        try:
            self.wait_for()
        except BaseException:
            self.stop()
            raise

    def wait_for(self, version=""):
        """Until the model, or "/versions/NUMBER" of it, may be asked."""
        url = f"{self.rest}/v1/models/alexnet{version}"

        def available():
            with contextlib.suppress(requests.RequestException):
                return '"AVAILABLE"' in requests.get(url, timeout=5).text

        self.wait_until(available)

    def wait_for_log(self, text):
        self.wait_until(lambda: text in self.log.read_text())

    def wait_until(self, condition):
        limit = time.monotonic() + 120
        while time.monotonic() < limit:
            if condition():
                return
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            time.sleep(0.1)
        raise TimeoutError(self.log.read_text()[-3000:])

    def stop(self):
        self.process.kill()
        self.process.wait()
