"""Talks to a TensorFlow Serving over REST or gRPC.

    client = Client("http://localhost:8501")
    classes, scores = client.classify(open("picture.jpg", "rb").read())

Importing this module and speaking REST import no TensorFlow; gRPC does, for its protos.
A call may be repeated without harm, so what a busy or restarting server refuses is tried
again, after a wait that doubles each time; a call that took longer than its time-out is
not, for the server is then slow already.
"""

import base64
import collections
import concurrent.futures
import random
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

FIRST_WAIT_S = 0.1


LONGEST_WAIT_S = 5.0


# A gRPC message is 4 MB at most unless both ends say more: a picture may be larger.
_MESSAGE_BYTES = 2**31 - 1


T = TypeVar("T")


R = TypeVar("R")


Inputs = Mapping[str, Any]


class ServerError(RuntimeError):
    """What a server answered instead of a result, or that it did not answer.

    `retry`: asking again may help.
    """

    def __init__(self, message: str, *, retry: bool = False):
        super().__init__(message)
        self.retry = retry


class RejectedError(ServerError, ValueError):
    """The server found the input bad: not a picture, too large, of another type."""


class Scored(NamedTuple):
    """The best classes of one picture, best first."""

    classes: list[str]
    scores: list[float]


class _Transport(Protocol):
    def predict(self, signature: str, inputs: Inputs) -> dict[str, np.ndarray]: ...

    def examples(self, images: list[bytes]) -> list[Scored]: ...

    def close(self) -> None: ...


class Client:
    """A model on a server.

    Args:
        server: http://host:port or https://host:port for REST; host:port for gRPC, or
            grpcs://host:port for gRPC with TLS.
        model: the name the server has it under.
        version: a number, or a label as `canary`; "" takes what the server takes.
        timeout_s: of one attempt, in seconds.
        attempts: at one call, the first included.
        in_flight: calls at a time in `map`.
        ca_file: certificates to trust, PEM, instead of the system's; TLS only.

    Calls raise RejectedError for a bad input and ServerError for all else that fails.
    """

    def __init__(
        self,
        server: str,
        *,
        model: str = "alexnet",
        version: str = "",
        timeout_s: float = 10.0,
        attempts: int = 4,
        in_flight: int = 8,
        ca_file: str = "",
    ):
        for name, value in (("attempts", attempts), ("in_flight", in_flight)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if timeout_s <= 0:
            raise ValueError(f"timeout_s must be above 0, got {timeout_s}")
        self._attempts = attempts
        self._in_flight = in_flight
        self._transport = _connect(server, model, version, timeout_s, ca_file)

    def classify(self, image_bytes: bytes) -> Scored:
        """The best classes of one encoded picture."""
        outputs = self.predict("serving_default", {"image_bytes": [image_bytes]})
        classes, scores = outputs["classes"][0], outputs["scores"][0]
        return Scored([_text(name) for name in classes], scores.tolist())

    def features(self, image_bytes: bytes) -> np.ndarray:
        """The last hidden layer's activations for one encoded picture: float32 [units]."""
        return self.predict("features", {"image_bytes": [image_bytes]})["features"][0]

    def classify_examples(self, images: list[bytes]) -> list[Scored]:
        """The best classes of encoded pictures, by the server's Classify API."""
        return self._repeated(lambda: self._transport.examples(images))

    def predict(self, signature: str, inputs: Inputs) -> dict[str, np.ndarray]:
        """Any signature: arrays by input name to arrays by output name.

        Each array has the batch in its first dimension; encoded pictures are a list of
        bytes. Strings come back as bytes or str, as the transport has them.
        """
        return self._repeated(lambda: self._transport.predict(signature, inputs))

    def map(
        self, function: Callable[[T], R], items: Iterable[T]
    ) -> Iterator[tuple[T, R | Exception]]:
        """(item, `function(item)` or what it raised) in the order of `items`.

        No more than `in_flight` at a time are begun, and none is read ahead of that.
        """
        pending: collections.deque[tuple[T, concurrent.futures.Future]] = (
            collections.deque()
        )
        with concurrent.futures.ThreadPoolExecutor(self._in_flight) as pool:
            for item in items:
                pending.append((item, pool.submit(function, item)))
                if len(pending) >= self._in_flight:
                    yield _settled(*pending.popleft())
            while pending:
                yield _settled(*pending.popleft())

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def _repeated(self, call: Callable[[], R]) -> R:
        doubted = False
        for attempt in range(1, self._attempts + 1):
            try:
                return call()
            except ServerError as error:
                # A server that batches fails a whole batch for one bad picture in it,
                # which may be another caller's: once more tells whose it was.
                again = error.retry
                if isinstance(error, RejectedError) and not doubted:
                    again = doubted = True
                if not again or attempt == self._attempts:
                    raise
            longest = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** (attempt - 1))
            time.sleep(random.uniform(longest / 2, longest))  # so that callers spread
        raise AssertionError("unreachable")


def each(
    function: Callable[[T], R], items: Iterable[T]
) -> Iterator[tuple[T, R | Exception]]:
    """As `Client.map`, one after another."""
    for item in items:
        try:
            yield item, function(item)
        except Exception as error:
            yield item, error


def _settled(item: T, future: concurrent.futures.Future[R]) -> tuple[T, R | Exception]:
    try:
        return item, future.result()
    except Exception as error:  # the caller is handed it, whatever it is
        return item, error


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _connect(
    server: str, model: str, version: str, timeout_s: float, ca_file: str
) -> _Transport:
    scheme, _, address = server.rpartition("://")
    if not address or scheme not in ("", "grpcs", "http", "https"):
        raise ValueError(
            "a server is host:port (gRPC), grpcs://host:port, http://host:port or "
            f"https://host:port, got {server!r}"
        )
    parts = urllib.parse.urlsplit(f"//{address}")
    try:
        known = bool(parts.hostname) and (parts.port is not None or "http" in scheme)
    except ValueError:  # the port is no number
        known = False
    if not known:
        raise ValueError(f"a server is named as host:port, got {server!r}")
    if ca_file and scheme in ("", "http"):
        raise ValueError(
            f"certificates are of TLS: name the server as grpcs:// or https://, "
            f"got {server!r}"
        )
    if scheme in ("http", "https"):
        return _Rest(server.rstrip("/"), model, version, timeout_s, ca_file)
    return _Grpc(address, model, version, timeout_s, scheme == "grpcs", ca_file)


class _Rest:
    """The server's REST API, columns in and columns out."""

    # Busy, or restarting behind a proxy.
    _RETRIED = (429, 502, 503, 504)

    def __init__(
        self, base: str, model: str, version: str, timeout_s: float, ca_file: str
    ):
        path = f"/v1/models/{urllib.parse.quote(model, safe='')}"
        if version:
            kind = "versions" if version.isdigit() else "labels"
            path += f"/{kind}/{urllib.parse.quote(version, safe='')}"
        self._url = base + path
        self._timeout_s = timeout_s
        self._verify = ca_file or True
        self._local = threading.local()  # a session is for one thread
        self._sessions: list[Any] = []

    def predict(self, signature: str, inputs: Inputs) -> dict[str, np.ndarray]:
        columns = {name: _json(value) for name, value in inputs.items()}
        body = {"signature_name": signature, "inputs": columns}
        outputs = self._post(":predict", body)["outputs"]
        if not isinstance(outputs, dict):  # how a single output comes
            outputs = {signature: outputs}
        return {name: _array(value) for name, value in outputs.items()}

    def examples(self, images: list[bytes]) -> list[Scored]:
        rows = [{"image/encoded": _json(image)} for image in images]
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
            raise ServerError(f"{url}: TLS failed: {error}") from error
        except requests.exceptions.ReadTimeout as error:
            raise ServerError(f"{url}: no answer in {self._timeout_s:g} s") from error
        except requests.exceptions.RequestException as error:
            raise ServerError(f"{url}: {error}", retry=True) from error
        try:
            answer = response.json()
        except ValueError:
            answer = {"error": response.text[:200]}
        if response.status_code == 200 and "error" not in answer:
            return answer
        told = f"{url}: status {response.status_code}: {reason(answer.get('error'))}"
        if response.status_code == 400:
            raise RejectedError(told)
        raise ServerError(told, retry=response.status_code in self._RETRIED)


class _Grpc:
    """The server's PredictionService."""

    _RETRIED = ("UNAVAILABLE", "RESOURCE_EXHAUSTED", "ABORTED")

    def __init__(
        self,
        address: str,
        model: str,
        version: str,
        timeout_s: float,
        tls: bool,
        ca_file: str,
    ):
        import grpc
        from tensorflow_serving.apis import prediction_service_pb2_grpc

        options = [
            ("grpc.max_receive_message_length", _MESSAGE_BYTES),
            ("grpc.max_send_message_length", _MESSAGE_BYTES),
        ]
        if tls:
            roots = None
            if ca_file:
                with open(ca_file, "rb") as file:
                    roots = file.read()
            credentials = grpc.ssl_channel_credentials(roots)
            self._channel = grpc.secure_channel(address, credentials, options)
        else:
            self._channel = grpc.insecure_channel(address, options)
        self._service = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._address = address
        self._model = model
        self._version = version
        self._timeout_s = timeout_s

    def predict(self, signature: str, inputs: Inputs) -> dict[str, np.ndarray]:
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        request = predict_pb2.PredictRequest()
        self._name(request.model_spec, signature)
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        answer = self._call(self._service.Predict, request)
        return {name: tf.make_ndarray(value) for name, value in answer.outputs.items()}

    def examples(self, images: list[bytes]) -> list[Scored]:
        from tensorflow_serving.apis import classification_pb2

        request = classification_pb2.ClassificationRequest()
        self._name(request.model_spec, "classify")
        for image in images:
            example = request.input.example_list.examples.add()
            feature = example.features.feature["image/encoded"]
            feature.bytes_list.value.append(image)
        answer = self._call(self._service.Classify, request)
        return [
            Scored([c.label for c in row.classes], [c.score for c in row.classes])
            for row in answer.result.classifications
        ]

    def close(self) -> None:
        self._channel.close()

    def _name(self, spec, signature: str) -> None:
        spec.name = self._model
        spec.signature_name = signature
        if self._version.isdigit():
            spec.version.value = int(self._version)
        elif self._version:
            spec.version_label = self._version

    def _call(self, method, request):
        import grpc

        try:
            return method(request, timeout=self._timeout_s)
        except grpc.RpcError as error:
            code = error.code().name
            if code == "DEADLINE_EXCEEDED":
                told = f"{self._address}: no answer in {self._timeout_s:g} s"
                raise ServerError(told) from error
            told = f"{self._address}: {code}: {reason(error.details())}"
            if code == "INVALID_ARGUMENT":
                raise RejectedError(told) from error
            raise ServerError(told, retry=code in self._RETRIED) from error


def _json(value: Any) -> Any:
    """An array, or encoded pictures, as the server's REST API writes them."""
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    if isinstance(value, np.ndarray) and value.dtype != object:
        return value.tolist()
    if isinstance(value, str | int | float):
        return value
    return [_json(element) for element in value]


def _array(value: Any) -> np.ndarray:
    found = np.asarray(value)
    return found.astype(np.float32) if found.dtype.kind == "f" else found


def reason(message: Any) -> str:
    """What an error of a graph says, less where in the graph it came up."""
    lines = [line.strip() for line in str(message).splitlines()]
    noise = ("Graph execution error", "Detected at node", "<stack", "[[{{node")
    for line in lines:
        if line and not line.startswith(noise):
            return line.removeprefix("assertion failed: ").strip("[]")
    return str(message)


class Measured(NamedTuple):
    """Requests of one picture each at one number in flight; times in seconds."""

    in_flight: int
    requests: int
    per_s: float
    p50_s: float
    p95_s: float
    p99_s: float


def measure(
    server: str, images: list[bytes], *, in_flight: int, requests: int, **options: Any
) -> Measured:
    """Classifies `images` in turn, `requests` times, `in_flight` at a time.

    `options` are `Client`'s. The connections' first calls are left out. Raises the first
    error.
    """

    def timed(number: int) -> float:
        begun = time.perf_counter()
        client.classify(images[number % len(images)])
        return time.perf_counter() - begun

    with Client(server, in_flight=in_flight, **options) as client:
        durations: list[float] = []
        for count in (in_flight, requests):
            begun = time.perf_counter()
            durations = []
            for _, duration in client.map(timed, range(count)):
                if isinstance(duration, Exception):
                    raise duration
                durations.append(duration)
            elapsed = time.perf_counter() - begun
    p50, p95, p99 = np.percentile(durations, [50, 95, 99]).tolist()
    return Measured(in_flight, requests, requests / elapsed, p50, p95, p99)
