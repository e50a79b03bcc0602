"""Throughput and latency of a server."""

import time
from typing import Any, NamedTuple

import numpy as np

from alexnet_tf.serving.client import inputs
from alexnet_tf.serving.client.client import Client


class Measured(NamedTuple):
    """The result of sending requests of one image each.

    Attributes:
        in_flight: how many requests were in progress at the same time.
        requests: how many requests were measured.
        per_s: how many requests were answered per second.
        p50_s, p95_s, p99_s: percentiles of the time that one request took, in seconds.
    """

    in_flight: int
    requests: int
    per_s: float
    p50_s: float
    p95_s: float
    p99_s: float


def measure_server(
    server: str, images: list[bytes], *, in_flight: int, requests: int, **options: Any
) -> Measured:
    """Classifies `images` in turn and measures how long it takes.

    Before the measurement, `in_flight` requests open the connections; they are not
    counted.

    Args:
        server: as in `Client`.
        images: encoded images. If there are fewer than `requests`, they are repeated.
        in_flight: how many requests are in progress at the same time.
        requests: how many requests to measure.
        options: further arguments of `Client`.

    Raises:
        RejectedError, ServerError: the error of the first request that failed.
    """
    with Client(server, in_flight=in_flight, **options) as client:
        # The time is the server's: the client has looked at the images before.
        sound = inputs.encoded(images)
        _classify_all(client, sound, in_flight)
        begun = time.perf_counter()
        durations = _classify_all(client, sound, requests)
        elapsed = time.perf_counter() - begun
    p50, p95, p99 = np.percentile(durations, [50, 95, 99]).tolist()
    return Measured(in_flight, requests, requests / elapsed, p50, p95, p99)


def _classify_all(client: Client, images: list[bytes], requests: int) -> list[float]:
    """The seconds that each of `requests` classifications took."""

    def classify_timed(number: int) -> float:
        begun = time.perf_counter()
        client.classify_sound(images[number % len(images)])
        return time.perf_counter() - begun

    durations = []
    for _, duration in client.map(classify_timed, range(requests)):
        if isinstance(duration, Exception):
            raise duration
        durations.append(duration)
    return durations
