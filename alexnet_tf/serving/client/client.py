"""A model on a server: single requests with retries, and many requests at once.

A request can be repeated without harm. If a server refuses one because it is busy or
restarting, the client tries again, after a wait that doubles each time. It does not try
again after a time-out, because the server is slow already.

A server that batches rejects every request of a batch in which one image is bad. The
client looks at its own images before it sends them, and never sends a bad one. If the
server rejects images that the client finds sound, they shared a batch with someone
else's, and the client tries again until `timeout_s` is over.
"""

import functools
import itertools
import os
import random
import ssl
import time
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from alexnet_tf.runtime import read_ahead
from alexnet_tf.serving.client import answers, errors, grpc_transport, inputs, rest
from alexnet_tf.serving.client.transport import Inputs, Scored, Transport

FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 5.0

# What a server answers to a request with more rows than a batch may have.
_ABOVE_THE_LIMIT = "larger than maximum input batch size"

# How a server rejects a request before it looks at the images. Repeating does not help.
_FINAL = (
    _ABOVE_THE_LIMIT,
    "Unrecognized servable version label",
    "Serving signature",
    "input tensor alias not found",
)

T = TypeVar("T")
R = TypeVar("R")


class Client:
    """A model on a server.

    Methods that ask the server raise RejectedError if the input is bad, and ServerError
    for every other failure. They may be called from several threads.

    Before an image is sent, it is turned upright by its EXIF orientation, and one of a
    kind that servers do not read, such as WebP, is sent as PNG.

    Args:
        server: http://host:port or https://host:port for REST; host:port for gRPC, or
            grpcs://host:port for gRPC with TLS.
        model: the name under which the server has the model.
        version: a number, or a label such as `canary`. With None, the server chooses: it
            takes the newest version that it has loaded.
        timeout_s: how long to wait for the answer to one attempt, in seconds; and how
            long to repeat a request that the server rejects and the client finds sound.
        attempts: how often to send a request at most while the server is busy or
            unreachable, including the first time. With 1, nothing is sent again.
        in_flight: how many calls `map` has in progress at the same time.
        ca_file: a PEM file with the certificates to trust; None for the system's. It
            needs a server that is named with https:// or grpcs://.
        max_batch: how many images to send in one request at most; larger requests are
            sent in parts. It must not exceed the server's `max_batch_size`.

    Raises:
        ValueError: an argument is out of range, `server` has none of these forms, or
            `ca_file` cannot be read.

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
        max_batch: int = 32,
    ):
        for name, value in (
            ("attempts", attempts),
            ("in_flight", in_flight),
            ("max_batch", max_batch),
        ):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if timeout_s <= 0:
            raise ValueError(f"timeout_s must be above 0, got {timeout_s}")
        self._attempts = attempts
        self._in_flight = in_flight
        self._timeout_s = timeout_s
        self._max_batch = max_batch
        self._transport = _connect(
            server, model=model, version=version, timeout_s=timeout_s, ca_file=ca_file
        )

    @property
    def address(self) -> str:
        """The server and the model, as errors name them."""
        return self._transport.address

    def classify(self, image_bytes: bytes) -> Scored:
        """Returns the best classes of one encoded image, such as a JPEG."""
        return self.classify_sound(inputs.encoded([image_bytes])[0])

    def classify_sound(self, image_bytes: bytes) -> Scored:
        """Like `classify`, for an image that `image_decoding.for_server` returned."""
        request = inputs.of_encoded([image_bytes])
        outputs = self._ask("serving_default", request, classes=str, scores=float)
        return answers.scored(outputs["classes"][0], outputs["scores"][0].tolist())

    def classify_each(
        self, images: Sequence[bytes]
    ) -> list[Scored | errors.RejectedError]:
        """Like `classify_sound` for several images, which are sent together.

        An image that the server rejects has the error in its place and takes no other
        along: the client finds it by asking for parts of the images. If the server's
        batches are smaller than `max_batch`, the client halves it until they fit.
        """
        if not images:
            return []
        request = inputs.of_encoded(list(images))
        parts = request.parts(self._max_batch)
        return [each for part in parts for each in self._classify_part(part)]

    def _classify_part(
        self, request: inputs.Request
    ) -> list[Scored | errors.RejectedError]:
        """The answers for the images of one request."""
        one = request.rows == 1
        try:
            # Several are not sent again as they are, because one may be at fault.
            outputs = self._ask_for(
                "serving_default", request, sound=one, classes=str, scores=float
            )
        except errors.RejectedError as error:
            limited = _ABOVE_THE_LIMIT in str(error)
            if not limited and any(text in str(error) for text in _FINAL):
                raise errors.ServerError(str(error)) from error  # no image is at fault
            if one:
                return [error]
            most = request.rows // 2
            if limited:
                self._max_batch = min(self._max_batch, most)
            parts = request.parts(most)
            return [each for part in parts for each in self._classify_part(part)]
        return [
            answers.scored(classes, scores.tolist())
            for classes, scores in zip(
                outputs["classes"], outputs["scores"], strict=True
            )
        ]

    def features(self, image_bytes: bytes) -> np.ndarray:
        """Returns the last hidden layer's activations for one encoded image.

        The array is float32 [units]; AlexNet has 4,096 units.
        """
        request = inputs.checked("features", {inputs.ENCODED: [image_bytes]})
        outputs = self._ask("features", request, features=float)
        return outputs["features"][0].astype(np.float32)

    def classify_examples(self, images: list[bytes]) -> list[Scored]:
        """Returns the best classes of encoded images, by the Classify API."""
        request = inputs.checked("classify", {inputs.ENCODED: images})
        found: list[Scored] = []
        for part in request.parts(self._max_batch):
            ask = functools.partial(
                self._transport.classify_examples, part.inputs[inputs.ENCODED]
            )
            found += self._with_retries(ask, sound=True)
        return found

    def predict(self, signature: str, values: Inputs) -> dict[str, np.ndarray]:
        """Calls any signature.

        Args:
            signature: its name.
            values: arrays by the input's name. The first dimension of each is the
                batch. Pass encoded images as a list of bytes. Images are looked at
                before they are sent: `image_bytes` of any signature, and the pixels of
                `predict_images`, which must be whole numbers from 0 to 255, and of
                `predict_float_images`, which may be fractions.

        Returns:
            Arrays by the output's name, batched in the same way. Strings are bytes from
            gRPC and str from REST.
        """
        return self._ask(signature, inputs.checked(signature, values))

    def map(
        self, function: Callable[[T], R], items: Iterable[T]
    ) -> Iterator[tuple[T, R | Exception]]:
        """Calls `function` for every item, several at the same time.

        Yields (item, result) in the order of `items`; if a call raised an exception,
        the exception takes the place of the result. At most `in_flight` calls are in
        progress at a time, and `items` is not read further ahead than that.
        """
        yield from read_ahead.in_order(
            items,
            read_ahead.attempted(function),
            threads=self._in_flight,
            ahead=self._in_flight - 1,
        )

    def close(self) -> None:
        """Closes the connections. Leaving a `with` block does the same."""
        self._transport.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def _ask(
        self, signature: str, request: inputs.Request, **tables: type
    ) -> dict[str, np.ndarray]:
        """Sends a request, in parts if it is large; returns its outputs.

        `tables` are the outputs that must be there; see `answers.checked`.
        """
        return answers.concatenated(
            [
                self._ask_for(signature, part, sound=part.sound, **tables)
                for part in request.parts(self._max_batch)
            ]
        )

    def _ask_for(
        self, signature: str, request: inputs.Request, *, sound: bool, **tables: type
    ) -> dict[str, np.ndarray]:
        """Sends a request as it is, again if there is reason to; returns its outputs."""

        def ask() -> dict[str, np.ndarray]:
            outputs = self._transport.predict(signature, request.inputs)
            return answers.checked(outputs, request.rows, tables)

        return self._with_retries(ask, sound=sound)

    def _with_retries(self, call: Callable[[], R], *, sound: bool) -> R:
        """Calls `call` until it succeeds or there is no reason to repeat it.

        Args:
            sound: whether the client knows that the server should not reject the input.
        """
        deadline = time.monotonic() + self._timeout_s
        failures = 0  # for a reason of the server's own
        for attempt in itertools.count():
            longest = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** min(attempt, 10))
            # At random, so that many callers do not come back at the same moment.
            wait_s = random.uniform(longest / 2, longest)
            try:
                return call()
            except errors.RejectedError as error:
                left_s = deadline - time.monotonic()
                final = any(text in str(error) for text in _FINAL)
                if not sound or final or left_s <= 0 or self._attempts == 1:
                    raise error.at(
                        self._transport.address, self._hint(error)
                    ) from error
                wait_s = min(wait_s, left_s)
            except errors.ServerError as error:
                failures += 1
                if not error.retry or failures == self._attempts:
                    raise error.at(
                        self._transport.address, self._transport.through()
                    ) from error
            time.sleep(wait_s)
        raise AssertionError("unreachable")

    def _hint(self, error: errors.RejectedError) -> str:
        """What to add if the server's batches are smaller than the client's requests."""
        if _ABOVE_THE_LIMIT not in str(error):
            return ""
        return f" (the client sends up to max_batch={self._max_batch}: set it to that)"


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
    if ca_file is not None:
        _require_certificates(ca_file)
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


def _require_certificates(ca_file: str) -> None:
    """Raises ValueError if a file has no certificates; TLS would fail without a reason."""
    if os.path.exists(ca_file) and not os.path.isfile(ca_file):
        # A FIFO would be waited for.
        raise ValueError(f"ca_file={ca_file} is a folder or a device, not a file")
    try:
        ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError:
        raise ValueError(f"ca_file={ca_file} has no certificates in PEM") from None
    except OSError as error:
        raise ValueError(
            f"ca_file={ca_file} cannot be read: {error.strerror}"
        ) from None


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
