"""Classifies files with a server or with an export, and shows the results.

Importing this module imports no TensorFlow; a server over REST needs none.
"""

import contextlib
import dataclasses
import functools
import itertools
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import alexnet_tf
from alexnet_tf.data import image_decoding, image_files, shards
from alexnet_tf.models import image_limits
from alexnet_tf.runtime import log_noise, names, progress, read_ahead, tables
from alexnet_tf.serving import client as clients
from alexnet_tf.serving import prediction_output
from alexnet_tf.serving.prediction_output import Prediction

PROGRESS_FROM = 10  # files from which a progress bar is shown
REQUESTS = 200  # of a timing, at each number of requests in flight

# Large batches are faster, but their answers must arrive before the time-out.
SERVER_BATCH = 16
SERVER_IN_FLIGHT = 2
BENCH_IN_FLIGHT = 8


class Classifier(NamedTuple):
    """What classifies files.

    Attributes:
        answers: the answer for each file, in order: its classes and scores, or an error.
        batch_size: how many files are classified together. Which ones depends on their
            order alone.
        identity: returns what decides the answers, as JSON.
    """

    answers: Callable[[Iterable[str]], Iterator[tuple[str, clients.Scored | Exception]]]
    batch_size: int
    identity: Callable[[], Mapping[str, Any]]


def _read_for_server(file: str) -> bytes:
    return image_decoding.for_server(image_files.read(file), file)


@contextlib.contextmanager
def server_classifier(
    server: str,
    *,
    batch_size: int | None = None,
    in_flight: int | None = None,
    **options: Any,
) -> Iterator[Classifier]:
    """Asks a server.

    Args:
        server: as in `client.Client`.
        batch_size: how many images are sent in one request.
        in_flight: how many requests are in progress at the same time.
        options: further arguments of `client.Client`.
    """
    size = batch_size or SERVER_BATCH
    with clients.Client(
        server, in_flight=in_flight or SERVER_IN_FLIGHT, max_batch=size, **options
    ) as client:
        identity = {"server": client.address, "batch size": size}
        yield Classifier(functools.partial(_ask, client, size), size, lambda: identity)


def _ask(
    client: clients.Client, size: int, files: Iterable[str]
) -> Iterator[tuple[str, clients.Scored | Exception]]:
    """The answers of a server, which gets a batch with the images that can be read."""

    def classify(batch: list[tuple[str, bytes | Exception]]) -> Iterator[Any]:
        images = [read for _, read in batch if not isinstance(read, Exception)]
        answers = iter(client.classify_each(images))
        return iter(
            [
                read if isinstance(read, Exception) else next(answers)
                for _, read in batch
            ]
        )

    batches = read_ahead.in_batches(files, _read_for_server, size)
    for batch, answers in client.map(classify, batches):
        for file, read in batch:
            if not isinstance(answers, Exception):
                yield file, next(answers)
            else:
                yield file, read if isinstance(read, Exception) else answers


@contextlib.contextmanager
def local_classifier(
    model: str, *, batch_size: int | None = None
) -> Iterator[Classifier]:
    """Uses an export in this process: a model version, or the folder of them."""
    from alexnet_tf.serving import local_model  # TensorFlow takes seconds to load

    loaded = local_model.Model(model, batch_size or image_limits.MAX_REQUEST_IMAGES)
    yield Classifier(loaded.classify_files, loaded.batch_size, loaded.identity)


def classify_files(
    files: Sequence[str],
    classifier: Classifier,
    *,
    top: int,
    max_bad_files: int | None = None,
) -> Iterator[Prediction]:
    """Yields the `top` classes of each file, or why it was not classified.

    For a file that cannot be read, one line on standard error says why. Other errors
    are raised. Images of 16 bits per sample are reported at the end.

    Args:
        files, classifier, top: what to do.
        max_bad_files: how many files may be unreadable before one more is an error; None
            for any number.

    Raises:
        clients.ServerError: the server failed, which is not the fault of an image.
        image_decoding.BadImageError: more than `max_bad_files` cannot be read.
    """
    return _predictions(files, classifier, top, _Allowance(max_bad_files))


class Written(NamedTuple):
    """What was written to a file: rows, and how many of them have an error."""

    file: str
    images: int
    failed: int


def write_predictions(
    output: pathlib.Path,
    files: Sequence[str],
    classifier: Classifier,
    *,
    top: int,
    max_bad_files: int | None = None,
) -> Written:
    """Writes what `classify_files` returns to a file; see `prediction_output`.

    Work that was interrupted is continued. If a server fails, the work stops, and
    the next call continues it.

    Raises:
        ValueError: the file is of another model, of other options or of other files, or
            another process is writing it.
        FileExistsError: something else wrote the file.
        clients.ServerError: the server failed.
        image_decoding.BadImageError: more than `max_bad_files` cannot be read.
    """
    plan = {
        **classifier.identity(),
        "top": top,
        "images": prediction_output.images_identity(files),
        "alexnet_tf": alexnet_tf.__version__,
    }
    with prediction_output.unfinished(output, plan) as work:
        done = work.rows
        if work.complete:
            progress.say(f"{names.escaped(output)} is complete: nothing is left to do")
        elif done:
            progress.say(
                f"continuing {names.escaped(output)} after {done:,} of {len(files):,} "
                "images"
            )
        if not work.complete:
            allowance = _Allowance(max_bad_files, work.failed)
            found = _predictions(files, classifier, top, allowance, done)
            try:
                for prediction in found:
                    work.append(prediction)
                    if work.rows % classifier.batch_size == 0:
                        work.end_batch()
                work.finish()
            except (KeyboardInterrupt, clients.ServerError):
                progress.say(
                    f"{names.escaped(output)} keeps what is done: run the same command "
                    "again to continue"
                )
                raise
        return Written(str(output), work.rows, work.failed)


@dataclasses.dataclass
class _Allowance:
    """Which failures are rows, and which end the work.

    Attributes:
        most: how many unreadable files are allowed; None for any number.
        failed: how many there were.
    """

    most: int | None
    failed: int = 0

    def reason(self, file: str, error: Exception) -> str:
        """Why a file was not classified; raises an error that ends the work."""
        if not isinstance(error, OSError | ValueError):
            raise error  # such as a failure of the server, but not its rejection
        prefix = f"{names.escaped(file)}: "  # which some errors have already
        reason = str(error).removeprefix(prefix)
        if self.failed == self.most:
            raise shards.too_many_bad_files(prefix + reason) from error
        self.failed += 1
        progress.say(prefix + reason)
        return reason


def _predictions(
    files: Sequence[str],
    classifier: Classifier,
    top: int,
    allowance: _Allowance,
    done: int = 0,
) -> Iterator[Prediction]:
    """Classifies the files after the first `done`."""
    bar: Any = contextlib.nullcontext()
    if len(files) >= PROGRESS_FROM:
        bar = progress.bar(len(files), "classifying", "image", done)
    with bar as shown, image_decoding.deep_images() as deep:
        for file, answer in classifier.answers(itertools.islice(files, done, None)):
            if shown is not None:
                shown.update()
            if isinstance(answer, Exception):
                yield Prediction(file, [], [], allowance.reason(file, answer))
            else:
                yield Prediction(file, answer.classes[:top], answer.scores[:top])
    if deep:
        progress.say(f"warning: {image_decoding.deep_summary(deep)}")


def predictions_text(predictions: Sequence[Prediction], format: tables.Format) -> str:
    """The predictions as a table, JSON or CSV; a table shows each name in one line.

    Files that were not classified are left out.
    """
    lines, rows = [], []
    answered = [each for each in predictions if not each.error]
    for file, classes, scores, _ in answered:
        lines.append(names.escaped(file))
        for rank, (name, score) in enumerate(zip(classes, scores, strict=True), 1):
            lines.append(f"  {100 * score:6.2f} %  {names.escaped(name)}")
            rows.append([file, rank, name, f"{score:.6f}"])
    return tables.render(
        format,
        data=[{"file": f, "classes": c, "scores": s} for f, c, s, _ in answered],
        columns=["file", "rank", "class", "score"],
        rows=rows,
        table="\n".join(lines),
    )


def written_text(written: Written, format: tables.Format) -> str:
    """What was written as a line, JSON or CSV."""
    counted = f"{written.images:,} image{'' if written.images == 1 else 's'}"
    failed = f", {written.failed:,} of them with an error" if written.failed else ""
    return tables.render(
        format,
        data=written._asdict(),
        columns=written._fields,
        rows=[written],
        table=f"{names.escaped(written.file)}: {counted}{failed}",
    )


def time_server(
    server: str, files: Sequence[str], *, in_flight: int | None = None, **options: Any
) -> list[clients.Measured]:
    """Times a server with the images at 1, 2, 4 ... `in_flight` at the same time."""
    most = in_flight or BENCH_IN_FLIGHT
    images = [_read_for_server(file) for file in files]
    steps = sorted({*(2**n for n in range(most.bit_length())), most})
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
