"""The server's REST API, in columns: one array per input or output."""

import base64
import http.client
import json
import threading
import time
import urllib.parse
from collections.abc import Iterator
from typing import Any

import numpy as np

from alexnet_tf.runtime import errors as error_texts
from alexnet_tf.serving.client import answers, errors, network
from alexnet_tf.serving.client.transport import Inputs, Scored

# The server is busy, or it is restarting behind a proxy.
_RETRIED_STATUSES = (429, 502, 503, 504)

_SHOWN_CHARACTERS = 200  # of an answer that is not the server's JSON
_MAX_ANSWER_BYTES = 256 * 2**20  # 4,096 features of 32 images are 3 MB
_READ_BYTES = 1 << 16


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
        self.address = network.without_credentials(base) + path
        self._server = urllib.parse.urlsplit(base)
        self._timeout_s = timeout_s
        self._verify = True if ca_file is None else ca_file
        self._local = threading.local()  # a session may be used by one thread only
        self._sessions: list[Any] = []

    def predict(self, signature: str, inputs: Inputs) -> dict[str, np.ndarray]:
        columns = {name: _to_json(value) for name, value in inputs.items()}
        body = {"signature_name": signature, "inputs": columns}
        outputs = self._post(":predict", body, "outputs")
        if not isinstance(outputs, dict):
            # The server leaves out a single output's name.
            outputs = {signature: outputs}
        return {name: _to_array(name, value) for name, value in outputs.items()}

    def classify_examples(self, images: list[bytes]) -> list[Scored]:
        rows = [{"image/encoded": _to_json(image)} for image in images]
        body = {"signature_name": "classify", "examples": rows}
        results = self._post(":classify", body, "results")
        if not isinstance(results, list) or len(results) != len(images):
            raise errors.ServerError(
                f"the answer must have one list of classes for each of {len(images)} "
                f"images, got {_excerpt(json.dumps(results))}"
            )
        return [answers.scored(*_columns(row)) for row in results]

    def close(self) -> None:
        for session in self._sessions:
            session.close()

    def _session(self):
        import requests

        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            self._sessions.append(self._local.session)
        return self._local.session

    def _post(self, method: str, body: dict, answer: str) -> Any:
        """Sends a request; returns what its answer has under the name `answer`."""
        import requests

        deadline = time.monotonic() + self._timeout_s
        try:
            with self._session().post(
                self._url + method,
                json=body,
                timeout=self._timeout_s,
                verify=self._verify,
                allow_redirects=False,
                proxies=network.http_proxies(self._url),
                stream=True,
            ) as response:
                text = b"".join(_read(response, deadline)).decode(errors="replace")
        except (requests.exceptions.Timeout, TimeoutError) as error:
            raise errors.ServerError(
                f"no answer within {self._timeout_s:g} s",
                retry=isinstance(error, requests.exceptions.ConnectTimeout),
            ) from error
        except requests.exceptions.RequestException as error:
            raise self._connection_error(error) from error
        return _checked_answer(response, text, answer)

    def through(self) -> str:
        return network.through(
            network.http_proxy(self._url), self._server.hostname or ""
        )

    def _connection_error(self, error: Exception) -> errors.ServerError:
        """Why no answer came, and whether to ask again."""
        import requests

        reason = _cause(error)
        if "connection refused" in reason.lower():
            reason = f"{reason}: {network.NOTHING_LISTENS}"
        if isinstance(error, requests.exceptions.ProxyError):
            return errors.ServerError(f"the proxy failed: {reason}", retry=True)
        other = self._other_protocol()
        if other is not None:
            return errors.ServerError(other)
        if isinstance(error, requests.exceptions.SSLError):
            return errors.ServerError(
                f"TLS failed: {reason}; ca_file names the certificates to trust"
            )
        return errors.ServerError(reason, retry=True)

    def _other_protocol(self) -> str | None:
        """That the server speaks another protocol, or None."""
        if network.http_proxy(self._url) is not None:
            return None
        scheme, host = self._server.scheme, self._server.hostname or ""
        port = self._server.port or (443 if scheme == "https" else 80)
        return network.wrong_protocol(scheme, host, port)


def _read(response: Any, deadline: float) -> Iterator[bytes]:
    """Yields the body of an answer as it comes, until it ends.

    Raises:
        TimeoutError: the deadline is over. The time-out of a request limits only the
            wait for each part, so that a body that comes byte by byte would never end.
        ServerError: the body is longer than any answer.
    """
    import requests
    import urllib3

    count = 0
    while True:
        try:
            part = response.raw.read1(_READ_BYTES, decode_content=True)
        except urllib3.exceptions.ReadTimeoutError as error:
            raise TimeoutError from error
        except (urllib3.exceptions.HTTPError, http.client.HTTPException) as error:
            raise requests.exceptions.ConnectionError(error) from error
        if not part:
            return
        count += len(part)
        if count > _MAX_ANSWER_BYTES:
            raise errors.ServerError(
                f"the answer has more than {_MAX_ANSWER_BYTES} bytes"
            )
        if time.monotonic() > deadline:
            raise TimeoutError
        yield part


def _checked_answer(response: Any, text: str, name: str) -> Any:
    """What the JSON of an answer has under `name`; raises the error that it stands for."""
    status = response.status_code
    if 300 <= status < 400:
        place = network.without_credentials(response.headers.get("Location", "nowhere"))
        raise errors.ServerError(
            f"status {status}: redirected to {place}, which the client does not "
            "follow: name the server itself"
        )
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        answer = None
    if isinstance(answer, dict):
        if status == 200 and name in answer:
            return answer[name]
        if isinstance(answer.get("error"), str):
            reason = error_texts.first_line(answer["error"])
            message = f"status {status}: {_printable(reason)}"
            if status == 400:
                raise errors.RejectedError(message)
            raise errors.ServerError(message, retry=status in _RETRIED_STATUSES)
    raise errors.ServerError(
        f"status {status}: not an answer of TensorFlow Serving: {_excerpt(text)}",
        retry=status in _RETRIED_STATUSES,
    )


def _excerpt(text: str) -> str:
    """The beginning of a text in one line."""
    shown = " ".join(text[: 2 * _SHOWN_CHARACTERS].split())[:_SHOWN_CHARACTERS]
    return _printable(shown) if shown else "nothing"


def _printable(text: str) -> str:
    """A text without characters that would control the terminal it is printed on."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _cause(error: BaseException) -> str:
    """The innermost reason that an error of requests or urllib3 was made of."""
    seen = set()
    while id(error) not in seen:
        seen.add(id(error))
        inner = getattr(error, "reason", None) or next(
            (a for a in reversed(error.args) if isinstance(a, BaseException)), None
        )
        if isinstance(error.__cause__, OSError):  # and not urllib3's words for it
            inner = error.__cause__
        if not isinstance(inner, BaseException):
            break
        error = inner
    text = error.strerror if isinstance(error, OSError) and error.strerror else error
    return error_texts.one_line(text) or type(error).__name__


def _to_json(value: Any) -> Any:
    """An array, or encoded images, in the form that the server's REST API reads."""
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    if isinstance(value, np.ndarray) and value.dtype != object:
        return value.tolist()
    if isinstance(value, str | int | float):
        return value
    return [_to_json(element) for element in value]


def _to_array(name: str, value: Any) -> np.ndarray:
    """The array of an output; raises ServerError if it is none of strings or numbers."""
    leaves = {type(leaf) for leaf in _leaves(value)}
    if leaves == {str} or (leaves and leaves <= {int, float}):
        try:
            array = np.asarray(value)
        except ValueError:  # its rows are not equally long
            array = np.asarray(None)
        if array.dtype.kind == "f":
            with np.errstate(over="ignore"):
                return array.astype(np.float32)
        if array.dtype.kind in "iuU":
            return array
    raise errors.ServerError(
        f"the answer's {name} must be an array of strings or of numbers, got "
        f"{_excerpt(json.dumps(value))}"
    )


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for element in value:
            yield from _leaves(element)
    else:
        yield value


def _columns(row: Any) -> tuple[list[Any], list[Any]]:
    """The classes and the scores of one image's [class, score] pairs."""
    if not isinstance(row, list) or not all(
        isinstance(pair, list) and len(pair) == 2 for pair in row
    ):
        raise errors.ServerError(
            f"the answer must have pairs of class and score, got "
            f"{_excerpt(json.dumps(row))}"
        )
    return [name for name, _ in row], [score for _, score in row]
