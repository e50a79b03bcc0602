"""Classifies files with a server or with an export, and shows the results.

Importing this module imports no TensorFlow; a server over REST needs none.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from alexnet_tf.data import image_decoding, image_files
from alexnet_tf.runtime import log_noise, names, progress, tables
from alexnet_tf.serving import client as clients

PROGRESS_FROM = 10  # files from which a progress bar is shown
REQUESTS = 200  # of a timing, at each number of requests in flight

# The answer for each file, in order: its classes and scores, or an error.
Classifier = Callable[[Iterable[str]], Iterator[tuple[str, clients.Scored | Exception]]]


class Prediction(NamedTuple):
    """The best classes of one file, best first."""

    file: str
    classes: list[str]
    scores: list[float]


def _read_for_server(file: str) -> bytes:
    return image_decoding.for_server(image_files.read(file), file)


@contextlib.contextmanager
def server_classifier(server: str, **options: Any) -> Iterator[Classifier]:
    """Asks a server; `options` are those of `client.Client`."""
    with clients.Client(server, **options) as client:
        yield lambda files: client.map(
            lambda file: client.classify_sound(_read_for_server(file)), files
        )


@contextlib.contextmanager
def local_classifier(model: str) -> Iterator[Classifier]:
    """Uses an export in this process: a model version, or the folder of them."""
    from alexnet_tf.serving import local_model  # TensorFlow takes seconds to load

    loaded = local_model.Model(model)
    yield loaded.classify_files


def classify_files(
    files: Sequence[str], classifier: Classifier, *, top: int
) -> tuple[list[Prediction], int]:
    """The `top` classes of each file, and how many files were not classified.

    For such a file one line on standard error says why. Other errors are raised. Images
    of 16 bits per sample are reported at the end.
    """
    predictions, failed = [], 0
    bar: Any = contextlib.nullcontext()
    if len(files) >= PROGRESS_FROM:
        bar = progress.bar(len(files), "classifying", "image")
    with bar as shown, image_decoding.deep_images() as deep:
        for file, answer in classifier(files):
            if shown is not None:
                shown.update()
            if isinstance(answer, image_decoding.BadImageError):
                progress.say(str(answer))  # it names the file
                failed += 1
            elif isinstance(answer, OSError | ValueError | clients.ServerError):
                progress.say(f"{names.escaped(file)}: {answer}")
                failed += 1
            elif isinstance(answer, Exception):
                raise answer
            else:
                classes, scores = answer
                predictions.append(Prediction(file, classes[:top], scores[:top]))
    if deep:
        progress.say(f"warning: {image_decoding.deep_summary(deep)}")
    return predictions, failed


def predictions_text(predictions: Sequence[Prediction], format: tables.Format) -> str:
    """The predictions as a table, JSON or CSV; a table shows each name in one line."""
    lines, rows = [], []
    for file, classes, scores in predictions:
        lines.append(names.escaped(file))
        for rank, (name, score) in enumerate(zip(classes, scores, strict=True), 1):
            lines.append(f"  {100 * score:6.2f} %  {names.escaped(name)}")
            rows.append([file, rank, name, f"{score:.6f}"])
    return tables.render(
        format,
        data=[prediction._asdict() for prediction in predictions],
        columns=["file", "rank", "class", "score"],
        rows=rows,
        table="\n".join(lines),
    )


def time_server(
    server: str, files: Sequence[str], *, in_flight: int, **options: Any
) -> list[clients.Measured]:
    """Times a server with the images at 1, 2, 4 ... `in_flight` at the same time."""
    images = [_read_for_server(file) for file in files]
    steps = sorted({*(2**n for n in range(in_flight.bit_length())), in_flight})
    measured = []
    with progress.bar(len(steps) * REQUESTS, "measuring", "request") as bar:
        for number in steps:
            with log_noise.held_back():  # gRPC imports TensorFlow
                measured.append(
                    clients.measure_server(
                        server, images, in_flight=number, requests=REQUESTS, **options
                    )
                )
            bar.update(REQUESTS)
    return measured


def timings_text(measured: Sequence[clients.Measured], format: tables.Format) -> str:
    """The timings of a server as a table, JSON or CSV."""
    lines = [f"{'in flight':>9}{'per second':>12}{'p50':>10}{'p95':>10}{'p99':>10}"]
    for m in measured:
        times = "".join(f"{1000 * t:7.1f} ms" for t in (m.p50_s, m.p95_s, m.p99_s))
        lines.append(f"{m.in_flight:9}{m.per_s:12.1f}{times}")
    return tables.render(
        format,
        data=[m._asdict() for m in measured],
        columns=clients.Measured._fields,
        rows=measured,
        table="\n".join(lines),
    )
