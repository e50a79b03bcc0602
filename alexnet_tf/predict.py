"""Images in, classes out.

    python -m alexnet_tf.predict --model=runs/demo/export picture.jpg ...
    python -m alexnet_tf.predict --server=http://localhost:8501 picture.jpg ...

Prints the best classes of each file, as a table, JSON or CSV. A file that is no image is
one line on standard error, the others go on, and the exit status is 1.
"""

import contextlib
import csv
import io
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from alexnet_tf.runtime import options, progress
from alexnet_tf.serving import client as clients
from alexnet_tf.serving import local_model

MANY = 10  # files from which a progress bar is shown


class Prediction(NamedTuple):
    """The best classes of one file, best first."""

    file: str
    classes: list[str]
    scores: list[float]


def text(predictions: Sequence[Prediction], form: str) -> str:
    """The predictions as a table, JSON or CSV."""
    if form == "json":
        described: list[dict[str, Any]] = [p._asdict() for p in predictions]
        return json.dumps(described, indent=1)
    if form == "csv":
        sheet = io.StringIO()
        writer = csv.writer(sheet, lineterminator="\n")
        writer.writerow(["file", "rank", "class", "score"])
        for p in predictions:
            for rank, (name, score) in enumerate(
                zip(p.classes, p.scores, strict=True), 1
            ):
                writer.writerow([p.file, rank, name, f"{score:.6f}"])
        return sheet.getvalue().rstrip("\n")
    lines = []
    for p in predictions:
        lines.append(p.file)
        lines += [
            f"  {100 * score:6.2f} %  {name}"
            for name, score in zip(p.classes, p.scores, strict=True)
        ]
    return "\n".join(lines)


def bench_text(measured: Sequence[clients.Measured], form: str) -> str:
    """The measurements as a table, JSON or CSV."""
    if form == "json":
        return json.dumps([m._asdict() for m in measured], indent=1)
    if form == "csv":
        lines = [",".join(clients.Measured._fields)]
        lines += [",".join(f"{value:.6g}" for value in m) for m in measured]
        return "\n".join(lines)
    lines = [f"{'in flight':>9}{'a second':>10}{'p50':>10}{'p95':>10}{'p99':>10}"]
    for m in measured:
        times = "".join(f"{1000 * t:7.1f} ms" for t in (m.p50_s, m.p95_s, m.p99_s))
        lines.append(f"{m.in_flight:9}{m.per_s:10.1f}{times}")
    return "\n".join(lines)


def _read(file: str) -> bytes:
    return pathlib.Path(file).read_bytes()


def _bench(
    flags: options.Config, files: Sequence[str], options: dict[str, Any]
) -> None:
    images = [_read(file) for file in files]
    steps = [2**n for n in range(flags.in_flight.bit_length())]
    steps = sorted({*steps, flags.in_flight})
    measured = []
    with progress.bar(len(steps) * flags.bench_requests, "measuring", "request") as bar:
        for in_flight in steps:
            measured.append(
                clients.measure_server(
                    flags.server,
                    images,
                    in_flight=in_flight,
                    requests=flags.bench_requests,
                    **options,
                )
            )
            bar.update(flags.bench_requests)
    print(bench_text(measured, flags.format))


def main(flags: options.Config, arguments: Sequence[str]) -> None:
    if not arguments:
        raise ValueError(
            "no picture: python -m alexnet_tf.predict --model=... picture.jpg ..."
        )
    if flags.bench and not flags.server:
        raise ValueError("--bench times a server: name it by --server=localhost:8500")
    options: dict[str, Any] = {
        "model": flags.model_name,
        "version": flags.model_version,
        "timeout_s": flags.timeout_s,
        "attempts": flags.attempts,
        "ca_file": flags.ca_file,
    }
    if flags.bench:
        _bench(flags, arguments, options)
        return
    with contextlib.ExitStack() as stack:
        answers: Iterator[tuple[str, clients.Scored | Exception]]
        if flags.server:
            client = clients.Client(flags.server, in_flight=flags.in_flight, **options)
            stack.enter_context(client)
            answers = client.map(lambda f: client.classify(_read(f)), arguments)
        else:
            loaded = local_model.Model(flags.model)
            answers = clients.map_serially(
                lambda f: loaded.classify(_read(f)), arguments
            )
        predictions, failed = [], 0
        bar = stack.enter_context(
            progress.bar(len(arguments), "classifying", "picture")
            if len(arguments) >= MANY
            else contextlib.nullcontext()
        )
        for file, answer in answers:
            if bar is not None:
                bar.update()
            if isinstance(answer, OSError | ValueError | clients.ServerError):
                progress.say(f"{file}: {answer}")
                failed += 1
            elif isinstance(answer, Exception):
                raise answer
            else:
                classes, scores = answer
                best = slice(flags.top)
                predictions.append(Prediction(file, classes[best], scores[best]))
    print(text(predictions, flags.format))
    if failed:
        raise ValueError(f"{failed} of {len(arguments)} files were not classified")


if __name__ == "__main__":
    options.run("predict", main)
