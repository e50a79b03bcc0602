"""A model on a server: single requests with retries, and many requests at once.

A request can be repeated without harm. If a server refuses one because it is busy or
restarting, the client tries again, after a wait that doubles each time. It does not try
again after a time-out, because the server is slow already.
"""

import collections
import concurrent.futures
import random
import time
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import numpy as np

from alexnet_tf.serving.client import errors, grpc_transport, rest
from alexnet_tf.serving.client.transport import Inputs, Scored, Transport

FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 5.0

T = TypeVar("T")
R = TypeVar("R")


class Client:
    """A model on a server.

    Methods that ask the server raise RejectedError if the input is bad, and ServerError
    for every other failure. They may be called from several threads.

    Args:
        server: http://host:port or https://host:port for REST; host:port for gRPC, or
            grpcs://host:port for gRPC with TLS.
        model: the name under which the server has the model.
        version: a number, or a label such as `canary`. With None, the server chooses: it
            takes the newest version that it has loaded.
        timeout_s: how long to wait for the answer to one attempt, in seconds.
        attempts: how often to send a request at most, including the first time.
        in_flight: how many calls `map` has in progress at the same time.
        ca_file: a PEM file with the certificates to trust; None for the system's. It
            needs a server that is named with https:// or grpcs://.

    Raises:
        ValueError: an argument is out of range, or `server` has none of these forms.

    Example::

        with Client("http://localhost:8501", version="stable") as alexnet:
            classes, scores = alexnet.classify(open("image.jpg", "rb").read())
    """

    def __init__(
        self,
        server: str,
        *,
        model: str = "alexnet",
        version: str | None = None,
        timeout_s: float = 10.0,
        attempts: int = 4,
        in_flight: int = 8,
        ca_file: str | None = None,
    ):
        for name, value in (("attempts", attempts), ("in_flight", in_flight)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if timeout_s <= 0:
            raise ValueError(f"timeout_s must be above 0, got {timeout_s}")
        self._attempts = attempts
        self._in_flight = in_flight
        self._transport = _connect(
            server, model=model, version=version, timeout_s=timeout_s, ca_file=ca_file
        )

    def classify(self, image_bytes: bytes) -> Scored:
        """Returns the best classes of one encoded image (JPEG, PNG, GIF or BMP)."""
        outputs = self.predict("serving_default", {"image_bytes": [image_bytes]})
        classes, scores = outputs["classes"][0], outputs["scores"][0]
        return Scored([_to_text(name) for name in classes], scores.tolist())

    def features(self, image_bytes: bytes) -> np.ndarray:
        """Returns the last hidden layer's activations for one encoded image.

        The array is float32 [units]; AlexNet has 4,096 units.
        """
        return self.predict("features", {"image_bytes": [image_bytes]})["features"][0]

    def classify_examples(self, images: list[bytes]) -> list[Scored]:
        """Returns the best classes of encoded images, by the Classify API."""
        return self._with_retries(lambda: self._transport.classify_examples(images))

    def predict(self, signature: str, inputs: Inputs) -> dict[str, np.ndarray]:
        """Calls any signature.

        Args:
            signature: its name.
            inputs: arrays by the input's name. The first dimension of each is the
                batch. Pass encoded images as a list of bytes.

        Returns:
            Arrays by the output's name, batched in the same way. Strings are bytes from
            gRPC and str from REST.
        """
        return self._with_retries(lambda: self._transport.predict(signature, inputs))

    def map(
        self, function: Callable[[T], R], items: Iterable[T]
    ) -> Iterator[tuple[T, R | Exception]]:
        """Calls `function` for every item, several at the same time.

        Yields (item, result) in the order of `items`; if a call raised an exception,
        the exception takes the place of the result. At most `in_flight` calls are in
        progress at a time, and `items` is not read further ahead than that.
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
        """Closes the connections. Leaving a `with` block does the same."""
        self._transport.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def _with_retries(self, call: Callable[[], R]) -> R:
        sent_after_rejection = False
        for attempt in range(1, self._attempts + 1):
            try:
                return call()
            except errors.ServerError as error:
                # A server that batches fails the whole batch for one bad image, and
                # that image may be another caller's. A second try shows whose it was.
                again = error.retry
                if isinstance(error, errors.RejectedError) and not sent_after_rejection:
                    again = sent_after_rejection = True
                if not again or attempt == self._attempts:
                    raise
            longest = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** (attempt - 1))
            # At random, so that many callers do not come back at the same moment.
            time.sleep(random.uniform(longest / 2, longest))
        raise AssertionError("unreachable")


def map_serially(
    function: Callable[[T], R], items: Iterable[T]
) -> Iterator[tuple[T, R | Exception]]:
    """Like `Client.map`, but calls `function` for one item after the other.

    Example:
        >>> [answer for _, answer in map_serially(int, ["1", "2"])]
        [1, 2]
    """
    for item in items:
        try:
            yield item, function(item)
        except Exception as error:
            yield item, error


def _settled(item: T, future: concurrent.futures.Future[R]) -> tuple[T, R | Exception]:
    try:
        return item, future.result()
    except Exception as error:  # any of them: the caller decides what to do with it
        return item, error


def _to_text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _connect(
    server: str,
    *,
    model: str,
    version: str | None,
    timeout_s: float,
    ca_file: str | None,
) -> Transport:
    scheme, address = _split_server(server)
    if ca_file is not None and scheme in ("", "http"):
        raise ValueError(
            "ca_file needs TLS: name the server as grpcs:// or https://, "
            f"got {server!r}"
        )
    if scheme in ("http", "https"):
        return rest.RestTransport(
            server.rstrip("/"),
            model=model,
            version=version,
            timeout_s=timeout_s,
            ca_file=ca_file,
        )
    return grpc_transport.GrpcTransport(
        address,
        tls=scheme == "grpcs",
        model=model,
        version=version,
        timeout_s=timeout_s,
        ca_file=ca_file,
    )


def _split_server(server: str) -> tuple[str, str]:
    """The scheme, "" for plain gRPC, and host:port. A port may be left out for HTTP."""
    scheme, _, address = server.rpartition("://")
    if not address or scheme not in ("", "grpcs", "http", "https"):
        raise ValueError(
            "server must be host:port (gRPC), grpcs://host:port, http://host:port or "
            f"https://host:port, got {server!r}"
        )
    parts = urllib.parse.urlsplit(f"//{address}")
    try:
        complete = bool(parts.hostname) and (parts.port is not None or "http" in scheme)
    except ValueError:  # the port is not a number
        complete = False
    if not complete:
        raise ValueError(f"server must name a host and a port number, got {server!r}")
    return scheme, address
