"""Moves a label of a running server to another model version, such as a canary.

    python tools/serving/move_label.py --config=models.config --label=canary --version=2

A server checks labels before it adds versions, so it refuses one edit of its config
that adds a version and moves a label to it. Therefore this takes two steps: it adds the
version to the config, waits until the server says that it is AVAILABLE, and only then
moves the label and waits until the server follows. If the version cannot be loaded, the
config becomes what it was, the label stays, and the exit status is 1.

The same command promotes a version (--label=stable --version=2) and rolls back
(--label=stable --version=1). No version is ever removed from the config.

The server must read its config again and again, by
--model_config_file_poll_wait_seconds, as the one of compose.yaml does. Comments at the
beginning of the config are kept, others are lost.
"""

import argparse
import pathlib
import sys
import time

import requests
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from alexnet_tf.runtime import files
from alexnet_tf.serving.client import network

POLL_S = 0.5

HINT = (
    "does the server read this config, and has it been started with "
    "--model_config_file_poll_wait_seconds? Its log says more"
)


class MoveError(RuntimeError):
    """Why a label was not moved."""


class Config:
    """The text of a server's config, with the one model that it changes."""

    def __init__(self, text: str, model: str):
        lines = text.splitlines(keepends=True)
        comments = next(
            (n for n, line in enumerate(lines) if line.strip()[:1] not in ("", "#")), 0
        )
        self._head = "".join(lines[:comments])
        self._config = model_server_config_pb2.ModelServerConfig()
        try:
            text_format.Parse(text, self._config)
        except text_format.ParseError as error:
            raise MoveError(f"the config cannot be read: {error}") from None
        models = self._config.model_config_list.config
        found = [entry for entry in models if entry.name == model]
        if len(found) != 1:
            raise MoveError(
                f"the config has no model {model}, it has "
                f"{', '.join(entry.name for entry in models) or 'none'}"
            )
        self._model = found[0]

    def add_version(self, version: int) -> None:
        """Lists a version among those that are loaded."""
        versions = self._model.model_version_policy.specific.versions
        if not versions:
            raise MoveError(
                "the config does not list the versions to load, so that the server "
                "loads only the newest: write model_version_policy { specific { "
                "versions: NUMBER } } with the version that answers now"
            )
        if version not in versions:
            versions.append(version)

    def move_label(self, label: str, version: int) -> None:
        self._model.version_labels[label] = version

    def text(self) -> str:
        return self._head + text_format.MessageToString(self._config)


def status(server: str, model: str, place: str) -> list[dict[str, object]]:
    """The states of versions as the server gives them; [] if it does not know them.

    `place` is "" for all, /versions/NUMBER or /labels/NAME.
    """
    url = f"{server.rstrip('/')}/v1/models/{model}{place}"
    try:
        answer = requests.get(
            url,
            timeout=10,
            allow_redirects=False,
            proxies=network.http_proxies(url),
        )
        found = answer.json().get("model_version_status", [])
    except (requests.RequestException, ValueError, AttributeError):
        return []  # it may be restarting
    return [entry for entry in found if isinstance(entry, dict)]


def wait_until_available(
    server: str, model: str, version: int, timeout_s: float
) -> None:
    """Waits until the server has loaded a version.

    Raises:
        MoveError: the server gave it up, or it was not loaded in time.
    """
    limit = time.monotonic() + timeout_s
    while True:
        for entry in status(server, model, f"/versions/{version}"):
            if entry.get("state") == "AVAILABLE":
                return
            reason = entry.get("status")
            if entry.get("state") == "END":
                raise MoveError(f"version {version} cannot be loaded: {reason}")
        if time.monotonic() > limit:
            raise MoveError(
                f"version {version} was not AVAILABLE at {server} within "
                f"{timeout_s:g} s: {HINT}"
            )
        time.sleep(POLL_S)


def wait_for_label(
    server: str, model: str, label: str, version: int, timeout_s: float
) -> None:
    """Waits until a label points to a version.

    Raises:
        MoveError: it did not in time.
    """
    limit = time.monotonic() + timeout_s
    while str(version) not in [
        entry.get("version") for entry in status(server, model, f"/labels/{label}")
    ]:
        if time.monotonic() > limit:
            raise MoveError(
                f"the label {label} did not move at {server} within {timeout_s:g} s: "
                f"{HINT}"
            )
        time.sleep(POLL_S)


def replace(file: pathlib.Path, text: str) -> None:
    """Replaces the config as a whole, so that the server never reads a half of it."""
    mode = file.stat().st_mode
    with files.written_aside(file) as aside:
        aside.write_text(text)
        aside.chmod(mode)


def move(
    file: pathlib.Path,
    *,
    server: str,
    model: str,
    label: str,
    version: int,
    timeout_s: float,
) -> None:
    """Adds a version, waits for it, moves a label to it, and waits again.

    Raises:
        MoveError: a step failed; the config is as it was.
    """
    before = file.read_text()
    try:
        config = Config(before, model)
        config.add_version(version)
        replace(file, config.text())
        wait_until_available(server, model, version, timeout_s)
        print(f"version {version} is AVAILABLE", flush=True)
        config.move_label(label, version)
        replace(file, config.text())
        wait_for_label(server, model, label, version, timeout_s)
    except BaseException:
        if file.read_text() != before:
            replace(file, before)
        raise
    print(f"{label} points to version {version}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--config", type=pathlib.Path, required=True)
    parser.add_argument("--label", default="canary")
    parser.add_argument("--version", type=int, required=True)
    parser.add_argument("--server", default="http://localhost:8501", help="REST")
    parser.add_argument("--model", default="alexnet")
    parser.add_argument("--timeout_s", type=float, default=600.0, help="of each step")
    chosen = parser.parse_args()
    try:
        move(
            chosen.config.resolve(),
            server=chosen.server,
            model=chosen.model,
            label=chosen.label,
            version=chosen.version,
            timeout_s=chosen.timeout_s,
        )
    except (MoveError, OSError) as error:
        sys.exit(f"move_label: {error}")
    except KeyboardInterrupt:
        sys.exit("move_label: interrupted; the config is as it was")


if __name__ == "__main__":
    main()
