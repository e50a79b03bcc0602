"""The server's REST API, in columns: one array per input or output."""

import base64
import threading
import urllib.parse
from typing import Any

import numpy as np

from alexnet_tf.runtime import errors as error_texts
from alexnet_tf.serving.client import errors
from alexnet_tf.serving.client.transport import Inputs, Scored

# The server is busy, or it is restarting behind a proxy.
_RETRIED_STATUSES = (429, 502, 503, 504)

_SHOWN_CHARACTERS = 200  # of an answer that is not the server's JSON


class RestTransport:
    """A `Transport` over HTTP or HTTPS.

    Args:
        base: http://host:port or https://host:port.
        model, version, timeout_s, ca_file: the arguments of `Client`.
    """

    def __init__(
        self,
        base: str,
        *,
        model: str,
        version: str | None,
        timeout_s: float,
        ca_file: str | None,
    ):
        path = f"/v1/models/{urllib.parse.quote(model, safe='')}"
        if version is not None:
            kind = "versions" if version.isdigit() else "labels"
            path += f"/{kind}/{urllib.parse.quote(version, safe='')}"
        self._url = base + path
        self._timeout_s = timeout_s
        self._verify = True if ca_file is None else ca_file
        self._local = threading.local()  # a session may be used by one thread only
        self._sessions: list[Any] = []

    def predict(self, signature: str, inputs: Inputs) -> dict[str, np.ndarray]:
        columns = {name: _to_json(value) for name, value in inputs.items()}
        body = {"signature_name": signature, "inputs": columns}
        outputs = self._post(":predict", body)["outputs"]
        if not isinstance(
            outputs, dict
        ):  # the server leaves out a single output's name
            outputs = {signature: outputs}
        return {name: _to_array(value) for name, value in outputs.items()}

    def classify_examples(self, images: list[bytes]) -> list[Scored]:
        rows = [{"image/encoded": _to_json(image)} for image in images]
        body = {"signature_name": "classify", "examples": rows}
        results = self._post(":classify", body)["results"]
        return [
            Scored([name for name, _ in row], [score for _, score in row])
            for row in results
        ]

    def close(self) -> None:
        for session in self._sessions:
            session.close()

    def _session(self):
        import requests

        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            self._sessions.append(self._local.session)
        return self._local.session

    def _post(self, method: str, body: dict) -> dict:
        import requests

        url = self._url + method
        try:
            response = self._session().post(
                url, json=body, timeout=self._timeout_s, verify=self._verify
            )
        except requests.exceptions.SSLError as error:
            raise errors.ServerError(f"{url}: TLS failed: {error}") from error
        except requests.exceptions.ReadTimeout as error:
            raise errors.ServerError(
                f"{url}: no answer within {self._timeout_s:g} s"
            ) from error
        except requests.exceptions.RequestException as error:
            raise errors.ServerError(f"{url}: {error}", retry=True) from error
        return _checked_answer(url, response)


def _checked_answer(url: str, response) -> dict:
    """The JSON object of a response; raises the error that the response stands for."""
    shown = response.text[:_SHOWN_CHARACTERS]
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if not isinstance(answer, dict):  # from a proxy, or another kind of server
        answer = {"error": shown}
    if response.status_code == 200 and "error" not in answer:
        return answer
    reason = error_texts.first_line(answer.get("error", shown))
    message = f"{url}: status {response.status_code}: {reason}"
    if response.status_code == 400:
        raise errors.RejectedError(message)
    raise errors.ServerError(message, retry=response.status_code in _RETRIED_STATUSES)


def _to_json(value: Any) -> Any:
    """An array, or encoded images, in the form that the server's REST API reads."""
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    if isinstance(value, np.ndarray) and value.dtype != object:
        return value.tolist()
    if isinstance(value, str | int | float):
        return value
    return [_to_json(element) for element in value]


def _to_array(value: Any) -> np.ndarray:
    array = np.asarray(value)
    return array.astype(np.float32) if array.dtype.kind == "f" else array
